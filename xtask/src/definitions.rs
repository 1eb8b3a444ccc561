//! Finds and reads definitions: the folders under `runtimes/`.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rnx_spec::bases::{self, Bases};
use rnx_spec::diagnostic::{Code, Diagnostic, Parsed, Severity};
use rnx_spec::manifest::{self, Manifest};
use rnx_spec::registry::near_names;
use rnx_spec::{Platform, RuntimeName, diagnostic::codes};

/// The folder of a repository that holds its definitions.
pub const RUNTIMES: &str = "runtimes";

/// The manifest in a definition's folder.
const MANIFEST: &str = "manifest.yaml";

/// A manifest over this many bytes is not read.
pub const MANIFEST_BYTES_MAX: u64 = 1024 * 1024;

/// A definition whose manifest has no errors.
#[derive(Debug, Clone)]
pub struct Definition {
    /// `<repo>/runtimes/<folder>`.
    pub dir: PathBuf,
    pub manifest: Manifest,
    /// The manifest's text: a version bump rewrites a few bytes of it.
    pub text: String,
}

/// A definition could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadDefinitionError {
    #[error("no runtime `{name}`: there is no folder `{}`", dir.display())]
    NoFolder { name: String, dir: PathBuf },
    #[error("`{}` has {} error(s); the first is: {}", path.display(), errors(diagnostics), first(diagnostics))]
    Invalid {
        path: PathBuf,
        /// Empty if the file could not be read.
        text: String,
        diagnostics: Vec<Diagnostic>,
    },
}

/// The definitions of a repository could not be listed.
#[derive(Debug, thiserror::Error)]
pub enum ListDefinitionsError {
    #[error("`{}` is no repository of definitions: it has no folder `runtimes`", repo.display())]
    NoRuntimes { repo: PathBuf },
    #[error("no repository of definitions here: neither `{}` nor a folder above it has a `runtimes` folder", dir.display())]
    NotFound { dir: PathBuf },
    #[error("failed to list `{}`", dir.display())]
    Read { dir: PathBuf, source: io::Error },
}

/// `runtimes/bases.yaml` could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadBasesError {
    #[error("failed to read the bases")]
    Read { source: io::Error },
    #[error("`{}` has {} error(s); the first is: {}", path.display(), errors(diagnostics), first(diagnostics))]
    Invalid { path: PathBuf, text: String, diagnostics: Vec<Diagnostic> },
}

/// Returns the repository to work on: `given`, or the nearest folder at or above `dir` that has definitions.
pub fn find_repo(given: Option<&Path>, dir: &Path) -> Result<PathBuf, ListDefinitionsError> {
    if let Some(repo) = given {
        return if repo.join(RUNTIMES).is_dir() {
            Ok(repo.to_owned())
        } else {
            Err(ListDefinitionsError::NoRuntimes { repo: repo.to_owned() })
        };
    }
    dir.ancestors()
        .find(|ancestor| ancestor.join(RUNTIMES).is_dir())
        .map(Path::to_owned)
        .ok_or_else(|| ListDefinitionsError::NotFound { dir: dir.to_owned() })
}

/// Returns the folders of all definitions, sorted.
///
/// Hidden folders and `lib`, the shared shell functions, are no definitions.
pub fn folders(repo: &Path) -> Result<Vec<String>, ListDefinitionsError> {
    let dir = repo.join(RUNTIMES);
    let read = |source| ListDefinitionsError::Read { dir: dir.clone(), source };
    let mut folders = Vec::new();
    for entry in fs_err::read_dir(&dir).map_err(read)? {
        let entry = entry.map_err(read)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().map_err(read)?;
        let folder = kind.is_dir() || (kind.is_symlink() && entry.path().is_dir());
        if folder && !name.starts_with('.') && name != "lib" {
            folders.push(name);
        }
    }
    folders.sort();
    Ok(folders)
}

/// Returns what to try instead of a name that no definition has.
pub fn advice(repo: &Path, name: &str) -> String {
    let folders = folders(repo).unwrap_or_default();
    let known: Vec<RuntimeName> = folders.iter().filter_map(|name| name.parse().ok()).collect();
    let near = name.parse().map(|name| near_names(&name, &known)).unwrap_or_default();
    if let Some(first) = near.first() {
        return format!("did you mean `{first}`?");
    }
    match folders.len() {
        0 => "there are no definitions yet: `cargo xtask new NAME` begins one".to_owned(),
        1..=20 => format!("there are: {}", folders.join(", ")),
        count => format!("`ls {RUNTIMES}` shows the {count} that there are"),
    }
}

/// Loads the definition in `<repo>/runtimes/<name>`.
pub fn load(repo: &Path, name: &str) -> Result<Definition, LoadDefinitionError> {
    let dir = repo.join(RUNTIMES).join(name);
    if name.is_empty() || name.contains('/') || !dir.is_dir() {
        return Err(LoadDefinitionError::NoFolder { name: name.to_owned(), dir });
    }
    load_from(repo, dir.join(MANIFEST), dir)
}

