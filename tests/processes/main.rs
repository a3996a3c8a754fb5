//! Real processes on real sockets: workers killed, stopped, drained and replaced under a run, and what
//! is said to wrong input.

mod process;

mod input;
mod losses;
