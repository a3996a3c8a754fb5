//! The registry of workers.

use axum::extract::State;
use serde::Serialize;
use transport::control::{Answer, Ask, WorkerInfo};
use utoipa::ToSchema;

use super::answered::Answered;
use super::described::ListProblems;
use super::extract::Query;
use super::page::{List, Page, limit};
use super::simulations::unexpected;
use super::tokens::PageQuery;
use crate::access::Viewer;
use crate::app::App;
use crate::problem::Problem;

/// A worker.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Worker)]
pub(crate) struct WorkerResource {
    /// Its number.
    id: u32,
    /// Its name.
    #[schema(example = "worker-1")]
    name: String,
    /// Whether it is given work.
    #[schema(value_type = WorkerState)]
    state: String,
    /// Threads it steps on.
    threads: u32,
    /// Partitions it has.
    partitions: u64,
    /// Machines it has.
    machines: u64,
    /// Machine-ticks it computed since it started.
    machine_ticks: u64,
    /// Share of its threads' time that it spent on them, over the last seconds.
    #[schema(minimum = 0, example = 0.42)]
    load: f64,
    /// Machine-ticks a second, over the last seconds.
    machine_ticks_per_s: u64,
}

/// Whether a worker is given work.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(
    dead_code,
    reason = "it stands for the orchestrator's words in the document"
)]
pub(crate) enum WorkerState {
    /// It is.
    Ready,
    /// It did not answer in time; its work is given to others.
    Suspect,
    /// It is leaving.
    Draining,
}

impl From<WorkerInfo> for WorkerResource {
    fn from(worker: WorkerInfo) -> WorkerResource {
        WorkerResource {
            id: worker.id,
            name: worker.name,
            state: worker.state,
            threads: worker.threads,
            partitions: worker.partitions,
            machines: worker.rows,
            machine_ticks: worker.row_steps,
            load: f64::from(worker.load_milli) / 1_000.0,
            machine_ticks_per_s: worker.row_steps_per_s,
        }
    }
}

/// Lists workers with their load and throughput.
#[utoipa::path(get, path = "/v1/workers", operation_id = "list_workers", tag = "system",
    params(PageQuery),
    responses((status = 200, body = Page<WorkerResource>, description = "A page."), ListProblems))]
pub(crate) async fn list(
    Viewer(caller): Viewer,
    State(app): State<App>,
    Query(query): Query<PageQuery>,
) -> Result<Answered<Page<WorkerResource>>, Problem> {
    let list = List::new("/v1/workers", &());
    let after = query.cursor.as_deref().map(|cursor| list.place_u64(cursor));
    let (after, most) = (after.transpose()?, limit(query.limit)? as usize);
    let mut workers = match app.client.ask(caller.token, None, Ask::Workers).await? {
        Answer::Workers(workers) => workers,
        other => return Err(unexpected(&other)),
    };
    workers.sort_unstable_by_key(|worker| worker.id);
    workers.retain(|worker| after.is_none_or(|after| u64::from(worker.id) > after));
    let more = workers.len() > most;
    workers.truncate(most);
    let last = workers.last().filter(|_| more);
    Ok(Answered(Page {
        next_cursor: last.map(|worker| list.cursor(worker.id.into())),
        items: workers.into_iter().map(WorkerResource::from).collect(),
    }))
}
