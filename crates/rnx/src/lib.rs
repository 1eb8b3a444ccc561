//! The host side of Joblet runtimes.

pub mod failure;
pub mod job;
pub mod run;
