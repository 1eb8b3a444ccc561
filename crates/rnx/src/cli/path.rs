//! `rnx runtime path`, and finding the runtime of a job.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rnx::failure::{ExitStatus, Failure};
use rnx::list::{self, FindError, Installed};
use rnx::output::RuntimePath;
use rnx_spec::registry::Request;

use crate::cli::Global;
use crate::cli::context::{Context, request};
use crate::cli::failure::failure;
use crate::cli::{install, render};

/// Print the folder of an installed runtime
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The runtime; without a version, the highest installed
    #[arg(value_name = "NAME[@VERSION]", value_parser = request)]
    request: Request,
    /// Print JSON, with the version that was found
    #[arg(long)]
    json: bool,
}

/// Prints the folder.
pub(crate) fn run(args: &Args, global: &Global) -> Result<ExitStatus, Failure> {
    let found = find(&args.request, global)?;
    if args.json {
        let (name, version) = (found.spec.name.to_string(), found.spec.version.to_string());
        let path = RuntimePath { name, version, path: found.dir };
        return render::print_json(&path).map(|()| ExitStatus::Done);
    }
    let folder = found.dir;
    let mut line = folder.as_os_str().as_bytes().to_vec();
    line.push(b'\n');
    render::print_bytes(&line).map(|()| ExitStatus::Done)
}

/// The runtime of a job.
pub(crate) struct Found {
    pub(crate) dir: PathBuf,
    /// The base folder of this user's installs, where there is one.
    pub(crate) base: Option<PathBuf>,
}

/// Finds the runtime that a job names; with `install`, one that is not there is installed.
pub(crate) fn of_job(runtime: &str, install: bool, global: &Global) -> Result<Found, Failure> {
    let context = Context::new(global, None);
    if runtime.contains('/') {
        // A folder can be named by whoever has neither a home nor a base.
        let base = context.ok().map(|context| context.layout.base().to_owned());
        return Ok(Found { dir: PathBuf::from(runtime), base });
    }
    let request: Request =
        runtime.parse().map_err(|error| Failure::new(ExitStatus::Usage, &error))?;
    let context = context?;
    let base = Some(context.layout.base().to_owned());
    let request = context.config.expand(request);
    match list::find(&context.layout, &request) {
        Ok(installed) => return Ok(Found { dir: installed.dir, base }),
        Err(FindError::NotInstalled { .. }) if install => install::missing(&request, &context)?,
        Err(error) => return Err(failure(&error)),
    }
    list::find(&context.layout, &request)
        .map(|installed| Found { dir: installed.dir, base })
        .map_err(|error| failure(&error))
}

fn find(request: &Request, global: &Global) -> Result<Installed, Failure> {
    let context = Context::new(global, None)?;
    let request = context.config.expand(request.clone());
    list::find(&context.layout, &request).map_err(|error| failure(&error))
}
