//! `xtask publish`: a tag's files become a release that everybody sees, and an entry of the registry.

mod folder;
#[cfg(feature = "github")]
mod github;
mod here;
mod show;

use std::path::{Path, PathBuf};

use rnx::failure::{ExitStatus, Failure};
use rnx_spec::{Platform, Tag};

/// Publish what was built for a tag: a release on GitHub, then an entry of the registry
///
/// Nothing is visible before everything is in place: a draft gets the files, what GitHub stored is compared with what
/// was built, then the draft is published and the registry names it. It can be interrupted at any moment and run again,
/// here or elsewhere: what is there and right is left alone. The token is read from `GITHUB_TOKEN` or `GH_TOKEN`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are flags of a command line")]
pub(crate) struct Args {
    /// The tag, `name@version` or `vX.Y.Z`; its commit is checked out
    tag: Tag,
    /// Only continue what was begun; fail if nothing was
    #[arg(long)]
    resume: bool,
    /// Check everything, here and there, print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
    /// The built platforms to publish [default: all that the tag builds]
    #[arg(long = "platform", value_name = "PLATFORM")]
    platforms: Vec<Platform>,
    /// Publish also what a tag of all runtimes would leave out because nothing of it changed
    #[arg(long)]
    rebuild: bool,
    /// The folder with what was built [default: dist in the repository]
    #[arg(long, value_name = "DIR")]
    dist: Option<PathBuf>,
    /// Publish into this folder, a path or a `file://` URL, instead of to GitHub
    ///
    /// It is a registry that `rnx` installs from, as it lies there or over any web server.
    #[arg(long, value_name = "DIR")]
    to: Option<String>,
    /// The repository on GitHub [default: what the remote's address says]
    #[arg(long, value_name = "OWNER/NAME", env = "GITHUB_REPOSITORY")]
    repository: Option<String>,
    /// Where GitHub's API is
    #[arg(
        long,
        value_name = "URL",
        env = "GITHUB_API_URL",
        default_value = "https://api.github.com"
    )]
    api_url: String,
    /// Where people see GitHub
    #[arg(
        long,
        value_name = "URL",
        env = "GITHUB_SERVER_URL",
        default_value = "https://github.com"
    )]
    server_url: String,
    /// The remote whose default branch has the registry
    #[arg(long, value_name = "NAME", default_value = "origin")]
    remote: String,
}

/// Publishes.
pub(crate) fn run(args: &Args, repo: &Path) -> Result<ExitStatus, Failure> {
    if let Some(to) = &args.to {
        return folder::run(args, to, repo);
    }
    #[cfg(feature = "github")]
    return github::run(args, repo);
    #[cfg(not(feature = "github"))]
    return with_github(args, repo);
}

/// Lets this program with what speaks to GitHub do it: the client doubles the time of the first compile.
#[cfg(not(feature = "github"))]
#[expect(clippy::print_stderr, reason = "a command's rendering")]
fn with_github(args: &Args, _repo: &Path) -> Result<ExitStatus, Failure> {
    use xtask::tool::{self, Invocation};

    let Some(cargo) = std::env::var_os("CARGO") else {
        let message = format!("`{}` was built without what speaks to GitHub", args.tag);
        return Err(Failure::message(ExitStatus::Host, message)
            .hint("build it with that: `cargo build --package xtask --features github`"));
    };
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let mut run = Invocation::new(cargo).args(["run", "--quiet", "--features", "github"]);
    run = run.arg("--manifest-path").arg(manifest);
    if !cfg!(debug_assertions) {
        run = run.arg("--release");
    }
    eprintln!("building what speaks to GitHub; the first time takes a while");
    let status = tool::interactive(&run.arg("--").args(std::env::args_os().skip(1)))
        .map_err(|error| Failure::new(ExitStatus::Host, &error))?;
    Ok(match status.code() {
        Some(0) => ExitStatus::Done,
        Some(2) => ExitStatus::Usage,
        Some(3) => ExitStatus::Network,
        Some(4) => ExitStatus::Integrity,
        Some(5) => ExitStatus::Host,
        _ => ExitStatus::Findings,
    })
}
