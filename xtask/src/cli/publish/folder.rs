//! Publishing into a folder, which any web server can serve, or none.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's rendering")]

use std::path::Path;

use rnx::failure::{ExitStatus, Failure};
use rnx::shown::shown_lines;
use rnx_spec::registry::Registry;
use xtask::git::Git;
use xtask::release::publish::folder::{self, Folder, OpenFolderError};
use xtask::release::publish::prepare::Prepared;
use xtask::release::publish::run::{self, Options};
use xtask::release::registry_branch::{Backoff, Change, with_releases};
use xtask::release::registry_file::{self, RegistryFileError};

use super::here::{failure, forge_failure, prepared};
use super::{Args, show};
use crate::cli::{now, yank};

/// Publishes, or says what that would do.
pub(super) fn run(args: &Args, to: &str, repo: &Path) -> Result<ExitStatus, Failure> {
    let dir = folder::target(to).ok_or_else(|| {
        Failure::message(ExitStatus::Usage, format!("`{to}` is no folder"))
            .hint("name a path or a `file://` URL; a web server then serves the folder")
    })?;
    let url = |file: &str| folder::address(&args.tag, file);
    let prepared = prepared(args, repo, &Git::new(repo), &url)?;
    let now = now();
    let change = Change {
        message: String::new(),
        names: prepared.releases.iter().map(|one| one.spec.name.clone()).collect(),
        apply: &|registry: &Registry| with_releases(registry, &prepared.releases, &now),
        now: now.clone(),
    };
    // Before anything is changed: a registry that refuses the release refuses it now.
    let due = registry_file::preview(&dir, &change).map_err(|error| registry_failure(&error))?;
    let options = Options { resume: args.resume, backoff: Backoff::default() };
    let wanted = &prepared.wanted;
    if args.dry_run {
        return dry_run(args, &prepared, &dir, (options, due));
    }
    let open = |error: &OpenFolderError| Failure::new(ExitStatus::Host, error);
    let mut target = Folder::open(&dir, &wanted.tag, &wanted.commit).map_err(|e| open(&e))?;
    show::listen("nothing half done is visible; run the same command again to continue")?;
    let mut show = show::Show::new();
    let published = run::run(wanted, &mut target, options, &mut |event| show.event(event));
    show.end();
    let published = published.map_err(|error| failure(&error))?;
    registry_file::change(&dir, &change).map_err(|error| registry_failure(&error))?;
    target.close().map_err(|e| open(&e))?;
    if args.json {
        let state = if due { "changed" } else { "unchanged" };
        println!(
            "{}",
            serde_json::json!({
                "tag": args.tag.to_string(), "page": published.page, "uploaded": published.uploaded,
                "kept": published.kept, "registry": {"state": state},
            })
        );
    } else {
        print!("{}", shown_lines(&format!("{} is published: {}\n", args.tag, published.page)));
    }
    Ok(ExitStatus::Done)
}

fn dry_run(
    args: &Args,
    prepared: &Prepared,
    dir: &Path,
    (options, due): (Options, bool),
) -> Result<ExitStatus, Failure> {
    let wanted = &prepared.wanted;
    run::check_digests(&wanted.files, &mut |file| eprintln!("checking {}", file.name))
        .map_err(|error| forge_failure(&error, Failure::new(ExitStatus::Integrity, &error)))?;
    let mut target = Folder::look(dir, &wanted.tag, &wanted.commit);
    let steps = run::preview(wanted, &mut target, options).map_err(|error| failure(&error))?;
    let mut lines: Vec<String> = steps.iter().map(ToString::to_string).collect();
    if due {
        let specs: Vec<String> = prepared.releases.iter().map(|one| one.spec.to_string()).collect();
        lines.push(format!("add {} to {}", specs.join(", "), dir.join("registry.json").display()));
    }
    if args.json {
        println!("{}", serde_json::json!({"tag": args.tag.to_string(), "steps": lines}));
    } else if lines.is_empty() {
        println!("{} is published and registered: nothing is left to do", args.tag);
    } else {
        for (number, line) in (1..).zip(&lines) {
            print!("{}", shown_lines(&format!("{number}. {line}\n")));
        }
    }
    Ok(ExitStatus::Done)
}

fn registry_failure(error: &RegistryFileError) -> Failure {
    match error {
        RegistryFileError::Change { source, .. } => yank::failure(source),
        _ => Failure::new(ExitStatus::Host, error),
    }
}
