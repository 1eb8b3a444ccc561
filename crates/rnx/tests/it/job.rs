//! Jobs: their plans as text, and the real program with a runtime of busybox.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use fs_err as fs;
use rnx::job::{self, JobRequest, MountKind, Runtime, Surroundings, User, Volume};
use rnx_sandbox::limits::Limits;
use rnx_sandbox::plan::{Access, Network, Secret};
use rnx_spec::runtime_yml;

use crate::busybox::Busybox;

const YML: &str = r#"
name: demo
version: 1.0.0
mounts:
  - {source: isolated/usr/share/zoneinfo, target: /usr/share/zoneinfo, readonly: true}
  - {source: isolated/usr, target: /usr, readonly: false}
  - {source: isolated/bin, target: /bin, readonly: true}
  - {source: isolated/etc, target: /etc, readonly: true}
environment: {PATH_PREPEND: "/opt/demo/bin", GREETING: hello, TERM: dumb}
"#;

fn runtime(yml: &str) -> Runtime {
    Runtime { dir: "/store/demo-1.0.0".into(), yml: runtime_yml::parse(yml).unwrap() }
}

fn request() -> JobRequest {
    JobRequest {
        argv: vec!["sh".into(), "-c".into(), "echo \"$GREETING\"".into()],
        env: vec![("GREETING".into(), "hi".into()), ("TOKEN".into(), "shown".into())],
        secrets: vec![("TOKEN".into(), Secret("hidden".into()))],
        volumes: vec![Volume {
            host: "/data".into(),
            guest: "/work/data".into(),
            access: Access::ReadOnly,
        }],
        uploads: None,
        workdir: "/work/data".into(),
        network: Network::Host,
        limits: Limits { cpu_millis_max: Some(1500), processes_max: Some(7), ..Limits::default() },
        gpus: None,
        user: User::JOB,
    }
}

fn around() -> Surroundings {
    let folder = MountKind::FileOrFolder;
    let link = MountKind::Symlink("usr/bin".into());
    Surroundings {
        caller_is_root: false,
        folder: "/home/me/project".into(),
        env: vec![("TERM".into(), "xterm".into()), ("TZ".into(), "UTC".into())],
        mounts: vec![folder.clone(), folder.clone(), link, folder],
        etc: vec!["passwd", "resolv.conf", "ssl/certs/ca-certificates.crt"],
        has_etc: true,
        host_names: vec!["hosts", "resolv.conf"],
        certificates: Some("/etc/ssl/host.pem".into()),
    }
}

#[test]
fn a_plan_shows_the_runtime_read_only_and_little_of_the_caller() {
    let plan = job::plan(&runtime(YML), &request(), &around()).unwrap();
    insta::assert_snapshot!(plan);
}

#[test]
fn a_host_that_knows_no_names_has_none_to_show() {
    let mut around = around();
    around.host_names = vec![];
    let plan = job::plan(&runtime(YML), &request(), &around).unwrap().to_string();
    assert!(!plan.contains("resolv.conf") && !plan.contains("/etc/hosts"), "{plan}");
}

#[test]
fn a_job_of_root_from_the_root_folder_is_not_root_and_does_not_see_it() {
    let (mut request, mut around) = (request(), around());
    around.caller_is_root = true;
    around.folder = "/".into();
    around.has_etc = false;
    around.etc = vec![];
    request.network = Network::None;
    request.volumes = vec![];
    let yml = "{name: bare, version: 1.0.0, mounts: []}";
    around.mounts = vec![];
    insta::assert_snapshot!(job::plan(&runtime(yml), &request, &around).unwrap());
}

#[test]
fn places_that_are_none_are_refused() {
    for place in ["relative", "/", "/usr/../etc"] {
        let yml = format!(
            "{{name: bad, version: 1.0.0, mounts: [{{source: isolated, target: {place}}}]}}"
        );
        let mut around = around();
        around.mounts = vec![MountKind::FileOrFolder];
        assert!(job::plan(&runtime(&yml), &request(), &around).is_err(), "runtime mounts {place}");
        let mut request = request();
        request.volumes[0].guest = place.into();
        assert!(job::plan(&runtime(YML), &request, &self::around()).is_err(), "volume at {place}");
    }
}

#[test]
fn a_job_works_in_the_callers_folder_as_itself() {
    let Some(busybox) = Busybox::new() else { return };
    let script = "id -un; echo made > made; touch /usr/x 2>/dev/null || echo read-only; env | busybox grep -c SECRET";
    assert_eq!(
        busybox.run(&["--", "sh", "-c", script]),
        (Some(1), "job\nread-only\n0\n".to_owned())
    );
    let made = busybox.work().join("made");
    assert_eq!(fs::read_to_string(&made).unwrap(), "made\n");
    let owner = |path: &Path| std::os::unix::fs::MetadataExt::uid(&fs::metadata(path).unwrap());
    assert_eq!(owner(&made), owner(&busybox.work()));
}

