//! `rnx runtime install`.

use rnx::failure::{ExitStatus, Failure};
use rnx::install::{self, InstallPlan, Outcome};
use rnx::list::{self, FindError, Origin};
use rnx::output::{InstallOutcome, InstallResult};
use rnx::record;
use rnx::registry::OpenRegistry;
use rnx::resolve;
use rnx_spec::Platform;
use rnx_spec::host::Host;
use rnx_spec::registry::{Request, VersionRequest};

use crate::cli::context::{Context, choose, request};
use crate::cli::failure::failure;
use crate::cli::installs::{Job, install_all};
use crate::cli::render;
use crate::cli::say::say;

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

/// Installs the runtime of a job, as the command without options does.
pub(crate) fn missing(request: &Request, context: &Context) -> Result<(), Failure> {
    let args = Args {
        requests: vec![request.clone()],
        registry: None,
        platform: None,
        force: false,
        dry_run: false,
        json: false,
    };
    run(&args, context).map(drop)
}

/// Installs what is asked for, side by side.
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
    plans.sort_by(|(_, a), (_, b)| a.dir.cmp(&b.dir));
    plans.dedup_by(|(_, a), (_, b)| a.dir == b.dir);
    let jobs: Vec<Job<'_>> = plans
        .into_iter()
        .map(|(registry, plan)| Job::new(context, registry, plan))
        .collect::<Result<_, _>>()?;
    carry_out(context, &jobs, args.json)
}

/// Installs, and says what is installed now.
pub(crate) fn carry_out(
    context: &Context,
    jobs: &[Job<'_>],
    json: bool,
) -> Result<ExitStatus, Failure> {
    let outcomes = install_all(context, jobs, json)?;
    if json {
        let results: Vec<InstallResult> = jobs
            .iter()
            .zip(outcomes)
            .map(|(Job { plan, .. }, outcome)| InstallResult {
                name: plan.resolved.spec.name.to_string(),
                version: plan.resolved.spec.version.to_string(),
                platform: plan.resolved.platform.to_string(),
                path: plan.dir.clone(),
                outcome: match outcome {
                    Outcome::Installed => InstallOutcome::Installed,
                    Outcome::AlreadyInstalled => InstallOutcome::AlreadyInstalled,
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
            say!("{} is already installed", installed.spec);
        }
        results.push(InstallResult {
            name: installed.spec.name.to_string(),
            version: installed.spec.version.to_string(),
            platform: record.platform.to_string(),
            path: installed.dir.clone(),
            outcome: InstallOutcome::AlreadyInstalled,
        });
    }
    if args.json {
        render::print_json(&results)?;
    }
    Ok(ExitStatus::Done)
}

pub(crate) fn say_withdrawn(resolved: &resolve::Resolved) {
    let Some(yank) = &resolved.yank else { return };
    let spec = &resolved.spec;
    say!("warning: {spec} was withdrawn: {}", render::shown(&yank.reason));
    if let Some(version) = yank.replacement {
        say!("hint: `{}@{version}` takes its place", spec.name);
    }
}

fn say_unknown(host: &Host, plans: &[(&OpenRegistry, InstallPlan)]) {
    for (_, plan) in plans {
        let name = render::shown(&host.pretty_name);
        let resolved = &plan.resolved;
        say!(
            "note: {name} is not a distribution this program knows: installing {} for {}",
            resolved.spec,
            resolved.platform
        );
    }
}
