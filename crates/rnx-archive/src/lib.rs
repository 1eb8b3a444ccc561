//! The archive format of Joblet runtimes: deterministic parallel packing, strict unpacking.
//!
//! The format is described in `docs/formats/artifact.md`. This crate opens the files a [`Tree`]
//! names and writes below the folder it is given; it never chooses a path, prints or fetches.

pub mod indexed;
pub mod pack;
pub mod path;
pub mod tree;
pub mod unpack;

mod inflate;
mod member;
mod ordered;

pub use crate::pack::{PackError, Packed, pack};
pub use crate::path::{LinkError, PathError, TreePath};
pub use crate::tree::{Entry, ScanError, Tree};
pub use crate::unpack::{
    Limits, Options, UnpackError, Unpacked, unpack, verify, verify_and_unpack,
};
