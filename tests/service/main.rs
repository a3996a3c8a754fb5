//! The whole service as its users have it: real processes, a real PostgreSQL and SQLite, REST and
//! WebSocket over real sockets, killed at will. What was acknowledged must be there afterwards, and the
//! digests must be those of a run that nobody disturbed.
//!
//! `AUTOFARM_TEST_POSTGRES_URL` names a PostgreSQL that `.ci/test` starts. `AUTOFARM_KILLS` is how often
//! a process is killed where that is what is tested, `AUTOFARM_OUTAGE_S` how long the database is away.

mod api;
mod database;
mod history;
mod processes;
mod proxy;
mod socket;
mod up;

mod bad_input;
mod disk_full;
mod ending;
mod forks;
mod gateways;
mod kills;
mod lease;
mod outage;
mod starting;
