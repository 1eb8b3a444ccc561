//! `rnx runtime list`.

use std::path::PathBuf;

use rnx::failure::{ExitStatus, Failure};
use rnx::list::{self, Origin};
use rnx::record;
use rnx_spec::registry::Release;
use rnx_spec::{Platform, RuntimeName, Version};
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::failure::failure;
use crate::cli::render;

/// List runtimes: what is installed, or what a registry has
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// List what the registries have, the newest version of each runtime
    #[arg(long)]
    available: bool,
    /// With --available, list all versions
    #[arg(long, requires = "available")]
    all_versions: bool,
    /// The registry, instead of those configured
    #[arg(long, value_name = "REGISTRY", requires = "available")]
    registry: Option<String>,
    /// With --available, list what is built for this platform alone
    #[arg(long, value_name = "PLATFORM", requires = "available")]
    pub(crate) platform: Option<Platform>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Listed {
    name: RuntimeName,
    version: Version,
    path: PathBuf,
    /// `rnx` or `daemon`.
    origin: &'static str,
    platform: Option<Platform>,
    installed_at: Option<String>,
    unpacked_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Available<'a> {
    name: &'a RuntimeName,
    version: Version,
    description: &'a str,
    registry: &'a str,
    /// Those that it is built for; none if the registry has its definition alone.
    platforms: Vec<Platform>,
}

/// Prints the list.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus, Failure> {
    if args.available { available(args, context) } else { installed(args, context) }
}

fn installed(args: &Args, context: &Context) -> Result<ExitStatus, Failure> {
    let found = list::all(&context.layout).map_err(|error| failure(&error))?;
    let items: Vec<Listed> = found
        .into_iter()
        .map(|installed| {
            // A damaged record does not hide the install; `verify` tells about it.
            let record = match installed.origin {
                Origin::Recorded => record::read(&context.layout, &installed.spec).ok(),
                Origin::Daemon => None,
            };
            Listed {
                name: installed.spec.name,
                version: installed.spec.version,
                path: installed.dir,
                origin: if installed.origin == Origin::Daemon { "daemon" } else { "rnx" },
                platform: record.as_ref().map(|record| record.platform),
                unpacked_bytes: record.as_ref().map(|record| record.unpacked_bytes),
                installed_at: record.map(|record| record.installed_at),
            }
        })
        .collect();
    if args.json {
        return render::print_json(&items).map(|()| ExitStatus::Done);
    }
    if items.is_empty() {
        anstream::eprintln!("no runtimes are installed in {}", context.layout.base().display());
        anstream::eprintln!("hint: `rnx runtime list --available` shows what there is");
        return Ok(ExitStatus::Done);
    }
    let mut rows =
        vec![["NAME", "VERSION", "PLATFORM", "SIZE", "PATH"].map(str::to_owned).to_vec()];
    for item in items {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        rows.push(vec![
            item.name.to_string(),
            item.version.to_string(),
            or_dash(item.platform.map(|platform| platform.to_string())),
            or_dash(item.unpacked_bytes.map(render::size)),
            render::shown(&item.path.to_string_lossy()),
        ]);
    }
    render::print(&render::table(&rows)).map(|()| ExitStatus::Done)
}

fn available(args: &Args, context: &Context) -> Result<ExitStatus, Failure> {
    let registries = context.registries(args.registry.as_deref())?;
    let mut items = Vec::new();
    for open in &registries {
        for versions in open.registry.runtimes().values() {
            let fits = |release: &&Release| {
                args.platform.is_none_or(|platform| release.artifacts.contains_key(&platform))
            };
            let newest_first = versions.values().rev().filter(fits);
            let count = if args.all_versions { usize::MAX } else { 1 };
            items.extend(newest_first.take(count).map(|release| Available {
                name: &release.spec.name,
                version: release.spec.version,
                description: &release.description,
                registry: &open.location.name,
                platforms: release.artifacts.keys().copied().collect(),
            }));
        }
        for entry in open.registry.unreadable() {
            let (place, reason) = (render::shown(&entry.place), render::shown(&entry.reason));
            anstream::eprintln!("warning: {}: `{place}` is left out: {reason}", open.location.name);
        }
    }
    if args.json {
        return render::print_json(&items).map(|()| ExitStatus::Done);
    }
    let mut rows =
        vec![["NAME", "VERSION", "PLATFORMS", "DESCRIPTION"].map(str::to_owned).to_vec()];
    for item in items {
        let platforms: Vec<String> = item.platforms.iter().map(ToString::to_string).collect();
        rows.push(vec![
            item.name.to_string(),
            item.version.to_string(),
            if platforms.is_empty() { "definition only".to_owned() } else { platforms.join(",") },
            render::shown(item.description),
        ]);
    }
    render::print(&render::table(&rows)).map(|()| ExitStatus::Done)
}
