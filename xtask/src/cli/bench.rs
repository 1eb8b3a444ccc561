//! `xtask bench`: measures beside the tools that people would use instead, and prints medians and ratios.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's rendering")]

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;

use rnx::failure::{ExitStatus, Failure};
use xtask::bench::{self, BenchError, Report, Setting};
use xtask::tool::{self, Invocation};

use super::try_run::{built_archive, cargo_build};

/// Measure beside other tools, in one run, and print medians and ratios
///
/// Packing, unpacking and starting are measured on a runtime that was built before, in memory-backed storage. A debug
/// build of this program first makes a release build, and lets that one measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to measure; everything, if nothing is named
    what: Vec<What>,
    /// The built archive to measure with [default: python-3.11 in dist/]
    #[arg(long, value_name = "FILE")]
    archive: Option<PathBuf>,
    /// How often each way is measured; starts of jobs 20 times as often
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The `rnx` to measure, as `scripts/build-static.sh` makes the one that is given to people [default: the one built
    /// with this program]
    #[arg(long, value_name = "FILE")]
    rnx: Option<PathBuf>,
    /// A folder in memory for the files that are measured with
    #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
    scratch: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    Install,
    Pack,
    Unpack,
    Start,
    Validate,
    List,
    Publish,
    Registry,
}

/// Measures.
pub(crate) fn run(args: &Args, repo: &Path) -> Result<ExitStatus, Failure> {
    if cfg!(debug_assertions) {
        return in_release(args);
    }
    let wanted = |what| args.what.is_empty() || args.what.contains(&what);
    let scratch =
        tempfile::Builder::new().prefix("joblet-bench-").tempdir_in(&args.scratch).map_err(
            |error| Failure::new(ExitStatus::Host, &error).hint("name another: `--scratch DIR`"),
        )?;
    let setting = Setting { scratch: scratch.path().to_owned(), rounds: args.rounds };
    // First: its peak of memory is the process's.
    if wanted(What::Registry) {
        show(bench::registry::run(&setting))?;
    }
    if wanted(What::Validate) {
        eprintln!("measuring validate, {} rounds; the shell's way takes longest", args.rounds);
        show(bench::validate::run(&setting))?;
    }
    let rnx = match &args.rnx {
        Some(rnx) => rnx.clone(),
        None => std::env::current_exe()
            .map_err(|error| Failure::new(ExitStatus::Host, &error))?
            .with_file_name("rnx"),
    };
    if wanted(What::List) {
        let setting = Setting { rounds: args.rounds * 4, ..setting.clone() };
        show(bench::list::run(&rnx, &setting))?;
    }
    if wanted(What::Publish) {
        publish(&setting)?;
    }
    let of_tree = [What::Install, What::Pack, What::Unpack, What::Start];
    if !of_tree.into_iter().any(wanted) {
        return Ok(ExitStatus::Done);
    }
    let archive = match &args.archive {
        Some(archive) => archive.clone(),
        None => built_archive(repo, "python-3.11")?,
    };
    let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    eprintln!("measuring with {} on {threads} threads", archive.display());
    let tree = scratch.path().join("tree");
    bench::unpack_for(&archive, &tree, threads).map_err(|error| failed(&error))?;
    if wanted(What::Pack) {
        show(bench::pack::run(&tree, threads, &setting))?;
    }
    if wanted(What::Unpack) {
        show(bench::unpack::run(&archive, threads, &setting))?;
    }
    if wanted(What::Install) {
        show(bench::install::run(&rnx, &tree, &setting))?;
    }
    if wanted(What::Start) {
        let setting = Setting { rounds: args.rounds * 20, ..setting };
        show(bench::start::run(&rnx, &tree, &setting))?;
    }
    Ok(ExitStatus::Done)
}

/// Lets a release build of this program measure: a debug build's times say nothing.
fn in_release(args: &Args) -> Result<ExitStatus, Failure> {
    let folder = if args.what.is_empty() || args.what.contains(&What::Publish) {
        cargo_build(
            &["xtask", "rnx", "test-support"],
            &["--release", "--features", "xtask/github"],
        )?
    } else {
        cargo_build(&["xtask", "rnx"], &["--release"])?
    };
    let invocation = Invocation::new(folder.join("xtask")).args(std::env::args_os().skip(1));
    let status =
        tool::interactive(&invocation).map_err(|error| Failure::new(ExitStatus::Host, &error))?;
    Ok(if status.success() { ExitStatus::Done } else { ExitStatus::Findings })
}

/// Measures publishing, in a program that can.
#[cfg(feature = "github")]
fn publish(setting: &Setting) -> Result<(), Failure> {
    let own = std::env::current_exe().map_err(|error| Failure::new(ExitStatus::Host, &error))?;
    eprintln!("measuring publish, {} rounds", setting.rounds);
    show(bench::publish::run(&own.with_file_name("local-github"), setting))
}

/// Says why publishing is not measured.
#[cfg(not(feature = "github"))]
#[expect(clippy::unnecessary_wraps, reason = "the other one can fail")]
fn publish(_setting: &Setting) -> Result<(), Failure> {
    eprintln!("publish is not measured: this program was built without the feature `github`");
    Ok(())
}

fn show(report: Result<Report, BenchError>) -> Result<(), Failure> {
    println!("{}", report.map_err(|error| failed(&error))?);
    Ok(())
}

fn failed(error: &BenchError) -> Failure {
    Failure::new(ExitStatus::Findings, error)
}
