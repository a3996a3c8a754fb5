//! Where ticks' time goes, as percentiles or as a histogram.

use std::fmt;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use kernel::config::MAX_TICK;
use serde::{Deserialize, Serialize};
use store::reader::MetricQuery;
use tokio::task::spawn_blocking;
use transport::control::{Answer, Ask, SimulationId, StageLatency};
use transport::hgrm::write_hgrm;
use utoipa::{IntoParams, ToSchema};

use super::answered::Answered;
use super::described::LatencyProblems;
use super::extract::{Id, Query};
use super::history::{found, tick};
use super::simulations::unexpected;
use crate::access::Viewer;
use crate::app::App;
use crate::limits::MAX_LATENCY_SNAPSHOTS;
use crate::problem::{Problem, ProblemKind};

/// Content type of a histogram as text.
pub(crate) const HGRM: &str = "application/vnd.hgrm";
/// Stage of which a histogram is written if none is named.
const DEFAULT_STAGE: &str = "tick_latency";
/// us in the unit of a histogram's text, ms.
const US_PER_MS: f64 = 1_000.0;
/// Reporting points in each halving of the distance to 100 %, as other tools of the family write.
const TICKS_PER_HALF: u32 = 5;

/// Which stage.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LatencyQuery {
    /// Only this stage. A histogram is of one stage: `tick_latency` if left out.
    #[param(max_length = 64, example = "tick_latency")]
    stage: Option<String>,
    /// Of the snapshots of this tick or later, as the history holds them, at most 1,000: each has the timings of the interval
    /// that it ends. Without this and `to_tick`: since the orchestrator began with the simulation.
    #[param(minimum = 0, maximum = 4_294_967_294_u64)]
    from_tick: Option<u64>,
    /// Of the snapshots of this tick or earlier.
    #[param(minimum = 0, maximum = 4_294_967_294_u64)]
    to_tick: Option<u64>,
}

/// Where ticks' time went: since the orchestrator began with the simulation, or in the ticks that were asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Latency {
    /// Stages, in the order a tick passes through.
    stages: Vec<StagePercentiles>,
}

/// Percentiles of a stage's durations, us; all 0 where there are none.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StagePercentiles {
    /// Name of the stage.
    #[schema(example = "tick_latency")]
    stage: String,
    /// Durations that were taken.
    count: u64,
    /// Half of them are at most this.
    p50_us: u64,
    /// 90 %.
    p90_us: u64,
    /// 99 %.
    p99_us: u64,
    /// 99.9 %.
    p99_9_us: u64,
    /// The longest.
    max_us: u64,
}

/// Tells where ticks' time goes: percentiles of each stage, or with `Accept: application/vnd.hgrm` or `text/plain`
/// the HDR histogram of one stage, in ms.
#[utoipa::path(get, path = "/v1/simulations/{id}/latency", operation_id = "read_latency", tag = "history",
    params(super::IdParam, LatencyQuery),
    responses((status = 200, description = "Percentiles, or a histogram.", content(
        (Latency = "application/json"), (String = "application/vnd.hgrm"), (String = "text/plain"))), LatencyProblems))]
pub(crate) async fn read(
    Viewer(caller): Viewer,
    State(app): State<App>,
    Id(id): Id,
    Query(query): Query<LatencyQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let stages = match app.client.ask(caller.token, None, Ask::Latency(id)).await? {
        Answer::Latency(stages) => stages,
        other => return Err(unexpected(&other)),
    };
    if let Some(stage) = &query.stage {
        let names: Vec<_> = stages.iter().map(|known| known.stage.as_str()).collect();
        if !names.contains(&stage.as_str()) {
            let allowed = names.join(", ");
            return Err(Problem::invalid("stage", "no stage has this name", allowed));
        }
    }
    let stages: Result<Vec<_>, Problem> = stages.iter().map(Durations::of).collect();
    let mut stages = stages?;
    if query.from_tick.is_some() || query.to_tick.is_some() {
        stages = of_history(stages, &query, &app, id).await?;
    }
    if let Some(of) = text_wanted(&headers) {
        let stage = query.stage.as_deref().unwrap_or(DEFAULT_STAGE);
        let text = hgrm(&find(&stages, stage)?.taken)?;
        return Ok(([(header::CONTENT_TYPE, of)], text).into_response());
    }
    let wanted = stages
        .iter()
        .filter(|s| query.stage.as_ref().is_none_or(|stage| *stage == s.stage));
    let stages = wanted.map(Durations::percentiles).collect();
    Ok(Answered(Latency { stages }).into_response())
}

