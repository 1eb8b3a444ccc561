//! `rnx runtime verify`.

use rnx::failure::{ExitStatus, Failure};
use rnx::list::{self, Installed, Origin};
use rnx::verify::{self, Difference};
use rnx_spec::registry::Request;
use serde::Serialize;

use crate::cli::context::{Context, request};
use crate::cli::failure::failure;
use crate::cli::render;

/// Differences that are printed one by one.
const SHOWN_MAX: usize = 20;

/// Compare installed runtimes with what was unpacked, file by file
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The runtimes; all if none is named
    #[arg(value_name = "NAME[@VERSION]", value_parser = request)]
    requests: Vec<Request>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Verified {
    name: String,
    version: String,
    differences: Vec<String>,
}

/// Verifies installs; a difference is an integrity failure.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus, Failure> {
    let mut verified = Vec::new();
    for installed in chosen(args, context)? {
        let spec = &installed.spec;
        if installed.origin == Origin::Daemon {
            anstream::eprintln!(
                "{spec}: laid by a Joblet daemon, there is nothing to compare with"
            );
            continue;
        }
        let differences = verify::verify(&context.layout, spec).map_err(|error| {
            failure(&error).hint(format!("`rnx runtime install {spec} --force` installs it again"))
        })?;
        if !args.json {
            render::print(&text(&installed, &differences))?;
        }
        verified.push(Verified {
            name: spec.name.to_string(),
            version: spec.version.to_string(),
            differences: differences.iter().map(line).collect(),
        });
    }
    if args.json {
        render::print_json(&verified)?;
    }
    let damaged = verified.iter().any(|verified| !verified.differences.is_empty());
    Ok(if damaged { ExitStatus::Integrity } else { ExitStatus::Done })
}

fn chosen(args: &Args, context: &Context) -> Result<Vec<Installed>, Failure> {
    if args.requests.is_empty() {
        return list::all(&context.layout).map_err(|error| failure(&error));
    }
    args.requests
        .iter()
        .map(|request| {
            let request = context.config.expand(request.clone());
            list::find(&context.layout, &request).map_err(|error| failure(&error))
        })
        .collect()
}

fn text(installed: &Installed, differences: &[Difference]) -> String {
    let spec = &installed.spec;
    if differences.is_empty() {
        return format!("{spec}: as it was unpacked\n");
    }
    let count = differences.len();
    let mut lines = vec![format!("{spec}: differs from what was unpacked in {count} entries")];
    lines.extend(differences.iter().take(SHOWN_MAX).map(|found| format!("  {}", line(found))));
    if count > SHOWN_MAX {
        lines.push(format!("  and {} more", count - SHOWN_MAX));
    }
    lines.join("\n") + "\n"
}

fn line(difference: &Difference) -> String {
    format!("{}: {}", render::shown(&difference.path.to_string_lossy()), difference.kind)
}
