//! The host side of Joblet runtimes.
