//! Several installs at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rnx::failure::Failure;
use rnx::install::{self, InstallPlan, Outcome};
use rnx::registry::OpenRegistry;
use rnx::resolve;
use rnx_store::fetch::Fetcher;

use crate::cli::context::{Context, fetcher};
use crate::cli::failure::failure;
use crate::cli::progress::Bars;
use crate::cli::render;
use crate::cli::say;

/// So many runtimes are downloaded at a time; they are unpacked one after the other.
const INSTALLS_MAX: usize = 4;

/// One install, and what downloads it.
pub(crate) struct Job<'a> {
    pub(crate) fetcher: &'a Fetcher,
    pub(crate) plan: InstallPlan,
}

impl<'a> Job<'a> {
    /// Returns the install of what a registry has.
    pub(crate) fn new(
        context: &Context,
        registry: &'a OpenRegistry,
        mut plan: InstallPlan,
    ) -> Result<Self, Failure> {
        let fetcher = fetcher(context, registry)?;
        resolve::locate(registry, &mut plan.resolved).map_err(|error| failure(&error))?;
        Ok(Self { fetcher, plan })
    }
}

/// Installs side by side, and lets those go on that can when one fails.
pub(crate) fn install_all(
    context: &Context,
    jobs: &[Job<'_>],
    quiet: bool,
) -> Result<Vec<Outcome>, Failure> {
    let bars = Bars::new();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut ended = Vec::new();
        while let at = next.fetch_add(1, Ordering::Relaxed)
            && let Some(job) = jobs.get(at)
        {
            ended.push((at, install_one(context, job, &bars, quiet)));
        }
        ended
    };
    let mut ended: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> =
            (0..jobs.len().min(INSTALLS_MAX)).map(|_| scope.spawn(work)).collect();
        let joined = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        joined.flatten().collect()
    });
    ended.sort_by_key(|(at, _)| *at);
    let (done, failed): (Vec<_>, Vec<_>) =
        ended.into_iter().map(|(_, outcome)| outcome).partition(Result::is_ok);
    let mut failed: Vec<Failure> = failed.into_iter().filter_map(Result::err).collect();
    // The last one is told as the command's own.
    let last = failed.pop();
    for failure in failed {
        say::lines(&render::shown_lines(&failure.to_string()));
    }
    match last {
        Some(failure) => Err(failure),
        None => Ok(done.into_iter().filter_map(Result::ok).collect()),
    }
}

fn install_one(
    context: &Context,
    Job { fetcher, plan }: &Job<'_>,
    bars: &Bars,
    quiet: bool,
) -> Result<Outcome, Failure> {
    let mut shown = bars.add(plan);
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let outcome = install::install(&context.layout, fetcher, plan, &now, &mut shown);
    let spec = &plan.resolved.spec;
    let text = match outcome {
        Ok(Outcome::Installed) => format!("Installed {spec} in {}", plan.dir.display()),
        Ok(Outcome::AlreadyInstalled) => format!("{spec} is already installed"),
        Err(_) => String::new(),
    };
    shown.finish((!quiet && outcome.is_ok()).then_some(&*text));
    outcome.map_err(|error| failure(&error))
}
