//! Checks definitions: the manifest, the folder around it, and the setup scripts.

pub mod fix;
mod folder;
mod parity;
mod scripts;
mod shell;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rnx_spec::bases::{self, Bases};
use rnx_spec::diagnostic::{Diagnostic, Parsed, Severity, codes};
use rnx_spec::manifest::{self, Manifest};
use rnx_spec::{RuntimeName, Version};

use crate::definitions::{self, ListDefinitionsError, RUNTIMES};
use crate::lock::{self, LockFileError};
use crate::validate::scripts::Script;
pub use crate::validate::shell::SyntaxCache;

/// The most threads that read definitions.
const THREADS_MAX: usize = 8;

/// Everything that was found in a repository of definitions.
#[derive(Debug)]
pub struct Report {
    /// Findings that belong to no definition: `runtimes/bases.yaml`.
    pub shared: Vec<FileReport>,
    pub definitions: Vec<DefinitionReport>,
}

/// What was found in one definition.
#[derive(Debug)]
pub struct DefinitionReport {
    /// The folder's name under `runtimes/`.
    pub folder: String,
    /// What the manifest says, if it has no errors.
    pub name: Option<RuntimeName>,
    pub version: Option<Version>,
    /// How many setup scripts there are; the dispatcher counts only if it is alone.
    pub setup_scripts: usize,
    /// The files with findings.
    pub files: Vec<FileReport>,
}

/// What was found in one file.
#[derive(Debug)]
pub struct FileReport {
    /// Relative to the repository.
    pub path: PathBuf,
    /// Empty if the file could not be read.
    pub text: String,
    /// Never empty.
    pub diagnostics: Vec<Diagnostic>,
}

/// Definitions could not be validated.
#[derive(Debug, thiserror::Error)]
pub enum ValidateError {
    #[error(transparent)]
    List(#[from] ListDefinitionsError),
    #[error("no runtime `{name}`: `{}` has no such folder", dir.display())]
    NoSuchRuntime { name: String, dir: PathBuf },
}

/// One definition as read, before what it shares with others is known.
struct Read {
    folder: String,
    manifest_text: String,
    manifest: Option<Manifest>,
    findings: Vec<Diagnostic>,
    scripts: Vec<Script>,
}

impl Report {
    /// Returns how many findings have this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.files().flat_map(|file| &file.diagnostics).filter(|d| d.severity == severity).count()
    }

    /// Returns all files with findings.
    pub fn files(&self) -> impl Iterator<Item = &FileReport> {
        self.shared.iter().chain(self.definitions.iter().flat_map(|report| &report.files))
    }
}

/// Validates the definitions in these folders, or all of them if `names` is empty.
pub fn run(repo: &Path, names: &[String], cache: &SyntaxCache) -> Result<Report, ValidateError> {
    let folders = choose(repo, names)?;
    let (bases, shared) = read_bases(repo);
    let mut reads = read_all(repo, &folders, bases.as_ref());
    shell::check(reads.iter_mut().flat_map(|read| &mut read.scripts), cache);
    name_twice(&mut reads);
    let definitions = reads.into_iter().map(Read::finish).collect();
    Ok(Report { shared, definitions })
}

fn choose(repo: &Path, names: &[String]) -> Result<Vec<String>, ValidateError> {
    if names.is_empty() {
        return Ok(definitions::folders(repo)?);
    }
    let dir = repo.join(RUNTIMES);
    let mut folders = BTreeSet::new();
    for name in names {
        // Fingers complete paths.
        let folder = name.trim_end_matches('/');
        let folder = folder.strip_prefix("runtimes/").unwrap_or(folder);
        if folder.is_empty() || folder.contains('/') || !dir.join(folder).is_dir() {
            return Err(ValidateError::NoSuchRuntime { name: name.clone(), dir });
        }
        folders.insert(folder.to_owned());
    }
    Ok(folders.into_iter().collect())
}

fn read_bases(repo: &Path) -> (Option<Bases>, Vec<FileReport>) {
    let path = Path::new(RUNTIMES).join("bases.yaml");
    // A repository without it uses no bases by name.
    let Ok(text) = fs_err::read_to_string(repo.join(&path)) else { return (None, Vec::new()) };
    let Parsed { value, diagnostics } = bases::parse(&text);
    let report = (!diagnostics.is_empty()).then_some(FileReport { path, text, diagnostics });
    (value, report.into_iter().collect())
}

