//! Steps partitions. A worker is a cache: all it holds can be rebuilt from a checkpoint and inputs
//! that the orchestrator keeps, and it keeps nothing on a disk.
//!
//! A tick's way through it: [`drive`] takes a frame from the link, [`Worker`] finds the partition,
//! a [`Job`] steps it on a thread and writes its result's frame, and the frame goes back to the link.
//! A view and a checkpoint are written after that.
//!
//! This crate never decides where a partition lives or when a tick is due, never merges what several
//! partitions say, and never looks inside a message between them.

mod answers;
pub mod drive;
mod inbox;
mod job;
pub mod limits;
pub mod metrics;
mod shard;
pub mod stats;
mod step;
mod worker;

pub use job::{Job, JobAnswer, JobDone};
pub use worker::{Ended, Worker, WorkerConfig};
