//! Plans for tests: a root with `busybox` and nothing else.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rnx_sandbox::limits::Limits;
use rnx_sandbox::plan::{Access, Identity, Network, Privileges, Process, Root, SandboxPlan, Step};
use rnx_sandbox::spawn::{Exit, SandboxError, Stdio, Stream, spawn};

/// `true` if the test cannot be made here; in CI that is a failure.
pub(crate) fn lacks_busybox() -> bool {
    let lacks = !std::path::Path::new("/bin/busybox").exists();
    assert!(
        !lacks || std::env::var_os("CI").is_none(),
        "CI needs /bin/busybox (Debian: busybox-static)"
    );
    if lacks {
        eprintln!("skipped: no /bin/busybox (Debian: busybox-static)");
    }
    lacks
}

/// What a job of this caller is.
pub(crate) fn identity() -> Identity {
    if rustix::process::geteuid().is_root() {
        Identity::Shifted { host_uid: 1_900_000_000, host_gid: 1_900_000_000, uid: 1000, gid: 1000 }
    } else {
        Identity::Single { uid: 1000, gid: 1000 }
    }
}

/// A job that runs `script` in busybox's shell.
pub(crate) fn job(script: &str) -> SandboxPlan {
    let mut steps = vec![Step::Bind {
        host: PathBuf::from("/bin/busybox"),
        guest: PathBuf::from("/bin/busybox"),
        access: Access::ReadOnly,
    }];
    for name in [
        "sh", "cat", "ls", "sleep", "kill", "mount", "mknod", "touch", "stat", "id", "ps", "mkdir",
        "ip", "true",
    ] {
        let guest = PathBuf::from("/bin").join(name);
        steps.push(Step::Symlink { guest, target: PathBuf::from("busybox") });
    }
    steps.push(Step::Dev { guest: PathBuf::from("/dev") });
    steps.push(Step::Proc { guest: PathBuf::from("/proc"), masked: true });
    steps.push(Step::Tmpfs { guest: PathBuf::from("/tmp"), size_bytes_max: 1 << 20, mode: 0o1777 });
    SandboxPlan {
        identity: identity(),
        network: Network::Host,
        limits: Limits::default(),
        hostname: "job".to_owned(),
        root: Root::Tmpfs,
        steps,
        process: Process {
            argv: ["sh", "-c", script].map(Into::into).to_vec(),
            env: vec![("PATH".into(), "/bin".into())],
            secrets: Vec::new(),
            cwd: PathBuf::from("/tmp"),
            uid: 1000,
            gid: 1000,
            privileges: Privileges::Job,
        },
    }
}

/// Runs a plan to its end; what it printed on both streams, and how it ended.
pub(crate) fn output(plan: &SandboxPlan) -> Result<(String, Exit), SandboxError> {
    let (read, write) = pipe();
    let stdio = Stdio {
        stdin: Stream::Null,
        stdout: Stream::Fd(write.try_clone().unwrap()),
        stderr: Stream::Fd(write),
    };
    let mut child = spawn(plan, stdio)?;
    let mut text = String::new();
    std::fs::File::from(read).read_to_string(&mut text).unwrap();
    Ok((text, child.wait()?))
}

/// A pipe whose ends are not inherited.
pub(crate) fn pipe() -> (OwnedFd, OwnedFd) {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap()
}
