//! What AutoFarm keeps: one store over PostgreSQL and SQLite.
//!
//! The orchestrator is the only writer. It states what shall be kept as plain values ([`mod@write`],
//! [`history`]), which its core makes without any I/O; a task of its own carries them out. Gateways
//! read what is kept through a pool that cannot write.

// What is said.
pub mod aggregates;
pub mod commands;
pub mod history;
pub mod recovery;
pub mod write;

// Where and by whom.
pub mod error;
pub mod lease;
pub mod limits;
pub mod schema;
pub mod url;

// What is done.
pub mod load;
pub mod reader;
pub mod retention;
pub mod store;

mod append;
mod columns;
mod commit;
mod fork;
mod guard;

// With what.
mod session;

mod postgres;
mod sqlite;

pub use crate::error::StoreError;
pub use crate::reader::Reader;
pub use crate::schema::{migrate, schema_status};
pub use crate::store::Store;
