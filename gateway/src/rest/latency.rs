//! Where ticks' time goes, as percentiles or as a histogram.

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use serde::{Deserialize, Serialize};
use transport::control::{Answer, Ask, StageLatency};
use transport::hgrm::write_hgrm;
use utoipa::{IntoParams, ToSchema};

use super::answered::Answered;
use super::described::ReadProblems;
use super::extract::{Id, Query};
use super::simulations::unexpected;
use crate::access::Viewer;
use crate::app::App;
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
}

/// Where ticks' time went since the simulation was created here.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Latency {
    /// Stages, in the order a tick passes through.
    stages: Vec<StagePercentiles>,
}

/// Percentiles of a stage's durations, us.
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
        (Latency = "application/json"), (String = "application/vnd.hgrm"), (String = "text/plain"))), ReadProblems))]
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
        find(&stages, stage)?;
    }
    if let Some(of) = text_wanted(&headers) {
        let stage = query.stage.as_deref().unwrap_or(DEFAULT_STAGE);
        let text = hgrm(&histogram(find(&stages, stage)?)?)?;
        return Ok(([(header::CONTENT_TYPE, of)], text).into_response());
    }
    let wanted = stages
        .iter()
        .filter(|s| query.stage.as_ref().is_none_or(|stage| *stage == s.stage));
    let stages: Result<Vec<_>, Problem> = wanted.map(percentiles).collect();
    Ok(Answered(Latency { stages: stages? }).into_response())
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

fn find<'a>(stages: &'a [StageLatency], name: &str) -> Result<&'a StageLatency, Problem> {
    let found = stages.iter().find(|stage| stage.stage == name);
    found.ok_or_else(|| {
        let names: Vec<_> = stages.iter().map(|stage| stage.stage.as_str()).collect();
        Problem::invalid("stage", "no stage has this name", names.join(", "))
    })
}

fn histogram(stage: &StageLatency) -> Result<Histogram<u64>, Problem> {
    let read = Deserializer::new().deserialize(&mut stage.histogram.as_slice());
    read.map_err(|error| {
        let detail = format!("the histogram of {} cannot be read: {error}", stage.stage);
        Problem::new(ProblemKind::Internal, detail)
    })
}

fn hgrm(histogram: &Histogram<u64>) -> Result<Vec<u8>, Problem> {
    let mut text = Vec::new();
    let written = write_hgrm(&mut text, histogram, US_PER_MS, TICKS_PER_HALF);
    written.map_err(|error| Problem::new(ProblemKind::Internal, error.to_string()))?;
    Ok(text)
}

/// Percentiles of a stage.
///
/// # Errors
/// [`ProblemKind::Internal`] where its histogram cannot be read.
pub(crate) fn percentiles(stage: &StageLatency) -> Result<StagePercentiles, Problem> {
    let h = histogram(stage)?;
    Ok(StagePercentiles {
        stage: stage.stage.clone(),
        count: h.len(),
        p50_us: h.value_at_quantile(0.5),
        p90_us: h.value_at_quantile(0.9),
        p99_us: h.value_at_quantile(0.99),
        p99_9_us: h.value_at_quantile(0.999),
        max_us: h.max(),
    })
}
