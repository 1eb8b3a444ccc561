//! Reading a registry from where it is. All its bytes pass through here before they are parsed.

use rnx_spec::SourceUrl;
use rnx_spec::registry::{self, ParseRegistryError, Registry};
use rnx_store::fetch::{Fetcher, ReadAllError};

use crate::resolve::RegistryLocation;

/// The largest `registry.json` that is read.
pub const REGISTRY_BYTES_MAX: u64 = 64 << 20;

/// A registry that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadRegistryError {
    #[error("failed to read the registry `{name}`")]
    Read { name: String, source: ReadAllError },
    #[error("`{url}` is no registry")]
    Parse { url: SourceUrl, source: ParseRegistryError },
}

/// Reads a registry.
pub fn load(fetcher: &Fetcher, location: &RegistryLocation) -> Result<Registry, LoadRegistryError> {
    let bytes = fetcher
        .read_all(&location.document, REGISTRY_BYTES_MAX)
        .map_err(|source| LoadRegistryError::Read { name: location.name.clone(), source })?;
    registry::parse(&bytes)
        .map_err(|source| LoadRegistryError::Parse { url: location.document.clone(), source })
}
