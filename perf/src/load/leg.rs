//! One run of clients and requests: connect, warm up, measure, end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use crate::jitter::Beside;
use crate::load::api::{Api, Resource};
use crate::load::args::LoadArgs;
use crate::load::gateway::Gateway;
use crate::load::live::{Live, Look};
use crate::load::processes::{Named, OWN_NAME, Processes, Usage};
use crate::load::rest::{self, RestPlan, RestTally};
use crate::load::schedule::Schedule;
use crate::load::stage::Cumulative;
use crate::load::stop::Stop;
use crate::load::stream::{self, Client, Kind, StreamPlan};
use crate::load::tally::StreamTally;
use crate::load::target::Target;
use crate::load::timeline::{Slot, Timeline};
use crate::load::traffic::Page;
use crate::load::violation::Violations;
use crate::load::watch::{Watch, Words};
use crate::load::window::Window;

/// How often processes are looked at and the progress is told.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether all clients have joined.
const JOIN_LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long clients have to join after they were due.
const JOIN_PATIENCE: Duration = Duration::from_secs(30);

/// What every leg of an invocation shares.
pub(crate) struct Field {
    /// What was asked for.
    pub(crate) args: LoadArgs,
    /// Where to.
    pub(crate) gateway: Arc<Gateway>,
    /// Simulations.
    pub(crate) targets: Arc<[Target]>,
    /// What is found, in all legs.
    pub(crate) violations: Arc<Violations>,
    /// Tells this invocation's idempotency keys from those of others.
    pub(crate) run: u64,
}

/// What one leg came to.
pub(crate) struct Measured {
    /// How long was measured.
    pub(crate) wall: Duration,
    /// Clients there should have been, and clients that joined.
    pub(crate) clients: u64,
    /// See there.
    pub(crate) joined: u64,
    /// From the stream.
    pub(crate) stream: StreamTally,
    /// From REST.
    pub(crate) rest: RestTally,
    /// How late this machine's timer was meanwhile, ns.
    pub(crate) jitter_ns: Histogram<u64>,
    /// What processes used meanwhile, this one first.
    pub(crate) processes: Vec<Usage>,
    /// What the simulations did meanwhile.
    pub(crate) simulations: Vec<Advance>,
    /// Ticks a second that clients asked for.
    pub(crate) rate_hz: u32,
    /// What was read when.
    pub(crate) slots: Vec<Slot>,
    /// How long a slot is.
    pub(crate) slot: Duration,
    /// What the server said of itself meanwhile.
    pub(crate) words: Words,
}

/// A simulation before and after.
pub(crate) struct Advance {
    /// Before.
    pub(crate) before: Standing,
    /// After.
    pub(crate) after: Standing,
}

/// Where a simulation stands.
pub(crate) struct Standing {
    /// When its resource was read, halfway through the call.
    pub(crate) at: Instant,
    /// Its resource.
    pub(crate) resource: Resource,
    /// Its stages, as the server has them.
    pub(crate) stages: BTreeMap<String, Cumulative>,
}

struct Threads {
    rest: JoinHandle<anyhow::Result<RestTally>>,
    stream: Vec<JoinHandle<anyhow::Result<StreamTally>>>,
    window: Arc<Window>,
}

impl Field {
    /// Runs clients and requests, with so many that stall. `leg` is part of idempotency keys.
    ///
    /// # Errors
    /// Where nothing could be measured.
    pub(crate) async fn run(
        &self,
        api: &mut Api,
        stalled: u32,
        leg: u64,
        live: &Live,
        stop: &Stop,
    ) -> anyhow::Result<Measured> {
        let window = Arc::new(Window::new());
        let plan = Arc::new(StreamPlan {
            args: self.args.clone(),
            gateway: Arc::clone(&self.gateway),
            targets: Arc::clone(&self.targets),
            window: Arc::clone(&window),
            violations: Arc::clone(&self.violations),
            joined: AtomicU64::new(0),
            timeline: Arc::new(Timeline::new(Duration::from_secs_f64(self.args.duration))),
        });
        let threads = self.start(&plan, stalled, leg)?;
        let measuring = self.measure(api, &plan, stalled, live, stop).await;
        window.end();
        // Threads end by themselves, whatever went wrong here.
        let ended = tokio::task::spawn_blocking(move || threads.end()).await?;
        let (mut measured, (stream, rest)) = (measuring?, ended?);
        measured.joined = plan.joined.load(Ordering::Relaxed);
        measured.slots = plan.timeline.until(measured.wall);
        measured.stream = stream;
        measured.rest = rest;
        Ok(measured)
    }

