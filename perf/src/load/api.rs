//! What is asked of the API beside the load: simulations, digests and where the server's time went.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::load::args::{LoadArgs, Speed};
use crate::load::gateway::{Call, Connection, Gateway, Reply};
use crate::load::stage::Cumulative;
use crate::load::violation::{Check, Finding, finding};

/// Digests of a page.
const PAGE: u32 = 1_000;
/// Media type of a histogram.
const HGRM: &str = "application/vnd.hgrm";
/// Pages of digests that are read of one simulation.
const MAX_PAGES: usize = 100;

/// A simulation as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct Resource {
    /// Its id.
    pub(crate) id: String,
    /// Machines.
    pub(crate) entities: u64,
    /// Scenario.
    #[serde(default)]
    pub(crate) scenario: String,
    /// Length of a tick, ms.
    pub(crate) tick_ms: u32,
    /// Factor on real time that it is to keep; a text where it goes as fast as it can.
    #[serde(default)]
    speed: Value,
    /// Where it stands.
    pub(crate) status: String,
    /// Last complete tick.
    pub(crate) tick: u64,
    /// The tick up to which it is being brought; `None` where it stands or runs.
    #[serde(default)]
    pub(crate) replaying_to: Option<u64>,
    /// Ticks that were complete only after their time.
    #[serde(default)]
    pub(crate) late_ticks: u64,
    /// By how much deadlines were shifted, ms.
    #[serde(default)]
    pub(crate) dilated_ms: f64,
    #[serde(default)]
    digest: Option<String>,
    #[serde(default)]
    digest_tick: Option<u64>,
}

impl Resource {
    /// One of that id and size, for tests.
    #[cfg(test)]
    pub(crate) fn of(id: &str, entities: u64) -> Resource {
        Resource {
            id: id.to_owned(),
            entities,
            ..Resource::default()
        }
    }

    /// Factor on real time that it is to keep; `None` for as fast as it goes.
    pub(crate) fn speed(&self) -> Option<f64> {
        self.speed.as_f64()
    }

    /// The newest digest and its tick.
    ///
    /// # Errors
    /// Where it is none.
    pub(crate) fn digest(&self) -> Result<Option<(u64, u64)>, Finding> {
        let (Some(tick), Some(hex)) = (self.digest_tick, &self.digest) else {
            return Ok(None);
        };
        let digest = parse_digest(hex).map_err(|what| finding(Check::Malformed, what))?;
        Ok(Some((tick, digest)))
    }
}

/// A digest as the API spells it, in hexadecimal digits.
fn parse_digest(hex: &str) -> Result<u64, String> {
    u64::from_str_radix(hex, 16).map_err(|_| format!("{hex:?} is no digest"))
}

#[derive(Deserialize)]
struct DigestPage {
    items: Vec<DigestRow>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct DigestRow {
    tick: u64,
    digest: String,
}

#[derive(Deserialize)]
struct Latency {
    stages: Vec<NamedStage>,
}

#[derive(Deserialize)]
struct NamedStage {
    stage: String,
}

/// A connection for what is asked beside the load.
pub(crate) struct Api {
    gateway: Arc<Gateway>,
    connection: Option<Connection>,
    run: u64,
    calls: u64,
}

impl Api {
    /// Not connected yet; `run` is part of every idempotency key.
    pub(crate) fn new(gateway: Arc<Gateway>, run: u64) -> Api {
        Api {
            gateway,
            connection: None,
            run,
            calls: 0,
        }
    }

    /// Creates the simulation number `n` of those asked for.
    ///
    /// # Errors
    /// What was answered.
    pub(crate) async fn create(&mut self, args: &LoadArgs, n: u32) -> anyhow::Result<Resource> {
        let body = json!({
            "name": format!("perf load {:08x}-{n}", self.run >> 32),
            "scenario": args.scenario,
            "entities": args.entities,
            "tick_ms": args.tick_ms,
            "seed": args.seed + u64::from(n),
            "speed": speed_json(args.speed),
        });
        let reply = self.post("/v1/simulations", body.to_string()).await?;
        resource(&reply, 201).context("a simulation could not be created")
    }

    /// Starts one.
    ///
    /// # Errors
    /// What was answered.
    pub(crate) async fn start(&mut self, id: &str) -> anyhow::Result<Resource> {
        self.act(id, "start", String::new()).await
    }

    /// Pauses one.
    ///
    /// # Errors
    /// What was answered.
    pub(crate) async fn pause(&mut self, id: &str) -> anyhow::Result<Resource> {
        self.act(id, "pause", String::new()).await
    }

    /// Lets a paused one go on.
    ///
    /// # Errors
    /// What was answered.
    pub(crate) async fn resume(&mut self, id: &str) -> anyhow::Result<Resource> {
        self.act(id, "resume", String::new()).await
    }

    /// Advances a paused one by so many ticks, which may follow after the answer.
    ///
    /// # Errors
    /// What was answered.
    pub(crate) async fn step(&mut self, id: &str, ticks: u64) -> anyhow::Result<Resource> {
        let body = json!({ "ticks": ticks }).to_string();
        self.act(id, "step", body).await
    }

