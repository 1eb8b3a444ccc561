//! `xtask diff`: what changed between two artifacts.
#![expect(clippy::print_stdout, reason = "a command's rendering")]

use std::fmt::Write as _;
use std::path::Path;

use rnx::failure::{ExitStatus, Failure};
use rnx::shown::shown_lines;
use rnx_spec::{Arch, Distro, Platform, RuntimeSpec};
use xtask::diff::load::{self, LoadArtifactError, Published};
use xtask::diff::{self, Artifact, Difference, Sizes};

use super::base::{Settings, fetch_options};

/// How many changed files are listed without --files.
const FILES_SHOWN: usize = 40;

/// Show what changed between two artifacts: packages, files, sizes
///
/// Each is a file of an artifact (dist/….tar.gz, with its .files.json and .sbom.json beside it), or a version NAME@V that
/// is built in dist/ or published in registry.json.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The artifact before: a file or NAME@V
    #[arg(value_name = "A")]
    before: String,
    /// The artifact after: a file or NAME@V
    #[arg(value_name = "B")]
    after: String,
    /// The platform of versions [default: this machine's architecture on Ubuntu]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// List every changed file
    #[arg(long)]
    files: bool,
    /// Print everything that changed as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

/// Compares, and prints.
pub(crate) fn run(args: &Args, repo: &Path) -> Result<ExitStatus, Failure> {
    let before = find(&args.before, args, repo)?;
    let after = find(&args.after, args, repo)?;
    let difference = diff::diff(&before, &after);
    if args.json {
        println!("{}", json(&before, &after, &difference)?);
    } else {
        let files_max = if args.files { usize::MAX } else { FILES_SHOWN };
        print!("{}", shown_lines(&rendered(&before, &after, &difference, files_max)));
    }
    Ok(ExitStatus::Done)
}

fn find(text: &str, args: &Args, repo: &Path) -> Result<Artifact, Failure> {
    let path = Path::new(text);
    if path.is_file() {
        return load::from_file(path).map_err(|error| failed(&error));
    }
    let Ok(spec) = text.parse::<RuntimeSpec>() else {
        let message = format!("`{text}` is neither a file nor NAME@VERSION");
        return Err(Failure::message(ExitStatus::Usage, message));
    };
    let platform = args.platform.or_else(native).unwrap_or(Platform::ALL[0]);
    let built = load::from_dist(&repo.join("dist"), &spec, platform);
    if let Some(artifact) = built.map_err(|error| failed(&error))? {
        return Ok(artifact);
    }
    let (registry, cache_dir, fetch) =
        (repo.join("registry.json"), args.settings.cache_dir()?, fetch_options()?);
    let published = Published { registry: &registry, cache_dir: &cache_dir, fetch: &fetch };
    load::from_registry(&published, &spec, platform).map_err(|error| failed(&error))?.ok_or_else(
        || {
            let message = format!("{spec} is neither built in dist/ nor published for {platform}");
            Failure::message(ExitStatus::Findings, message)
                .hint("another platform: `--platform PLATFORM`")
        },
    )
}

/// Returns the platform of this machine's architecture that most builds are for.
pub(crate) fn native() -> Option<Platform> {
    let arch = Arch::from_machine(std::env::consts::ARCH)?;
    Some(Platform { distro: Distro::Ubuntu, arch })
}

/// Returns everything that differs, for people.
pub(crate) fn rendered(
    before: &Artifact,
    after: &Artifact,
    difference: &Difference,
    files_max: usize,
) -> String {
    let mut text = format!("{} → {}\n", before.label, after.label);
    // Writing to a string cannot fail.
    let mut line = |line: &dyn std::fmt::Display| writeln!(text, "{line}").unwrap_or_default();
    if difference.identical {
        line(&"the same archive, byte by byte");
        return text;
    }
    let Difference { packages, files, size_bytes, unpacked_bytes, .. } = difference;
    if before.sbom.is_none() || after.sbom.is_none() {
        line(&"packages: not known of both, since one has no SBOM");
    } else {
        line(&format!("packages: {} changed", packages.len()));
        for change in packages {
            line(&format!("  {change}"));
        }
    }
    line(&format!("files: {} changed", files.len()));
    for change in files.iter().take(files_max) {
        line(&format!("  {change}"));
    }
    if files.len() > files_max {
        line(&format!("  and {} more (`--files` lists all)", files.len() - files_max));
    }
    if files.is_empty() {
        line(&"  the same files: their time or their packing differs");
    }
    line(&format!("size: {} packed, {} unpacked", sizes(*size_bytes), sizes(*unpacked_bytes)));
    text
}

#[expect(clippy::cast_precision_loss, reason = "a size for people, with one decimal")]
fn sizes(sizes: Sizes) -> String {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let change = mib(sizes.after) - mib(sizes.before);
    format!("{:.1} → {:.1} MiB ({change:+.1})", mib(sizes.before), mib(sizes.after))
}

fn json(before: &Artifact, after: &Artifact, difference: &Difference) -> Result<String, Failure> {
    let side = |artifact: &Artifact| serde_json::json!({"label": artifact.label, "sha256": artifact.digest.hex()});
    let mut document =
        serde_json::to_value(difference).map_err(|error| Failure::new(ExitStatus::Bug, &error))?;
    document["before"] = side(before);
    document["after"] = side(after);
    Ok(format!("{document:#}"))
}

/// Turns the error into what a person is told.
pub(crate) fn failed(error: &LoadArtifactError) -> Failure {
    match error {
        LoadArtifactError::Read { .. } | LoadArtifactError::Options { .. } => {
            Failure::new(ExitStatus::Host, error)
                .hint("an artifact is compared by its `.files.json`, which lies beside its archive")
        }
        LoadArtifactError::Fetch { .. } => Failure::new(ExitStatus::Network, error),
        LoadArtifactError::NotArtifact { .. } => Failure::new(ExitStatus::Usage, error),
        _ => Failure::new(ExitStatus::Findings, error),
    }
}
