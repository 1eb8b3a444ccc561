//! Integration tests of the archive format.
#![expect(clippy::unwrap_used, reason = "tests")]

mod bytes;
mod fixture;
