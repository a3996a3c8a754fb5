//! Frames and the two links that carry them.
//!
//! A [`frame::Frame`] is a 64-byte [`header::Header`] and a payload that is read in place: [`message`]
//! says what the payloads hold. A link moves frames between processes: [`memory`] inside one,
//! [`quic`] between machines, [`sim`] in virtual time with faults. All three speak in the
//! [`link::LinkCommand`]s and [`link::LinkEvent`]s of one small interface.
//!
//! This crate never decides what a frame is for: no tick, placement or simulation logic lives here.

pub mod certs;
pub mod control;
pub mod frame;
pub mod header;
pub mod hgrm;
pub mod identity;
pub mod limits;
pub mod link;
pub mod memory;
pub mod message;
pub mod metrics;
pub mod pool;
pub mod quic;
pub mod quic_config;
mod quic_dial;
mod quic_reason;
mod quic_share;
mod quic_stream;
pub mod result;
pub mod sim;
pub mod view;