#[test]
fn the_exit_status_is_the_jobs_own_or_the_shells_for_what_could_not_run() {
    let Some(busybox) = Busybox::new() else { return };
    let status = |words: &[&str]| busybox.run(words).0;
    assert_eq!(status(&["--", "sh", "-c", "exit 42"]), Some(42));
    assert_eq!(status(&["--", "sh", "-c", "kill -TERM $$"]), Some(128 + 15));
    assert_eq!(status(&["--", "absent"]), Some(127));
    assert_eq!(status(&["--", "/etc/passwd"]), Some(126));
    assert_eq!(status(&["--timeout", "1s", "--", "sleep", "1000"]), Some(124));
    assert_eq!(status(&["sh", "-c", "exit 42"]), Some(42));
}

#[test]
fn a_slip_in_the_options_is_told_as_one() {
    let Some(busybox) = Busybox::new() else { return };
    let (status, text) = busybox.run(&["--netwrok", "none", "env"]);
    assert_eq!(status, Some(2));
    assert!(text.starts_with("error: unexpected argument '--netwrok' found"), "{text}");
    let (status, text) = busybox.run(&["--volume", "/absent/data:/data", "env"]);
    assert_eq!(status, Some(1));
    assert!(text.starts_with("error: the volume `/absent/data` cannot be shown"), "{text}");
    let (_, text) = busybox.run(&["--workdir", "/absent", "env"]);
    assert!(text.contains("hint: `--workdir` is a folder in the job"), "{text}");
}

#[test]
fn the_job_dies_with_the_command() {
    let Some(busybox) = Busybox::new() else { return };
    let mut child = busybox
        .job(&["--", "sh", "-c", "echo ready; sleep 1000"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    child.kill().unwrap();
    child.wait().unwrap();
    // The end of its output: nothing that holds it is left.
    assert!(lines.next().is_none());
}

#[test]
fn signals_to_the_command_reach_the_job() {
    let Some(busybox) = Busybox::new() else { return };
    let script = "trap 'echo got it; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    let mut child =
        busybox.job(&["--", "sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "got it");
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

#[test]
fn a_link_of_the_tree_does_not_decide_what_of_the_host_is_shown() {
    let Some(busybox) = Busybox::new() else { return };
    let runtime = busybox.scratch.path().join("runtime");
    fs::os::unix::fs::symlink("/etc", runtime.join("isolated/host")).unwrap();
    let yml = fs::read_to_string(runtime.join("runtime.yml")).unwrap();
    fs::write(
        runtime.join("runtime.yml"),
        yml + "  - {source: isolated/host/hostname, target: /opt/host}\n",
    )
    .unwrap();
    let (status, text) = busybox.run(&["--", "cat", "/opt/host"]);
    assert_eq!(status, Some(1));
    assert!(
        text.starts_with("error: failed to find `isolated/host/hostname` in the runtime"),
        "{text}"
    );
}

#[test]
fn the_environment_is_the_documented_one_and_what_is_asked_for() {
    let Some(busybox) = Busybox::new() else { return };
    let words = ["--env", "A=b", "--env", "SECRET", "--workdir", "/tmp", "--", "/bin/env"];
    let (status, text) = busybox.run(&words);
    assert_eq!(status, Some(0), "{text}");
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(
        lines,
        ["A=b", "HOME=/tmp", "LOGNAME=job", path, "SECRET=x", "TERM=xterm", "USER=job"]
    );
}

#[test]
fn a_volume_is_read_only_when_asked_and_network_none_is_loopback_alone() {
    let Some(busybox) = Busybox::new() else { return };
    let data = busybox.scratch.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("file"), "seen\n").unwrap();
    let volume = format!("{}:/tmp/data:ro", data.display());
    let script = "cat data/file; touch data/x 2>/dev/null || echo read-only; busybox grep -c : /proc/net/dev";
    let words = ["-v", &volume, "-w", "/tmp", "--network", "none", "--", "sh", "-c", script];
    let (status, text) = busybox.run(&words);
    assert_eq!(status, Some(0), "{text}");

    assert_eq!(text, "seen\nread-only\n1\n");
}

#[test]
fn nothing_of_a_job_runs_as_the_hosts_root() {
    let Some(busybox) = Busybox::new() else { return };
    let mut child = busybox
        .job(&["--", "sh", "-c", "echo ready; sleep 1000"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let (mut seen, mut parents) = (vec![], vec![child.id()]);
    while let Some(pid) = parents.pop() {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        for pid in children.split_whitespace() {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            let ids = status.lines().find(|line| line.starts_with("Uid:")).unwrap();
            seen.push(ids.to_owned());
            parents.push(pid.parse().unwrap());
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // Its pid 1 and the shell, and the sleep if it came so far.
    assert!(seen.len() >= 2, "{seen:?}");
    for ids in seen {
        assert!(ids.split_whitespace().skip(1).all(|id| id != "0"), "{ids}");
    }
}
