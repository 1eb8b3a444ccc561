//! `xtask yank`: withdraws a published version, or takes that back.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's rendering")]

use std::path::{Path, PathBuf};

use rnx::failure::{ExitStatus, Failure};
use rnx::shown::shown_lines;
use rnx_spec::registry::{self, Registry};
use rnx_spec::{RuntimeSpec, Version};
use xtask::release::registry_branch::{
    Backoff, Change, ChangeError, PushRegistryError, Pushed, RegistryBranch, push,
};
use xtask::release::registry_file;

use super::release::confirmed;
use super::{git_with_token, now};

/// Withdraw a published version: it is offered no more, and its number is not used again
///
/// The entry moves to where no reader looks for versions; its files stay, and what is installed keeps running. The
/// change is pushed to the branch of the registry.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The version to withdraw, as `name@version`
    spec: RuntimeSpec,
    /// Why; whoever asks for the version reads it
    #[arg(long, value_name = "TEXT", required_unless_present = "undo")]
    reason: Option<String>,
    /// The published version to use instead
    #[arg(long, value_name = "X.Y.Z", conflicts_with = "undo")]
    replacement: Option<Version>,
    /// Bring a withdrawn version back, as it was published
    #[arg(long, conflicts_with = "reason")]
    undo: bool,
    /// Change the `registry.json` of this folder, and push nothing
    #[arg(long, value_name = "DIR", conflicts_with_all = ["remote", "yes"])]
    r#in: Option<PathBuf>,
    /// Do not ask before pushing
    #[arg(long, short)]
    yes: bool,
    /// The remote whose default branch has the registry
    #[arg(long, value_name = "NAME", default_value = "origin")]
    remote: String,
}

/// Withdraws, or brings back.
pub(crate) fn run(args: &Args, repo: &Path) -> Result<ExitStatus, Failure> {
    let now = now();
    let change = |registry: &Registry| {
        let why = (args.reason.as_deref().unwrap_or_default(), args.replacement);
        if args.undo {
            registry::undo_yank(registry, &args.spec, &now)
        } else {
            registry::yank(registry, &args.spec, why, &now)
        }
    };
    let what = if args.undo { "brought back" } else { "withdrawn" };
    if let Some(dir) = &args.r#in {
        let findings = |error: &dyn std::error::Error| Failure::new(ExitStatus::Findings, error);
        let change = Change {
            message: String::new(),
            names: vec![args.spec.name.clone()],
            apply: &|registry| change(registry).map_err(ChangeError::Yank),
            now: now.clone(),
        };
        registry_file::change(dir, &change).map_err(|error| findings(&error))?;
        println!("{} is {what}", args.spec);
        return Ok(ExitStatus::Done);
    }
    if !args.yes && !confirmed(&args.remote)? {
        eprintln!("nothing was done");
        return Ok(ExitStatus::Findings);
    }
    let branch = RegistryBranch::on_default_branch(git_with_token(repo), &args.remote)
        .map_err(|error| Failure::new(ExitStatus::Network, &error))?;
    let pushed = push(
        &branch,
        &Change {
            message: format!("registry: {} is {what}\n", args.spec),
            names: vec![args.spec.name.clone()],
            apply: &|registry| change(registry).map_err(ChangeError::Yank),
            now: now.clone(),
        },
        Backoff::default(),
    )
    .map_err(|error| failure(&error))?;
    Ok(report(&pushed))
}

/// Says what became of a change to the registry.
pub(super) fn report(pushed: &Pushed) -> ExitStatus {
    match pushed {
        Pushed::Nothing => println!("the registry says so already"),
        Pushed::Commit { id, .. } => println!("the registry is changed: {id}"),
        Pushed::Proposed { branch, reason, .. } => {
            eprint!("{}", shown_lines(&format!("the remote refuses the push:\n{reason}\n")));
            eprintln!("hint: the change is on the branch `{branch}`: make a pull request of it");
            return ExitStatus::Findings;
        }
    }
    ExitStatus::Done
}

/// Says why the registry was not changed, and what to do.
pub(super) fn failure(error: &PushRegistryError) -> Failure {
    match error {
        PushRegistryError::Races { .. } => Failure::new(ExitStatus::Network, error)
            .hint("others publish at the same time: run the same command again"),
        PushRegistryError::Git(_) => Failure::new(ExitStatus::Network, error),
        PushRegistryError::Refused { .. } => Failure::new(ExitStatus::Findings, error)
            .hint("push with an account that may, or ask someone who does"),
        PushRegistryError::Scratch { .. } => Failure::new(ExitStatus::Host, error),
        PushRegistryError::Parse { .. } | PushRegistryError::Findings { .. } => {
            Failure::new(ExitStatus::Findings, error)
                .hint("`cargo xtask registry check` shows what is wrong with it")
        }
        PushRegistryError::Change { .. } => Failure::new(ExitStatus::Findings, error),
    }
}
