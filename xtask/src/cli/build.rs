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
    /// Build every runtime of the repository that is for the platforms, but for builds in dist/ whose inputs are the same
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// Build for this platform; can be repeated
    #[arg(long = "platform", value_name = "PLATFORM")]
    platforms: Vec<Platform>,
    /// Install exactly what each runtime's versions.lock says, and refuse anything else
    #[arg(long)]
    locked: bool,
    /// With --all, build again what is in dist/ already
    #[arg(long, requires = "all")]
    rebuild: bool,
    /// Use the bases and sources in the cache, and no network at all
    #[arg(long)]
    offline: bool,
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
    let (jobs, mut outcomes) =
        if args.all { all(args, repo)? } else { (named(args, repo)?, Vec::new()) };
    let process = Process::listening(repo, &args.settings)?;
    let workshop = Workshop { locked: args.locked, offline: args.offline, ..process.workshop() };
    outcomes.extend(run_all(jobs, args, &workshop));
    outcomes.sort_by(|a, b| a.label.cmp(&b.label));
    for outcome in &outcomes {
        if let Ending::Failed(failure) = &outcome.ending {
            eprint!("{}", shown_lines(&failure.to_string()));
        }
    }
    if args.json {
        let built = outcomes.iter().filter_map(|outcome| outcome.built().map(json));
        println!("{}", serde_json::Value::Array(built.collect()));
    } else {
        for built in outcomes.iter().filter_map(Outcome::built) {
            print!("{}", shown_lines(&summary(built)));
        }
    }
    if args.all {
        eprint!("{}", shown_lines(&outcomes.iter().map(Outcome::line).collect::<String>()));
    }
    Ok(status(&outcomes))
}

/// Returns what was asked for by name; what cannot be built at all is an error before anything is.
fn named(args: &Args, repo: &Path) -> Result<Vec<Job>, Failure> {
    let mut jobs = Vec::new();
    for name in &args.names {
        let definition = workshop::load(repo, name)?;
        for platform in workshop::builds(&definition, &args.platforms)? {
            jobs.push((definition.clone(), platform));
        }
    }
    Ok(jobs)
}

/// Returns every build of the repository that serves the platforms, and what came of those that cannot be tried.
fn all(args: &Args, repo: &Path) -> Result<(Vec<Job>, Vec<Outcome>), Failure> {
    let names =
        definitions::folders(repo).map_err(|error| Failure::new(ExitStatus::Usage, &error))?;
    let (mut jobs, mut outcomes) = (Vec::new(), Vec::new());
    for name in names {
        let definition = match workshop::load(repo, &name) {
            Ok(definition) => definition,
            Err(failure) => {
                outcomes.push(Outcome { label: name, ending: Ending::Failed(failure) });
                continue;
            }
        };
        let known = &definition.manifest.platforms;
        let asked: Vec<Platform> =
            args.platforms.iter().copied().filter(|platform| known.contains(platform)).collect();
        let is_other = asked.is_empty() && !args.platforms.is_empty();
        match workshop::builds(&definition, &asked) {
            Ok(platforms) if !is_other => {
                jobs.extend(platforms.into_iter().map(|platform| (definition.clone(), platform)));
            }
            // It is for other platforms, or other machines.
            _ => outcomes.push(Outcome { label: name, ending: Ending::NotForThese }),
        }
    }
    Ok((jobs, outcomes))
}

/// What came of one build.
struct Outcome {
    label: String,
    ending: Ending,
}

enum Ending {
    Built(Box<Built>),
    /// With `--all`: the build in `dist` was made from the same.
    Current,
    NotForThese,
    /// The person pressed Ctrl-C first.
    NotBegun,
    Failed(Failure),
}

impl Outcome {
    fn built(&self) -> Option<&Built> {
        if let Ending::Built(built) = &self.ending { Some(built) } else { None }
    }

    /// Returns the outcome as one line of the list at the end.
    fn line(&self) -> String {
        let label = &self.label;
        match &self.ending {
            Ending::Built(built) => {
                format!("{label}: built in {:.0} s\n", built.took.as_secs_f64())
            }
            Ending::Current => format!("{label}: up to date (--rebuild builds it again)\n"),
            Ending::NotForThese => format!("{label}: not for these platforms\n"),
            Ending::NotBegun => format!("{label}: not begun\n"),
            Ending::Failed(failure) => {
                let kind = match failure.status {
                    ExitStatus::Network => "FAILED, out of reach",
                    _ => "FAILED",
                };
                // The first says that it failed; lines of a script's output belong to its own report.
                let causes = failure.causes.iter().skip(1).take(2);
                let first_lines: Vec<&str> =
                    causes.filter_map(|cause| cause.lines().next()).collect();
                let why = if first_lines.is_empty() {
                    failure.causes.concat()
                } else {
                    first_lines.join(": ")
                };
                format!("{label}: {kind}: {why}\n")
            }
        }
    }
}

/// Returns the status that all failures have, or the common one where they differ.
fn status(outcomes: &[Outcome]) -> ExitStatus {
    let mut statuses = outcomes.iter().filter_map(|outcome| match &outcome.ending {
        Ending::Failed(failure) => Some(failure.status),
        Ending::NotBegun => Some(ExitStatus::Findings),
        _ => None,
    });
    let Some(first) = statuses.next() else { return ExitStatus::Done };
    if statuses.all(|status| status == first) { first } else { ExitStatus::Findings }
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

fn run_all(jobs: Vec<Job>, args: &Args, workshop: &Workshop<'_>) -> Vec<Outcome> {
    let screen = Screen::new();
    let count = jobs.len();
    let queue = Mutex::new(jobs.into_iter());
    let outcomes = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..args.jobs.clamp(1, count.max(1)) {
            scope.spawn(|| {
                loop {
                    // A poisoned lock means that another build panicked; the panic itself is reported by the scope.
                    let Ok(next) = queue.lock().map(|mut queue| queue.next()) else { return };
                    let Some(job) = next else { return };
                    let label = format!("{} {}", job.0.manifest.spec(), job.1);
                    let ending = run_job(&job, args, (workshop, &screen));
                    if let Ok(mut outcomes) = outcomes.lock() {
                        outcomes.push(Outcome { label, ending });
                    }
                }
            });
        }
    });
    outcomes.into_inner().unwrap_or_default()
}

fn run_job(
    (definition, platform): &Job,
    args: &Args,
    (workshop, screen): (&Workshop<'_>, &Screen),
) -> Ending {
    if workshop.interrupted.load(Ordering::Relaxed) {
        return Ending::NotBegun;
    }
    if args.all && !args.rebuild {
        match build::record::current(definition, *platform, workshop, &mut |_event| {}) {
            Ok(true) => return Ending::Current,
            Ok(false) => {}
            Err(error) => {
                let spec = definition.manifest.spec();
                return Ending::Failed(error.into_failure(&spec, *platform));
            }
        }
    }
    match run_one(definition, *platform, (workshop, screen, args.verbose)) {
        Ok(built) => Ending::Built(Box::new(built)),
        Err(failure) => Ending::Failed(failure),
    }
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