fn read_all(repo: &Path, folders: &[String], bases: Option<&Bases>) -> Vec<Read> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let next = AtomicUsize::new(0);
    let reads = Mutex::new(Vec::with_capacity(folders.len()));
    std::thread::scope(|scope| {
        for _ in 0..threads.min(folders.len()) {
            scope.spawn(|| {
                let mut own = Vec::new();
                while let Some(folder) = folders.get(next.fetch_add(1, Ordering::Relaxed)) {
                    own.push(read(repo, folder, bases));
                }
                reads.lock().unwrap_or_else(std::sync::PoisonError::into_inner).append(&mut own);
            });
        }
    });
    let mut reads = reads.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    reads.sort_by(|a, b| a.folder.cmp(&b.folder));
    reads
}

fn read(repo: &Path, folder: &str, bases: Option<&Bases>) -> Read {
    let dir = repo.join(RUNTIMES).join(folder);
    let scripts = scripts::read(repo, &dir);
    let (manifest_text, parsed) = match definitions::read_manifest(repo, &dir) {
        Ok(text) => {
            let parsed = manifest::parse(&text);
            (text, parsed)
        }
        Err(finding) => (String::new(), Parsed { value: None, diagnostics: vec![finding] }),
    };
    let mut findings = parsed.diagnostics;
    if let Some(manifest) = &parsed.value {
        let names: Vec<&str> = scripts.iter().map(|script| script.file.as_str()).collect();
        findings.extend(folder::check(folder, &manifest_text, manifest, &names));
        findings
            .extend(bases.and_then(|bases| folder::check_base(&manifest_text, manifest, bases)));
        match lock::read(&dir) {
            Ok(lock) => findings.extend(parity::check(&manifest_text, manifest, &lock)),
            Err(error) => findings.push(lock_unreadable(&error)),
        }
    }
    let folder = folder.to_owned();
    Read { folder, manifest_text, manifest: parsed.value, findings, scripts }
}

fn lock_unreadable(error: &LockFileError) -> Diagnostic {
    let why = std::error::Error::source(error).map_or_else(String::new, |why| format!(": {why}"));
    Diagnostic {
        code: codes::LOCK_UNREADABLE,
        severity: Severity::Error,
        message: format!("`versions.lock` cannot be read{why}"),
        span: None,
        help: Some("delete it, and lock each platform again: `cargo xtask lock NAME`".to_owned()),
        fix: None,
    }
}

/// Two folders cannot hold runtimes of one name: the registry has one entry for it.
fn name_twice(reads: &mut [Read]) {
    let mut folders: BTreeMap<RuntimeName, String> = BTreeMap::new();
    for read in reads {
        let Some(manifest) = &read.manifest else { continue };
        let Some(first) = folders.get(&manifest.name) else {
            folders.insert(manifest.name.clone(), read.folder.clone());
            continue;
        };
        read.findings.push(Diagnostic {
            code: codes::NAME_TAKEN,
            severity: Severity::Error,
            message: format!("`runtimes/{first}` has the name `{}` already", manifest.name),
            span: manifest::locate(&read.manifest_text, &["name"]),
            help: Some("each runtime of a repository has its own name".to_owned()),
            fix: None,
        });
    }
}

impl Read {
    fn finish(self) -> DefinitionReport {
        let dir = Path::new(RUNTIMES).join(&self.folder);
        let setup_scripts = match self.scripts.iter().filter(|s| s.file != "setup.sh").count() {
            0 => self.scripts.len(),
            own => own,
        };
        let mut files = Vec::new();
        if !self.findings.is_empty() {
            let path = dir.join("manifest.yaml");
            files.push(FileReport { path, text: self.manifest_text, diagnostics: self.findings });
        }
        for script in self.scripts.into_iter().filter(|script| !script.findings.is_empty()) {
            let text = String::from_utf8_lossy(&script.bytes).into_owned();
            let path = dir.join(&script.file);
            files.push(FileReport { path, text, diagnostics: script.findings });
        }
        let (name, version) = self.manifest.map(|m| (m.name, m.version)).unzip();
        DefinitionReport { folder: self.folder, name, version, setup_scripts, files }
    }
}
