//! Copies of the host's files in a job's own folder.

use std::os::unix::fs::PermissionsExt;

use fs_err as fs;
use rnx_sandbox::plan::{CopyEntry, SandboxPlan, Step};
use rnx_sandbox::spawn::{Exit, SandboxError};

use crate::support::{job, lacks_busybox, output};

fn plan(host: &std::path::Path, entries: Vec<CopyEntry>, script: &str) -> SandboxPlan {
    let mut plan = job(script);
    plan.steps.push(Step::Tmpfs { guest: "/work".into(), size_bytes_max: 1 << 20, mode: 0o1777 });
    plan.steps.push(Step::Copy { host: host.to_owned(), guest: "/work".into(), entries });
    plan.process.cwd = "/work".into();
    plan
}

fn file(path: &str) -> CopyEntry {
    CopyEntry::File { path: path.into(), size_bytes: 0, executable: true }
}

#[test]
fn copies_belong_to_the_job_and_leave_the_host_alone() {
    if lacks_busybox() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    let content = vec![b'x'; 200_000];
    fs::write(folder.path().join("sub/big"), &content).unwrap();
    // The caller's alone.
    fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let entries = vec![
        CopyEntry::Dir { path: "sub".into() },
        file("sub/big"),
        CopyEntry::Symlink { path: "link".into(), target: "sub/big".into() },
    ];
    let script = "stat -L -c '%s %u:%g %a' link; echo changed > sub/big; cat link; touch new";
    let (text, exit) = output(&plan(folder.path(), entries, script)).unwrap();
    assert_eq!((text.as_str(), exit), ("200000 1000:1000 755\nchanged\n", Exit::Code(0)));
    assert_eq!(fs::read(folder.path().join("sub/big")).unwrap(), content);
    assert!(!folder.path().join("new").exists());
}

#[test]
fn a_link_on_the_way_is_not_followed_and_a_full_folder_is_told() {
    let folder = tempfile::tempdir().unwrap();
    fs::os::unix::fs::symlink("/etc", folder.path().join("etc")).unwrap();
    fs::write(folder.path().join("big"), vec![0; 2 << 20]).unwrap();
    let entries = vec![CopyEntry::Dir { path: "etc".into() }, file("etc/hostname")];
    let errno = |entries| match output(&plan(folder.path(), entries, "true")) {
        Err(SandboxError::Step { step, source }) if step.starts_with("copy ") => {
            source.raw_os_error()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(errno(entries), Some(libc::ELOOP));
    assert_eq!(errno(vec![file("big")]), Some(libc::ENOSPC));
}
