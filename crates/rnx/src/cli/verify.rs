//! `rnx runtime verify`.

use rnx::failure::{ExitStatus, Failure};
use rnx::list::{self, Installed, Origin};
use rnx::output::Verified;
use rnx::shown::entries;
use rnx::verify::{self, Difference};
use rnx::{export, record, repair, resolve};
use rnx_spec::RuntimeSpec;
use rnx_spec::registry::{Request, VersionRequest};
use rnx_store::fetch::{FetchOptions, Fetcher};
use rnx_store::layout::Layout;

use crate::cli::context::{Context, choose, fetcher, request};
use crate::cli::failure::failure;
use crate::cli::render;
use crate::cli::say::say;

/// Differences that are printed one by one.
const SHOWN_MAX: usize = 20;

/// Compare installed runtimes with what was unpacked, file by file
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The runtimes; all if none is named
    #[arg(value_name = "NAME[@VERSION]", value_parser = request)]
    requests: Vec<Request>,
    /// Put right what differs: from other installs that have the file, or from the archive, of which only the parts are
    /// fetched that carry it
    #[arg(long)]
    repair: bool,
    /// With --repair, the registry to fetch from, instead of the one that it was installed from
    #[arg(long, value_name = "REGISTRY", requires = "repair")]
    registry: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Verifies installs; a difference is an integrity failure.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus, Failure> {
    let mut verified = Vec::new();
    for installed in chosen(args, context)? {
        let spec = &installed.spec;
        if installed.origin == Origin::Daemon {
            say!("{spec}: laid by a Joblet daemon, there is nothing to compare with");
            continue;
        }
        let force = format!("`rnx runtime install {spec} --force` installs it again");
        let differences =
            verify::verify(&context.layout, spec).map_err(|error| failure(&error).hint(force))?;
        if !args.json {
            render::print(&text(&installed, &differences))?;
        }
        let repaired = args.repair && !differences.is_empty();
        if repaired {
            repair(args, context, spec)?;
        }
        verified.push(Verified {
            name: spec.name.to_string(),
            version: spec.version.to_string(),
            differences: differences.iter().map(line).collect(),
            repaired,
        });
    }
    if args.json {
        render::print_json(&verified)?;
    }
    let damaged = verified.iter().any(|found| !found.differences.is_empty() && !found.repaired);
    if damaged && !args.json {
        say!("hint: `rnx runtime verify --repair` puts it right");
    }
    Ok(if damaged { ExitStatus::Integrity } else { ExitStatus::Done })
}

/// Puts an install right, and looks again.
fn repair(args: &Args, context: &Context, spec: &RuntimeSpec) -> Result<(), Failure> {
    let layout = &context.layout;
    let damage = repair::examine(layout, spec).map_err(|error| failure(&error))?;
    if !damage.needs_archive() {
        repair::repair(layout, &damage, None).map_err(|error| failure(&error))?;
        return look_again(layout, spec);
    }
    let record = record::read(layout, spec).map_err(|error| failure(&error))?;
    let file = record.registry.to_path().map(|path| export::archive_of(&path));
    let file = file.filter(|path| export::is_archive(path));
    if let (Some(file), None) = (file, &args.registry) {
        let resolved = export::import(&file, Some(record.archive)).map_err(|error| {
            failure(&error)
                .hint(format!("`rnx runtime import FILE --force` installs `{spec}` again"))
        })?;
        let fetcher = Fetcher::new(&FetchOptions::default())
            .map_err(|error| Failure::new(ExitStatus::Bug, &error))?;
        repair::repair(layout, &damage, Some((&fetcher, &resolved)))
            .map_err(|error| failure(&error))?;
    } else {
        let from = args.registry.as_deref().unwrap_or_else(|| record.registry.as_str());
        let registries = context.registries(Some(from))?;
        let exact = VersionRequest::Exact(spec.version);
        let request = Request { name: spec.name.clone(), version: exact };
        let (registry, mut resolved) = choose(&registries, &request, &[record.platform])?;
        if resolved.digest != record.archive {
            let text = format!("the registry has another archive of `{spec}` than was installed");
            return Err(Failure::message(ExitStatus::Integrity, text)
                .hint(format!("`rnx runtime install {spec} --force` installs that one")));
        }
        let fetcher = fetcher(context, registry)?;
        resolve::locate(registry, &mut resolved).map_err(|error| failure(&error))?;
        let archive = Some((fetcher, &resolved));
        repair::repair(layout, &damage, archive).map_err(|error| failure(&error))?;
    }
    look_again(layout, spec)
}

/// Says that an install is as it should be, or fails.
fn look_again(layout: &Layout, spec: &RuntimeSpec) -> Result<(), Failure> {
    let left = verify::verify(layout, spec).map_err(|error| failure(&error))?;
    if left.is_empty() {
        say!("Repaired {spec}");
        return Ok(());
    }
    let text = format!("`{spec}` still differs in {}", entries(left.len()));
    Err(Failure::message(ExitStatus::Integrity, text)
        .hint(format!("`rnx runtime install {spec} --force` installs it again")))
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
    let mut lines = vec![format!("{spec}: differs from what was unpacked in {}", entries(count))];
    lines.extend(differences.iter().take(SHOWN_MAX).map(|found| format!("  {}", line(found))));
    if count > SHOWN_MAX {
        lines.push(format!("  and {} more", count - SHOWN_MAX));
    }
    lines.join("\n") + "\n"
}

fn line(difference: &Difference) -> String {
    format!("{}: {}", render::shown(&difference.path.to_string_lossy()), difference.kind)
}
