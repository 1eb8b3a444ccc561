//! `cargo xtask`: validates, builds, audits, tests and publishes runtimes.

fn main() {}
