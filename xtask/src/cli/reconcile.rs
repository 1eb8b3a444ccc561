//! `xtask registry reconcile`: finds where a registry and its releases went apart, and adds what is missing.
#![expect(clippy::print_stdout, reason = "a command's rendering")]

use std::path::{Path, PathBuf};

use rnx::failure::{ExitStatus, Failure};
use rnx::shown::shown_lines;
use rnx_spec::registry::{Ledger, Release};
use rnx_spec::{SourceUrl, Tag};
use rnx_store::fetch::Fetcher;
use xtask::git::Git;
use xtask::release::reconcile::{self, Differences, Places, ReconcileError};
use xtask::release::registry_branch::{
    Backoff, Change, REGISTRY_FILE, RegistryBranch, push, with_releases,
};
use xtask::release::registry_file;

use super::base::fetch_options;
use super::{git_with_token, now, yank};

/// Find releases that the registry lacks, and entries whose files are gone
///
/// What a release says of itself is read from its `.release.json`. With --yes, what is missing is added; an entry whose
/// files are gone is told, and nothing is done about it: publish the tag again, or withdraw the version.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Look at the registry of this folder, and the releases in it
    #[arg(long, value_name = "DIR")]
    r#in: Option<PathBuf>,
    /// The remote whose default branch has the registry, and whose tags were released
    #[arg(long, value_name = "NAME", default_value = "origin")]
    remote: String,
    /// Where files of releases are, as `URL/<tag>/<file>` [default: the releases of the remote on GitHub]
    #[arg(long, value_name = "URL")]
    releases: Option<String>,
    /// Add the missing releases to the registry
    #[arg(long, short)]
    yes: bool,
}

/// Compares, tells, and adds.
pub(super) fn run(args: &Args, global: &super::Global) -> Result<ExitStatus, Failure> {
    match &args.r#in {
        Some(dir) => folder(args, dir),
        None => remote(args, &super::repo(global)?),
    }
}

fn folder(args: &Args, dir: &Path) -> Result<ExitStatus, Failure> {
    let host = |error: std::io::Error| Failure::new(ExitStatus::Host, &error);
    let dir = fs_err::canonicalize(dir).map_err(host)?;
    let text = match fs_err::read_to_string(dir.join(REGISTRY_FILE)) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(host(error)),
    };
    let mut tags = Vec::new();
    for entry in fs_err::read_dir(&dir).map_err(host)? {
        let name = entry.map_err(host)?.file_name();
        tags.extend(name.to_string_lossy().parse::<Tag>());
    }
    tags.sort();
    let url = |path: &Path| {
        SourceUrl::from_path(path)
            .ok_or_else(|| Failure::message(ExitStatus::Bug, "a canonical path is absolute"))
    };
    let (registry, own) = (url(&dir.join(REGISTRY_FILE))?, url(&dir)?);
    let releases = args.releases.clone().unwrap_or_else(|| own.to_string());
    let found = compare(text, &tags, Places { registry: &registry, releases: &releases })?;
    settle(args, &found, &|change| {
        registry_file::change(&dir, change)
            .map(|()| ExitStatus::Done)
            .map_err(|error| Failure::new(ExitStatus::Findings, &error))
    })
}

fn remote(args: &Args, repo: &Path) -> Result<ExitStatus, Failure> {
    let network = |error: &dyn std::error::Error| Failure::new(ExitStatus::Network, error);
    let git = git_with_token(repo);
    let refs = git.remote_refs(&args.remote).map_err(|error| network(&error))?;
    let tags = refs.refs.keys().filter_map(|name| name.strip_prefix("refs/tags/")?.parse().ok());
    let tags: Vec<Tag> = tags.collect();
    let releases = match &args.releases {
        Some(url) => url.clone(),
        None => github_releases(&git, &args.remote)?,
    };
    let branch =
        RegistryBranch::on_default_branch(git, &args.remote).map_err(|error| network(&error))?;
    let text = branch.text().map_err(|error| yank::failure(&error))?;
    // Addresses in the registry of a remote are absolute; a relative one would be below the releases.
    let registry = format!("{}/{REGISTRY_FILE}", releases.trim_end_matches('/'));
    let registry: SourceUrl =
        registry.parse().map_err(|error| Failure::new(ExitStatus::Usage, &error))?;
    let found = compare(text, &tags, Places { registry: &registry, releases: &releases })?;
    settle(args, &found, &|change| {
        let pushed = push(&branch, change, Backoff::default());
        pushed.map(|pushed| yank::report(&pushed)).map_err(|error| yank::failure(&error))
    })
}

