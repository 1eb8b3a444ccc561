//! `rnx runtime update`.

use rnx::failure::{ExitStatus, Failure};
use rnx::install;
use rnx::list::{self, Installed, Origin};
use rnx::record;
use rnx_spec::registry::{Request, VersionRequest};

use crate::cli::context::{Context, Registries, choose, request};
use crate::cli::failure::failure;
use crate::cli::install::{carry_out, say_withdrawn};
use crate::cli::installs::Job;
use crate::cli::render;
use crate::cli::say::say;

/// Install the newest versions of installed runtimes, beside those that are there
///
/// Files that both versions have are stored once. `rnx runtime gc --keep 1` removes the older ones.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The runtimes, perhaps with a range such as python-3.11@1.3; all if none is named
    #[arg(value_name = "NAME[@RANGE]", value_parser = request)]
    requests: Vec<Request>,
    /// The registry, instead of those configured
    #[arg(long, value_name = "REGISTRY")]
    registry: Option<String>,
    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Installs what is newer than the highest installed version, for the platform that this one is for.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus, Failure> {
    if !args.dry_run {
        record::settle(&context.layout).map_err(|error| failure(&error))?;
    }
    let wanted = wanted(args, context)?;
    if wanted.is_empty() {
        say!("no runtimes are installed in {}", context.layout.base().display());
        return Ok(ExitStatus::Done);
    }
    let registries = context.registries(args.registry.as_deref())?;
    let mut jobs = Vec::new();
    for (request, installed) in &wanted {
        jobs.extend(newer(args, context, &registries, (request, installed))?);
    }
    if args.dry_run {
        let text: String = jobs.iter().map(|job| job.plan.to_string()).collect();
        return render::print(&text).map(|()| ExitStatus::Done);
    }
    carry_out(context, &jobs, args.json)
}

/// Returns what is asked for, each with the highest version of it that is installed.
fn wanted(args: &Args, context: &Context) -> Result<Vec<(Request, Installed)>, Failure> {
    let mut wanted = Vec::new();
    if args.requests.is_empty() {
        for installed in list::all(&context.layout).map_err(|error| failure(&error))? {
            let name = installed.spec.name.clone();
            let known = wanted.iter().any(|(request, _): &(Request, _)| request.name == name);
            if installed.origin == Origin::Recorded && !known {
                wanted.push((Request { name, version: VersionRequest::Latest }, installed));
            }
        }
        return Ok(wanted);
    }
    for request in &args.requests {
        let request = context.config.expand(request.clone());
        let any = Request { name: request.name.clone(), version: VersionRequest::Latest };
        let installed = list::find(&context.layout, &any).map_err(|error| failure(&error))?;
        wanted.push((request, installed));
    }
    Ok(wanted)
}

/// Returns the install of a newer version, if there is one.
fn newer<'a>(
    args: &Args,
    context: &Context,
    registries: &'a Registries,
    (request, installed): (&Request, &Installed),
) -> Result<Option<Job<'a>>, Failure> {
    let platforms = match record::read(&context.layout, &installed.spec) {
        Ok(record) if installed.origin == Origin::Recorded => vec![record.platform],
        _ => context.platforms()?.0,
    };
    let (registry, resolved) = match choose(registries, request, &platforms) {
        Ok(chosen) => chosen,
        // One that came from elsewhere is no reason to leave the others old.
        Err(error) if args.requests.is_empty() && registries.unreadable.is_none() => {
            let causes = render::shown(&error.causes.join(": "));
            say!("warning: {} stays as it is: {causes}", installed.spec);
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let there = list::of_name(&context.layout, &request.name)
        .map_err(|error| failure(&error))?
        .into_iter()
        .any(|other| other.spec == resolved.spec && other.origin == Origin::Recorded);
    if there || resolved.spec.version <= installed.spec.version {
        if !args.json {
            say!("{} is the newest", installed.spec);
        }
        return Ok(None);
    }
    say_withdrawn(&resolved);
    let plan = install::plan::plan(resolved, &context.layout, false);
    Job::new(context, registry, plan).map(Some)
}
