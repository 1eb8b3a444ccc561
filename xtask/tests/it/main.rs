//! `xtask` as a program, on repositories made for the purpose.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod all;
mod bases;
mod build;
mod documents;
mod explain;
#[cfg(feature = "github")]
mod github;
mod guide;
mod hostile;
mod lock;
mod locked;
mod new;
mod overview;
#[cfg(feature = "github")]
mod peer;
#[cfg(feature = "github")]
mod publish;
mod registry_races;
mod release;
mod releasing;
mod robust;
mod rpm;
mod sbom;
mod schema;
mod sources;
mod validate;
mod verify;
