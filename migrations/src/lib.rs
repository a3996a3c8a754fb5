//! What AutoFarm keeps: one store over PostgreSQL and SQLite.
//!
//! The orchestrator is the only writer. It states what shall be kept as plain values ([`write`],
//! [`history`]), which its core makes without any I/O; a task of its own carries them out. Gateways
//! read what is kept through a pool that cannot write.

pub mod aggregates;
pub mod command_json;
pub mod history;
pub mod recovery;
pub mod write;
