//! The core driven by hand, in virtual time, with workers that make up what they compute.

mod driven;
mod hand_over;
mod lifecycle;
mod testbed;
mod verification;
mod views;
mod workers;
