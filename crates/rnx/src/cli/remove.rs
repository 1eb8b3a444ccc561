//! `rnx runtime remove`.

use rnx::failure::{ExitStatus, Failure};
use rnx::in_use::Holder;
use rnx::list::{self, FindError, Installed, Origin};
use rnx::record;
use rnx::remove::{InUse, remove};
use rnx_spec::registry::Request;

use crate::cli::context::{Context, request};
use crate::cli::failure::failure;
use crate::cli::render;
use crate::cli::say::say;

/// Remove installed runtimes
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The runtimes; the version may be left out where one is installed
    #[arg(required = true, value_name = "NAME[@VERSION]", value_parser = request)]
    requests: Vec<Request>,
    /// Remove all installed versions of those named without one
    #[arg(long)]
    all_versions: bool,
    /// Remove even what jobs run in: new jobs do not find it, its files go when the last job has ended
    #[arg(long)]
    force: bool,
}

/// Removes installs, after all requests were understood.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus, Failure> {
    record::settle(&context.layout).map_err(|error| failure(&error))?;
    let mut chosen = Vec::new();
    for request in &args.requests {
        let request = context.config.expand(request.clone());
        chosen.extend(choose(args, context, &request)?);
    }
    for installed in chosen {
        let mut on_wait = |holders: &[Holder]| {
            say!("Waiting for jobs that run in {}:", installed.spec);
            for holder in holders {
                say!("  {}", render::shown(&holder.to_string()));
            }
        };
        let in_use = if args.force { InUse::Wait(&mut on_wait) } else { InUse::Refuse };
        remove(&context.layout, &installed.spec, in_use).map_err(|error| failure(&error))?;
        say!("Removed {}", installed.spec);
    }
    Ok(ExitStatus::Done)
}

fn choose(args: &Args, context: &Context, request: &Request) -> Result<Vec<Installed>, Failure> {
    let found = list::of_name(&context.layout, &request.name).map_err(|error| failure(&error))?;
    let (own, of_daemon): (Vec<_>, Vec<_>) = found
        .into_iter()
        .filter(|installed| request.version.allows(installed.spec.version))
        .partition(|installed| installed.origin == Origin::Recorded);
    match (own.len(), of_daemon.first()) {
        (0, Some(daemon)) => {
            let text = format!("`{}` was installed by a Joblet daemon", daemon.spec);
            Err(Failure::message(ExitStatus::Findings, text).hint("remove it with the daemon"))
        }
        (0, None) => {
            let error = list::find(&context.layout, request).err();
            Err(error.map_or_else(
                || Failure::message(ExitStatus::Findings, format!("`{request}` is not installed")),
                |error: FindError| {
                    // What is to be removed is not to be installed first.
                    let mut failure = failure(&error);
                    failure.hints.retain(|hint| !hint.starts_with("install it"));
                    failure.hint("`rnx runtime list` shows what is installed")
                },
            ))
        }
        (1, _) => Ok(own),
        _ if args.all_versions => Ok(own),
        _ => {
            let text = format!("`{}` is installed in several versions", request.name);
            let versions: Vec<String> =
                own.iter().map(|installed| format!("`{}`", installed.spec)).collect();
            Err(Failure::message(ExitStatus::Findings, text)
                .hint(format!("name one of {}, or say `--all-versions`", versions.join(", "))))
        }
    }
}
