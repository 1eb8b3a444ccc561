//! `rnx runtime info`.

use rnx::contents;
use rnx::failure::{ExitStatus, Failure};
use rnx::list::{self, Origin};
use rnx::output::{self, Component, Info, InstalledInfo, InstalledRecord, RegistryName};
use rnx::record;
use rnx::registry::OpenRegistry;
use rnx_spec::registry::{Artifact, Release, Request, VersionRequest};
use rnx_spec::{Platform, runtime_yml};

use crate::cli::context::{Context, Registries, choose, request};
use crate::cli::failure::failure;
use crate::cli::list::origin;
use crate::cli::render;

/// Tell about a runtime: what a registry says, and where it is installed
///
/// Of an installed runtime this tells what is known here, and asks no server unless --registry or --contents is said.
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
    /// List everything inside, from the SBOM that the registry names
    #[arg(long)]
    contents: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints what is known.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus, Failure> {
    let request = context.config.expand(args.request.clone());
    let installed = list::find(&context.layout, &request).ok().filter(|_| args.registry.is_none());
    let mut info = Info::default();
    let mut wanted = request.clone();
    if let Some(installed) = &installed {
        of_install(context, installed, &mut info)?;
        wanted.version = VersionRequest::Exact(installed.spec.version);
    }
    let installed_versions =
        list::of_name(&context.layout, &request.name).map_err(|error| failure(&error))?;
    info.installed_versions =
        installed_versions.iter().map(|other| other.spec.version.to_string()).collect();
    of_registries(args, context, &wanted, installed.is_some(), &mut info)?;
    if args.json {
        render::print_json(&info)?;
    } else {
        render::print(&text(&info))?;
    }
    Ok(ExitStatus::Done)
}

fn of_install(
    context: &Context,
    installed: &list::Installed,
    info: &mut Info,
) -> Result<(), Failure> {
    let record = match installed.origin {
        Origin::Recorded => {
            let record = record::read(&context.layout, &installed.spec);
            Some(record.map_err(|error| failure(&error))?)
        }
        Origin::Daemon => None,
    };
    info.name = installed.spec.name.to_string();
    info.version = installed.spec.version.to_string();
    // A tree that says nothing of itself is still installed; `verify` tells about it.
    let yml = fs_err::read_to_string(installed.dir.join("runtime.yml")).ok();
    let yml = yml.and_then(|text| runtime_yml::parse(&text).ok());
    info.description = yml.map(|yml| yml.description).filter(|text| !text.is_empty());
    info.installed = Some(InstalledInfo {
        path: installed.dir.clone(),
        origin: origin(installed.origin),
        record: record.map(|record| InstalledRecord {
            platform: record.platform.to_string(),
            registry: record.registry.to_string(),
            archive: record.archive.to_string(),
            unpacked_bytes: record.unpacked_bytes,
            entries: record.entries,
            installed_at: record.installed_at,
        }),
    });
    Ok(())
}

/// Adds what the first registry says that knows the runtime. Of an installed one, nobody needs to know more.
fn of_registries(
    args: &Args,
    context: &Context,
    request: &Request,
    is_installed: bool,
    info: &mut Info,
) -> Result<(), Failure> {
    let registries = if is_installed && !args.contents {
        context.kept()?
    } else {
        context.readable(args.registry.as_deref())?
    };
    if is_known(args, &registries, request, info)? || is_installed {
        return Ok(());
    }
    // The same question as an install asks, so the same answer why not; and a last look at the servers.
    let registries = Registries { open: registries, unreadable: None };
    choose(&registries, request, &Platform::ALL)?;
    is_known(args, &registries.open, request, info).map(drop)
}

fn is_known(
    args: &Args,
    registries: &[OpenRegistry],
    request: &Request,
    info: &mut Info,
) -> Result<bool, Failure> {
    for open in registries {
        let registry = open.only(&request.name).map_err(|error| failure(&error))?;
        let published = registry.runtimes().get(&request.name);
        let asked = |release: &&Release| request.version.allows(release.spec.version);
        let release = published.and_then(|versions| versions.values().rev().find(asked));
        let withdrawn = registry.yanked().get(&request.name).and_then(|versions| {
            let VersionRequest::Exact(version) = request.version else { return None };
            versions.get(&version)
        });
        info.withdrawn = withdrawn.map(|yank| yank.reason.clone());
        let Some(release) = release.or_else(|| withdrawn?.release.as_ref()) else { continue };
        let versions = published.into_iter().flatten().rev();
        info.versions = versions.map(|(version, _)| version.to_string()).collect();
        of_release(args, open, release, info)?;
        return Ok(true);
    }
    Ok(false)
}

fn of_release(
    args: &Args,
    open: &OpenRegistry,
    release: &Release,
    info: &mut Info,
) -> Result<(), Failure> {
    let wanted =
        |(platform, _): &(&Platform, &Artifact)| args.platform.is_none_or(|p| p == **platform);
    info.name = release.spec.name.to_string();
    info.version = release.spec.version.to_string();
    info.description = Some(release.description.clone());
    info.license.clone_from(&release.license);
    info.released_at.clone_from(&release.released_at);
    info.source_commit.clone_from(&release.source_commit);
    info.registry = Some(RegistryName {
        name: open.location.name.clone(),
        url: open.location.document.to_string(),
    });
    info.artifacts = release.artifacts.iter().filter(wanted).map(built).collect();
    if args.contents {
        info.contents = Some(components(args, open, release, info)?);
    }
    Ok(())
}

