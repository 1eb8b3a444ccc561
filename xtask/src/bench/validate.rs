//! Validating a thousand definitions, beside the way of a shell script: a `grep` or `find` per field.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use fs_err as fs;
use rnx_spec::diagnostic::Severity;

use super::{BenchError, Contest, Report, Setting, medians, peak_bytes, renew};
use crate::tool::{self, Invocation};
use crate::validate::{self, SyntaxCache};

/// How many definitions there are.
const RUNTIMES: usize = 1000;
const PLATFORMS: [&str; 4] = ["ubuntu-amd64", "ubuntu-arm64", "rhel-amd64", "rhel-arm64"];

/// What a validator written in Bash does, as such scripts are found: one process per question.
const BASH: &str = r#"
status=0
for dir in "$1"/runtimes/*/; do
  folder=$(basename "$dir")
  manifest="$dir/manifest.yaml"
  [ -f "$manifest" ] || { echo "$folder: no manifest"; status=1; continue; }
  name=$(grep -E '^name:' "$manifest" | head -1 | awk '{print $2}')
  version=$(grep -E '^version:' "$manifest" | head -1 | awk '{print $2}')
  description=$(grep -E '^description:' "$manifest" | head -1 | cut -d: -f2-)
  echo "$name" | grep -qE '^[a-z0-9][a-z0-9.-]*$' || { echo "$folder: name"; status=1; }
  echo "$version" | grep -qE '^[0-9]+\.[0-9]+\.[0-9]+$' || { echo "$folder: version"; status=1; }
  [ -n "$description" ] || { echo "$folder: description"; status=1; }
  grep -qE '^platforms:' "$manifest" || { echo "$folder: platforms"; status=1; }
  scripts=$(find "$dir" -maxdepth 1 -name 'setup*.sh' | wc -l)
  [ "$scripts" -gt 0 ] || { echo "$folder: no scripts"; status=1; }
done
exit $status
"#;

/// Validates generated definitions: with every script's syntax known, with none known, and in Bash, which checks none.
pub fn run(setting: &Setting) -> Result<Report, BenchError> {
    let repo = setting.scratch.join("definitions");
    renew(&repo)?;
    generate(&repo)?;
    let cache = setting.scratch.join("cache");
    let warm = SyntaxCache { dir: Some(cache.clone()) };
    let validate = |cache: &SyntaxCache| -> Result<Duration, BenchError> {
        let started = Instant::now();
        let report =
            validate::run(&repo, &[], cache).map_err(|source| BenchError::Validate { source })?;
        let took = started.elapsed();
        match report.count(Severity::Error) {
            0 if report.definitions.len() == RUNTIMES => Ok(took),
            errors => Err(BenchError::Findings { errors }),
        }
    };
    renew(&cache)?;
    let first = validate(&warm)?;
    let peak_bytes = peak_bytes(|| validate(&warm).map(drop))?;
    let bash = || {
        let invocation = Invocation::new("bash").args(["-c", BASH, "bash"]).arg(&repo);
        let started = Instant::now();
        tool::run(&invocation).map_err(|source| BenchError::Tool { source })?;
        Ok(started.elapsed())
    };
    let contests = vec![
        Contest::new("validate", || validate(&warm)),
        Contest::new("bash, a grep or find per field", bash),
    ];
    let ways = medians(contests, setting.rounds)?;
    let scripts = PLATFORMS.len() + 1;
    let title = format!(
        "validate: {RUNTIMES} runtimes with {scripts} scripts each; {:.3} s where no script's syntax is known yet, once",
        first.as_secs_f64()
    );
    for path in [&repo, &cache] {
        fs::remove_dir_all(path)
            .map_err(|source| BenchError::Scratch { path: path.clone(), source })?;
    }
    Ok(Report { title, ways, peak_bytes: Some(peak_bytes), missing: vec![] })
}

fn generate(repo: &Path) -> Result<(), BenchError> {
    for number in 0..RUNTIMES {
        let dir = repo.join("runtimes").join(format!("runtime-{number}"));
        definition(&dir, number)
            .map_err(|source| BenchError::Scratch { path: dir.clone(), source })?;
    }
    Ok(())
}

/// Definitions differ in their manifests and in one script; the others are alike, as copies are.
fn definition(dir: &Path, number: usize) -> std::io::Result<()> {
    fs::create_dir_all(dir)?;
    let packages: String =
        (0..20).map(|package| format!("  - package-{package}=={number}.{package}.0\n")).collect();
    let manifest = format!(
        "# A definition\nname: runtime-{number}\nversion: 1.{number}.0\n\
         description: The runtime with the number {number}\nplatforms: [{}]\npackages:\n{packages}\
         license: MIT\nenvironment: {{NUMBER: \"{number}\"}}\ntests:\n  \
         - {{name: works, run: [sh, -c, \"echo {number}\"], stdout: \"^{number}$\"}}\n\
         limits: {{unpacked: 1 GiB, archive: 300 MiB}}\n",
        PLATFORMS.join(", ")
    );
    fs::write(dir.join("manifest.yaml"), manifest)?;
    let body = "if [ \"$(uname)\" = Linux ]; then\n  echo \"$RUNTIME_NAME\"\nfi\n".repeat(20);
    script(&dir.join("setup.sh"), &format!("#!/bin/bash\nset -eu\nnumber={number}\n{body}"))?;
    for platform in PLATFORMS {
        let text = format!("#!/bin/bash\nset -eu\nplatform={platform}\n{body}");
        script(&dir.join(format!("setup-{platform}.sh")), &text)?;
    }
    Ok(())
}

fn script(path: &Path, text: &str) -> std::io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, PermissionsExt::from_mode(0o755))
}
