//! What every building command reads of this process: environment, tools, Ctrl-C.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rnx::failure::{ExitStatus, Failure};
use rnx_sandbox::signals::Signals;
use rnx_sandbox::spawn::SandboxError;
use rnx_spec::diagnostic::{Diagnostic, Severity};
use rnx_spec::{Arch, Platform};
use rnx_store::fetch::FetchOptions;
use rustix::process::Signal;
use xtask::build::Workshop;
use xtask::build::inputs::HostEnvironment;
use xtask::definitions::{self, Definition, LoadDefinitionError};
use xtask::host;
use xtask::rootfs::Provisioning;
use xtask::rootfs::identity::BuildIdentity;
use xtask::sources::SourceMirror;
use xtask::validate::{self, SyntaxCache};

use super::base::{Settings, fetch_options};

/// What asks a program to end.
const SIGNALS: [Signal; 3] = [Signal::INT, Signal::TERM, Signal::HUP];

/// How long an interrupted command may clean up.
const CLEANING_UP: Duration = Duration::from_secs(3);

/// Lets a build that is only looked at have a `dist` of its own, which is gone afterwards. The log of one that failed stays.
pub(crate) fn with_dist_of_its_own<T>(
    settings: &Settings,
    build: impl FnOnce(&Path) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let host = |error: std::io::Error| Failure::new(ExitStatus::Host, &error);
    let cache = settings.cache_dir()?;
    fs_err::create_dir_all(&cache).map_err(host)?;
    let dist = tempfile::Builder::new().prefix("dist-").tempdir_in(&cache).map_err(host)?;
    match build(dist.path()) {
        Ok(built) => dist.close().map(|()| built).map_err(host),
        Err(failure) => {
            let _kept = dist.keep();
            Err(failure)
        }
    }
}

/// Everything of this process that a [`Workshop`] borrows.
pub(crate) struct Process {
    pub(crate) repo: PathBuf,
    pub(crate) dist: PathBuf,
    part_bytes_max: u64,
    cache_dir: PathBuf,
    helper: PathBuf,
    identity: BuildIdentity,
    debian_mirror: Option<String>,
    network_env: Vec<(OsString, OsString)>,
    fetch: FetchOptions,
    source_mirror: Option<SourceMirror>,
    environment: HostEnvironment,
    interrupted: Arc<AtomicBool>,
}

impl Process {
    /// Reads the process's surroundings, and takes Ctrl-C over.
    pub(crate) fn listening(repo: &Path, settings: &Settings) -> Result<Self, Failure> {
        let interrupted = listen().map_err(|error| Failure::new(ExitStatus::Host, &error))?;
        Ok(Self { interrupted, ..Self::read(repo, settings)? })
    }

    /// Reads the process's surroundings.
    pub(crate) fn read(repo: &Path, settings: &Settings) -> Result<Self, Failure> {
        let host = |error: std::io::Error| Failure::new(ExitStatus::Host, &error);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let repo = fs_err::canonicalize(repo).map_err(host)?;
        Ok(Self {
            dist: repo.join("dist"),
            part_bytes_max: settings.part_bytes_max(),
            repo,
            cache_dir: settings.cache_dir()?,
            helper: std::env::current_exe().map_err(host)?,
            identity: BuildIdentity::of(&host::caller(&path).map_err(host)?),
            debian_mirror: settings.debian_mirror().map(str::to_owned),
            network_env: host::network_env(std::env::vars_os()),
            fetch: fetch_options()?,
            source_mirror: settings.source_mirror()?,
            environment: HostEnvironment::pick(|name| std::env::var(name).ok(), Path::is_file),
            interrupted: Arc::default(),
        })
    }

