//! The gateway's REST over real sockets, against an orchestrator that is played.

mod access;
mod asking;
mod bad_input;
mod bench;
mod dashboard;
mod document;
mod farm;
mod history;
mod http;
mod leftovers;
mod life;
mod listeners;
mod orchestrator;
mod tokens;
