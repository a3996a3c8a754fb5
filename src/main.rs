//! The `autofarm` binary.
fn main() {}
