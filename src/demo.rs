//! The farm to look at of `autofarm up`, for whoever has none yet.

use std::time::Duration;

use kernel::config::{DEFAULT_PARTITION_ROWS, Scenario, SimulationConfig};
use orchestrator::control::{LatePolicy, SimulationId, Spec, Speed};
use orchestrator::handle::Handle;
use transport::control::{Answer, Ask};
use uuid::Uuid;

/// Its machines.
const ENTITIES: u32 = 1_000;
/// Its tick.
const TICK_MS: u32 = 50;
/// Until then it goes as fast as it can, which takes a second: every machine leaves for its field at once, and only after a
/// while there is all that a farm has, down to queues at its chargers.
const BUSY_FROM_TICK: u64 = 1_800;
/// Its pace from then on: what happens is seen to happen, and can still be followed by eye.
const SPEED: Speed = Speed::Milli(2_000);
/// How often it is seen how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(20);

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

    /// Creates and starts it, if there is no simulation at all, and slows it down once it is busy.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn begin(self, handle: &Handle) -> anyhow::Result<()> {
        let Some(scenario) = self.0 else {
            return Ok(());
        };
        let first = Ask::Simulations {
            after: None,
            limit: 1,
            status: None,
        };
        if let Answer::Simulations { items, .. } = handle.ask(first).await?
            && !items.is_empty()
        {
            return Ok(());
        }
        let id = handle.create(spec(scenario)).await?;
        handle.start(id).await?;
        // Whoever has done something to it by then, deleted it say, has it as they want it.
        if let Err(why) = slow_down(handle, id).await {
            tracing::info!(%why, "the demo is left as it is");
        }
        Ok(())
    }
}

fn spec(scenario: Scenario) -> Spec {
    Spec {
        id: SimulationId(Uuid::now_v7().as_u128()),
        name: "demo".to_owned(),
        config: SimulationConfig {
            scenario: scenario.code(),
            entities: ENTITIES,
            tick_ms: TICK_MS,
            seed: 1,
            partition_rows: DEFAULT_PARTITION_ROWS,
        },
        speed: Speed::Max,
        max_ticks: None,
        digest_every: 1_000 / TICK_MS,
        late: LatePolicy::Dilate,
        parent: None,
    }
}

async fn slow_down(handle: &Handle, id: SimulationId) -> anyhow::Result<()> {
    loop {
        let demo = handle.simulation(id).await?;
        if demo.spec.speed != Speed::Max {
            return Ok(());
        }
        if demo.tick >= BUSY_FROM_TICK {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    handle.set_speed(id, SPEED).await?;
    Ok(())
}
