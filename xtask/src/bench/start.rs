//! Starting a job, beside other ways to start a program in a userland of its own.

use std::path::Path;
use std::time::{Duration, Instant};

use fs_err as fs;
use rustix::process::geteuid;

use super::{BenchError, Contest, Report, Setting, installed, medians};
use crate::tool::{self, Invocation};

/// Folders and links of the tree that both sandboxes show, as `runtime.yml` of our runtimes names them.
const LINKS: [(&str, &str); 4] =
    [("usr/bin", "/bin"), ("usr/sbin", "/sbin"), ("usr/lib", "/lib"), ("usr/lib64", "/lib64")];

/// Starts `/usr/bin/true` in the unpacked runtime `tree` with the program `rnx` and with its peers, in turn.
pub fn run(rnx: &Path, tree: &Path, setting: &Setting) -> Result<Report, BenchError> {
    let isolated = tree.join("isolated");
    let bundle = setting.scratch.join("bundle");
    let way = |name: &str, invocation: Invocation| Contest::new(name, move || time(&invocation));
    let ours = Invocation::new(rnx)
        .args(["job", "run", "--network", "host"])
        .arg(format!("--runtime={}", tree.display()))
        .args(["--", "/usr/bin/true"]);
    let mut contests = vec![way("rnx job run", ours)];
    let mut others = vec![("bwrap", way("bwrap", bubblewrap(&isolated)))];
    let mut missing = Vec::new();
    if geteuid().is_root() {
        others.push((
            "chroot",
            way("chroot", Invocation::new("chroot").arg(&isolated).arg("/usr/bin/true")),
        ));
    } else {
        missing.push("chroot (it needs root)".to_owned());
    }
    for runtime in ["runc", "crun"] {
        if !super::is_installed(runtime) {
            missing.push(runtime.to_owned());
            continue;
        }
        write_bundle(runtime, &bundle.join(runtime), &isolated)?;
        let run = Invocation::new(runtime).dir(bundle.join(runtime));
        let (name, run) = match runtime {
            "crun" => ("crun run, no cgroups", run.args(["--cgroup-manager", "disabled"])),
            _ => ("runc run", run),
        };
        let run = run.args(["run", "joblet-bench"]);
        // Not every host has the cgroups that it wants.
        match time(&run) {
            Ok(_) => others.push((runtime, way(name, run))),
            Err(_) => missing.push(format!("{runtime} (it does not run here)")),
        }
    }
    let (there, absent) = installed(others);
    contests.extend(there);
    missing.extend(absent);
    let ways = medians(contests, setting.rounds)?;
    let title = format!("start: `true` in {}, median of {}", tree.display(), setting.rounds);
    Ok(Report { title, ways, peak_bytes: None, missing })
}

fn time(invocation: &Invocation) -> Result<Duration, BenchError> {
    let started = Instant::now();
    let status = tool::interactive(invocation).map_err(|source| BenchError::Tool { source })?;
    let took = started.elapsed();
    if status.success() {
        return Ok(took);
    }
    Err(BenchError::Ended { command: invocation.to_string(), status: status.to_string() })
}

/// The same namespaces and mounts as a job has, the host's network shared.
fn bubblewrap(isolated: &Path) -> Invocation {
    let mut bwrap = Invocation::new("bwrap").args([
        "--unshare-user",
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup",
        "--new-session",
        "--die-with-parent",
        "--clearenv",
    ]);
    for folder in ["usr", "etc"] {
        bwrap = bwrap.arg("--ro-bind").arg(isolated.join(folder)).arg(format!("/{folder}"));
    }
    for (target, link) in LINKS {
        bwrap = bwrap.args(["--symlink", target, link]);
    }
    bwrap
        .args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--bind", ".", "/work"])
        .args(["--chdir", "/work", "/usr/bin/true"])
}

/// Writes what an OCI runtime starts: its own default configuration, with our tree and command.
fn write_bundle(runtime: &str, folder: &Path, isolated: &Path) -> Result<(), BenchError> {
    let scratch_error = |source| BenchError::Scratch { path: folder.to_owned(), source };
    fs::create_dir_all(folder).map_err(scratch_error)?;
    let mut spec = Invocation::new(runtime).dir(folder).arg("spec");
    if !geteuid().is_root() {
        spec = spec.arg("--rootless");
    }
    tool::run(&spec).map_err(|source| BenchError::Tool { source })?;
    let path = folder.join("config.json");
    let text = fs::read_to_string(&path).map_err(scratch_error)?;
    let mut config: serde_json::Value =
        serde_json::from_str(&text).map_err(|source| BenchError::Bundle { source })?;
    config["root"] = serde_json::json!({"path": isolated, "readonly": true});
    config["process"]["args"] = serde_json::json!(["/usr/bin/true"]);
    config["process"]["terminal"] = false.into();
    // An OCI runtime mounts inside the tree; ours on a tmpfs around it.
    for place in ["proc", "dev", "sys"] {
        fs::create_dir_all(isolated.join(place)).map_err(scratch_error)?;
    }
    fs::write(&path, config.to_string()).map_err(scratch_error)
}
