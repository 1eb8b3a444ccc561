//! `rnx runtime outdated`.

use rnx::failure::{ExitStatus, Failure};
use rnx::list::{self, Origin};
use rnx::output::Outdated;
use rnx::record;
use rnx::registry::OpenRegistry;
use rnx::resolve;
use rnx_spec::registry::{Request, SelectError, VersionRequest};
use rnx_spec::{Platform, RuntimeName, RuntimeSpec};

use crate::cli::context::Context;
use crate::cli::failure::failure;
use crate::cli::render;
use crate::cli::say::say;

/// List installed runtimes that a registry has newer, or that were withdrawn
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these; all installed, if none is named
    #[arg(value_name = "NAME")]
    names: Vec<RuntimeName>,
    /// The registry, instead of those configured
    #[arg(long, value_name = "REGISTRY")]
    registry: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints them; nothing, if all is new.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus, Failure> {
    let installed = highest(args, context)?;
    let registries = if installed.is_empty() {
        Vec::new()
    } else {
        context.readable(args.registry.as_deref())?
    };
    let mut items = Vec::new();
    for (spec, platform) in &installed {
        items.extend(of_one(&registries, spec, *platform)?);
    }
    if args.json {
        return render::print_json(&items).map(|()| ExitStatus::Done);
    }
    if items.is_empty() {
        say!("nothing that is installed is outdated");
        return Ok(ExitStatus::Done);
    }
    let heading = ["NAME", "INSTALLED", "AVAILABLE", "PLATFORM", "REGISTRY", "NOTE"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for item in items {
        rows.push(vec![
            item.name,
            item.installed,
            item.available.unwrap_or_else(|| "-".to_owned()),
            item.platform,
            render::shown(&item.registry),
            item.withdrawn
                .map(|why| format!("withdrawn: {}", render::shown(&why)))
                .unwrap_or_default(),
        ]);
    }
    render::print(&render::table_for_terminal(&rows)).map(|()| ExitStatus::Done)
}

/// Returns the highest install of each runtime that this program made, with the platform that it was built for.
fn highest(args: &Args, context: &Context) -> Result<Vec<(RuntimeSpec, Platform)>, Failure> {
    let all = list::all(&context.layout).map_err(|error| failure(&error))?;
    let names: Vec<&RuntimeName> =
        args.names.iter().map(|name| context.config.aliases.get(name).unwrap_or(name)).collect();
    for name in &names {
        let request = Request { name: (*name).clone(), version: VersionRequest::Latest };
        list::find(&context.layout, &request).map_err(|error| failure(&error))?;
    }
    let mut found: Vec<(RuntimeSpec, Platform)> = Vec::new();
    for installed in all.into_iter().filter(|installed| installed.origin == Origin::Recorded) {
        let spec = installed.spec;
        let wanted = names.is_empty() || names.contains(&&spec.name);
        if wanted && found.last().is_none_or(|(last, _)| last.name != spec.name) {
            let record = record::read(&context.layout, &spec).map_err(|error| failure(&error))?;
            found.push((spec, record.platform));
        }
    }
    Ok(found)
}

/// Asks the first registry that knows the runtime, as an install does.
fn of_one(
    registries: &[OpenRegistry],
    spec: &RuntimeSpec,
    platform: Platform,
) -> Result<Option<Outdated>, Failure> {
    for open in registries {
        let registry = open.only(&spec.name).map_err(|error| failure(&error))?;
        let withdrawn = registry.yanked().get(&spec.name).and_then(|v| v.get(&spec.version));
        if withdrawn.is_none() && !registry.runtimes().contains_key(&spec.name) {
            continue;
        }
        let request = Request { name: spec.name.clone(), version: VersionRequest::Latest };
        let newest = match resolve::resolve(&registry, &open.location, &request, &[platform]) {
            Ok(resolved) => Some(resolved.spec.version),
            // Everything was withdrawn, or nothing is built for its platform any more.
            Err(
                SelectError::AllYanked { .. }
                | SelectError::NoArtifact { .. }
                | SelectError::DefinitionOnly { .. },
            ) => None,
            Err(error) => return Err(failure(&error)),
        };
        let newer = newest.filter(|newest| *newest > spec.version);
        let outdated = newer.is_some() || withdrawn.is_some();
        return Ok(outdated.then(|| Outdated {
            name: spec.name.to_string(),
            installed: spec.version.to_string(),
            available: newer.map(|version| version.to_string()),
            platform: platform.to_string(),
            registry: open.location.name.clone(),
            withdrawn: withdrawn.map(|yank| yank.reason.clone()),
        }));
    }
    Ok(None)
}
