//! Limits of jobs by the real program; where control groups cannot be had, that this is refused.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

use crate::busybox::{Busybox, has_limits};

#[test]
fn the_clients_spellings_and_ours_mean_the_same() {
    let Some(busybox) = Busybox::new() else { return };
    let explained = |words: &[&str]| {
        let words: Vec<&str> =
            ["--explain"].iter().chain(words).chain(&["true"]).copied().collect();
        let (status, text) = busybox.run(&words);
        assert_eq!(status, Some(0), "{text}");
        text.lines().find(|line| line.starts_with("limits:")).unwrap_or("none").to_owned()
    };
    let ours = explained(&["--cpu=1.5", "--cpu-cores=0", "--memory=512M", "--pids=9"]);
    assert_eq!(
        ours,
        "limits: 1.500 processors processors numbered 0 536870912 bytes of memory 9 processes"
    );
    let theirs = ["--max-cpu=150", "--cpu-cores=0", "--max-memory=512", "--pids=9"];
    assert_eq!(explained(&theirs), ours);
    assert_eq!(explained(&[]), "none");
    assert_eq!(busybox.run(&["--cpu=1", "--max-cpu=1", "true"]).0, Some(2));
    assert_eq!(busybox.run(&["--gpu-memory=8GB", "true"]).0, Some(2), "without --gpu");
}

#[test]
fn a_job_is_held_to_its_limits_or_not_run() {
    for busybox in Busybox::callers() {
        if !has_limits(&busybox) {
            continue;
        }
        let (status, text) = busybox.run(&[
            "--memory",
            "32M",
            "--",
            "awk",
            "BEGIN { s = \"x\"; while (1) s = s s }",
        ]);
        assert_eq!(status, Some(137), "{text}");
        assert!(
            text.starts_with("error: the job needed more than its memory, 32.00 MiB\nhint: "),
            "{text}"
        );

        // What is written to /tmp is memory too.
        let fill = "dd if=/dev/zero of=/tmp/x bs=1M count=200 2>/dev/null; echo status $?";
        let (_, text) = busybox.run(&["--memory", "32M", "--", "sh", "-c", fill]);
        assert!(text.contains("the job needed more than its memory"), "{text}");

        // The job does not go on without one of its processes.
        let grow = "awk 'BEGIN { s = \"x\"; while (1) s = s s }'; echo went on; sleep 1000";
        let receipt = busybox.work().join("receipt.json");
        let named = format!("--json={}", receipt.display());
        let words = ["--memory", "32M", "--timeout", "20s", &named, "--", "sh", "-c", grow];
        let (status, text) = busybox.run(&words);
        assert_eq!(status, Some(137), "{text}");
        assert!(text.contains("the job needed more than its memory"), "{text}");
        let receipt: serde_json::Value =
            serde_json::from_slice(&fs_err::read(receipt).unwrap()).unwrap();
        assert!(receipt["used"]["killed_for_memory"].as_u64() > Some(0), "{receipt}");
        assert_eq!(receipt["signal"], 9, "{receipt}");

        let bomb = "b() { b & b & sleep 1000; }; b 2>/dev/null; exit 1";
        let (_, text) = busybox.run(&["--pids", "20", "--timeout", "1s", "--", "sh", "-c", bomb]);
        assert!(
            text.contains("note: the job was refused processes: `--pids` allows it 20"),
            "{text}"
        );

        let words = ["--cpu", "0.1", "--cpu-cores", "0", "--timeout", "2s", "--json", "--"];
        let spin = ["sh", "-c", "nproc >&2; while :; do :; done"];
        let all: Vec<&str> = words.into_iter().chain(spin).collect();
        let (status, text) = busybox.run(&all);
        assert_eq!(status, Some(124), "{text}");
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("1"));
        let receipt: serde_json::Value = serde_json::from_str(lines.next_back().unwrap()).unwrap();
        // A tenth of two seconds, and a period of the scheduler's more; without the limit it is two.
        let used = receipt["used"]["cpu_seconds"].as_f64().unwrap();
        assert!(used < 0.8, "{used} s, {}", busybox.caller());
    }
}

/// What the kernel was told is looked at while the job runs: on a busy host, a job without limits uses little, too.
#[test]
fn the_kernel_holds_what_was_asked_for() {
    let Some(busybox) = Busybox::new().filter(has_limits) else { return };
    let words = ["--cpu", "0.5", "--cpu-cores", "0", "--memory", "64M", "--pids", "9", "--"];
    let script = ["sh", "-c", "echo ready; read line"];
    let mut command = busybox.job(&[&words[..], &script].concat());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let pid = child.id();
    let job = fs_err::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let groups = fs_err::read_to_string(format!("/proc/{}/cgroup", job.trim())).unwrap();
    let mounts = fs_err::read_to_string("/proc/self/mountinfo").unwrap();
    // The job's folder of a hierarchy: its mount has the controller among its options, or is the one of version 2.
    let folder = |controller: &str| {
        let own = |line: &&str| line.split(':').nth(1).unwrap().split(',').any(|c| c == controller);
        let of = groups.lines().find(own).or_else(|| groups.lines().find(|l| l.starts_with("0::")));
        let is_v1 = groups.lines().any(|line| own(&line));
        let mount = mounts.lines().find(|line| {
            let (_, kind) = line.split_once(" - ").unwrap();
            if is_v1 {
                kind.starts_with("cgroup ")
                    && kind.rsplit(' ').next().unwrap().split(',').any(|c| c == controller)
            } else {
                kind.starts_with("cgroup2 ")
            }
        });
        let place = of.unwrap().rsplit(':').next().unwrap();
        (PathBuf::from(mount.unwrap().split(' ').nth(4).unwrap()).join(&place[1..]), is_v1)
    };
    let told = |controller: &str, v1: &str, v2: &str| {
        let (folder, is_v1) = folder(controller);
        let text = fs_err::read_to_string(folder.join(if is_v1 { v1 } else { v2 })).unwrap();
        text.split_whitespace().next().unwrap().to_owned()
    };
    let all = [
        told("cpu", "cpu.cfs_quota_us", "cpu.max"),
        told("cpuset", "cpuset.cpus", "cpuset.cpus"),
        told("memory", "memory.limit_in_bytes", "memory.max"),
        told("pids", "pids.max", "pids.max"),
    ];
    drop(child.stdin.take());
    child.wait().unwrap();
    // The sandbox's own first process is one more.
    assert_eq!(all, ["50000", "0", "67108864", "10"]);
}

#[test]
fn what_a_job_writes_is_bounded_without_any_option() {
    for busybox in Busybox::callers() {
        let (_, text) = busybox.run(&["--explain", "--upload", "/bin/busybox", "--", "true"]);
        for place in ["/tmp", "/work"] {
            let bounded = format!("tmpfs {place} (at most 4294967296 bytes, mode 1777)");
            assert!(text.contains(&bounded), "{text}");
        }
    }
}
