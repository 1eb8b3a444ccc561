//! Fixtures for tests: runtimes and registries to install from, a file server that can misbehave, a GitHub
//! that can too, a home.
#![expect(clippy::unwrap_used, reason = "a fixture that fails fails its test")]

pub mod fixture;
pub mod github;
pub mod home;
pub mod old_reader;
pub mod server;
