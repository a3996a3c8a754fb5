//! Frames and the two links that carry them.
pub mod message;
