//! The gateway: REST, the live stream and the dashboard. It keeps nothing that it could not get again.
//!
//! [`drive`] is the one loop that talks to the orchestrator, [`exchange`] its state machine; handlers
//! ask through a [`client::Client`]. [`gateway`] puts all together and serves it.

pub mod access;
pub mod app;
pub mod client;
pub mod config;
pub mod connector;
pub mod drive;
pub mod exchange;
pub mod gateway;
pub mod latest;
pub mod limits;
mod listener;
mod patient_io;
pub mod problem;
pub mod rest;

pub use config::Config;
pub use connector::Connector;
pub use gateway::{Gateway, StartError, run};
