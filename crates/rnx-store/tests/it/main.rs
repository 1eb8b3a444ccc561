//! The store against a server that misbehaves.
#![expect(clippy::unwrap_used, reason = "tests")]

mod blob;
mod ranges;
