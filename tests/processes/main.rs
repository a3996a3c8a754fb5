//! Real processes on real sockets: workers killed, stopped, drained and replaced under a run, what is said to wrong
//! input, and what commands tell people.

mod process;

mod colours;
mod doctor;
mod greeting;
mod input;
mod losses;
mod manual;
mod metrics;
mod settings;
mod summary;
