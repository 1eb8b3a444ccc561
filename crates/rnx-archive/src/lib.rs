//! The archive format of Joblet runtimes.
