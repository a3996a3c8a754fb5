//! The farm to look at of `autofarm up`, for whoever has none yet.

use std::time::Duration;

use kernel::config::{DEFAULT_PARTITION_ROWS, Scenario, SimulationConfig};
use orchestrator::control::{LatePolicy, SimulationId, Spec, Speed, Status};
use orchestrator::handle::Handle;
use transport::control::{Answer, Ask, SimulationInfo};
use uuid::Uuid;

/// Its name.
const NAME: &str = "demo";
/// Its machines.
const ENTITIES: u32 = 1_000;
/// Its tick.
const TICK_MS: u32 = 50;
/// It begins there, for which it is stepped as fast as it goes, about a second: every machine leaves for its field at once,
/// and only after a while there is all that a farm has, down to queues at its chargers.
const BUSY_FROM_TICK: u64 = 1_800;
/// Its pace: what happens is seen to happen, and can still be followed by eye.
const SPEED: Speed = Speed::Milli(2_000);
/// How often it is seen how far it is, and how often at most: without a worker it would be for ever.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const MAX_LOOKS: u32 = 3_000;

/// What `--demo` names: `None` for no farm at all.
#[derive(Clone, Copy)]
pub(crate) struct Demo(Option<Scenario>);

impl Demo {
    /// Reads what the flag says.
    pub(crate) fn parse(name: &str) -> Result<Demo, String> {
        if name == "none" {
            return Ok(Demo(None));
        }
        let scenario = name.parse();
        scenario
            .map(|scenario| Demo(Some(scenario)))
            .map_err(|_| "weeding, dense or none is expected".to_owned())
    }

    /// Creates and starts it, if there is no simulation at all. One that an earlier start left on its way to where it
    /// begins is brought there.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn begin(self, handle: &Handle) -> anyhow::Result<()> {
        let Some(scenario) = self.0 else {
            return Ok(());
        };
        let id = match first(handle).await? {
            None => {
                let id = SimulationId(Uuid::now_v7().as_u128());
                handle.create(spec(id, scenario)).await?
            }
            Some(left) if is_on_its_way(&left, scenario) => left.spec.id,
            Some(_) => return Ok(()),
        };
        // Whoever has done something to it meanwhile, stopped or deleted it say, has it as they want it.
        if let Err(why) = bring_to_work(handle, id).await {
            tracing::info!(%why, "the demo is left as it is");
        }
        Ok(())
    }
}

/// The first simulation there is.
async fn first(handle: &Handle) -> anyhow::Result<Option<SimulationInfo>> {
    let first = Ask::Simulations {
        after: None,
        limit: 1,
        status: None,
    };
    Ok(match handle.ask(first).await? {
        Answer::Simulations { items, .. } => items.into_iter().next(),
        _ => None,
    })
}

/// Whether it is this demo, as it is made here, and has not been resumed yet.
fn is_on_its_way(left: &SimulationInfo, scenario: Scenario) -> bool {
    let stands = matches!(left.status, Status::Created | Status::Paused);
    stands && left.tick <= BUSY_FROM_TICK && left.spec == spec(left.spec.id, scenario)
}

fn spec(id: SimulationId, scenario: Scenario) -> Spec {
    Spec {
        id,
        name: NAME.to_owned(),
        config: SimulationConfig {
            scenario: scenario.code(),
            entities: ENTITIES,
            tick_ms: TICK_MS,
            seed: 1,
            partition_rows: DEFAULT_PARTITION_ROWS,
        },
        speed: SPEED,
        max_ticks: None,
        digest_every: 1_000 / TICK_MS,
        late: LatePolicy::Dilate,
        parent: None,
    }
}

async fn bring_to_work(handle: &Handle, id: SimulationId) -> anyhow::Result<()> {
    if handle.simulation(id).await?.status == Status::Created {
        handle.start(id).await?;
    }
    // Steps that an earlier start has begun end there, so that it is known how many are left. Without any it is paused already.
    if let Err(why) = handle.pause(id).await {
        tracing::debug!(%why, "the demo does not step");
    }
    let left = BUSY_FROM_TICK.saturating_sub(handle.simulation(id).await?.tick);
    if left > 0 {
        handle.step(id, left).await?;
    }
    for _ in 0..MAX_LOOKS {
        let demo = handle.simulation(id).await?;
        if demo.status != Status::Paused {
            return Ok(());
        }
        // One that was killed on its way counts as there while it is still brought to where it was to stand.
        if demo.tick >= BUSY_FROM_TICK && demo.replaying_to.is_none() {
            handle.resume(id).await?;
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    anyhow::bail!("it takes too long to get to work; resume it once it stands")
}
