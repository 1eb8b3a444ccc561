//! The whole way with the real program: registries on disk and on a server, installs, crashes, many at once.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests")]

mod busybox;
mod crash;
mod distros;
mod doctor;
mod exits;
mod find;
mod github;
mod hosts;
mod install;
mod job;
mod job_escapes;
mod job_gpu;
mod job_limits;
mod job_run;
mod job_terminal;
mod keep;
mod kill;
mod network;
mod registries;
mod rnx;
mod share;
mod upkeep;
