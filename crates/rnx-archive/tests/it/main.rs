//! Integration tests of the archive format.
#![expect(clippy::unwrap_used, reason = "tests")]

mod attacks;
mod bytes;
mod fixture;
mod indexed;
mod peers;
