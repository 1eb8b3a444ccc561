//! Documents as people write them.
#![expect(clippy::unwrap_used, reason = "tests")]

mod bases;
mod manifest;
mod registry;
