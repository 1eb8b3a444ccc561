//! Whether this host can run jobs, found out by trying; what it cannot, with the fix from [`crate::fixes`].

mod probe;

use std::fmt;
use std::path::Path;
use std::time::SystemTime;

use rnx_sandbox::cgroup::{Cgroup, Hierarchies};
use rnx_sandbox::limits::Limits;
use schemars::JsonSchema;
use serde::Serialize;

use crate::fixes::{Barrier, Lack};
use crate::gpu::{self, GpuError, GpuRequest, Which};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Check {
    pub name: String,
    pub state: State,
    /// What works, or why it does not.
    pub found: String,
    /// The command or file that brings what is lacking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// How well something works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Works,
    /// Jobs run; what `found` says does not.
    Limited,
    /// No job runs.
    Broken,
}

/// What a report depends on besides the host.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    pub is_root: bool,
    pub name: &'a str,
    /// This program's own file.
    pub program: &'a Path,
    /// The base folder of installs; it need not exist.
    pub base: &'a Path,
    /// Where a scratch folder is made.
    pub scratch: &'a Path,
    pub now: SystemTime,
}

/// Less than this on the base folder's disk is too little for most runtimes.
const FREE_BYTES_MIN: u64 = 1 << 30;

/// Looks at everything but the registries, which only the command line knows.
pub fn examine(caller: &Caller<'_>) -> Vec<Check> {
    vec![
        jobs(caller),
        app_armor(caller),
        limits(),
        subuids(caller),
        overlay(caller),
        disk(caller.base),
        clock(caller),
        gpus(Path::new("/")),
    ]
}

impl Check {
    /// Something that works.
    pub fn works(name: &str, found: impl Into<String>) -> Self {
        Self { name: name.to_owned(), state: State::Works, found: found.into(), fix: None }
    }

    /// Something that lacks.
    pub fn lacks(name: &str, state: State, found: impl Into<String>, lack: &Lack) -> Self {
        let fix = Some(lack.to_string());
        Self { name: name.to_owned(), state, found: found.into(), fix }
    }
}

/// Whether no job runs.
pub fn is_broken(checks: &[Check]) -> bool {
    checks.iter().any(|check| check.state == State::Broken)
}

fn jobs(caller: &Caller<'_>) -> Check {
    let name = "user namespaces";
    match probe::job(caller) {
        Ok(()) => Check::works(name, "a sandbox with its namespaces, mounts and filter was made"),
        Err(error) => {
            let lack = Lack::behind(&error, caller.program)
                .unwrap_or_else(|| Lack::UserNamespaces(Barrier::read(caller.program)));
            let state = if lack == Lack::IdMappedMounts { State::Limited } else { State::Broken };
            Check::lacks(name, state, one_line(&error), &lack)
        }
    }
}

/// Said by itself, since Ubuntu's restriction lets a namespace be made that can do nothing.
fn app_armor(caller: &Caller<'_>) -> Check {
    let name = "AppArmor restriction";
    let lack = Barrier::read(caller.program);
    if !matches!(lack, Barrier::AppArmor { .. }) {
        return Check::works(name, "none on user namespaces");
    }
    if caller.is_root || probe::job(caller).is_ok() {
        return Check::works(name, "on, and this program is excepted");
    }
    let found = "ordinary users may not use user namespaces";
    Check::lacks(name, State::Broken, found, &Lack::UserNamespaces(lack))
}

fn limits() -> Check {
    let name = "limits";
    let each = [
        ("memory", Limits { memory_bytes_max: Some(64 << 20), ..Limits::default() }),
        ("processes", Limits { processes_max: Some(64), ..Limits::default() }),
        ("processor time", Limits { cpu_millis_max: Some(1000), ..Limits::default() }),
        ("processors", first_processor()),
    ];
    let (mut can, mut cannot) = (Vec::new(), Vec::new());
    for (what, limits) in each {
        match Hierarchies::read().and_then(|at| Cgroup::new(&limits, &at)) {
            Ok(group) => {
                drop(group);
                can.push(what.to_owned());
            }
            Err(error) => cannot.push(format!("{what} ({})", one_line(&error))),
        }
    }
    if cannot.is_empty() {
        return Check::works(name, format!("control groups for {}", can.join(", ")));
    }
    let found = format!("jobs cannot be limited in {}", cannot.join(", "));
    Check::lacks(name, State::Limited, found, &Lack::control_groups())
}

