//! The simulations under load: those that are named, or new ones, brought to where they shall be measured.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::time::sleep;

use crate::load::api::{Api, Resource};
use crate::load::args::LoadArgs;
use crate::load::live::Live;
use crate::load::stop::Stop;
use crate::load::target::Target;

/// Between two looks whether a simulation has come to a tick.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Longest wait for a simulation that comes no further.
const PATIENCE: Duration = Duration::from_secs(30);
/// ms in a s.
const MS_PER_S: f64 = 1_000.0;

/// What was created, to be deleted in the end.
#[derive(Default)]
pub(crate) struct Farms {
    created: Vec<String>,
}

impl Farms {
    /// Simulations that run: those named, as they are, or new ones.
    ///
    /// # Errors
    /// What the server answers.
    pub(crate) async fn running(
        &mut self,
        args: &LoadArgs,
        api: &mut Api,
        live: &Live,
        stop: &Stop,
    ) -> anyhow::Result<Vec<Target>> {
        let mut targets = Vec::new();
        for id in &args.simulation {
            targets.push(Target::new(&api.read(id).await?));
        }
        if !targets.is_empty() {
            return Ok(targets);
        }
        for n in 0..args.simulations {
            let resource = self.create(args, api, n).await?;
            if args.begin_at > 0.0 {
                let stands = bring(args, api, &resource, live, stop).await?;
                targets.push(Target::new(&api.resume(&stands.id).await?));
            } else {
                targets.push(Target::new(&api.start(&resource.id).await?));
            }
        }
        Ok(targets)
    }

    /// Simulations that stand where each half of a pair begins; none where they are named, for those are
    /// somebody's own.
    ///
    /// # Errors
    /// What the server answers.
    pub(crate) async fn parents(
        &mut self,
        args: &LoadArgs,
        api: &mut Api,
        live: &Live,
        stop: &Stop,
    ) -> anyhow::Result<Vec<Resource>> {
        let mut parents = Vec::new();
        if args.simulation.is_empty() {
            for n in 0..args.simulations {
                let resource = self.create(args, api, n).await?;
                parents.push(bring(args, api, &resource, live, stop).await?);
            }
        }
        Ok(parents)
    }

    /// A running copy of each: its ticks are those that follow its parent's.
    ///
    /// # Errors
    /// What the server answers.
    pub(crate) async fn forks(
        &mut self,
        api: &mut Api,
        parents: &[Resource],
        stop: &Stop,
    ) -> anyhow::Result<Vec<Target>> {
        let mut targets = Vec::new();
        for parent in parents {
            let fork = api.fork(&parent.id, parent.tick).await?;
            self.created.push(fork.id.clone());
            wait(api, &fork.id, parent.tick, stop).await?;
            targets.push(Target::new(&api.resume(&fork.id).await?));
        }
        Ok(targets)
    }

    /// Deletes everything that was created, the newest first; what cannot be deleted is told.
    pub(crate) async fn delete_all(&mut self, api: &mut Api) {
        while let Some(id) = self.created.pop() {
            if let Err(error) = api.delete(&id).await {
                eprintln!("warning: {error:#}");
            }
        }
    }

    /// Deletes some of what was created.
    pub(crate) async fn delete(&mut self, api: &mut Api, targets: &[Target]) {
        let is_one = |id: &String| targets.iter().any(|target| target.id == *id);
        let ids = self.created.extract_if(.., |id| is_one(id)).collect();
        Farms { created: ids }.delete_all(api).await;
    }

    async fn create(&mut self, args: &LoadArgs, api: &mut Api, n: u32) -> anyhow::Result<Resource> {
        let resource = api.create(args, n).await?;
        self.created.push(resource.id.clone());
        Ok(resource)
    }
}

/// Starts one and lets it go, as fast as it goes, to where it shall be measured; it stands there.
async fn bring(
    args: &LoadArgs,
    api: &mut Api,
    resource: &Resource,
    live: &Live,
    stop: &Stop,
) -> anyhow::Result<Resource> {
    live.phase("bringing", Duration::ZERO);
    api.start(&resource.id).await?;
    let stands = api.pause(&resource.id).await?;
    let tick = (args.begin_at * MS_PER_S / f64::from(resource.tick_ms)).round() as u64;
    let Some(ticks) = tick.checked_sub(stands.tick).filter(|ticks| *ticks > 0) else {
        return wait(api, &resource.id, stands.tick, stop).await;
    };
    api.step(&resource.id, ticks).await?;
    wait(api, &resource.id, tick, stop).await
}

/// Waits until one stands at a tick.
async fn wait(api: &mut Api, id: &str, tick: u64, stop: &Stop) -> anyhow::Result<Resource> {
    let (mut seen, mut since) = (0, Instant::now());
    loop {
        let resource = api.read(id).await?;
        if resource.tick >= tick && resource.replaying_to.is_none() {
            return Ok(resource);
        }
        anyhow::ensure!(!stop.is_asked(), "ended before anything was measured");
        if resource.tick > seen {
            (seen, since) = (resource.tick, Instant::now());
        }
        let waited = since.elapsed() < PATIENCE;
        (waited.then_some(()))
            .with_context(|| format!("simulation {id} stays at tick {seen}, short of {tick}"))?;
        sleep(LOOK_EVERY).await;
    }
}
