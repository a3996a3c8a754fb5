//! The core driven by hand, in virtual time, with workers that make up what they compute.

mod cuts;
mod driven;
mod hand_over;
mod lifecycle;
mod recovery;
mod testbed;
mod verification;
mod views;
mod workers;
