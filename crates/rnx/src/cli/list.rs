//! `rnx runtime list`: what is installed, or what the registries have.

use std::collections::BTreeSet;

use rnx::failure::{ExitStatus, Failure};
use rnx::list::{self, Origin};
use rnx::output::{self, Available, Installed};
use rnx::record;
use rnx::registry::OpenRegistry;
use rnx_spec::registry::IndexedRelease;
use rnx_spec::{Platform, RuntimeName, RuntimeSpec};

use crate::cli::context::Context;
use crate::cli::failure::failure;
use crate::cli::render;
use crate::cli::say::say;

/// List runtimes: those installed, or with --available what the registries have
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

/// Prints the list.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus, Failure> {
    if args.available { available(args, context) } else { installed(args, context) }
}

fn installed(args: &Args, context: &Context) -> Result<ExitStatus, Failure> {
    let found = list::all(&context.layout).map_err(|error| failure(&error))?;
    let items: Vec<Installed> = found
        .into_iter()
        .map(|installed| {
            // A damaged record does not hide the install; `verify` tells about it.
            let record = match installed.origin {
                Origin::Recorded => record::read(&context.layout, &installed.spec).ok(),
                Origin::Daemon => None,
            };
            Installed {
                name: installed.spec.name.to_string(),
                version: installed.spec.version.to_string(),
                path: installed.dir,
                origin: origin(installed.origin),
                platform: record.as_ref().map(|record| record.platform.to_string()),
                unpacked_bytes: record.as_ref().map(|record| record.unpacked_bytes),
                installed_at: record.map(|record| record.installed_at),
            }
        })
        .collect();
    if args.json {
        return render::print_json(&items).map(|()| ExitStatus::Done);
    }
    if items.is_empty() {
        say!("no runtimes are installed in {}", context.layout.base().display());
        say!("hint: `rnx runtime list --available` shows what there is");
        return Ok(ExitStatus::Done);
    }
    let mut rows =
        vec![["NAME", "VERSION", "PLATFORM", "SIZE", "PATH"].map(str::to_owned).to_vec()];
    for item in items {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        rows.push(vec![
            item.name,
            item.version,
            or_dash(item.platform),
            or_dash(item.unpacked_bytes.map(render::size)),
            render::shown(&item.path.to_string_lossy()),
        ]);
    }
    render::print(&render::table(&rows)).map(|()| ExitStatus::Done)
}

/// Returns who laid an install, as JSON says it.
pub(crate) fn origin(origin: Origin) -> output::Origin {
    match origin {
        Origin::Recorded => output::Origin::Rnx,
        Origin::Daemon => output::Origin::Daemon,
    }
}

fn available(args: &Args, context: &Context) -> Result<ExitStatus, Failure> {
    let registries = context.readable(args.registry.as_deref())?;
    let fits = |release: &&IndexedRelease| {
        args.platform.is_none_or(|platform| release.platforms.contains(&platform))
    };
    let count = if args.all_versions { usize::MAX } else { 1 };
    let here = here(context)?;
    let mut items = Vec::new();
    for open in &registries {
        for (name, runtime) in &open.index().runtimes {
            let newest_first = runtime.releases.iter().rev().filter(fits);
            items.extend(newest_first.take(count).map(|release| item(&here, open, name, release)));
        }
        say_unreadable(open);
    }
    print_available(&items, args.json)?;
    if items.is_empty() && !args.json {
        let whom = match args.platform {
            Some(platform) => format!(" for {platform}"),
            None => String::new(),
        };
        say!("the registries have no runtime{whom}");
    }
    Ok(ExitStatus::Done)
}

/// Returns what is installed, looked for once: to ask for each of thousands takes longer than all else.
pub(crate) fn here(context: &Context) -> Result<BTreeSet<RuntimeSpec>, Failure> {
    let all = list::all(&context.layout).map_err(|error| failure(&error))?;
    Ok(all.into_iter().map(|installed| installed.spec).collect())
}

/// Returns a published version as it is shown.
pub(crate) fn item(
    here: &BTreeSet<RuntimeSpec>,
    open: &OpenRegistry,
    name: &RuntimeName,
    release: &IndexedRelease,
) -> Available {
    let spec = RuntimeSpec { name: name.clone(), version: release.version };
    Available {
        installed: here.contains(&spec),
        name: spec.name.into(),
        version: release.version.to_string(),
        description: release.description.clone(),
        registry: open.location.name.clone(),
        platforms: release.platforms.iter().map(ToString::to_string).collect(),
    }
}

/// Prints published versions.
pub(crate) fn print_available(items: &[Available], json: bool) -> Result<(), Failure> {
    if json {
        return render::print_json(&items);
    }
    if items.is_empty() {
        return Ok(());
    }
    let several = items.iter().any(|item| item.registry != items[0].registry);
    let mut heading = vec!["NAME", "VERSION", "INSTALLED", "PLATFORMS"];
    heading.extend(several.then_some("REGISTRY"));
    heading.push("DESCRIPTION");
    let mut rows = vec![heading.into_iter().map(str::to_owned).collect()];
    for item in items {
        let platforms = item.platforms.join(",");
        let mut row = vec![
            item.name.clone(),
            item.version.clone(),
            if item.installed { "yes" } else { "-" }.to_owned(),
            if platforms.is_empty() { "definition only".to_owned() } else { platforms },
        ];
        row.extend(several.then(|| render::shown(&item.registry)));
        row.push(render::shown(&item.description));
        rows.push(row);
    }
    render::print(&render::table_for_terminal(&rows))
}

/// Says which entries of a registry are left out.
pub(crate) fn say_unreadable(open: &OpenRegistry) {
    for entry in &open.index().unreadable {
        let (place, reason) = (render::shown(&entry.place), render::shown(&entry.reason));
        let name = render::shown(&open.location.name);
        say!("warning: {name}: `{place}` is left out: {reason}");
    }
}
