//! The host side of Joblet runtimes.

pub mod failure;
