//! `rnx runtime info`.

use rnx::failure::{ExitStatus, Failure};
use rnx::list::{self, Origin};
use rnx::record::{self, Record};
use rnx_spec::registry::{Artifact, Release, Request};
use rnx_spec::{Platform, RuntimeName, Version};
use serde::Serialize;

use crate::cli::context::{Context, OpenRegistry, request};
use crate::cli::failure::failure;
use crate::cli::render;

/// Tell about a runtime: where it is installed, or what a registry says
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The runtime; without a version, the highest installed or the newest published
    #[arg(value_name = "NAME[@VERSION]", value_parser = request)]
    request: Request,
    /// Ask this registry, even if the runtime is installed
    #[arg(long, value_name = "REGISTRY")]
    registry: Option<String>,
    /// Only what is built for this platform
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<Platform>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Info {
    name: RuntimeName,
    version: Version,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<std::path::PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    installed: Option<Record>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registry: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    versions: Vec<Version>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    artifacts: Vec<Built>,
}

#[derive(Debug, Serialize)]
struct Built {
    platform: Platform,
    sha256: String,
    size_bytes: u64,
    unpacked_bytes: u64,
}

/// Prints what is known.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus, Failure> {
    let request = context.config.expand(args.request.clone());
    let installed = list::find(&context.layout, &request);
    let info = match installed {
        Ok(installed) if args.registry.is_none() => of_install(context, installed)?,
        _ => of_registry(args, context, &request)?,
    };
    if args.json {
        render::print_json(&info)?;
    } else {
        render::print(&text(&info))?;
    }
    Ok(ExitStatus::Done)
}

fn of_install(context: &Context, installed: list::Installed) -> Result<Info, Failure> {
    let record = match installed.origin {
        Origin::Recorded => {
            Some(record::read(&context.layout, &installed.spec).map_err(|error| failure(&error))?)
        }
        Origin::Daemon => None,
    };
    let versions = list::of_name(&context.layout, &installed.spec.name)
        .map_err(|error| failure(&error))?
        .into_iter()
        .map(|other| other.spec.version)
        .collect();
    Ok(Info {
        name: installed.spec.name,
        version: installed.spec.version,
        description: None,
        path: Some(installed.dir),
        installed: record,
        registry: None,
        versions,
        artifacts: Vec::new(),
    })
}

fn of_registry(args: &Args, context: &Context, request: &Request) -> Result<Info, Failure> {
    let registries = context.registries(args.registry.as_deref())?;
    for open in &registries {
        if let Some(versions) = open.registry.runtimes().get(&request.name) {
            let asked = |release: &&Release| request.version.allows(release.spec.version);
            let release = versions.values().rev().find(asked);
            if let Some(release) = release {
                return Ok(of_release(
                    args,
                    open,
                    release,
                    versions.keys().rev().copied().collect(),
                ));
            }
        }
    }
    // The same question as an install asks, so the same answer why not.
    for open in &registries {
        rnx::resolve::resolve(&open.registry, &open.location, request, &Platform::ALL)
            .map_err(|error| failure(&error))?;
    }
    Err(Failure::message(ExitStatus::Findings, format!("no registry has `{request}`")))
}

fn of_release(args: &Args, open: &OpenRegistry, release: &Release, versions: Vec<Version>) -> Info {
    let built = |(&platform, artifact): (&Platform, &Artifact)| Built {
        platform,
        sha256: artifact.digest.hex(),
        size_bytes: artifact.size_bytes,
        unpacked_bytes: artifact.unpacked_bytes,
    };
    let wanted =
        |(platform, _): &(&Platform, &Artifact)| args.platform.is_none_or(|p| p == **platform);
    Info {
        name: release.spec.name.clone(),
        version: release.spec.version,
        description: Some(release.description.clone()),
        path: None,
        installed: None,
        registry: Some(open.location.document.to_string()),
        versions,
        artifacts: release.artifacts.iter().filter(wanted).map(built).collect(),
    }
}

fn text(info: &Info) -> String {
    let row = |name: &str, value: String| vec![name.to_owned(), render::shown(&value)];
    let mut rows =
        vec![row("name:", info.name.to_string()), row("version:", info.version.to_string())];
    rows.extend(info.description.clone().map(|text| row("description:", text)));
    rows.extend(info.path.as_ref().map(|path| row("path:", path.display().to_string())));
    if let Some(record) = &info.installed {
        rows.push(row("platform:", record.platform.to_string()));
        rows.push(row("installed:", record.installed_at.clone()));
        rows.push(row("registry:", record.registry.to_string()));
        rows.push(row("archive:", record.archive.to_string()));
        rows.push(row("size:", render::size(record.unpacked_bytes)));
    }
    rows.extend(info.registry.clone().map(|url| row("registry:", url)));
    let versions: Vec<String> = info.versions.iter().map(ToString::to_string).collect();
    let label = if info.path.is_some() { "all installed:" } else { "versions:" };
    if versions.len() > 1 || info.path.is_none() {
        rows.push(row(label, versions.join(", ")));
    }
    for built in &info.artifacts {
        let sizes = format!(
            "{} ({} to download)",
            render::size(built.unpacked_bytes),
            render::size(built.size_bytes)
        );
        rows.push(row(&format!("{}:", built.platform), sizes));
    }
    render::table(&rows)
}