/// Loads the definition whose manifest is this file, in a repository or not.
pub fn load_file(manifest: &Path) -> Result<Definition, LoadDefinitionError> {
    // Whoever names a symlink means what it leads to.
    let path = fs_err::canonicalize(manifest).unwrap_or_else(|_missing| manifest.to_owned());
    let dir = path.parent().unwrap_or(Path::new(".")).to_owned();
    load_from(&dir.clone(), path, dir)
}

fn load_from(repo: &Path, path: PathBuf, dir: PathBuf) -> Result<Definition, LoadDefinitionError> {
    let read = read_file(repo, &path);
    let invalid = |text, diagnostics| LoadDefinitionError::Invalid { path, text, diagnostics };
    let text = match read {
        Ok(text) => text,
        Err(diagnostic) => return Err(invalid(String::new(), vec![diagnostic])),
    };
    match manifest::parse(&text) {
        Parsed { value: Some(manifest), .. } => Ok(Definition { dir, manifest, text }),
        Parsed { value: None, diagnostics } => Err(invalid(text, diagnostics)),
    }
}

/// Loads `<repo>/runtimes/bases.yaml`.
pub fn load_bases(repo: &Path) -> Result<Bases, LoadBasesError> {
    let path = repo.join(RUNTIMES).join("bases.yaml");
    let text = fs_err::read_to_string(&path).map_err(|source| LoadBasesError::Read { source })?;
    let Parsed { value, diagnostics } = bases::parse(&text);
    value.ok_or(LoadBasesError::Invalid { path, text, diagnostics })
}

/// Reads `<dir>/manifest.yaml`, whatever it is; what stands in the way is a finding.
pub fn read_manifest(repo: &Path, dir: &Path) -> Result<String, Diagnostic> {
    read_file(repo, &dir.join(MANIFEST))
}

fn read_file(repo: &Path, path: &Path) -> Result<String, Diagnostic> {
    let unreadable = |error: &io::Error| {
        let message = format!("the manifest cannot be read: {}", error.kind());
        finding(codes::MANIFEST_UNREADABLE, message)
    };
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let message = format!("this folder has no `{name}`");
            return Err(finding(codes::MANIFEST_MISSING, message));
        }
        Err(error) => return Err(unreadable(&error)),
        Ok(meta) if meta.is_symlink() => inside(repo, path)?,
        Ok(_) => {}
    }
    // Before opening: a pipe would wait for a writer.
    let meta = path.metadata().map_err(|error| unreadable(&error))?;
    if !meta.is_file() {
        let message = "the manifest is not a regular file".to_owned();
        return Err(finding(codes::MANIFEST_UNREADABLE, message));
    }
    if meta.len() > MANIFEST_BYTES_MAX {
        return Err(too_large(meta.len()));
    }
    let mut bytes = Vec::new();
    fs_err::File::open(path)
        .and_then(|file| file.take(MANIFEST_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(&error))?;
    if bytes.len() as u64 > MANIFEST_BYTES_MAX {
        return Err(too_large(bytes.len() as u64));
    }
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..offset].split(|byte| *byte == b'\n').count();
        let message = format!(
            "the manifest is not UTF-8: byte {offset}, on line {line}, begins no character"
        );
        finding(codes::MANIFEST_NOT_UTF8, message)
    })
}

fn inside(repo: &Path, path: &Path) -> Result<(), Diagnostic> {
    let leads = |to: &str| {
        finding(codes::MANIFEST_OUTSIDE, format!("the manifest is a symbolic link that leads {to}"))
    };
    let target = fs_err::canonicalize(path).map_err(|_dangling| leads("nowhere"))?;
    let root = fs_err::canonicalize(repo).map_err(|_gone| leads("nowhere"))?;
    if target.starts_with(&root) { Ok(()) } else { Err(leads("out of the repository")) }
}

fn too_large(bytes: u64) -> Diagnostic {
    let message = format!("the manifest has {bytes} bytes; at most {MANIFEST_BYTES_MAX} are read");
    finding(codes::MANIFEST_TOO_LARGE, message)
}

fn finding(code: Code, message: String) -> Diagnostic {
    Diagnostic { code, severity: Severity::Error, message, span: None, help: None, fix: None }
}

impl Definition {
    /// Returns the script that a build for `platform` starts: the dispatcher, or the platform's own.
    pub fn entry_script(&self, platform: Platform) -> Option<PathBuf> {
        [self.dir.join("setup.sh"), self.dir.join(format!("setup-{platform}.sh"))]
            .into_iter()
            .find(|script| script.is_file())
    }
}

fn errors(diagnostics: &[Diagnostic]) -> usize {
    diagnostics.iter().filter(|d| d.severity == Severity::Error).count()
}

fn first(diagnostics: &[Diagnostic]) -> &str {
    diagnostics
        .iter()
        .find(|d| d.severity == Severity::Error)
        .map_or("(none)", |d| d.message.as_str())
}
