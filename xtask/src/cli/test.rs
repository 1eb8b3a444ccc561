//! `xtask test`: a manifest's tests, in a runtime that was built before.
#![expect(clippy::print_stdout, reason = "a command's rendering")]

use std::path::{Path, PathBuf};

use rnx::failure::{ExitStatus, Failure};
use rnx_spec::runtime_yml;
use xtask::audit::target::{self, Target};
use xtask::build::Event;
use xtask::definitions::{self, Definition};
use xtask::runtime_tests::{self, TestError, TestOutcome};

use super::progress::Screen;
use super::{audit, repo, try_run, workshop};
use crate::cli::Global;

/// Run a manifest's tests in a runtime that is built already
///
/// The archive is unpacked into a temporary folder, and each test runs as a job in it. A changed test can so be tried
/// without another build.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A runtime that is built in dist/ for this machine, an archive, or a folder with runtime.yml
    #[arg(value_name = "NAME|FILE")]
    target: String,
    /// The manifest with the tests [default: that of the runtime's definition in the repository]
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
}

/// Tests, and prints how each test ended.
pub(crate) fn run(args: &Args, global: &Global) -> Result<ExitStatus, Failure> {
    let given = Path::new(&args.target);
    let path = if given.exists() { given.to_owned() } else { built(&args.target, &repo(global)?)? };
    let target = target::at(&path).map_err(|error| audit::failed(&error))?;
    let definition = match &args.manifest {
        Some(manifest) => definitions::load_file(manifest)
            .map_err(|error| Failure::new(ExitStatus::Findings, &error))?,
        None => definition(&target, global)?,
    };
    let outcomes = test(&target, &definition)?;
    target.close().map_err(|error| Failure::new(ExitStatus::Host, &error))?;
    for outcome in &outcomes {
        println!("{outcome}");
    }
    let passed = outcomes.iter().filter(|outcome| outcome.passed()).count();
    println!("{}: {passed} of {} tests passed", definition.manifest.spec(), outcomes.len());
    let failed = outcomes.iter().any(TestOutcome::failed);
    Ok(if failed { ExitStatus::Findings } else { ExitStatus::Done })
}

fn built(name: &str, repo: &Path) -> Result<PathBuf, Failure> {
    if name.contains('/') {
        return Err(Failure::message(ExitStatus::Usage, format!("there is no `{name}`")));
    }
    try_run::built_archive(repo, name)
}

/// Returns the definition of the runtime in `target`, if it is of the same version.
fn definition(target: &Target, global: &Global) -> Result<Definition, Failure> {
    let hint = "name the manifest with its tests: `--manifest FILE`";
    let unknown =
        |error: &dyn std::error::Error| Failure::new(ExitStatus::Findings, error).hint(hint);
    let text =
        fs_err::read_to_string(target.root.join("runtime.yml")).map_err(|error| unknown(&error))?;
    let document = runtime_yml::parse(&text).map_err(|error| unknown(&error))?;
    let definition = workshop::load(&repo(global)?, &document.name)?;
    let version = definition.manifest.version;
    if document.version != version.to_string() {
        let message = format!(
            "`{}` is version {} of {}, and its manifest is of {version}",
            target.name.display(),
            document.version,
            document.name,
        );
        return Err(Failure::message(ExitStatus::Findings, message).hint(hint));
    }
    Ok(definition)
}

fn test(target: &Target, definition: &Definition) -> Result<Vec<TestOutcome>, Failure> {
    let manifest = &definition.manifest;
    if manifest.tests.is_empty() {
        return Err(Failure::message(
            ExitStatus::Findings,
            format!("the manifest of {} has no tests", manifest.name),
        ));
    }
    let runtime =
        rnx::run::load(&target.root).map_err(|source| failed(&TestError::Load { source }))?;
    let scratch = tempfile::tempdir().map_err(|error| Failure::new(ExitStatus::Host, &error))?;
    let progress = Screen::new().begin(manifest.spec().to_string(), false);
    let outcomes = runtime_tests::run_all(
        (&manifest.tests, &definition.dir),
        &runtime,
        scratch.path(),
        &mut |name| progress.show(&Event::Step(format!("testing: {name}"))),
    );
    progress.end();
    outcomes.map_err(|error| failed(&error))
}

fn failed(error: &TestError) -> Failure {
    let status = match error {
        TestError::Folder { .. } | TestError::Copy { .. } | TestError::Run { .. } => {
            ExitStatus::Host
        }
        _ => ExitStatus::Findings,
    };
    Failure::new(status, error)
}
