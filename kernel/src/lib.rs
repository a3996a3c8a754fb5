//! The farm simulation itself: a pure function from (state, messages, commands) to the next state.
//!
//! This crate never reads a clock, opens a socket or a file, starts a thread, or allocates per row
//! in a step. The same inputs give the same state and the same [`Partition::digest`] on every
//! machine, for every cut of the farm into partitions and every instruction set.

pub mod aggregate;
pub mod cells;
pub mod command;
pub mod config;
mod coordinator;
mod decide;
mod digest;
pub mod event;
pub mod farm;
pub mod hilbert;
pub mod isa;
pub mod laws;
pub mod layout;
pub mod mail;
pub mod math;
pub mod message;
mod partition;
pub mod philox;
pub mod plan;
pub mod roads;
pub mod route;
pub mod rows;
pub mod site;
mod step;
pub mod view;
pub mod world;

pub use mail::MailError;
pub use partition::{CHECKPOINT_ALIGN, CheckpointError, Partition};
pub use step::StepInputs;