    /// A paused copy of one, at a tick of its past.
    ///
    /// # Errors
    /// What was answered.
    pub(crate) async fn fork(&mut self, id: &str, tick: u64) -> anyhow::Result<Resource> {
        let path = format!("/v1/simulations/{id}/fork");
        let reply = self
            .post(&path, json!({ "tick": tick }).to_string())
            .await?;
        resource(&reply, 201).with_context(|| format!("simulation {id} could not be forked"))
    }

    async fn act(&mut self, id: &str, what: &str, body: String) -> anyhow::Result<Resource> {
        let path = format!("/v1/simulations/{id}/{what}");
        let reply = self.post(&path, body).await?;
        resource(&reply, 200).with_context(|| format!("simulation {id} does not {what}"))
    }

    /// Reads one.
    ///
    /// # Errors
    /// What was answered.
    pub(crate) async fn read(&mut self, id: &str) -> anyhow::Result<Resource> {
        let reply = self
            .call(&Call::get(format!("/v1/simulations/{id}")))
            .await?;
        resource(&reply, 200).with_context(|| format!("simulation {id} could not be read"))
    }

    /// Deletes one.
    ///
    /// # Errors
    /// What was answered.
    pub(crate) async fn delete(&mut self, id: &str) -> anyhow::Result<()> {
        let call = Call::delete(format!("/v1/simulations/{id}"));
        let reply = self.call(&call).await?;
        expect(&reply, &[200, 204]).with_context(|| format!("simulation {id} could not be deleted"))
    }

    /// Digests the database holds of some ticks, as (tick, digest); no more than fit some pages.
    ///
    /// # Errors
    /// What was answered.
    pub(crate) async fn digests(
        &mut self,
        id: &str,
        from_tick: u64,
        to_tick: u64,
    ) -> anyhow::Result<Vec<(u64, u64)>> {
        let list = format!("/v1/simulations/{id}/digests?from_tick={from_tick}&limit={PAGE}");
        let mut digests = Vec::new();
        let mut path = list.clone();
        for _ in 0..MAX_PAGES {
            let reply = self.call(&Call::get(path)).await?;
            expect(&reply, &[200]).context("digests could not be read")?;
            let page: DigestPage = serde_json::from_slice(&reply.body).context("digests")?;
            for row in page.items {
                let digest = parse_digest(&row.digest).map_err(anyhow::Error::msg)?;
                digests.push((row.tick, digest));
            }
            let is_past = digests.last().is_some_and(|(tick, _)| *tick >= to_tick);
            let Some(cursor) = page.next_cursor.filter(|_| !is_past) else {
                break;
            };
            path = format!("{list}&cursor={cursor}");
        }
        Ok(digests)
    }

    /// Where the time of a simulation's ticks went so far, by stage.
    ///
    /// # Errors
    /// What was answered.
    pub(crate) async fn latency(
        &mut self,
        id: &str,
    ) -> anyhow::Result<BTreeMap<String, Cumulative>> {
        let path = format!("/v1/simulations/{id}/latency");
        let reply = self.call(&Call::get(path.clone())).await?;
        expect(&reply, &[200]).context("latencies could not be read")?;
        let named: Latency = serde_json::from_slice(&reply.body).context("latencies")?;
        let mut stages = BTreeMap::new();
        for NamedStage { stage } in named.stages {
            let call = Call {
                accept: HGRM,
                ..Call::get(format!("{path}?stage={stage}"))
            };
            let reply = self.call(&call).await?;
            expect(&reply, &[200]).with_context(|| format!("stage {stage} could not be read"))?;
            let text = String::from_utf8_lossy(&reply.body);
            let read = Cumulative::parse(&text).map_err(anyhow::Error::msg);
            stages.insert(
                stage.clone(),
                read.with_context(|| format!("stage {stage}"))?,
            );
        }
        Ok(stages)
    }

    async fn post(&mut self, path: &str, body: String) -> anyhow::Result<Reply> {
        self.calls += 1;
        let key = format!("perf-{:016x}-control-{}", self.run, self.calls);
        self.call(&Call::post(path.to_owned(), body, key)).await
    }

    /// Sends on the connection of before, or a new one where that was closed meanwhile.
    async fn call(&mut self, call: &Call) -> anyhow::Result<Reply> {
        if let Some(connection) = self.connection.as_mut().filter(|c| c.is_usable()) {
            match connection.call(call).await {
                Ok(reply) => return Ok(reply),
                // A repetition of these has no further effect.
                Err(_) if call.method == Method::GET || call.idempotency_key.is_some() => {}
                Err(error) => return Err(error),
            }
        }
        let mut connection = self.gateway.connect().await?;
        let reply = connection.call(call).await;
        self.connection = Some(connection);
        reply
    }
}

fn speed_json(speed: Speed) -> Value {
    match speed {
        Speed::Factor(factor) => json!(factor),
        Speed::Max => json!("max"),
    }
}

fn expect(reply: &Reply, statuses: &[u16]) -> anyhow::Result<()> {
    let said = || String::from_utf8_lossy(&reply.body).into_owned();
    anyhow::ensure!(
        statuses.contains(&reply.status),
        "the gateway answers {}: {}",
        reply.status,
        said()
    );
    Ok(())
}

fn resource(reply: &Reply, status: u16) -> anyhow::Result<Resource> {
    expect(reply, &[status])?;
    serde_json::from_slice(&reply.body).context("a simulation as the gateway has it")
}
