//! `xtask verify`: builds again, and compares with what is there.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's rendering")]

use std::path::Path;

use rnx::failure::{ExitStatus, Failure};
use rnx::shown::shown_lines;
use rnx_spec::{Platform, RuntimeSpec, Version};
use xtask::build::Workshop;
use xtask::definitions::Definition;
use xtask::diff::load::{self, Published};
use xtask::diff::{self, Artifact};
use xtask::lock;

use super::base::{Settings, fetch_options};
use super::build;
use super::diff::{failed, rendered};
use super::progress::Screen;
use super::workshop::{self, Process};

/// How many changed files are listed.
const FILES_SHOWN: usize = 100;

/// Build a runtime again and compare it with what is published, or else with what is in dist/
///
/// The versions of versions.lock are installed where it names the platform. On a difference, the packages and files that
/// differ are printed, and the exit status is 4. Nothing in dist/ is changed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The runtime, or one version of it: the version of the definition that is checked out
    #[arg(value_name = "NAME[@V]")]
    runtime: String,
    /// Compare the build for this platform [default: that of this machine]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// Show every line that the setup script says
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    settings: Settings,
}

/// Builds, compares, and prints what differs.
pub(crate) fn run(args: &Args, repo: &Path) -> Result<ExitStatus, Failure> {
    let (name, version) = match args.runtime.split_once('@') {
        Some((name, version)) => (name, Some(version)),
        None => (args.runtime.as_str(), None),
    };
    let definition = workshop::load(repo, name)?;
    let spec = definition.manifest.spec();
    check_version(&spec, version)?;
    let asked: Vec<Platform> = args.platform.into_iter().collect();
    let platforms = workshop::builds(&definition, &asked)?;
    let Some(&platform) = platforms.first() else {
        return Err(Failure::message(ExitStatus::Findings, "there is nothing to build"));
    };
    let process = Process::listening(repo, &args.settings)?;
    let (origin, expected) = baseline(&spec, platform, &process, args)?;
    let built = rebuild(&definition, platform, &process, args)?;
    if built.digest == expected.digest {
        println!("{spec} {platform}: the same archive as {origin}: {}", built.digest);
        return Ok(ExitStatus::Done);
    }
    println!("{spec} {platform}: not the same archive as {origin}");
    println!("  expected {}\n  built    {}", expected.digest, built.digest);
    let difference = diff::diff(&expected, &built);
    print!("{}", shown_lines(&rendered(&expected, &built, &difference, FILES_SHOWN)));
    Ok(ExitStatus::Integrity)
}

fn check_version(spec: &RuntimeSpec, version: Option<&str>) -> Result<(), Failure> {
    let Some(text) = version else { return Ok(()) };
    let asked: Version = text.parse().map_err(|error| Failure::new(ExitStatus::Usage, &error))?;
    if asked == spec.version {
        return Ok(());
    }
    let name = &spec.name;
    let message = format!("the definition of {name} that is checked out is {}", spec.version);
    Err(Failure::message(ExitStatus::Findings, message)
        .hint(format!("check the other one out: `git checkout {name}@{asked}`")))
}

fn baseline(
    spec: &RuntimeSpec,
    platform: Platform,
    process: &Process,
    args: &Args,
) -> Result<(&'static str, Artifact), Failure> {
    let (registry, cache_dir, fetch) =
        (process.repo.join("registry.json"), args.settings.cache_dir()?, fetch_options()?);
    let published = Published { registry: &registry, cache_dir: &cache_dir, fetch: &fetch };
    let found = load::from_registry(&published, spec, platform).map_err(|error| failed(&error))?;
    if let Some(artifact) = found {
        return Ok(("the published one", artifact));
    }
    let found = load::from_dist(&process.dist, spec, platform).map_err(|error| failed(&error))?;
    found.map(|artifact| ("the one in dist/", artifact)).ok_or_else(|| {
        let message = format!("{spec} is neither published nor built in dist/ for {platform}");
        Failure::message(ExitStatus::Findings, message)
            .hint(format!("build it first: `cargo xtask build {}`", spec.name))
    })
}

/// Builds into a folder that is gone afterwards.
fn rebuild(
    definition: &Definition,
    platform: Platform,
    process: &Process,
    args: &Args,
) -> Result<Artifact, Failure> {
    let file =
        lock::read(&definition.dir).map_err(|error| Failure::new(ExitStatus::Findings, &error))?;
    let locked = file.platforms.contains_key(&platform);
    if !locked {
        eprintln!("versions.lock says nothing of {platform}: what there is now is installed");
    }
    workshop::with_dist_of_its_own(&args.settings, |dist| {
        let workshop = Workshop { dist, locked, ..process.workshop() };
        let built =
            build::run_one(definition, platform, (&workshop, &Screen::new(), args.verbose))?;
        let mut artifact =
            load::from_file(&built.archive.archive.path).map_err(|error| failed(&error))?;
        "built now".clone_into(&mut artifact.label);
        Ok(artifact)
    })
}
