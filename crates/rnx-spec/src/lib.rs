//! Values and documents of Joblet runtimes.
//!
//! Nothing in this crate touches disk, network, processes, environment or clock:
//! text and values go in, values and diagnostics come out.

pub mod artifact;
pub mod bases;
pub mod diagnostic;
pub mod digest;
pub mod host;
pub mod lock;
pub mod manifest;
pub mod name;
pub mod platform;
pub mod registry;
pub mod runtime_yml;
pub mod source;
pub mod tag;
pub mod version;

pub use crate::digest::Digest;
pub use crate::name::{RuntimeName, RuntimeSpec};
pub use crate::platform::{Arch, Distro, Platform};
pub use crate::source::SourceUrl;
pub use crate::tag::Tag;
pub use crate::version::Version;