fn built((platform, artifact): (&Platform, &Artifact)) -> output::Artifact {
    output::Artifact {
        platform: platform.to_string(),
        sha256: artifact.digest.hex(),
        size_bytes: artifact.size_bytes,
        unpacked_bytes: artifact.unpacked_bytes,
        entries: artifact.entries,
        parts: artifact.parts.len().max(1),
        requires_cpu: artifact.requires.cpu.clone(),
        requires_kernel: artifact.requires.kernel.clone(),
        has_sbom: artifact.sbom.is_some(),
    }
}

/// Returns what is inside: of the installed build, of the one that was asked for, or of the first.
fn components(
    args: &Args,
    open: &OpenRegistry,
    release: &Release,
    info: &Info,
) -> Result<Vec<Component>, Failure> {
    let installed = info.installed.as_ref().and_then(|installed| installed.record.as_ref());
    let installed = installed.and_then(|record| record.platform.parse().ok());
    let platform = args.platform.or(installed);
    let artifact = match platform {
        Some(platform) => release.artifacts.get(&platform),
        None => release.artifacts.values().find(|artifact| artifact.sbom.is_some()),
    };
    let Some(sbom) = artifact.and_then(|artifact| artifact.sbom.as_ref()) else {
        let text = format!("the registry names no SBOM of `{}`", release.spec);
        return Err(Failure::message(ExitStatus::Findings, text)
            .hint("what was built before SBOMs were made has none: ask for a newer version"));
    };
    contents::read(open, sbom).map_err(|error| failure(&error))
}

fn text(info: &Info) -> String {
    let row = |name: &str, value: String| vec![name.to_owned(), render::shown(&value)];
    let mut rows = vec![row("name:", info.name.clone()), row("version:", info.version.clone())];
    rows.extend(info.description.clone().map(|text| row("description:", text)));
    rows.extend(info.withdrawn.clone().map(|reason| row("withdrawn:", reason)));
    rows.extend(info.license.clone().map(|text| row("license:", text)));
    rows.extend(info.released_at.clone().map(|text| row("released:", text)));
    if let Some(installed) = &info.installed {
        rows.push(row("path:", installed.path.display().to_string()));
        if let Some(record) = &installed.record {
            rows.push(row("platform:", record.platform.clone()));
            rows.push(row("installed:", record.installed_at.clone()));
            rows.push(row("size:", render::size(record.unpacked_bytes)));
            rows.push(row("archive:", record.archive.clone()));
        }
    }
    let from = info
        .registry
        .as_ref()
        .map(|registry| registry.url.clone())
        .or_else(|| Some(info.installed.as_ref()?.record.as_ref()?.registry.clone()));
    rows.extend(from.map(|url| row("registry:", url)));
    if !info.versions.is_empty() {
        rows.push(row("versions:", info.versions.join(", ")));
    }
    if !info.installed_versions.is_empty() {
        rows.push(row("all installed:", info.installed_versions.join(", ")));
    }
    for built in &info.artifacts {
        rows.push(row(&format!("{}:", built.platform), artifact(built)));
    }
    if info.registry.is_some() && info.artifacts.is_empty() {
        rows.push(row("builds:", "none: the registry has the definition alone".to_owned()));
    }
    let mut text = render::table(&rows);
    if let Some(contents) = &info.contents {
        text.push_str("\nInside:\n");
        text.push_str(&inside(contents));
    }
    text.push_str("\nUse it:\n");
    text.push_str(&usage(info));
    text
}

fn artifact(built: &output::Artifact) -> String {
    let (unpacked, download) = (render::size(built.unpacked_bytes), render::size(built.size_bytes));
    let parts = match built.parts {
        1 => String::new(),
        parts => format!(" in {parts} parts"),
    };
    let kernel = built.requires_kernel.as_ref().map(|version| format!("Linux {version}"));
    let needs: Vec<String> = built.requires_cpu.clone().into_iter().chain(kernel).collect();
    let needs = match needs.join(" and ") {
        needs if needs.is_empty() => needs,
        needs => format!(", needs {needs}"),
    };
    format!("{unpacked} ({download} to download{parts}){needs}")
}

fn inside(contents: &[Component]) -> String {
    let or_dash = |text: &Option<String>| render::shown(text.as_deref().unwrap_or("-"));
    let row = |component: &Component| {
        let licenses = component.licenses.join(", ");
        vec![
            format!("  {}", render::shown(&component.name)),
            or_dash(&component.version),
            or_dash(&component.kind),
            render::shown(&licenses),
        ]
    };
    let rows: Vec<_> = contents.iter().map(row).collect();
    render::table_for_terminal(&rows)
}

/// Returns the commands that come next.
fn usage(info: &Info) -> String {
    let newest = info.versions.first().is_none_or(|newest| *newest == info.version);
    let spec = if newest { info.name.clone() } else { format!("{}@{}", info.name, info.version) };
    let mut lines = Vec::new();
    if info.installed.is_none() && !info.artifacts.is_empty() {
        lines.push(format!("  rnx runtime install {spec}\n"));
    }
    if info.installed.is_some() || !info.artifacts.is_empty() {
        lines.push(format!("  rnx job run --runtime={spec} COMMAND…\n"));
    }
    if info.artifacts.iter().any(|built| built.has_sbom) && info.contents.is_none() {
        lines.push(format!("  rnx runtime info {spec} --contents    lists what is inside\n"));
    }
    if lines.is_empty() {
        lines.push("  cargo xtask build, in the repository of its definition\n".to_owned());
    }
    lines.concat()
}