fn first_processor() -> Limits {
    Limits { cpus: "0".parse().ok(), ..Limits::default() }
}

fn subuids(caller: &Caller<'_>) -> Check {
    let name = "subordinate ids";
    if caller.is_root {
        return Check::works(name, "root needs none");
    }
    let listed = |file: &str| {
        // A host without the file gives nobody any.
        let text = fs_err::read_to_string(file).unwrap_or_default();
        text.lines().any(|line| line.split(':').next() == Some(caller.name))
    };
    if listed("/etc/subuid") && listed("/etc/subgid") {
        return Check::works(name, format!("{} has a range", caller.name));
    }
    let found = format!("{} has no range in /etc/subuid and /etc/subgid", caller.name);
    Check::lacks(name, State::Limited, found, &Lack::Subuids { user: caller.name.to_owned() })
}

fn overlay(caller: &Caller<'_>) -> Check {
    let name = "overlay mounts";
    match probe::overlay(caller) {
        Ok(()) => Check::works(name, format!("in {}", caller.scratch.display())),
        Err(error) => Check::lacks(name, State::Limited, one_line(error.as_ref()), &Lack::Overlay),
    }
}

fn disk(base: &Path) -> Check {
    let name = "disk";
    let there = base.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    let lack = Lack::Space { base: base.to_owned() };
    if let Err(error) = rustix::fs::access(there, rustix::fs::Access::WRITE_OK) {
        let found = format!("{} cannot be written to: {error}", there.display());
        return Check::lacks(name, State::Limited, found, &lack);
    }
    let Ok(stat) = rustix::fs::statvfs(there) else {
        let found = format!("{} does not tell how much is free", there.display());
        return Check::lacks(name, State::Limited, found, &lack);
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let found = format!("{} MiB free for {}", free >> 20, base.display());
    if free < FREE_BYTES_MIN {
        Check::lacks(name, State::Limited, found, &lack)
    } else {
        Check::works(name, found)
    }
}

/// A clock before this program was made is wrong, and no server's certificate is valid then.
fn clock(caller: &Caller<'_>) -> Check {
    let name = "clock";
    let made = fs_err::metadata(caller.program).and_then(|metadata| metadata.modified());
    match made {
        Ok(made) if caller.now < made => {
            let found = "it is before the time at which this program was made";
            Check::lacks(name, State::Limited, found, &Lack::Clock)
        }
        _ => Check::works(name, "not before this program was made"),
    }
}

fn gpus(root: &Path) -> Check {
    let name = "GPU";
    let request = GpuRequest { which: Which::All, memory_bytes_min: None };
    match gpu::find(&request, root) {
        Ok(gpus) => Check::works(name, format!("{} from {}", gpus.names.join(" "), gpus.source)),
        Err(error @ GpuError::None { .. }) => {
            Check::lacks(name, State::Limited, error.to_string(), &Lack::Gpu)
        }
        Err(error) => Check::lacks(name, State::Limited, one_line(&error), &Lack::GpuDriver),
    }
}

/// An error with its causes.
pub fn one_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.state {
            State::Works => '✓',
            State::Limited => '!',
            State::Broken => '✗',
        };
        write!(f, "{mark} {}: {}", self.name, self.found)?;
        match &self.fix {
            Some(fix) => write!(f, "\n    {fix}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lacks_is_told_with_its_fix() {
        let folder = tempfile::tempdir().unwrap();
        let caller = Caller {
            is_root: false,
            name: "nobody-of-this-name",
            program: Path::new("/proc/self/exe"),
            base: folder.path(),
            scratch: folder.path(),
            now: SystemTime::UNIX_EPOCH,
        };
        assert_eq!(
            clock(&caller).to_string(),
            "! clock: it is before the time at which this program was made\n    set it: `sudo timedatectl set-ntp true`"
        );
        let ids = subuids(&caller);
        assert_eq!(ids.state, State::Limited);
        assert!(ids.fix.unwrap().ends_with("--add-subgids 100000-165535 nobody-of-this-name`"));
        assert_eq!(gpus(folder.path()).state, State::Limited);
        assert_eq!(disk(Path::new("/proc/no/such")).state, State::Limited);
        assert_eq!(disk(&folder.path().join("not/yet")).name, "disk");
    }
}
