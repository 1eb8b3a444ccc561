//! Generated files: JSON Schemas and the list of findings, from the program; what is inside each runtime, from the locks.

use std::io;
use std::path::{Path, PathBuf};

use rnx_spec::{bases, manifest, runtime_yml};
use serde_json::Value;

use crate::{contents, definitions, explain, lock};

/// A generated file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// Relative to the repository.
    pub path: PathBuf,
    pub text: String,
}

/// A generated file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("failed to {action} a generated file")]
pub struct CodegenError {
    action: &'static str,
    source: io::Error,
}

/// Returns all files that are generated from the program alone.
pub fn files() -> Vec<Generated> {
    let schema = |name: &str, schema: Value| Generated {
        path: Path::new("schemas").join(format!("{name}.schema.json")),
        text: format!("{schema:#}\n"),
    };
    let mut files = vec![
        schema("manifest", manifest::schema()),
        schema("bases", bases::schema()),
        schema("runtime-yml", runtime_yml::schema()),
        Generated { path: PathBuf::from("docs/diagnostics.md"), text: explain::markdown() },
    ];
    files.extend(rnx::output::schemas().into_iter().map(|(name, value)| schema(name, value)));
    files
}

/// Returns the generated files that are missing in `repo`, or not what they should be.
pub fn stale(repo: &Path) -> Result<Vec<Generated>, CodegenError> {
    stale_of(repo, files().into_iter().chain([contents(repo)]))
}

/// Brings the page of what is inside each runtime up to date, where the repository has one.
pub fn refresh_contents(repo: &Path) -> Result<(), CodegenError> {
    if !repo.join(contents::PAGE).is_file() {
        return Ok(());
    }
    write(repo, &stale_of(repo, [contents(repo)])?)
}

/// What cannot be read is left out: `validate` says what is wrong with it.
fn contents(repo: &Path) -> Generated {
    let names = definitions::folders(repo).unwrap_or_default();
    let runtimes: Vec<_> = names
        .iter()
        .filter_map(|name| definitions::load(repo, name).ok())
        .filter_map(|definition| Some((definition.manifest, lock::read(&definition.dir).ok()?)))
        .collect();
    Generated { path: PathBuf::from(contents::PAGE), text: contents::markdown(&runtimes) }
}

fn stale_of(
    repo: &Path,
    files: impl IntoIterator<Item = Generated>,
) -> Result<Vec<Generated>, CodegenError> {
    let mut stale = Vec::new();
    for file in files {
        match fs_err::read_to_string(repo.join(&file.path)) {
            Ok(text) if text == file.text => {}
            Ok(_) => stale.push(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => stale.push(file),
            Err(source) => return Err(CodegenError { action: "read", source }),
        }
    }
    Ok(stale)
}

/// Writes generated files into `repo`.
pub fn write(repo: &Path, files: &[Generated]) -> Result<(), CodegenError> {
    for file in files {
        let path = repo.join(&file.path);
        path.parent()
            .map_or(Ok(()), fs_err::create_dir_all)
            .and_then(|()| fs_err::write(&path, &file.text))
            .map_err(|source| CodegenError { action: "write", source })?;
    }
    Ok(())
}
