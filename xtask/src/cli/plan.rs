//! `xtask plan`: what a tag builds.
#![expect(clippy::print_stdout, reason = "a command's rendering")]

use std::path::Path;

use rnx::failure::{ExitStatus, Failure};
use rnx::shown::shown_lines;
use rnx_spec::Tag;
use xtask::release::plan;
use xtask::release::registry_file;

/// Print what a tag builds: every runtime of it, on every platform that has a build of its own
///
/// A tag of all runtimes (`vX.Y.Z`) leaves out those of which nothing changed since their last release.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The tag: `name@version` or `vX.Y.Z`; the checkout is what it names
    #[arg(required_unless_present = "all")]
    tag: Option<Tag>,
    /// Plan every runtime of the repository as it is, released or not
    #[arg(long, conflicts_with_all = ["tag", "rebuild"])]
    all: bool,
    /// How to print the plan
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Leave nothing out
    #[arg(long)]
    rebuild: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Human,
    /// The value of `strategy.matrix` in a GitHub workflow, as JSON on one line
    GithubMatrix,
}

/// Plans.
pub(crate) fn run(args: &Args, repo: &Path) -> Result<ExitStatus, Failure> {
    let registry = if args.rebuild || args.all {
        None
    } else {
        registry_file::read(repo).map_err(|error| Failure::new(ExitStatus::Findings, &error))?
    };
    let plan = match &args.tag {
        Some(tag) => plan::plan(repo, tag, registry.as_ref()).map_err(|error| {
            Failure::new(ExitStatus::Findings, &error)
                .hint("check out the commit that the tag names")
        }),
        None => plan::everything(repo).map_err(|error| Failure::new(ExitStatus::Findings, &error)),
    }?;
    match args.format {
        Format::Human => print!("{}", shown_lines(&plan.to_string())),
        Format::GithubMatrix => println!("{}", plan.github_matrix()),
    }
    Ok(ExitStatus::Done)
}
