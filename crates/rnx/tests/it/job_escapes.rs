//! Ways out of a job, tried by the real program's jobs as root and as an ordinary user: none works, and nothing that they
//! are aimed at on the host has changed. System calls are tried by the tests of `rnx-sandbox`.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};

use fs_err as fs;

use crate::busybox::Busybox;
use crate::rnx::program;

/// Each is run by the job's shell, and must fail.
const ATTEMPTS: [(&str, &str); 34] = [
    ("write to the runtime", "echo x > /usr/bin/sh"),
    ("make a file in the runtime", "touch /usr/x"),
    ("delete from the runtime", "busybox rm -f /usr/bin/sh; test ! -e /usr/bin/sh"),
    ("change a mode in the runtime", "busybox chmod 777 /usr/bin"),
    ("make the runtime writable", "busybox mount -o remount,rw /usr"),
    ("make the root writable", "busybox mount -o remount,rw /"),
    ("write to the root", "touch /x"),
    ("write to a mount below a read-only volume", "touch /data/shm/rnx-escape"),
    ("write to the running program", "echo x > /proc/self/exe"),
    ("write to rnx", "echo x > /proc/1/exe"),
    ("read rnx", "cat /proc/1/exe"),
    ("go through pid 1 to the host", "cd /proc/1/root"),
    ("go through pid 1's folder", "ls /proc/1/cwd/"),
    ("use pid 1's descriptors", "ls /proc/1/fd/ && cat /proc/1/fd/*"),
    ("read pid 1's environment", "cat /proc/1/environ"),
    ("write to pid 1's memory", "echo x > /proc/1/mem"),
    ("set the core pattern", "echo '|/work/x' > /proc/sys/kernel/core_pattern"),
    ("set a program for the kernel", "echo /work/x > /proc/sys/kernel/modprobe"),
    ("press a magic key", "echo h > /proc/sysrq-trigger"),
    ("change the host's name", "busybox hostname escaped"),
    ("change the clock", "busybox date -s 2001-01-01; test $(busybox date +%Y) = 2001"),
    ("mount a tmpfs", "busybox mount -t tmpfs x /tmp"),
    ("mount control groups", "mkdir /tmp/c && busybox mount -t cgroup2 x /tmp/c"),
    ("mount another proc", "mkdir /tmp/p && busybox mount -t proc x /tmp/p"),
    ("uncover what is masked", "busybox umount /proc/sys || busybox umount -l /proc/kcore"),
    ("write to control groups", "echo 1 > /sys/fs/cgroup/cgroup.procs"),
    ("make a disk's node", "busybox mknod /tmp/disk b 8 0"),
    ("make a memory's node", "busybox mknod /work/mem c 1 1"),
    ("enter a new user namespace", "busybox unshare -U true"),
    ("enter the host's namespaces", "busybox nsenter -t 1 -m -- true"),
    ("change the root", "busybox chroot /tmp true"),
    ("become root", "busybox su root -c true"),
    (
        "make a set-user-ID program",
        "busybox cp /bin/busybox /work/su && busybox chmod 4755 /work/su",
    ),
    (
        "see the host's processes",
        "ls -d /proc/[0-9]* | busybox xargs -n 1 busybox basename | busybox awk '$1 > 300 { found = 1 } END { exit !found }'",
    ),
];

#[test]
fn no_way_out_of_a_job_works() {
    for busybox in Busybox::callers() {
        // One that got out of another build of this program is not this one's fault.
        let shared = std::path::Path::new("/dev/shm/rnx-escape");
        if shared.exists() {
            fs::remove_file(shared).unwrap();
        }
        let canary = busybox.scratch.path().join("canary");
        fs::write(&canary, "untouched").unwrap();
        let before = fs::metadata(program()).unwrap();
        let core_pattern = fs::read("/proc/sys/kernel/core_pattern").unwrap();
        let shell = fs::metadata(busybox.scratch.path().join("runtime/isolated/usr/bin/busybox"));
        // As much the caller's as the job is.
        let mut bystander = Command::new("sleep")
            .arg("1000")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();

        let script: String = ATTEMPTS
            .iter()
            .map(|(name, attempt)| {
                format!("if ( {attempt} ) >/dev/null 2>&1; then echo \"ESCAPED: {name}\"; fi\n")
            })
            .collect();
        let end = "kill -9 -1 2>/dev/null; busybox reboot -f 2>/dev/null; echo end\n";
        busybox.write("attack.sh", &(script + end));
        let words = ["--volume", "/dev:/data:ro", "--user", "root", "--", "sh", "attack.sh"];
        let (status, text) = busybox.run(&words);
        assert_eq!((status, text.as_str()), (Some(0), "end\n"), "{}", busybox.caller());

        assert_eq!(fs::read_to_string(&canary).unwrap(), "untouched");
        let after = fs::metadata(program()).unwrap();
        assert_eq!((after.mtime(), after.len()), (before.mtime(), before.len()));
        assert_eq!(fs::read("/proc/sys/kernel/core_pattern").unwrap(), core_pattern);
        let after = fs::metadata(busybox.scratch.path().join("runtime/isolated/usr/bin/busybox"));
        assert_eq!(after.unwrap().mtime(), shell.unwrap().mtime());
        assert!(!shared.exists());
        assert_eq!(bystander.try_wait().unwrap(), None, "a process outside was killed");
        bystander.kill().unwrap();
        bystander.wait().unwrap();
        if let Ok(made) = fs::metadata(busybox.work().join("su")) {
            assert_eq!(made.permissions().mode() & 0o6000, 0);
        }
    }
}

#[test]
fn a_link_of_the_tree_does_not_decide_where_a_volume_is() {
    for busybox in Busybox::callers() {
        let usr = busybox.scratch.path().join("runtime/isolated/usr");
        fs::os::unix::fs::symlink("/work", usr.join("link")).unwrap();
        fs::create_dir(usr.join("there")).unwrap();
        let data = busybox.scratch.path().join("data");
        fs::create_dir(&data).unwrap();
        fs::write(data.join("file"), "").unwrap();
        for place in ["/usr/link/sub", "/usr/absent", "/bin/there"] {
            let volume = format!("{}:{place}", data.display());
            let (status, text) = busybox.run(&["--volume", &volume, "--", "true"]);
            assert_eq!(status, Some(1), "{text}");
            let start = format!("error: the volume's place `{place}` lies in the runtime");
            assert!(text.starts_with(&start), "{text}");
        }
        assert!(!busybox.work().join("sub").exists(), "made through the link");
        let volume = format!("{}:/usr/there", data.display());
        assert_eq!(busybox.run(&["--volume", &volume, "--", "ls", "/usr/there"]).1, "file\n");
    }
}

#[test]
fn what_is_open_outside_is_not_open_inside() {
    for busybox in Busybox::callers() {
        let mut command = busybox.job(&["--", "sh", "-c", "ls /proc/self/fd"]);
        command.stderr(Stdio::null());
        // A descriptor that every program which is started inherits.
        let leak = fs::File::open("/dev/zero").unwrap();
        rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).unwrap();
        let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
        // The fourth is the folder that is listed.
        assert_eq!(text, "0\n1\n2\n3\n", "{}", busybox.caller());
    }
}
