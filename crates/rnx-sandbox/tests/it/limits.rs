//! Limits against the real control groups: asserted is what a job could not do, not when.

use rnx_sandbox::cgroup::{CgroupError, Counted};
use rnx_sandbox::limits::Limits;
use rnx_sandbox::plan::SandboxPlan;
use rnx_sandbox::spawn::{Exit, SandboxError, Stdio, Stream, spawn};

use crate::support::{job, lacks_busybox, pipe};

fn limited(script: &str, limits: Limits) -> SandboxPlan {
    SandboxPlan { limits, ..job(script) }
}

/// Runs the job to its end: what it printed, how it ended, what its group counted. `None` where limits cannot be had,
/// which the caller must be told.
fn run(plan: &SandboxPlan) -> Option<(String, Exit, Counted)> {
    let (read, write) = pipe();
    let stdio = Stdio { stdin: Stream::Null, stdout: Stream::Fd(write), stderr: Stream::Null };
    let mut child = match spawn(plan, stdio) {
        Ok(child) => child,
        Err(SandboxError::Limits { source }) => {
            let root_in_ci =
                rustix::process::geteuid().is_root() && std::env::var_os("CI").is_some();
            assert!(!root_in_ci, "CI needs control groups as root: {source}");
            let told = matches!(
                source,
                CgroupError::NotDelegated { .. } | CgroupError::NoController { .. }
            );
            assert!(told, "{source}");
            eprintln!("skipped: {source}");
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    let mut text = String::new();
    std::io::Read::read_to_string(&mut std::fs::File::from(read), &mut text).unwrap();
    let exit = child.wait().unwrap();
    Some((text, exit, child.counted().unwrap()))
}

#[test]
fn a_fork_bomb_stops_at_its_limit() {
    if lacks_busybox() {
        return;
    }
    let bomb = "b() { b & b & sleep 1000; }; b 2>/dev/null";
    let limits = Limits { processes_max: Some(20), ..Limits::default() };
    let mut child = match spawn(&limited(bomb, limits), Stdio::null()) {
        Err(SandboxError::Limits { .. }) => return drop(run(&limited("true", one_process()))),
        started => started.unwrap(),
    };
    // It ends by itself when its first shell is refused a process.
    while child.counted().unwrap().refused_processes == 0 {
        if child.wait_timeout(std::time::Duration::from_millis(10)).unwrap().is_some() {
            break;
        }
    }
    assert!(child.counted().unwrap().refused_processes > 0, "{:?}", child.counted());
    child.kill().unwrap();
    child.wait().unwrap();
}

fn one_process() -> Limits {
    Limits { processes_max: Some(1), ..Limits::default() }
}

#[test]
fn a_memory_bomb_is_killed_and_counted() {
    if lacks_busybox() {
        return;
    }
    let limits = Limits { memory_bytes_max: Some(24 << 20), ..Limits::default() };
    let grow = "exec busybox awk 'BEGIN { s = \"x\"; while (1) s = s s }'";
    let Some((_, exit, counted)) = run(&limited(grow, limits.clone())) else { return };
    assert_eq!(exit, Exit::Signal(9));
    assert!(counted.killed_for_memory > 0, "{counted:?}");
    assert!(counted.memory_bytes_max.is_some_and(|bytes| bytes <= 24 << 20), "{counted:?}");

    // What is written to a tmpfs is memory too; the folder itself is bounded by its size.
    let fill = "busybox dd if=/dev/zero of=/dev/shm/x bs=1M count=64 2>/dev/null; echo after";
    let (text, exit, counted) = run(&limited(fill, limits)).unwrap();
    assert!(counted.killed_for_memory > 0, "{text} {exit:?} {counted:?}");
    let script = "busybox dd if=/dev/zero of=/tmp/x bs=1M count=64 2>/dev/null; stat -c %s /tmp/x";
    assert_eq!(crate::support::output(&job(script)).unwrap().0, "1048576\n");
}

#[test]
fn groups_are_the_jobs_own_and_are_gone_afterwards() {
    if lacks_busybox() {
        return;
    }
    let limits = Limits {
        cpu_millis_max: Some(500),
        memory_bytes_max: Some(64 << 20),
        processes_max: Some(32),
        cpus: Some("0".parse().unwrap()),
    };
    let script = "busybox nproc; cat /proc/self/cgroup";
    let Some((text, exit, _)) = run(&limited(script, limits)) else { return };
    assert_eq!(exit, Exit::Code(0));
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("1"), "processors");
    for line in lines.filter(|line| line.contains(":memory:") || line.contains(":pids:")) {
        assert!(line.ends_with(":/"), "the job sees no group above its own: {line}");
    }
    let own = format!("rnx-job-{}-", std::process::id());
    let mounts = fs_err::read_to_string("/proc/self/cgroup").unwrap();
    for line in mounts.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let folder = format!("/sys/fs/cgroup/{}{}", parts.next().unwrap(), parts.next().unwrap());
        // Other tests of this process have theirs; a group that is removed cannot be counted twice.
        let left = fs_err::read_dir(folder).into_iter().flatten().filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_str().unwrap().starts_with(&own)
        });
        assert!(left.count() <= 2, "{line}");
    }
}
