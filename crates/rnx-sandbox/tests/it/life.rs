//! From the start of a sandboxed process to its end.

use std::time::Duration;

use rnx_sandbox::plan::{Access, Step};
use rnx_sandbox::spawn::{Exit, SandboxError, Stdio, Stream, spawn};

use crate::support::{job, lacks_busybox, output, pipe};

#[test]
fn output_and_exit_status_pass_through() {
    if lacks_busybox() {
        return;
    }
    let (text, exit) = output(&job("echo hello; exit 42")).unwrap();
    assert_eq!(text, "hello\n");
    assert_eq!(exit, Exit::Code(42));
}

#[test]
fn death_by_signal_passes_through() {
    if lacks_busybox() {
        return;
    }
    assert_eq!(output(&job("kill -SEGV $$")).unwrap().1, Exit::Signal(11));
}

#[test]
fn a_failed_step_is_named_as_the_plan_prints_it() {
    if lacks_busybox() {
        return;
    }
    let mut plan = job("true");
    plan.steps.push(Step::Symlink { guest: "/bin/sh".into(), target: "elsewhere".into() });
    let SandboxError::Step { step, source } = spawn(&plan, Stdio::null()).unwrap_err() else {
        panic!("another error")
    };
    assert_eq!(step, "symlink /bin/sh -> elsewhere");
    assert_eq!(source.kind(), std::io::ErrorKind::AlreadyExists);
}

#[test]
fn a_missing_source_is_named_as_the_plan_prints_it() {
    let mut plan = job("true");
    plan.steps.insert(
        0,
        Step::Bind { host: "/no/such".into(), guest: "/x".into(), access: Access::ReadOnly },
    );
    let SandboxError::Step { step, .. } = spawn(&plan, Stdio::null()).unwrap_err() else {
        panic!("another error")
    };
    assert_eq!(step, "bind ro /no/such -> /x");
}

#[test]
fn a_command_that_is_not_there_is_told_from_one_that_cannot_run() {
    if lacks_busybox() {
        return;
    }
    let mut plan = job("");
    plan.process.argv = vec!["absent".into()];
    assert!(
        matches!(spawn(&plan, Stdio::null()), Err(SandboxError::NotFound { program }) if program == "absent")
    );
    plan.process.argv = vec!["/dev/null".into()];
    assert!(matches!(
        spawn(&plan, Stdio::null()),
        Err(SandboxError::CannotExecute { no_interpreter: false, .. })
    ));
    plan.steps.push(Step::File {
        guest: "/bin/script".into(),
        content: b"#!/no/such\n".to_vec(),
        mode: 0o755,
    });
    plan.process.argv = vec!["script".into()];
    assert!(matches!(
        spawn(&plan, Stdio::null()),
        Err(SandboxError::CannotExecute { no_interpreter: true, .. })
    ));
}

#[test]
fn orphans_are_reaped_and_end_with_the_process() {
    if lacks_busybox() {
        return;
    }
    // The shells in between end at once; their sleeps become children of pid 1. Zombies would be listed with state Z.
    let script = "sh -c 'sleep 0 &'; sh -c 'sleep 1000 &'; sleep 0.2; cat /proc/[0-9]*/stat | grep -c ' Z '; true";
    let (text, exit) = output(&job(&script.replace("grep", "busybox grep"))).unwrap();
    assert_eq!(text, "0\n");
    // Had the long sleep outlived its process, the pipe would not have ended.
    assert_eq!(exit, Exit::Code(0));
}

#[test]
fn signals_are_forwarded_and_killing_ends_it() {
    if lacks_busybox() {
        return;
    }
    let (read, write) = pipe();
    let plan = job("trap 'exit 7' USR1; echo ready; while :; do sleep 0.05; done");
    let stdio = Stdio { stdin: Stream::Null, stdout: Stream::Fd(write), stderr: Stream::Inherit };
    let mut child = spawn(&plan, stdio).unwrap();
    rustix::io::read(&read, &mut [0; 16]).unwrap();
    assert_eq!(child.try_wait().unwrap(), None);
    child.signal(10).unwrap();
    assert_eq!(child.wait_timeout(Duration::from_mins(1)).unwrap(), Some(Exit::Code(7)));

    let mut child = spawn(&job("sleep 1000"), Stdio::null()).unwrap();
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap(), Exit::Signal(9));
}

#[test]
fn dropping_the_child_ends_it() {
    if lacks_busybox() {
        return;
    }
    let (read, write) = pipe();
    let stdio = Stdio { stdin: Stream::Null, stdout: Stream::Fd(write), stderr: Stream::Inherit };
    drop(spawn(&job("sleep 1000"), stdio).unwrap());
    // The end of the pipe: nobody is left to write.
    assert_eq!(rustix::io::read(&read, &mut [0; 1]).unwrap(), 0);
}
