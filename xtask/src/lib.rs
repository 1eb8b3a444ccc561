//! What runtime authors, continuous integration and maintainers do.

pub mod audit;
pub mod bench;
pub mod build;
pub mod ci;
pub mod closure;
pub mod codegen;
pub mod contents;
pub mod definitions;
pub mod diff;
pub mod doctor;
pub mod explain;
pub mod git;
pub mod host;
pub mod local_registry;
pub mod lock;
pub mod peer;
pub mod release;
pub mod rootfs;
pub mod runtime_tests;
pub mod sbom;
pub mod scaffold;
pub mod sources;
pub mod tidy;
pub mod tool;
pub mod validate;
