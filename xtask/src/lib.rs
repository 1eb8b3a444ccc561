//! What runtime authors, continuous integration and maintainers do.

pub mod audit;
pub mod bench;
pub mod closure;
pub mod codegen;
pub mod definitions;
pub mod doctor;
pub mod explain;
pub mod host;
pub mod rootfs;
pub mod scaffold;
pub mod tidy;
pub mod tool;
pub mod validate;
