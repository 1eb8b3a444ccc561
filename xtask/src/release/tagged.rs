//! What a tag means for the definitions of a checkout: which runtimes it releases.

use std::path::Path;

use rnx_spec::{RuntimeSpec, Tag};

use crate::definitions::{self, Definition, ListDefinitionsError, LoadDefinitionError};

/// A tag and the definitions of a checkout do not belong together.
#[derive(Debug, thiserror::Error)]
pub enum TaggedError {
    #[error("failed to list the definitions")]
    List { source: ListDefinitionsError },
    #[error("failed to load a definition that `{tag}` releases")]
    Load { tag: Tag, source: LoadDefinitionError },
    #[error("`{tag}` releases version {}, and the manifest here says `{found}`", tag.version())]
    Version { tag: Tag, found: RuntimeSpec },
    #[error("`{tag}` releases nothing: there are no definitions")]
    Nothing { tag: Tag },
}

/// Returns the definitions that a tag releases, each with the version that the tag says.
pub fn definitions(repo: &Path, tag: &Tag) -> Result<Vec<Definition>, TaggedError> {
    let folders = match tag {
        Tag::One(spec) => vec![folder_of(repo, spec)?],
        Tag::All(_) => definitions::folders(repo).map_err(|source| TaggedError::List { source })?,
    };
    let mut found = Vec::new();
    for folder in folders {
        let definition = definitions::load(repo, &folder)
            .map_err(|source| TaggedError::Load { tag: tag.clone(), source })?;
        let spec = definition.manifest.spec();
        match tag.covers(&spec.name) {
            Some(expected) if expected == spec => found.push(definition),
            Some(_) => return Err(TaggedError::Version { tag: tag.clone(), found: spec }),
            None => {}
        }
    }
    if found.is_empty() {
        return Err(TaggedError::Nothing { tag: tag.clone() });
    }
    Ok(found)
}

/// Returns the folder of the runtime, which commonly, but not necessarily, has its name.
fn folder_of(repo: &Path, spec: &RuntimeSpec) -> Result<String, TaggedError> {
    let name = spec.name.to_string();
    if repo.join(definitions::RUNTIMES).join(&name).is_dir() {
        return Ok(name);
    }
    let folders = definitions::folders(repo).map_err(|source| TaggedError::List { source })?;
    let named = |folder: &String| {
        definitions::load(repo, folder).is_ok_and(|found| found.manifest.name == spec.name)
    };
    Ok(folders.into_iter().find(named).unwrap_or(name))
}
