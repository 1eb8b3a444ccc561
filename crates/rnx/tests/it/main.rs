//! The whole way with the real program: registries on disk and on a server, installs, crashes, many at once.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod crash;
mod install;
mod job;
mod keep;
mod network;
mod registries;
mod rnx;
mod share;
