//! `rnx runtime path`, and finding the runtime of a job.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rnx::failure::{ExitStatus, Failure};
use rnx::list;
use rnx_spec::registry::Request;

use crate::cli::Global;
use crate::cli::context::{Context, request};
use crate::cli::failure::failure;
use crate::cli::render;

/// Print the folder of an installed runtime
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The runtime; without a version, the highest installed
    #[arg(value_name = "NAME[@VERSION]", value_parser = request)]
    request: Request,
}

/// Prints the folder.
pub(crate) fn run(args: &Args, global: &Global) -> Result<ExitStatus, Failure> {
    let folder = find(&args.request, global)?;
    let mut line = folder.as_os_str().as_bytes().to_vec();
    line.push(b'\n');
    render::print_bytes(&line).map(|()| ExitStatus::Done)
}

/// Returns the folder of the runtime that a job names.
pub(crate) fn folder_of(runtime: &str, global: &Global) -> Result<PathBuf, Failure> {
    let request: Request =
        runtime.parse().map_err(|error| Failure::new(ExitStatus::Usage, &error))?;
    find(&request, global)
}

fn find(request: &Request, global: &Global) -> Result<PathBuf, Failure> {
    let context = Context::new(global, None)?;
    let request = context.config.expand(request.clone());
    let installed = list::find(&context.layout, &request).map_err(|error| failure(&error))?;
    Ok(installed.dir)
}