/// Returns where GitHub serves the files of a remote's releases.
fn github_releases(git: &Git, remote: &str) -> Result<String, Failure> {
    let url = git
        .ask("read the remote's address", ["remote", "get-url", remote])
        .map_err(|error| Failure::new(ExitStatus::Usage, &error))?;
    let path = url.rsplit_once("github.com").map(|(_, path)| path.trim_start_matches([':', '/']));
    match path.map(|path| path.trim_end_matches('/').trim_end_matches(".git")) {
        Some(path) if path.split('/').count() == 2 => {
            Ok(format!("https://github.com/{path}/releases/download"))
        }
        _ => {
            Err(Failure::message(ExitStatus::Usage, format!("`{url}` is no repository on GitHub"))
                .hint("say where files of releases are: `--releases URL`"))
        }
    }
}

fn compare(text: Option<String>, tags: &[Tag], places: Places<'_>) -> Result<Differences, Failure> {
    let ledger = text.map_or_else(|| Ledger::empty(&now()), Ledger::read).map_err(|error| {
        Failure::new(ExitStatus::Findings, &error)
            .hint("`cargo xtask registry check` shows what is wrong with it")
    })?;
    let mut names = ledger.names();
    names.extend(tags.iter().filter_map(|tag| match tag {
        Tag::One(spec) => Some(spec.name.clone()),
        Tag::All(_) => None,
    }));
    let fetcher =
        Fetcher::new(&fetch_options()?).map_err(|error| Failure::new(ExitStatus::Host, &error))?;
    reconcile::compare(&fetcher, &ledger, (tags, &names), places).map_err(|error| {
        let status = match &error {
            ReconcileError::Read { .. } | ReconcileError::Ask { .. } => ExitStatus::Network,
            _ => ExitStatus::Findings,
        };
        Failure::new(status, &error)
    })
}

/// Tells the differences, and adds what is missing where that was asked for.
fn settle(
    args: &Args,
    found: &Differences,
    apply: &dyn Fn(&Change<'_>) -> Result<ExitStatus, Failure>,
) -> Result<ExitStatus, Failure> {
    let Differences { missing, unpublished, gone } = found;
    for Release { spec, .. } in missing {
        println!("{spec} is released, and the registry lacks it");
    }
    for tag in unpublished {
        println!("{tag} is tagged, and not released: publish it, or run its workflow again");
    }
    for (spec, url) in gone {
        print!(
            "{}",
            shown_lines(&format!("{spec} is in the registry, and its file is gone: {url}\n"))
        );
    }
    if missing.is_empty() && unpublished.is_empty() && gone.is_empty() {
        println!("the registry and its releases agree");
        return Ok(ExitStatus::Done);
    }
    if !args.yes || missing.is_empty() {
        return Ok(ExitStatus::Findings);
    }
    let now = now();
    let specs: Vec<String> = missing.iter().map(|one| one.spec.to_string()).collect();
    let status = apply(&Change {
        message: format!("registry: {}\n", specs.join(", ")),
        names: missing.iter().map(|one| one.spec.name.clone()).collect(),
        apply: &|registry| with_releases(registry, missing, &now),
        now: now.clone(),
    })?;
    println!("added {}", specs.join(", "));
    let settled = unpublished.is_empty() && gone.is_empty();
    Ok(if settled { status } else { ExitStatus::Findings })
}
