//! The laws a row follows, one a file. Each is one formula of a row, run over blocks of rows.

pub mod battery;
pub mod guidance;
pub mod neighbours;
pub mod power;
pub mod turn;
pub mod work;
