//! `xtask new`: a definition to begin with.
#![expect(clippy::print_stdout, reason = "what was made and what comes next")]

use rnx::failure::{ExitStatus, Failure};
use rnx_spec::RuntimeName;
use xtask::scaffold::{self, ScaffoldError, Template};

use crate::cli::{Global, repo};

/// Begin a definition that validates and builds as it is
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The runtime's name, which is its folder too
    name: RuntimeName,
    /// What to begin with
    #[arg(long, value_enum, default_value_t = Template::Blank)]
    template: Template,
    /// What the runtime is, in one line
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

/// Writes the definition.
pub(crate) fn run(args: &Args, global: &Global) -> Result<ExitStatus, Failure> {
    let repo = repo(global)?;
    let files = scaffold::files(&args.name, args.template, args.description.as_deref());
    let dir = scaffold::write(&repo, &args.name, &files).map_err(|error| match error {
        ScaffoldError::Exists { .. } => Failure::new(ExitStatus::Usage, &error)
            .hint("choose another name, or remove the folder"),
        ScaffoldError::Write { .. } => Failure::new(ExitStatus::Findings, &error),
    })?;
    let name = &args.name;
    println!("wrote {}", dir.display());
    println!("next: cargo xtask validate {name}, then cargo xtask build {name}");
    Ok(ExitStatus::Done)
}