    /// Returns the workshop of this process.
    pub(crate) fn workshop(&self) -> Workshop<'_> {
        Workshop {
            repo: &self.repo,
            dist: &self.dist,
            part_bytes_max: self.part_bytes_max,
            provisioning: Provisioning {
                cache_dir: &self.cache_dir,
                repo: &self.repo,
                helper: &self.helper,
                identity: &self.identity,
                debian_mirror: self.debian_mirror.as_deref(),
                network_env: &self.network_env,
                fetch: &self.fetch,
            },
            source_mirror: self.source_mirror.as_ref(),
            environment: &self.environment,
            locked: false,
            offline: false,
            interrupted: &self.interrupted,
        }
    }
}

/// Takes Ctrl-C and its kin over: returns what becomes true when one comes.
///
/// A build that hears it removes what is half done. What does not hear it ends with this process, since every sandbox
/// does, and the next build removes it.
#[expect(clippy::exit, reason = "the person wants an end, and no value can be returned from here")]
fn listen() -> Result<Arc<AtomicBool>, SandboxError> {
    let signals = Signals::catch(&SIGNALS.map(Signal::as_raw))?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    thread::spawn(move || {
        while let Ok(signal) = signals.next() {
            if flag.swap(true, Ordering::Relaxed) {
                std::process::exit(128 + signal);
            }
            thread::spawn(move || {
                thread::sleep(CLEANING_UP);
                std::process::exit(128 + signal);
            });
        }
    });
    Ok(interrupted)
}

/// Loads a definition, or says what is wrong with it: its manifest, its folder, its scripts.
pub(crate) fn load(repo: &Path, name: &str) -> Result<Definition, Failure> {
    let cache = SyntaxCache { dir: None };
    if let Ok(report) = validate::run(repo, &[name.to_owned()], &cache)
        && let Some(first) =
            report.files().flat_map(|file| &file.diagnostics).find(|one| is_error(one))
    {
        let count = report.count(Severity::Error);
        let message =
            format!("{name} has {count} error(s); the first is {}: {}", first.code, first.message);
        return Err(Failure::message(ExitStatus::Findings, message)
            .hint(format!("`cargo xtask validate {name}` shows every finding")));
    }
    definitions::load(repo, name).map_err(|error| match &error {
        LoadDefinitionError::NoFolder { .. } => {
            Failure::new(ExitStatus::Usage, &error).hint(definitions::advice(repo, name))
        }
        LoadDefinitionError::Invalid { .. } => Failure::new(ExitStatus::Findings, &error)
            .hint(format!("`cargo xtask validate {name}` shows every finding")),
    })
}

fn is_error(diagnostic: &Diagnostic) -> bool {
    diagnostic.severity == Severity::Error
}

/// Returns the builds that serve `asked`, or, where nothing was asked for, every platform of this machine's architecture.
///
/// A platform with a `reuse` rule is served by another's build, so one build can serve several.
pub(crate) fn builds(
    definition: &Definition,
    asked: &[Platform],
) -> Result<Vec<Platform>, Failure> {
    let manifest = &definition.manifest;
    if let Some(unknown) = asked.iter().find(|platform| !manifest.platforms.contains(platform)) {
        let known: Vec<String> =
            manifest.platforms.iter().map(|platform| format!("`{platform}`")).collect();
        return Err(Failure::message(
            ExitStatus::Usage,
            format!("{} is not for {unknown}; it is for {}", manifest.name, known.join(", ")),
        ));
    }
    let native = Arch::from_machine(std::env::consts::ARCH);
    let wanted = manifest.platforms.iter().filter(|platform| {
        if asked.is_empty() { Some(platform.arch) == native } else { asked.contains(platform) }
    });
    let mut builds: Vec<Platform> = wanted.map(|platform| manifest.built_as(*platform)).collect();
    builds.sort_unstable();
    builds.dedup();
    if builds.is_empty() {
        return Err(Failure::message(
            ExitStatus::Findings,
            format!("{} has no platform of this machine's architecture", manifest.name),
        )
        .hint("name one with `--platform`; foreign architectures build through qemu"));
    }
    Ok(builds)
}
