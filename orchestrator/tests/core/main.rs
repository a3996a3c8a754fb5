//! The core driven by hand, in virtual time, with workers that make up what they compute.

mod cuts;
mod driven;
mod durable;
mod fake_worker;
mod gateways;
mod hand_over;
mod kept;
mod late;
mod lifecycle;
mod listener;
mod recovery;
mod requests;
mod restated;
mod shelf;
mod standing;
mod testbed;
mod verification;
mod views;
mod workers;
