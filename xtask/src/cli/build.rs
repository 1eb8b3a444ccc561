//! `xtask build`: builds, and says what came of it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's rendering")]

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::thread;

use rnx::failure::{ExitStatus, Failure};
use rnx::shown::shown_lines;
use rnx_spec::Platform;
use xtask::build::{self, Built, Workshop};
use xtask::definitions::{self, Definition};

use super::base::Settings;
use super::progress::Screen;
use super::workshop::{self, Process};

/// Build runtimes: base, setup script, audit, archive, tests
///
/// The artifacts go to `dist/`, the whole output of each setup script to `dist/logs/`. Without --platform, every
/// platform of this machine's architecture is built.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Args {
    /// The runtimes to build
    #[arg(required_unless_present = "all", value_name = "NAME")]
    names: Vec<String>,
    /// Build every runtime of the repository
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// Build for this platform; can be repeated
    #[arg(long = "platform", value_name = "PLATFORM")]
    platforms: Vec<Platform>,
    /// Install exactly what each runtime's versions.lock says, and refuse anything else
    #[arg(long)]
    locked: bool,
    /// Build this many at the same time
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: usize,
    /// Show every line that the setup scripts say
    #[arg(long, short)]
    verbose: bool,
    /// Print what was built as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

/// One build to do.
type Job = (Definition, Platform);

/// Builds everything that was asked for; one failure does not stop the others.
pub(crate) fn run(args: &Args, repo: &Path) -> Result<ExitStatus, Failure> {
    let names = if args.all {
        definitions::folders(repo).map_err(|error| Failure::new(ExitStatus::Usage, &error))?
    } else {
        args.names.clone()
    };
    let mut jobs: Vec<Job> = Vec::new();
    for name in &names {
        let definition = workshop::load(repo, name)?;
        for platform in workshop::builds(&definition, &args.platforms)? {
            jobs.push((definition.clone(), platform));
        }
    }
    let process = Process::listening(repo, &args.settings)?;
    let workshop = Workshop { locked: args.locked, ..process.workshop() };
    let results = run_all(jobs, args, &workshop);
    let mut status = ExitStatus::Done;
    let mut built = Vec::new();
    for result in results {
        match result {
            Ok(one) => built.push(one),
            Err(failure) => {
                eprint!("{}", shown_lines(&failure.to_string()));
                status = failure.status;
            }
        }
    }
    if args.json {
        let entries: Vec<_> = built.iter().map(json).collect();
        println!("{}", serde_json::Value::Array(entries));
    } else {
        for one in &built {
            print!("{}", shown_lines(&summary(one)));
        }
    }
    Ok(status)
}

/// Builds one runtime and shows its progress.
pub(crate) fn run_one(
    definition: &Definition,
    platform: Platform,
    (workshop, screen, verbose): (&Workshop<'_>, &Screen, bool),
) -> Result<Built, Failure> {
    let spec = definition.manifest.spec();
    let progress = screen.begin(format!("{spec} {platform}"), verbose);
    let result = build::build(definition, platform, workshop, &mut |event| progress.show(&event));
    progress.end();
    result.map_err(|error| error.into_failure(&spec, platform))
}

fn run_all(jobs: Vec<Job>, args: &Args, workshop: &Workshop<'_>) -> Vec<Result<Built, Failure>> {
    let screen = Screen::new();
    let count = jobs.len();
    let queue = Mutex::new(jobs.into_iter());
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..args.jobs.clamp(1, count.max(1)) {
            scope.spawn(|| {
                loop {
                    // A poisoned lock means that another build panicked; the panic itself is reported by the scope.
                    let Ok(next) = queue.lock().map(|mut queue| queue.next()) else { return };
                    let Some((definition, platform)) = next else { return };
                    if workshop.interrupted.load(Ordering::Relaxed) {
                        return;
                    }
                    let result = run_one(&definition, platform, (workshop, &screen, args.verbose));
                    if let Ok(mut results) = results.lock() {
                        results.push(result);
                    }
                }
            });
        }
    });
    results.into_inner().unwrap_or_default()
}

/// Returns what a person wants to know of a build.
pub(crate) fn summary(built: &Built) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let archive = &built.archive.archive;
    let passed = built.tests.iter().filter(|test| test.passed()).count();
    let mut line = |line: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        writeln!(text, "{line}").unwrap_or_default();
    };
    line(format_args!("{} {}", built.spec, built.platform));
    for step in &built.copied {
        line(format_args!("  the script forgot a library: {step}"));
    }
    for warning in &built.warnings {
        line(format_args!("  {warning}"));
    }
    for skipped in built.tests.iter().filter(|test| !test.passed()) {
        line(format_args!("  {skipped}"));
    }
    line(format_args!("  archive   {}", archive.path.display()));
    line(format_args!("  digest    {}", archive.digest));
    line(format_args!(
        "  size      {} packed, {} unpacked, {} entries",
        mebibytes(archive.size_bytes),
        mebibytes(built.archive.packed.unpacked_bytes),
        built.archive.packed.entries
    ));
    line(format_args!("  tests     {passed} of {} passed", built.tests.len()));
    line(format_args!("  took      {:.0} s", built.took.as_secs_f64()));
    text
}

fn json(built: &Built) -> serde_json::Value {
    serde_json::json!({
        "name": built.spec.name,
        "version": built.spec.version,
        "platform": built.platform,
        "archive": built.archive.archive.path,
        "sha256": built.archive.archive.digest.hex(),
        "size_bytes": built.archive.archive.size_bytes,
        "unpacked_bytes": built.archive.packed.unpacked_bytes,
        "entries": built.archive.packed.entries,
        "base_reused": built.base_reused,
        "tests_passed": built.tests.iter().filter(|test| test.passed()).count(),
        "tests": built.tests.len(),
        "log": built.log,
        "seconds": built.took.as_secs_f64(),
    })
}

#[expect(clippy::cast_precision_loss, reason = "a size for people, with one decimal")]
fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1024 * 1024))
}
