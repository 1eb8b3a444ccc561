//! `rnx runtime export` and `rnx runtime import`.

use std::path::{Path, PathBuf};

use rnx::export::{self, ExportError};
use rnx::failure::{ExitStatus, Failure};
use rnx::install;
use rnx::list::{self, Origin};
use rnx::record;
use rnx_spec::Digest;
use rnx_spec::registry::Request;
use rnx_store::fetch::{FetchOptions, Fetcher};

use crate::cli::context::{Context, request};
use crate::cli::failure::failure;
use crate::cli::install::carry_out;
use crate::cli::installs::Job;
use crate::cli::render;
use crate::cli::say::say;

/// Write an installed runtime to one file, for hosts without a network
///
/// The file is a .tar.gz that `rnx runtime import` installs, the same that the runtime was installed from. Its digest is
/// printed.
#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    /// The runtime; without a version, the highest installed
    #[arg(value_name = "NAME[@VERSION]", value_parser = request)]
    request: Request,
    /// The new file, or a folder for it [default: NAME-VERSION-PLATFORM.tar.gz]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Install runtimes from files that `rnx runtime export` wrote, or a release's NAME-VERSION-PLATFORM.tar.gz
///
/// Of an archive in parts (….tar.gz.part01 and so on) the parts lie in one folder; any of them, or all, may be named.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    /// The files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The digest that the one archive must have, as `export` printed it
    #[arg(long, value_name = "DIGEST")]
    sha256: Option<Digest>,
    /// Install again what is installed
    #[arg(long)]
    force: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Exports one install.
pub(crate) fn export(args: &ExportArgs, context: &Context) -> Result<ExitStatus, Failure> {
    let request = context.config.expand(args.request.clone());
    let installed = list::find(&context.layout, &request).map_err(|error| failure(&error))?;
    let spec = &installed.spec;
    if installed.origin == Origin::Daemon {
        let text =
            format!("`{spec}` was installed by a Joblet daemon: there is no list of its files");
        return Err(Failure::message(ExitStatus::Findings, text)
            .hint(format!("install it beside: `rnx runtime install {spec}`")));
    }
    let name = export::file_name(&context.layout, spec).map_err(|error| failure(&error))?;
    let out = match &args.output {
        Some(folder) if folder.is_dir() => folder.join(name),
        Some(file) => file.clone(),
        None => PathBuf::from(name),
    };
    let exported = export::export(&context.layout, spec, &out).map_err(|error| failure(&error))?;
    render::print(&format!("{}  {}\n", exported.digest.hex(), exported.file.display()))?;
    say!(
        "Exported {spec}, {}{}",
        render::size(exported.size_bytes),
        if exported.is_published {
            ""
        } else {
            "; packed anew, and so with another digest than its release"
        }
    );
    Ok(ExitStatus::Done)
}

/// Installs files, side by side.
pub(crate) fn import(args: &ImportArgs, context: &Context) -> Result<ExitStatus, Failure> {
    let mut archives: Vec<PathBuf> = Vec::new();
    for file in &args.files {
        let archive = export::archive_of(&absolute(file)?);
        if !archives.contains(&archive) {
            archives.push(archive);
        }
    }
    if args.sha256.is_some() && archives.len() > 1 {
        let text = "`--sha256` is the digest of one archive";
        return Err(Failure::message(ExitStatus::Usage, text).hint("import one at a time"));
    }
    record::settle(&context.layout).map_err(|error| failure(&error))?;
    let fetcher = Fetcher::new(&FetchOptions::default())
        .map_err(|error| Failure::new(ExitStatus::Bug, &error))?;
    let mut jobs = Vec::new();
    for archive in &archives {
        let resolved = export::import(archive, args.sha256).map_err(|error| failure(&error))?;
        let plan = install::plan::plan(resolved, &context.layout, args.force);
        jobs.push(Job { fetcher: &fetcher, plan });
    }
    carry_out(context, &jobs, args.json)
}

fn absolute(file: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(file).map_err(|error| Failure::new(ExitStatus::Host, &error))
}

/// Says what to do about an export that failed.
pub(crate) fn hints(error: &ExportError) -> Vec<String> {
    match error {
        ExportError::Damaged { spec, .. } => {
            vec![format!("`rnx runtime verify {spec} --repair` puts it right")]
        }
        ExportError::Write { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists => {
            vec!["remove the file, or name another: `--output FILE`".to_owned()]
        }
        _ => Vec::new(),
    }
}