/// The same stages, of the snapshots of some ticks.
async fn of_history(
    mut stages: Vec<Durations>,
    query: &LatencyQuery,
    app: &App,
    simulation: SimulationId,
) -> Result<Vec<Durations>, Problem> {
    let query = MetricQuery {
        simulation,
        from_tick: tick("from_tick", query.from_tick, 0)?,
        to_tick: tick("to_tick", query.to_tick, MAX_TICK)?,
        every: 1,
        limit: MAX_LATENCY_SNAPSHOTS,
    };
    let page = found(app.archive.reader()?.stages(&query).await?, simulation)?;
    if page.more {
        return Err(Problem::invalid(
            "from_tick",
            format!(
                "from `from_tick` to `to_tick` there are more than {MAX_LATENCY_SNAPSHOTS} snapshots"
            ),
            format!("ticks with at most {MAX_LATENCY_SNAPSHOTS} snapshots"),
        ));
    }
    // Some thousand histograms: not on a thread on which others' answers wait.
    let added = spawn_blocking(move || {
        stages.iter_mut().for_each(|stage| stage.taken.reset());
        for kept in page.items.iter().flat_map(|(_, stages)| stages) {
            let of = Durations::of(kept)?;
            match stages.iter_mut().find(|known| known.stage == of.stage) {
                Some(known) => known.add(&of)?,
                // Of another build.
                None => stages.push(of),
            }
        }
        Ok(stages)
    });
    added
        .await
        .map_err(|error| Problem::new(ProblemKind::Internal, error.to_string()))?
}

/// The content type of a histogram if one is wanted rather than JSON: the one of both that is named first.
fn text_wanted(headers: &HeaderMap) -> Option<&'static str> {
    let accept = headers.get(header::ACCEPT)?.to_str().ok()?;
    accept.split(',').find_map(|range| {
        match range.split(';').next().unwrap_or_default().trim() {
            HGRM => Some(Some(HGRM)),
            "text/plain" => Some(Some("text/plain; charset=utf-8")),
            "application/json" | "application/*" | "*/*" => Some(None),
            _ => None,
        }
    })?
}

fn find<'a>(stages: &'a [Durations], name: &str) -> Result<&'a Durations, Problem> {
    let found = stages.iter().find(|stage| stage.stage == name);
    found.ok_or_else(|| Problem::new(ProblemKind::Internal, format!("no stage is called {name}")))
}

fn hgrm(histogram: &Histogram<u64>) -> Result<Vec<u8>, Problem> {
    let mut text = Vec::new();
    let written = write_hgrm(&mut text, histogram, US_PER_MS, TICKS_PER_HALF);
    written.map_err(|error| Problem::new(ProblemKind::Internal, error.to_string()))?;
    Ok(text)
}

/// A stage's durations, us.
pub(crate) struct Durations {
    stage: String,
    taken: Histogram<u64>,
}

impl Durations {
    /// Reads what was sent or kept.
    ///
    /// # Errors
    /// [`ProblemKind::Internal`] where its histogram cannot be read.
    pub(crate) fn of(stage: &StageLatency) -> Result<Durations, Problem> {
        let read = Deserializer::new().deserialize(&mut stage.histogram.as_slice());
        let mut taken = read.map_err(|error| unreadable(&stage.stage, &error))?;
        // It grows with what is added.
        taken.auto(true);
        let stage = stage.stage.clone();
        Ok(Durations { stage, taken })
    }

    fn add(&mut self, other: &Durations) -> Result<(), Problem> {
        let added = self.taken.add(&other.taken);
        added.map_err(|error| unreadable(&self.stage, &error))
    }

    /// Their percentiles.
    pub(crate) fn percentiles(&self) -> StagePercentiles {
        let h = &self.taken;
        StagePercentiles {
            stage: self.stage.clone(),
            count: h.len(),
            p50_us: h.value_at_quantile(0.5),
            p90_us: h.value_at_quantile(0.9),
            p99_us: h.value_at_quantile(0.99),
            p99_9_us: h.value_at_quantile(0.999),
            max_us: h.max(),
        }
    }
}

fn unreadable(stage: &str, why: &dyn fmt::Display) -> Problem {
    let detail = format!("the histogram of {stage} cannot be read: {why}");
    Problem::new(ProblemKind::Internal, detail)
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::{Serializer, V2Serializer};

    use super::*;

    /// One duration, in a histogram that is just as large as it needs.
    fn one(us: u64) -> StageLatency {
        let mut h = Histogram::<u64>::new(3).unwrap();
        h.record(us).unwrap();
        let mut histogram = Vec::new();
        V2Serializer::new().serialize(&h, &mut histogram).unwrap();
        StageLatency {
            stage: "compute".to_owned(),
            histogram,
        }
    }

    #[test]
    fn a_long_duration_is_added_to_short_ones() {
        let mut sum = Durations::of(&one(3)).unwrap();
        sum.taken.reset();
        sum.add(&Durations::of(&one(15)).unwrap()).unwrap();
        sum.add(&Durations::of(&one(59_000_000)).unwrap()).unwrap();
        let sum = sum.percentiles();
        assert_eq!((sum.count, sum.p50_us), (2, 15));
        assert!(sum.max_us.abs_diff(59_000_000) < 59_000);
    }
}