    fn start(&self, plan: &Arc<StreamPlan>, stalled: u32, leg: u64) -> anyhow::Result<Threads> {
        let args = &self.args;
        let rest = RestPlan {
            gateway: Arc::clone(&self.gateway),
            targets: Arc::clone(&self.targets),
            per_s: args.rest_per_s,
            connections: args.rest_connections,
            mix: args.rest_mix.clone(),
            seed: args.seed,
            run: self.run.wrapping_add(leg),
            window: Arc::clone(&plan.window),
            violations: Arc::clone(&self.violations),
            timeline: Arc::clone(&plan.timeline),
        };
        let rest = (thread::Builder::new().name("rest".to_owned())).spawn(|| rest::drive(rest))?;
        let clients = self.clients(stalled);
        let stream = (0..args.threads as usize).map(|n| {
            let plan = Arc::clone(plan);
            let share: Vec<_> = (clients.iter().copied())
                .skip(n)
                .step_by(args.threads as usize)
                .collect();
            let name = format!("stream-{n}");
            let builder = thread::Builder::new().name(name);
            builder.spawn(move || stream::drive(&plan, &share))
        });
        Ok(Threads {
            rest,
            stream: stream.collect::<Result<_, _>>()?,
            window: Arc::clone(&plan.window),
        })
    }

    /// Those that read, alternating, then those that stall.
    fn clients(&self, stalled: u32) -> Vec<Client> {
        let (args, targets) = (&self.args, self.targets.len());
        let start = Instant::now();
        let opens = Schedule::new(start, args.opens_per_s);
        let json = args.json_clients;
        let mut clients: Vec<_> = stream::clients(Kind::Json, json, targets, &opens, 0).collect();
        let first = u64::from(json);
        clients.extend(stream::clients(
            Kind::Binary,
            args.binary_clients,
            targets,
            &opens,
            first,
        ));
        let all_others = opens.due(clients.len() as u64);
        let stall = Schedule::new(
            all_others + Duration::from_secs_f64(args.stall_after),
            args.opens_per_s,
        );
        clients.extend(stream::clients(Kind::Stalled, stalled, targets, &stall, 0));
        clients
    }

    async fn measure(
        &self,
        api: &mut Api,
        plan: &StreamPlan,
        stalled: u32,
        live: &Live,
        stop: &Stop,
    ) -> anyhow::Result<Measured> {
        let args = &self.args;
        let readers = u64::from(args.json_clients) + u64::from(args.binary_clients);
        let clients = readers + u64::from(stalled);
        let opening = |n: u64| match args.opens_per_s {
            per_s if per_s > 0.0 => Duration::from_secs_f64(n as f64 / per_s),
            _ => Duration::ZERO,
        };
        live.phase("connecting", opening(readers));
        joined(plan, readers, opening(readers) + JOIN_PATIENCE, stop).await?;
        let warm = Instant::now() + Duration::from_secs_f64(args.warm_up);
        live.phase("warming up", Duration::from_secs_f64(args.warm_up));
        if args.stall_after <= args.warm_up {
            let patience = opening(u64::from(stalled)) + JOIN_PATIENCE;
            let patience = patience + Duration::from_secs_f64(args.stall_after);
            joined(plan, clients, patience, stop).await?;
        }
        stop.or(sleep_until(warm.into())).await;
        let before = self.standings(api).await?;
        let slot = plan.timeline.slot();
        let mut processes = Processes::begin(&self.processes(), slot)?;
        let jitter = Beside::start()?;
        let start = Instant::now();
        plan.timeline.begin(start);
        plan.window.measure();
        let watch = self.watch(slot).await?;
        live.phase("measuring", Duration::from_secs_f64(args.duration));
        self.look_on(plan, &mut processes, &watch, start, live, stop)
            .await;
        let wall = start.elapsed();
        plan.window.end();
        let processes = processes.end(wall);
        let jitter_ns = jitter.end();
        let after = self.standings(api).await?;
        let words = watch.end().await;
        let pairs = before.into_iter().zip(after);
        Ok(Measured {
            wall,
            clients,
            joined: 0,
            stream: StreamTally::default(),
            rest: RestTally::default(),
            jitter_ns,
            processes,
            simulations: pairs
                .map(|(before, after)| Advance { before, after })
                .collect(),
            rate_hz: args.rate_hz,
            slots: Vec::new(),
            slot,
            words,
        })
    }

