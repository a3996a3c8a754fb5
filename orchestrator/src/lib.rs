//! The orchestrator: lifecycle, tick clock, placement, routing and aggregation.
//!
//! [`core::Orchestrator`] is a state machine without I/O; [`drive::start`] runs it on a link. It is
//! the only one that knows where a partition is; it never looks into a partition's state or mail.

// What is asked and what is said.
pub mod control;
pub mod event;

// The core and its runs.
pub mod core;

mod runs;

mod wakes;

// Requests: what waits, what is kept, what is done.
mod request;

mod reading;

mod course;

mod keeping;

pub mod desk;

mod lifecycle;

mod placing;

mod answer;

mod refusal;

pub mod chore;

mod threads;

pub mod fault;

mod commits;

mod tokens;

mod tickets;

mod context;

mod simulation;

mod record;

mod addresses;

mod agenda;

mod schedule;

// Who steps what, on the way out and on the way in.
pub mod registry;

mod workforce;

mod balance;

pub mod placement;

mod dispatch;

mod window;

mod collect;

mod suspicion;

mod aggregate;

mod numbering;

mod routing;

mod view_flow;
mod views;

mod wire;

// What brings a lost partition back, and what finds a wrong one.
pub mod history;

mod checkpoints;

pub mod verify;

pub mod recovery;

mod cuts;

pub mod arbitrate;

// What is made of what happened: for those who listen, and for the database.
mod notes;

mod journal;

mod chronicle;

mod writing;

// Gateways: who they are, what they ask, what they are told.
mod gateways;

mod reception;

mod feeds;

// What is counted in tests.
mod cost;

// What time it is, and how fast things go.
mod wall;

mod recent;

// What is measured.
pub mod latency;
pub mod snapshot;

pub mod metrics;

mod log;

// The loop, with a database and without.
pub mod clock;
pub mod drive;
pub mod handle;

mod keeper;

pub mod tenure;

pub mod standing;

pub mod config;
pub mod limits;

pub use crate::config::Config;
pub use crate::core::Orchestrator;
