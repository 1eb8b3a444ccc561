//! What runtime authors, continuous integration and maintainers do.
pub mod definitions;
