//! Version 2 against a made tree of folders (the real one gives its controllers to few), and finding one's place.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::{Cgroup, CgroupError, Hierarchies};
use crate::limits::Controller::{Cpu, Cpuset, Memory, Pids};
use crate::limits::Limits;

/// A hierarchy of version 2 as folders and files. What the kernel would make in a new group is not there: that a limit
/// cannot be written there shows which was written first.
struct Made {
    folder: TempDir,
}

#[expect(clippy::disallowed_methods, reason = "a tree in a scratch folder")]
impl Made {
    fn new() -> Self {
        let made = Self { folder: tempfile::tempdir().unwrap() };
        made.group("", "cpu memory pids", "cpu memory pids", "");
        made.group("user", "cpu memory pids", "", "");
        made.group("user/scope", "cpu memory pids", "", &std::process::id().to_string());
        made
    }

    fn group(&self, name: &str, controllers: &str, handed_down: &str, processes: &str) {
        let folder = self.folder.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("cgroup.controllers"), controllers).unwrap();
        fs::write(folder.join("cgroup.subtree_control"), handed_down).unwrap();
        fs::write(folder.join("cgroup.procs"), processes).unwrap();
        if !name.is_empty() {
            // The root has none, and in the root of a container it says that it is not the root.
            fs::write(folder.join("cgroup.type"), "domain").unwrap();
        }
    }

    fn hierarchies(&self) -> Hierarchies {
        let mount = self.folder.path().display();
        let mounts = format!("30 23 0:25 / {mount} rw,nosuid - cgroup2 cgroup2 rw\n");
        Hierarchies::parse("0::/user/scope\n", &mounts)
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.folder.path().join(path)).unwrap()
    }
}

fn limits() -> Limits {
    Limits { memory_bytes_max: Some(1 << 20), processes_max: Some(9), ..Limits::default() }
}

