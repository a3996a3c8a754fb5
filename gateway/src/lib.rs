//! The gateway: REST, the live stream and the dashboard. It keeps nothing that it could not get again.
//!
//! [`drive`] is the one loop that talks to the orchestrator, [`exchange`] its state machine; handlers
//! ask through a [`client::Client`]. [`gateway`] puts all together and serves it.

pub mod access;
pub mod app;
pub mod archive;
pub mod client;
pub mod config;
pub mod connector;
pub mod creation;
pub mod dashboard;
pub mod drive;
pub mod event_json;
pub mod event_log;
pub mod exchange;
pub mod fanout;
pub mod feed;
mod feed_clients;
mod feed_request;
mod feed_task;
#[cfg(test)]
mod feed_tests;
mod feed_work;
pub mod gateway;
pub mod latest;
mod leftover;
pub mod limits;
mod listener;
pub mod mailbox;
pub mod metrics;
pub mod past;
mod patient_io;
#[cfg(test)]
mod present_tests;
pub mod problem;
pub mod rate;
pub mod rest;
#[cfg(test)]
mod resume_tests;
#[cfg(test)]
mod sample;
mod shared_io;
mod socket;
pub mod sparing;
mod stream;
pub mod stream_binary;
mod stream_io;
pub mod stream_json;
pub mod stream_limits;
pub mod stream_metrics;
pub mod stream_request;
#[cfg(test)]
mod stream_stage;
#[cfg(test)]
mod stream_tests;
pub mod streams;
pub mod token;
pub mod view_index;
pub mod view_setting;
pub mod view_tick;

pub use config::Config;
pub use connector::Connector;
pub use gateway::{Gateway, StartError, check_tls, run};
