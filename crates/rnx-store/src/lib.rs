//! Verified blobs by digest, fetching, locks, and where things lie on a host.
//!
//! Nothing here knows what a runtime is made of, prints, or reads the environment: what a caller may
//! choose (certificates, tokens, folders) is passed in.

pub mod blob;
pub mod fetch;
pub mod guard;
pub mod layout;
pub mod ranges;