fn refused(made: &Made) -> String {
    Cgroup::new(&limits(), &made.hierarchies())
        .unwrap_err()
        .to_string()
        .replace(made.folder.path().to_str().unwrap(), "CGROUP")
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a tree in a scratch folder")]
fn a_group_that_is_ours_alone_is_divided() {
    let made = Made::new();
    // The supervisor's folder, which the kernel would fill.
    made.group("user/scope/rnx-supervisor", "", "", "");
    let error = Cgroup::new(&limits(), &made.hierarchies()).unwrap_err();
    // As far as folders go: the group was made, and has no files.
    assert!(
        matches!(&error, CgroupError::Set { path, .. } if path.ends_with("memory.max")),
        "{error}"
    );
    assert_eq!(made.read("user/scope/rnx-supervisor/cgroup.procs"), "0");
    assert_eq!(made.read("user/scope/cgroup.subtree_control"), "+memory +pids");
    let left: Vec<_> = fs::read_dir(made.folder.path().join("user/scope"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("rnx-job"))
        .collect();
    assert_eq!(left, Vec::<String>::new(), "a failed attempt leaves nothing");
}

#[test]
fn what_a_killed_process_of_the_same_number_left_is_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    let group = folder.path().join("rnx-job-1-0");
    super::make(&group).unwrap();
    super::make_anew(&group).unwrap();
    super::make(&group.join("populated")).unwrap();
    assert!(super::make_anew(&group).is_err());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a tree in a scratch folder")]
fn the_root_of_a_container_is_divided_as_any_group() {
    let made = Made::new();
    made.group("", "cpu memory pids", "", &std::process::id().to_string());
    made.group("rnx-supervisor", "", "", "");
    fs::write(made.folder.path().join("cgroup.type"), "domain").unwrap();
    let mounts = format!("30 23 0:25 / {} rw - cgroup2 cgroup2 rw\n", made.folder.path().display());
    let error = Cgroup::new(&limits(), &Hierarchies::parse("0::/\n", &mounts)).unwrap_err();
    assert!(matches!(&error, CgroupError::Set { .. }), "{error}");
    assert_eq!(made.read("rnx-supervisor/cgroup.procs"), "0");
}

#[test]
fn a_shared_group_is_left_alone_and_the_one_above_is_divided() {
    let made = Made::new();
    made.group("user/scope", "cpu memory pids", "", &format!("1\n{}\n", std::process::id()));
    let error = Cgroup::new(&limits(), &made.hierarchies()).unwrap_err();
    let CgroupError::Set { path, .. } = &error else { panic!("{error}") };
    assert_eq!(
        path.parent().and_then(Path::parent),
        Some(made.folder.path().join("user").as_path())
    );
    assert_eq!(made.read("user/cgroup.subtree_control"), "+memory +pids");
    assert_eq!(made.read("user/scope/cgroup.subtree_control"), "");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a tree in a scratch folder")]
fn what_is_not_handed_down_is_refused_with_what_was_tried() {
    let made = Made::new();
    made.group("", "memory pids", "", "");
    made.group("user", "pids", "pids", "");
    made.group("user/scope", "pids", "", "1");
    rustix::fs::chmod(
        made.folder.path().join("cgroup.subtree_control"),
        rustix::fs::Mode::from_raw_mode(0o400),
    )
    .unwrap();
    if rustix::process::geteuid().is_root() {
        // Root writes all the same; what is looked at is the way there.
        rustix::fs::unlink(made.folder.path().join("cgroup.subtree_control")).unwrap();
    }
    let text = refused(&made);
    assert!(
        text.starts_with(
            "no control group with `memory pids` may be made here (tried `CGROUP/user/scope`: it has no memory, \
             `CGROUP/user`: it has no memory, `CGROUP`: "
        ),
        "{text}"
    );
    fs::write(made.folder.path().join("cgroup.controllers"), "pids").unwrap();
    assert_eq!(refused(&made), "this host has no `memory` control group controller");
}

#[test]
fn a_process_finds_its_place_in_each_hierarchy() {
    let mounts = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 /docker/1 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
39 31 0:36 /elsewhere /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/a\\040b rw - cgroup cgroup rw,cpuset
";
    let groups = "5:cpuset:/\n4:memory:/docker/1/a\n3:pids:/docker/1\n2:cpu,cpuacct:/x/y\n0::/\n";
    let hierarchies = Hierarchies::parse(groups, mounts);
    let found = |controller| {
        hierarchies.holding(&[controller]).map(|own| own[0].path.display().to_string())
    };
    assert_eq!(found(Cpu).unwrap(), "/sys/fs/cgroup/cpu,cpuacct/x/y");
    assert_eq!(found(Memory).unwrap(), "/sys/fs/cgroup/memory/a");
    assert_eq!(found(Cpuset).unwrap(), "/sys/fs/cgroup/a b");
    assert!(found(Pids).is_err(), "its group is not below what is mounted");
}

#[test]
fn a_process_is_born_in_a_group_of_the_real_version_2() {
    let text = super::fs_read(Path::new("/proc/self/mountinfo")).unwrap();
    let unified = text.lines().find(|line| line.contains(" - cgroup2 "));
    let Some(mount) = unified.and_then(|line| line.split(' ').nth(4)) else {
        eprintln!("skipped: no cgroup2 is mounted");
        return;
    };
    let group = Path::new(mount).join(format!("rnx-test-{}", std::process::id()));
    if super::make(&group).is_err() {
        eprintln!("skipped: no group may be made in {mount}");
        return;
    }
    let folder = super::opened(&group, rustix::fs::OFlags::PATH).unwrap();
    let (wait, go) = rustix::pipe::pipe().unwrap();
    let raw = std::os::fd::AsRawFd::as_raw_fd;
    let pid = match crate::sys::fork_into(0, Some(raw(&folder))).unwrap() {
        crate::sys::Forked::Child => {
            crate::sys::close(raw(&go));
            let _end = crate::sys::read(raw(&wait), &mut [0]);
            crate::sys::exit(0)
        }
        crate::sys::Forked::Parent { pid, .. } => pid,
    };
    let place = super::fs_read(Path::new(&format!("/proc/{pid}/cgroup"))).unwrap();
    drop(go);
    let _reaped = rustix::process::waitpid(
        rustix::process::Pid::from_raw(pid),
        rustix::process::WaitOptions::empty(),
    );
    super::remove(&group);
    let name = group.file_name().unwrap().to_str().unwrap();
    assert!(place.lines().any(|line| line.starts_with("0::") && line.ends_with(name)), "{place}");
    assert!(!group.exists());
}