    /// Asks the server how it goes, once a slot.
    async fn watch(&self, slot: Duration) -> anyhow::Result<Watch> {
        let mut pages = vec![Page::of_gateway(&self.gateway)];
        for url in &self.args.metrics {
            pages.push(Page::find(url).await?);
        }
        let api = Api::new(Arc::clone(&self.gateway), self.run);
        Ok(Watch::start(api, pages, Arc::clone(&self.targets), slot))
    }

    fn processes(&self) -> Vec<Named> {
        let own = Named {
            name: OWN_NAME.to_owned(),
            pid: std::process::id(),
        };
        std::iter::once(own)
            .chain(self.args.pid.iter().cloned())
            .collect()
    }

    async fn look_on(
        &self,
        plan: &StreamPlan,
        processes: &mut Processes,
        watch: &Watch,
        start: Instant,
        live: &Live,
        stop: &Stop,
    ) {
        let end = start + Duration::from_secs_f64(self.args.duration);
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let until = stop.or(sleep_until(end.into()));
        tokio::pin!(until);
        loop {
            tokio::select! {
                () = &mut until => return,
                _ = looks.tick() => {
                    let now = Instant::now();
                    processes.look(now - start);
                    // Threads hand over a slot when the next one has begun: the last but one is whole.
                    let index = plan.timeline.index(now).and_then(|index| index.checked_sub(2));
                    live.look((now - start).as_secs(), &Look {
                        slot: index.and_then(|index| plan.timeline.get(index)),
                        seconds: plan.timeline.slot().as_secs_f64(),
                        processes: processes.now(),
                        said: watch.last_two(),
                        violations: self.violations.found().total(),
                    });
                }
            }
        }
    }

    async fn standings(&self, api: &mut Api) -> anyhow::Result<Vec<Standing>> {
        let mut standings = Vec::new();
        for target in self.targets.iter() {
            let asked = Instant::now();
            let resource = api.read(&target.id).await?;
            let at = asked + asked.elapsed() / 2;
            let stages = api.latency(&target.id).await?;
            standings.push(Standing {
                at,
                resource,
                stages,
            });
        }
        Ok(standings)
    }
}

impl Threads {
    fn end(self) -> anyhow::Result<(StreamTally, RestTally)> {
        debug_assert!(self.window.is_over());
        let panicked = "a thread of clients panicked";
        let rest = (self.rest.join()).map_err(|_| anyhow::anyhow!(panicked))?;
        let mut stream = StreamTally::default();
        for thread in self.stream {
            let tally = (thread.join()).map_err(|_| anyhow::anyhow!(panicked))?;
            stream.add(&tally?);
        }
        Ok((stream, rest.context("requests")?))
    }
}

/// Waits for so many clients, for a while: whoever comes late is measured nevertheless, and told.
///
/// # Errors
/// Where none came although there should be some.
async fn joined(
    plan: &StreamPlan,
    clients: u64,
    patience: Duration,
    stop: &Stop,
) -> anyhow::Result<()> {
    let end = Instant::now() + patience;
    let count = || plan.joined.load(Ordering::Relaxed);
    let mut looks = interval(JOIN_LOOK_EVERY);
    while count() < clients && Instant::now() < end && !stop.is_asked() {
        looks.tick().await;
    }
    anyhow::ensure!(
        clients == 0 || count() > 0 || stop.is_asked(),
        "no client was let into the stream within {patience:?}"
    );
    Ok(())
}
