//! Releasing: from a definition to a tag, from a tag to an entry of the registry that every host can install.

#[cfg(feature = "github")]
pub mod github;
pub mod publish;
pub mod registry_branch;
