//! Keeping installs: what jobs run in stays until they have ended.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};

use fs_err as fs;
use rnx_spec::runtime_yml::{self, Mount, RuntimeYml};

use crate::rnx::Rnx;

/// A runtime whose jobs can run `cat`; nothing where this host has no static busybox.
pub(crate) fn publish_busybox(rnx: &mut Rnx, spec: &str) -> bool {
    let busybox = Path::new("/bin/busybox");
    if !busybox.exists() {
        assert!(std::env::var_os("CI").is_none(), "CI needs busybox (Debian: busybox-static)");
        eprintln!("skipped: no /bin/busybox (Debian: busybox-static)");
        return false;
    }
    let spec = spec.parse().unwrap();
    let tree = tempfile::tempdir().unwrap();
    test_support::fixture::write_runtime(tree.path(), &spec);
    let bin = tree.path().join("isolated/usr/bin");
    fs::copy(busybox, bin.join("busybox")).unwrap();
    fs::os::unix::fs::symlink("busybox", bin.join("cat")).unwrap();
    let yml = RuntimeYml {
        name: spec.name.to_string(),
        version: spec.version.to_string(),
        description: "busybox".to_owned(),
        mounts: vec![Mount {
            source: "isolated/usr".to_owned(),
            target: "/usr".to_owned(),
            readonly: true,
        }],
        environment: [].into(),
        requirements: runtime_yml::Requirements::default(),
    };
    fs::write(tree.path().join("runtime.yml"), runtime_yml::write(&yml).unwrap()).unwrap();
    rnx.registry.publish_tree(&spec, &["ubuntu-amd64"], tree.path());
    true
}

/// A job that runs until its standard input ends.
struct Job {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Job {
    fn start(rnx: &Rnx, runtime: &str) -> Self {
        fs::create_dir_all(rnx.home.path().join("work")).unwrap();
        let mut child = rnx
            .command(&["job", "run", "--runtime", runtime, "/usr/bin/cat"])
            .current_dir(rnx.home.path().join("work"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut job = Self { child, stdin, stdout: BufReader::new(stdout) };
        assert_eq!(job.echo(), "alive\n", "the job runs");
        job
    }

    fn echo(&mut self) -> String {
        self.stdin.write_all(b"alive\n").unwrap();
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    fn end(self) {
        let Self { mut child, stdin, .. } = self;
        drop(stdin);
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn what_a_job_runs_in_is_removed_only_after_it() {
    let mut rnx = Rnx::new();
    if !publish_busybox(&mut rnx, "busy@1.0.0") {
        return;
    }
    rnx.run(&["runtime", "install", "busy"]);
    let mut job = Job::start(&rnx, "busy");
    let refused = rnx.run(&["runtime", "remove", "busy"]);
    let pid = job.child.id();
    let command = "rnx job run --runtime busy /usr/bin/cat";
    assert!(refused.starts_with("error: `busy@1.0.0` is in use\n"), "{refused}");
    assert!(refused.contains(&format!("hint: a job runs in it: process {pid}: ")), "{refused}");
    assert!(refused.contains(command), "{refused}");
    assert!(refused.ends_with("status 1"), "{refused}");
    assert_eq!(job.echo(), "alive\n");

    let mut remove = rnx
        .command(&["runtime", "remove", "busy", "--force"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(remove.stderr.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "Waiting for jobs that run in busy@1.0.0:");
    assert!(said.next().unwrap().unwrap().contains(command));
    // New jobs do not find it, and this one goes on.
    assert!(rnx.run(&["runtime", "path", "busy"]).ends_with("status 1"));
    assert_eq!(job.echo(), "alive\n");
    assert!(remove.try_wait().unwrap().is_none());
    job.end();
    assert_eq!(said.next().unwrap().unwrap(), "Removed busy@1.0.0");
    assert!(remove.wait().unwrap().success());
    assert_eq!(rnx.layout(), Vec::<String>::new());
}

#[test]
fn what_a_job_runs_in_outlives_its_replacement() {
    let mut rnx = Rnx::new();
    if !publish_busybox(&mut rnx, "busy@1.0.0") {
        return;
    }
    rnx.run(&["runtime", "install", "busy"]);
    let whole = rnx.layout();
    let mut job = Job::start(&rnx, "busy");
    for _ in 0..2 {
        let replaced = rnx.run(&["runtime", "install", "busy", "--force"]);
        assert!(replaced.ends_with("status 0"), "{replaced}");
        assert_eq!(job.echo(), "alive\n");
        assert_eq!(fs::read_dir(rnx.base.join(".staging/busy-1.0.0")).unwrap().count(), 1);
    }
    job.end();
    rnx.run(&["runtime", "install", "busy"]);
    assert_eq!(rnx.layout(), whole);
}

#[test]
fn a_job_never_writes_to_an_install_whatever_it_is_shown() {
    let mut rnx = Rnx::new();
    if !publish_busybox(&mut rnx, "busy@1.0.0") {
        return;
    }
    rnx.run(&["runtime", "install", "busy"]);
    let work = rnx.base.parent().unwrap().to_owned();
    let base = rnx.base.file_name().unwrap().to_str().unwrap();
    let link = rnx.home.path().join("another name");
    std::os::unix::fs::symlink(&rnx.base, &link).unwrap();
    let install = rnx.base.join("busy-1.0.0");
    let volumes = [
        format!("{}:/base", rnx.base.display()),
        format!("{}:/link", link.display()),
        format!("{}:/install", install.display()),
        format!("{}:/above", rnx.home.path().display()),
    ];
    let above = rnx.base.strip_prefix(rnx.home.path()).unwrap().display();
    let script = format!(
        "for folder in /work/{base}/busy-1.0.0 /base/busy-1.0.0 /link/busy-1.0.0 /install /above/{above}/busy-1.0.0; do
           /usr/bin/busybox grep -q busy \"$folder/runtime.yml\" || echo \"$folder is not there\"
           (echo evil >\"$folder/runtime.yml\") && echo \"$folder is writable\"
           /usr/bin/busybox chmod 777 \"$folder/isolated/usr/noise\" && echo \"$folder can be changed\"
           /usr/bin/busybox rm -rf \"$folder/isolated\" && echo \"$folder can be emptied\"
         done 2>/dev/null
         echo fine >/work/fine && echo fine >/above/fine"
    );
    let mut command = rnx.command(&["job", "run", "--runtime", "busy"]);
    for volume in &volumes {
        command.args(["--volume", volume]);
    }
    command.args(["/usr/bin/busybox", "sh", "-c", &script]).current_dir(&work);
    let shown = rnx.shown(&command.output().unwrap());
    assert_eq!(shown, "status 0");
    assert!(rnx.run(&["runtime", "verify"]).ends_with("status 0"));
    assert!(work.join("fine").exists() && rnx.home.path().join("fine").exists());
}
