//! What publishing to every forge shares: reading this clone and what was built, and saying why something failed.

use std::path::Path;

use rnx::failure::{ExitStatus, Failure};
use rnx_spec::Platform;
use rnx_spec::source::UrlReference;
use xtask::git::Git;
use xtask::release::publish::collect::Tagged;
use xtask::release::publish::prepare::{self, PrepareError, Prepared};
use xtask::release::publish::{PlanError, forge::ForgeError, run::PublishError};
use xtask::release::{plan, registry_file, tagged};

use super::Args;

/// Returns the release that the tag makes of what was built; `url` says where users will find its files.
pub(super) fn prepared(
    args: &Args,
    repo: &Path,
    git: &Git,
    url: &dyn Fn(&str) -> Option<UrlReference>,
) -> Result<Prepared, Failure> {
    let findings = |error: &dyn std::error::Error| Failure::new(ExitStatus::Findings, error);
    let checkout = format!("check it out: `git checkout {}`", args.tag);
    let facts = prepare::read_tag(git, &args.tag).map_err(|error| match &error {
        PrepareError::NoTag { .. } => findings(&error).hint(format!(
            "fetch it, `git fetch {} tag {}`, or make it: `cargo xtask release`",
            args.remote, args.tag
        )),
        PrepareError::Changed { .. } => {
            findings(&error).hint("a release is made of a commit: commit or remove them")
        }
        _ => findings(&error).hint(checkout.clone()),
    })?;
    let registry = if args.rebuild {
        None
    } else {
        registry_file::read(repo).map_err(|error| findings(&error))?
    };
    let planned = plan::plan(repo, &args.tag, registry.as_ref())
        .map_err(|error| findings(&error).hint(checkout.clone()))?;
    let definitions = tagged::definitions(repo, &args.tag)
        .map_err(|error| findings(&error).hint(checkout.clone()))?;
    let mut runtimes = Vec::new();
    for definition in definitions {
        let spec = definition.manifest.spec();
        let Some(one) = planned.runtimes.iter().find(|one| one.spec == spec) else { continue };
        let folder = definition.dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let builds = chosen(&one.builds, &args.platforms)?;
        let (manifest, text) = (definition.manifest, definition.text);
        runtimes.push(Tagged { folder, manifest, text, builds });
    }
    let dist = args.dist.clone().unwrap_or_else(|| repo.join("dist"));
    prepare::prepare(git, (&args.tag, &facts), &runtimes, &dist, url).map_err(|error| {
        findings(&error).hint("build what is missing: `cargo xtask build NAME --platform PLATFORM`")
    })
}

/// Returns the builds to publish, of those that the tag has.
fn chosen(builds: &[Platform], asked: &[Platform]) -> Result<Vec<Platform>, Failure> {
    if asked.is_empty() {
        return Ok(builds.to_vec());
    }
    if let Some(unknown) = asked.iter().find(|platform| !builds.contains(platform)) {
        let known: Vec<String> = builds.iter().map(ToString::to_string).collect();
        let message = format!("the tag builds {}, not {unknown}", known.join(", "));
        return Err(Failure::message(ExitStatus::Usage, message));
    }
    Ok(builds.iter().filter(|build| asked.contains(build)).copied().collect())
}

/// Says why a tag was not published, and what to do.
pub(super) fn failure(error: &PublishError) -> Failure {
    let continues = "what is done stays; run the same command again to continue";
    match error {
        PublishError::Forge { source, .. } => {
            let status = match &**source {
                ForgeError::Changed { .. } => ExitStatus::Integrity,
                ForgeError::Read { .. } | ForgeError::Write { .. } => ExitStatus::Host,
                error if error.retry().is_some() => ExitStatus::Network,
                _ => ExitStatus::Findings,
            };
            forge_failure(source, Failure::new(status, error)).hint(continues)
        }
        PublishError::Stored { .. } => Failure::new(ExitStatus::Integrity, error).hint(continues),
        PublishError::Plan(PlanError::Conflict { draft: Some(page), .. } | PlanError::Unexpected { page, .. }) => {
            Failure::new(ExitStatus::Findings, error).hint(format!(
                "nobody has seen the draft: if it is of no use, delete it ({page}) and run the same command again"
            ))
        }
        PublishError::Plan(_) => Failure::new(ExitStatus::Integrity, error)
            .hint("release a higher version: `cargo xtask release NAME --bump patch`"),
        PublishError::NoTag { tag } => Failure::new(ExitStatus::Findings, error)
            .hint(format!("push it: `git push origin {}`", tag.reference())),
        PublishError::TagMoved { .. } => Failure::new(ExitStatus::Findings, error)
            .hint("a tag never moves: fetch GitHub's, and release changes under a higher version"),
        PublishError::NothingToResume { .. } => {
            Failure::new(ExitStatus::Usage, error).hint("begin: leave `--resume` out")
        }
    }
}

/// Adds what a forge's refusal asks for.
pub(super) fn forge_failure(error: &ForgeError, failure: Failure) -> Failure {
    match error {
        ForgeError::Answered { status: 401, .. } => {
            failure.hint("the token in GITHUB_TOKEN or GH_TOKEN is wrong or has expired")
        }
        ForgeError::Answered { status: 403 | 404, .. } => failure.hint(
            "the token must be allowed to write the contents (and, for a proposal, pull requests) of the repository",
        ),
        ForgeError::Changed { .. } => {
            failure.hint("build it again: `cargo xtask build`, then publish")
        }
        _ => failure,
    }
}
