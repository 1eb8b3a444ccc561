//! `xtask try`: the whole way on this machine, ending in a job's output.
#![expect(clippy::print_stderr, reason = "a command's rendering")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rnx::failure::{ExitStatus, Failure};
use rnx::shown::shown_lines;
use rnx_spec::artifact::archive_file;
use rnx_spec::{Arch, Distro, Platform};
use xtask::build::{Built, parts};
use xtask::definitions::Definition;
use xtask::host::tools::Need;
use xtask::local_registry;
use xtask::tool::{self, Invocation, ToolError};

use super::base::Settings;
use super::progress::Screen;
use super::workshop::{self, Process};
use super::{build, doctor};

/// Go the whole way on this machine: build, register, install, run
///
/// Builds the runtime for this machine, writes a registry into dist/try/registry, installs the runtime from there into
/// dist/try/base with `rnx`, and runs a job in it. Nothing outside dist/ and the cache is changed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The runtime to try
    name: String,
    /// First install the host's packages that a build needs, with its package manager
    #[arg(long)]
    install_deps: bool,
    /// Show every line that the setup script says
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    settings: Settings,
    /// The job; by default the command of the manifest's first test
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Tries a runtime.
pub(crate) fn run(args: &Args, repo: &Path) -> Result<ExitStatus, Failure> {
    if args.install_deps {
        doctor::install_for(&[Need::Debootstrap, Need::Ids])?;
    }
    let definition = workshop::load(repo, &args.name)?;
    let command = job(&definition, &args.command)?;
    let platform = native(&definition)?;
    let process = Process::listening(repo, &args.settings)?;
    let workshop = process.workshop();
    let built = build::run_one(&definition, platform, (&workshop, &Screen::new(), args.verbose))?;
    eprint!("{}", shown_lines(&build::summary(&built)));

    let trial = process.dist.join("try");
    let registry = register(&definition, built, &trial)?;
    let rnx = Rnx { program: rnx_program()?, base: trial.join("base") };
    let spec = definition.manifest.spec();
    let install = ["runtime", "install", "--force", "--registry"].map(OsString::from);
    rnx.run(install.into_iter().chain([registry.into(), spec.to_string().into()]))?;
    let runtime = format!("--runtime={spec}");
    let words = ["job", "run", &runtime, "--"].map(OsString::from);
    rnx.run(words.into_iter().chain(command.into_iter().map(OsString::from)))?;
    Ok(ExitStatus::Done)
}

/// Returns the command to run in the installed runtime.
fn job(definition: &Definition, given: &[String]) -> Result<Vec<String>, Failure> {
    if !given.is_empty() {
        return Ok(given.to_vec());
    }
    definition.manifest.tests.first().map(|test| test.run.clone()).ok_or_else(|| {
        Failure::message(
            ExitStatus::Usage,
            format!("{} has no tests, so there is no command to try", definition.manifest.name),
        )
        .hint("name one: `cargo xtask try NAME -- COMMAND…`")
    })
}

/// Returns the build that this machine runs: that of its architecture, for Debian and Ubuntu where there is one.
fn native(definition: &Definition) -> Result<Platform, Failure> {
    let builds = workshop::builds(definition, &[])?;
    let arch = Arch::from_machine(std::env::consts::ARCH);
    let preferred = builds
        .iter()
        .find(|build| build.distro == Distro::Ubuntu && Some(build.arch) == arch)
        .or(builds.first());
    preferred.copied().ok_or_else(|| Failure::message(ExitStatus::Findings, "nothing to build"))
}

fn register(definition: &Definition, built: Built, trial: &Path) -> Result<PathBuf, Failure> {
    let now = jiff::Timestamp::now();
    let now = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let dir = trial.join("registry");
    let released = local_registry::Built {
        manifest: &definition.manifest,
        definition: &built.definition,
        archives: &BTreeMap::from([(built.platform, built.archive)]),
        now: &now,
    };
    local_registry::write_trial(&dir, &released)
        .map_err(|error| Failure::new(ExitStatus::Findings, &error))?;
    Ok(dir)
}

/// The host's program, as people have it.
struct Rnx {
    program: PathBuf,
    base: PathBuf,
}

impl Rnx {
    /// Shows the command line as a person would type it, and runs it.
    fn run(&self, words: impl Iterator<Item = OsString>) -> Result<(), Failure> {
        let invocation = Invocation::new(&self.program).arg("--base").arg(&self.base).args(words);
        let shown = Invocation { program: "rnx".into(), ..invocation.clone() };
        eprintln!("$ {shown}");
        let status = tool::interactive(&invocation).map_err(|error| failed(&error))?;
        match status.code() {
            Some(0) => Ok(()),
            code => {
                let ended = code
                    .map_or_else(|| "a signal".to_owned(), |code| format!("exit status {code}"));
                let status = match code {
                    Some(3) => ExitStatus::Network,
                    Some(4) => ExitStatus::Integrity,
                    Some(5) => ExitStatus::Host,
                    _ => ExitStatus::Findings,
                };
                Err(Failure::message(status, format!("`{shown}` ended with {ended}")))
            }
        }
    }
}

/// Returns the `rnx` that belongs to this `xtask`: the one beside it, built first where cargo runs us.
fn rnx_program() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().map_err(|error| Failure::new(ExitStatus::Host, &error))?;
    if std::env::var_os("CARGO").is_some() {
        let release: &[&str] = if cfg!(debug_assertions) { &[] } else { &["--release"] };
        cargo_build(&["rnx"], release)?;
    }
    let program = own.with_file_name("rnx");
    if program.is_file() {
        return Ok(program);
    }
    Err(Failure::message(ExitStatus::Host, format!("there is no `{}`", program.display()))
        .hint("build it: `cargo build --package rnx`"))
}

/// Builds packages of this program's own workspace, and returns the folder with the programs.
pub(super) fn cargo_build(packages: &[&str], options: &[&str]) -> Result<PathBuf, Failure> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build =
        Invocation::new(cargo).args(["build", "--quiet", "--manifest-path"]).arg(manifest);
    for package in packages {
        build = build.args(["--package", package]);
    }
    build = build.args(options.iter().copied());
    let release = options.contains(&"--release");
    eprintln!("building {} with cargo", packages.join(" and "));
    tool::stream(&build, &mut |line| eprintln!("{line}")).map_err(|error| failed(&error))?;
    let own = std::env::current_exe().map_err(|error| Failure::new(ExitStatus::Host, &error))?;
    let profile = if release { "release" } else { "debug" };
    let target = own.parent().and_then(Path::parent).unwrap_or(Path::new("target"));
    Ok(target.join(profile))
}

/// Returns the archive in `dist/` of a runtime's build for this machine, or the first of its parts.
pub(super) fn built_archive(repo: &Path, name: &str) -> Result<PathBuf, Failure> {
    let definition = workshop::load(repo, name)?;
    let spec = definition.manifest.spec();
    let path = repo.join("dist").join(archive_file(&spec, native(&definition)?));
    if let Some(first) = parts::files_of(&path).into_iter().next() {
        return Ok(first);
    }
    Err(Failure::message(ExitStatus::Findings, format!("there is no `{}`", path.display()))
        .hint(format!("build it first: `cargo xtask build {name}`")))
}

fn failed(error: &ToolError) -> Failure {
    Failure::new(ExitStatus::Host, error)
}
