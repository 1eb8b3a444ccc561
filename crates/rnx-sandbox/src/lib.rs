//! A sandbox plan as data, and the one function that carries it out.
//!
//! This crate offers mechanism only; what a build may do is decided in `xtask::build`, what a job may do in
//! `rnx::job`. It knows no runtime, no registry and no other crate of the workspace. Linux only.

pub mod arguments;
pub mod cgroup;
mod child;
pub mod limits;
pub mod plan;
mod script;
mod seccomp;
pub mod signals;
pub mod spawn;
mod sys;
pub mod terminal;
mod userns;
