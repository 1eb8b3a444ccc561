//! `rnx runtime install`.

use rnx::failure::{ExitStatus, Failure};
use rnx::install::{self, InstallPlan, Outcome};
use rnx::list::{self, FindError, Origin};
use rnx::record;
use rnx::resolve;
use rnx_spec::Platform;
use rnx_spec::host::Host;
use rnx_spec::registry::{Request, SelectError, VersionRequest};
use serde::Serialize;

use crate::cli::context::{Context, OpenRegistry, request};
use crate::cli::failure::failure;
use crate::cli::progress::Shown;
use crate::cli::render;

/// Install runtimes
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The runtimes; without a version, the newest one that is built for this host
    #[arg(required = true, value_name = "NAME[@VERSION]", value_parser = request)]
    requests: Vec<Request>,
    /// The registry: a configured name, owner/repo, a URL, or a folder such as ./dist
    #[arg(long, value_name = "REGISTRY")]
    registry: Option<String>,
    /// Install the build for this platform (also `RNX_PLATFORM`)
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<Platform>,
    /// Install again what is installed
    #[arg(long)]
    force: bool,
    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Installed<'a> {
    name: &'a str,
    version: String,
    platform: Platform,
    path: &'a std::path::Path,
    /// `installed` or `already-installed`.
    outcome: &'static str,
}

/// Installs one runtime after the other.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus, Failure> {
    let requests: Vec<Request> =
        args.requests.iter().map(|request| context.config.expand(request.clone())).collect();
    if !args.dry_run {
        record::settle(&context.layout).map_err(|error| failure(&error))?;
        // What is pinned and there needs no registry.
        if !args.force && requests.iter().all(|request| is_there(context, request)) {
            return already(args, context, &requests);
        }
    }
    let (platforms, host) = context.platforms()?;
    let registries = context.registries(args.registry.as_deref())?;
    let mut plans = Vec::new();
    for request in &requests {
        let (registry, resolved) = choose(&registries, request, &platforms)?;
        say_withdrawn(&resolved);
        plans.push((registry, install::plan::plan(resolved, &context.layout, args.force)));
    }
    if let Some(host) = host.filter(|host| host.distro.is_none()) {
        say_unknown(&host, &plans);
    }
    if args.dry_run {
        let text: String = plans.iter().map(|(_, plan)| plan.to_string()).collect();
        return render::print(&text).map(|()| ExitStatus::Done);
    }
    let mut outcomes = Vec::new();
    for (registry, plan) in &plans {
        outcomes.push(install_one(context, registry, plan, args.json)?);
    }
    if args.json {
        let results: Vec<Installed<'_>> = plans
            .iter()
            .zip(outcomes)
            .map(|((_, plan), outcome)| Installed {
                name: plan.resolved.spec.name.as_str(),
                version: plan.resolved.spec.version.to_string(),
                platform: plan.resolved.platform,
                path: &plan.dir,
                outcome: match outcome {
                    Outcome::Installed => "installed",
                    Outcome::AlreadyInstalled => "already-installed",
                },
            })
            .collect();
        render::print_json(&results)?;
    }
    Ok(ExitStatus::Done)
}

fn is_there(context: &Context, request: &Request) -> bool {
    matches!(request.version, VersionRequest::Exact(_))
        && list::find(&context.layout, request)
            .is_ok_and(|installed| installed.origin == Origin::Recorded)
}

fn already(args: &Args, context: &Context, requests: &[Request]) -> Result<ExitStatus, Failure> {
    let mut results = Vec::new();
    let found: Vec<list::Installed> = requests
        .iter()
        .map(|request| list::find(&context.layout, request))
        .collect::<Result<_, FindError>>()
        .map_err(|error| failure(&error))?;
    for installed in &found {
        let record = record::read(&context.layout, &installed.spec)
            .map_err(|error| failure(&error).hint("`--force` installs it again"))?;
        if !args.json {
            anstream::eprintln!("{} is already installed", installed.spec);
        }
        results.push(Installed {
            name: installed.spec.name.as_str(),
            version: installed.spec.version.to_string(),
            platform: record.platform,
            path: &installed.dir,
            outcome: "already-installed",
        });
    }
    if args.json {
        render::print_json(&results)?;
    }
    Ok(ExitStatus::Done)
}

/// Returns what the first registry that knows the runtime has for the request.
fn choose<'a>(
    registries: &'a [OpenRegistry],
    request: &Request,
    platforms: &[Platform],
) -> Result<(&'a OpenRegistry, resolve::Resolved), Failure> {
    let mut first = None;
    for open in registries {
        match resolve::resolve(&open.registry, &open.location, request, platforms) {
            Ok(resolved) => return Ok((open, resolved)),
            Err(error @ SelectError::UnknownRuntime { .. }) => {
                first.get_or_insert((open, error));
            }
            // Another registry's runtime of the same name is not the one that was meant.
            Err(error) => return Err(select_failure(open, &error)),
        }
    }
    match first {
        Some((open, error)) => Err(select_failure(open, &error)),
        None => Err(Failure::message(ExitStatus::Findings, "no registry is configured")),
    }
}

fn select_failure(open: &OpenRegistry, error: &SelectError) -> Failure {
    let SelectError::UnknownRuntime { name, .. } = error else { return failure(error) };
    let mut failure = failure(error);
    // An entry that cannot be read may be the one that was meant.
    let own = format!("runtimes/{name}");
    for entry in open.registry.unreadable() {
        if entry.place == own || entry.place.starts_with(&format!("{own}/")) {
            failure.causes.push(format!("`{}` cannot be read: {}", entry.place, entry.reason));
        }
    }
    failure
}

fn say_withdrawn(resolved: &resolve::Resolved) {
    let Some(yank) = &resolved.yank else { return };
    let spec = &resolved.spec;
    anstream::eprintln!("warning: {spec} was withdrawn: {}", render::shown(&yank.reason));
    if let Some(version) = yank.replacement {
        anstream::eprintln!("hint: `{}@{version}` takes its place", spec.name);
    }
}

fn say_unknown(host: &Host, plans: &[(&OpenRegistry, InstallPlan)]) {
    for (_, plan) in plans {
        let name = render::shown(&host.pretty_name);
        let resolved = &plan.resolved;
        anstream::eprintln!(
            "note: {name} is not a distribution this program knows: installing {} for {}",
            resolved.spec,
            resolved.platform
        );
    }
}

fn install_one(
    context: &Context,
    registry: &OpenRegistry,
    plan: &InstallPlan,
    quiet: bool,
) -> Result<Outcome, Failure> {
    let mut shown = Shown::new(plan);
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let outcome = install::install(&context.layout, &registry.fetcher, plan, &now, &mut shown);
    shown.finish();
    let outcome = outcome.map_err(|error| failure(&error))?;
    if !quiet {
        let spec = &plan.resolved.spec;
        match outcome {
            Outcome::Installed => {
                anstream::eprintln!("Installed {spec} in {}", plan.dir.display());
            }
            Outcome::AlreadyInstalled => anstream::eprintln!("{spec} is already installed"),
        }
    }
    Ok(outcome)
}
