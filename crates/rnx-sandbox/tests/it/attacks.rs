//! What a process in a job can do and see, told by this test binary run inside one, and compared with `bwrap`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::Command;

use rnx_sandbox::plan::{Access, SandboxPlan, Step};
use rnx_sandbox::spawn::Exit;

use crate::support::{job, output};

const PROBE: &str = "RNX_SANDBOX_PROBE";
const ARGUMENTS: [&str; 3] = ["attacks::probe", "--exact", "--nocapture"];

/// Not a test outside: prints what is possible here, a line each, when it is run inside a sandbox.
#[test]
fn probe() {
    if std::env::var_os(PROBE).is_none() {
        return;
    }
    let mut found = String::new();
    for (name, result) in calls().into_iter().chain(writes()).chain(sights()) {
        writeln!(found, "probe {name}: {result}").unwrap();
    }
    println!("\n{found}");
}

/// What the kernel said to the call that was made last.
fn told(result: i64) -> String {
    match (result, std::io::Error::last_os_error().raw_os_error()) {
        (-1, Some(libc::EPERM)) => "EPERM".to_owned(),
        (-1, Some(libc::ENOSYS)) => "ENOSYS".to_owned(),
        (-1, errno) => format!("errno {}", errno.unwrap_or_default()),
        _ => "done".to_owned(),
    }
}

#[expect(unsafe_code, reason = "the probe makes the calls that libraries keep from it")]
fn calls() -> Vec<(&'static str, String)> {
    let null = std::ptr::null::<u8>();
    macro_rules! call {
        ($number:ident $(, $argument:expr)*) => {
            // SAFETY: harmless arguments, and a refusal is expected.
            (stringify!($number), told(unsafe { libc::syscall(libc::$number $(, $argument)*) }))
        };
    }
    let mut ring = [0u8; 256];
    // `CAP_SYS_ADMIN`, permitted (`struct vfs_cap_data`).
    let capability = [0x0200_0001u32, 1 << 21, 0, 0, 0];
    let tree = c"/usr".as_ptr();
    let mut calls = vec![
        call!(SYS_keyctl, 0, -3, 0, 0, 0),
        call!(SYS_add_key, c"user".as_ptr(), c"x".as_ptr(), c"y".as_ptr(), 1, -2),
        call!(SYS_bpf, 0, null, 0),
        call!(SYS_userfaultfd, 1),
        call!(SYS_io_uring_setup, 1, ring.as_mut_ptr()),
        call!(SYS_perf_event_open, null, 0, -1, -1, 0),
        call!(SYS_unshare, libc::CLONE_NEWUSER),
        call!(SYS_unshare, libc::CLONE_NEWNS),
        call!(SYS_clone3, null, 0),
        call!(SYS_setns, 0, 0),
        call!(SYS_mount, c"x".as_ptr(), c"/tmp".as_ptr(), c"tmpfs".as_ptr(), 0, null),
        call!(SYS_umount2, c"/proc".as_ptr(), libc::MNT_DETACH),
        call!(SYS_open_tree, libc::AT_FDCWD, tree, 1),
        call!(SYS_fsopen, c"tmpfs".as_ptr(), 0),
        call!(SYS_mount_setattr, libc::AT_FDCWD, tree, 0, null, 0),
        call!(SYS_pivot_root, c"/".as_ptr(), c"/".as_ptr()),
        call!(SYS_chroot, tree),
        call!(SYS_mknodat, libc::AT_FDCWD, c"/tmp/node".as_ptr(), libc::S_IFCHR, 0x103),
        call!(SYS_open_by_handle_at, libc::AT_FDCWD, ring.as_mut_ptr(), 0),
        call!(SYS_kexec_load, 0, 0, null, 0),
        call!(SYS_init_module, null, 0, null),
        call!(SYS_setuid, 0),
        call!(SYS_setgid, 0),
        call!(SYS_setgroups, 0, null),
        call!(SYS_sethostname, c"x".as_ptr(), 1),
        call!(SYS_reboot, 0, 0, 0, null),
        call!(SYS_syslog, 10, null, 0),
        call!(SYS_settimeofday, null, null),
        call!(SYS_ioctl, 0, 0x5412, c"x".as_ptr()),
        call!(SYS_socket, 40, libc::SOCK_STREAM, 0),
        call!(SYS_personality, 0x004_0000),
        call!(SYS_ptrace, libc::PTRACE_SEIZE, 1, null, null),
        call!(SYS_prctl, libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, 0, 0, 0),
        call!(SYS_kill, 1, libc::SIGKILL),
        call!(SYS_pidfd_getfd, 0, 0, 0),
        call!(SYS_openat2, libc::AT_FDCWD, tree, null, 0),
        call!(SYS_fchmodat, libc::AT_FDCWD, c"/tmp".as_ptr(), 0o4755),
        call!(SYS_openat, libc::AT_FDCWD, c"/tmp/set".as_ptr(), libc::O_CREAT, 0o2755),
        call!(
            SYS_setxattr,
            c"/tmp".as_ptr(),
            c"security.capability".as_ptr(),
            capability.as_ptr(),
            20,
            0
        ),
        call!(SYS_quotactl, 0, null, 0, null),
        call!(SYS_swapon, c"/tmp/x".as_ptr(), 0),
        call!(SYS_acct, null),
    ];
    // `setxattrat`, the first call that is newer than the filter, and the x32 way to `getpid`.
    // SAFETY: no argument is valid.
    calls.push(("call 463", told(unsafe { libc::syscall(463, -1, null, 0, null, null, 0) })));
    // SAFETY: as above.
    calls.push(("x32 call", told(unsafe { libc::syscall(0x4000_0000 + 39) })));
    calls
}

fn writes() -> Vec<(&'static str, String)> {
    [
        "/usr/x",
        "/x",
        "/proc/sysrq-trigger",
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/hostname",
        "/proc/1/mem",
        "/proc/1/environ",
        "/proc/self/exe",
        "/proc/1/exe",
        "/proc/self/oom_score_adj",
        "/proc/1/oom_score_adj",
        "/proc/1/cwd/x",
        "/proc/1/fd/3",
        "/dev/mem",
        "/dev/kmsg",
        "/dev/sda",
        "/etc/passwd",
        "/sys/fs/cgroup/x",
        "/tmp/x",
    ]
    .map(|path| {
        let opened = fs_err::OpenOptions::new()
            .write(true)
            .create(!path.starts_with("/proc") && !path.starts_with("/dev"))
            .open(path);
        (path, if opened.is_ok() { "writable".to_owned() } else { "not writable".to_owned() })
    })
    .to_vec()
}

fn sights() -> Vec<(&'static str, String)> {
    let status = fs_err::read_to_string("/proc/self/status").unwrap();
    let status = |key: &str| -> String {
        status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("none").trim().to_owned()
    };
    let names = |folder: &str| -> Vec<String> {
        let mut names: Vec<_> = fs_err::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let processes =
        names("/proc").iter().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).count();
    let mut mounts: Vec<_> = fs_err::read_to_string("/proc/self/mountinfo")
        .unwrap()
        .lines()
        .map(|line| {
            let mut words = line.split(' ').skip(4);
            let (target, options) = (words.next().unwrap(), words.next().unwrap());
            format!("{target}({})", &options[..2])
        })
        // What of /proc is hidden depends on what the host has; what must be, is written to above.
        .filter(|mount| !mount.starts_with("/proc/") || mount == "/proc/sys(ro)")
        .filter(|mount| mount != "/lib64(ro)")
        .collect();
    mounts.sort();
    let environ = fs_err::read("/proc/1/environ")
        .map_or_else(|_| "hidden".to_owned(), |_| "readable".to_owned());
    // Descriptor 3 is the folder being listed.
    let descriptors =
        names("/proc/self/fd").into_iter().filter(|name| name != "3").collect::<Vec<_>>().join(" ");
    let session = rustix::process::getsid(None).unwrap() == rustix::process::getpid();
    vec![
        ("CapPrm", status("CapPrm:")),
        ("CapBnd", status("CapBnd:")),
        ("CapAmb", status("CapAmb:")),
        ("NoNewPrivs", status("NoNewPrivs:")),
        ("Seccomp", status("Seccomp:")),
        ("processes", processes.to_string()),
        ("descriptors", descriptors),
        ("environment of pid 1", environ),
        ("leads its session", session.to_string()),
        ("mounts", mounts.join(" ")),
        (
            "cgroup",
            fs_err::read_to_string("/proc/self/cgroup").unwrap().contains("/..").to_string(),
        ),
    ]
}

/// What the probe needs of the host, and nothing more: its own file, and the C library.
fn plan() -> SandboxPlan {
    plan_of(PROBE, &ARGUMENTS)
}

/// This test binary as a job, with one variable in its environment.
pub(crate) fn plan_of(variable: &str, arguments: &[&str]) -> SandboxPlan {
    let mut plan = job("");
    plan.steps.retain(|step| !matches!(step, Step::Symlink { .. } | Step::Bind { .. }));
    for (host, guest) in binds() {
        plan.steps.insert(0, Step::Bind { host, guest, access: Access::ReadOnly });
    }
    plan.process.argv = ["/probe"].iter().chain(arguments).map(Into::into).collect();
    plan.process.env = vec![(variable.into(), "1".into())];
    plan
}

fn binds() -> Vec<(PathBuf, PathBuf)> {
    let mut binds = vec![(std::env::current_exe().unwrap(), PathBuf::from("/probe"))];
    for folder in ["/usr", "/lib", "/lib64"] {
        if std::path::Path::new(folder).exists() {
            binds.push((folder.into(), folder.into()));
        }
    }
    binds
}

fn lines(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("probe ")?.split_once(": "))
        .map(|(name, result)| (name.to_owned(), result.to_owned()))
        .collect()
}

#[test]
fn a_job_is_denied_every_attack() {
    // A descriptor that would be inherited if the sandbox let it.
    let leak = fs_err::File::open("/proc/self/status").unwrap();
    rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).unwrap();
    assert!(leak.as_raw_fd() > 2);
    let (text, exit) = output(&plan()).unwrap();
    assert_eq!(exit, Exit::Code(0), "{text}");
    let told: String = text
        .lines()
        .filter_map(|line| line.strip_prefix("probe "))
        .fold(String::new(), |all, line| all + line + "\n");
    assert_eq!(told, include_str!("attacks.txt"));
}

/// Where `bwrap` may differ, and why. What is asked is refused by ours in each of these; where the host's kernel refuses
/// it by itself, as its settings may say, both are the same.
const DIFFERENCES: [(&str, &str); 20] = [
    ("SYS_add_key", "bwrap has no seccomp filter of its own"),
    ("SYS_io_uring_setup", "no filter"),
    ("SYS_keyctl", "no filter"),
    ("SYS_perf_event_open", "no filter"),
    ("SYS_personality", "no filter"),
    ("SYS_socket", "no filter"),
    ("SYS_unshare", "no filter: refused only because the probe has threads"),
    ("SYS_userfaultfd", "no filter"),
    ("SYS_fchmodat", "no filter: files that change ids"),
    ("SYS_openat", "no filter: files that change ids"),
    ("call 463", "no filter"),
    ("Seccomp", "no filter"),
    ("SYS_ptrace", "bwrap's pid 1 can be traced by the job"),
    ("/proc/1/mem", "and written"),
    ("/proc/1/oom_score_adj", "and made the first to be killed"),
    ("environment of pid 1", "and read: it has the caller's environment"),
    (
        "/proc/sys/kernel/core_pattern",
        "called by root, bwrap's job is the host's root, and nothing of /proc is read-only",
    ),
    ("/proc/sys/kernel/hostname", "as above"),
    ("descriptors", "bwrap passes on what its caller leaves open"),
    ("leads its session", "the session is that of bwrap's pid 1"),
];

#[test]
fn bwrap_differs_only_where_we_say_why() {
    if Command::new("bwrap").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "CI needs bwrap (Debian: bubblewrap)");
        eprintln!("skipped: no bwrap (Debian: bubblewrap)");
        return;
    }
    let mut bwrap = Command::new("bwrap");
    bwrap.args([
        "--unshare-user",
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup",
    ]);
    bwrap.args([
        "--uid",
        "1000",
        "--gid",
        "1000",
        "--new-session",
        "--die-with-parent",
        "--cap-drop",
        "ALL",
        "--clearenv",
    ]);
    for (host, guest) in binds() {
        bwrap.arg("--ro-bind").arg(host).arg(guest);
    }
    bwrap.args([
        "--dev",
        "/dev",
        "--tmpfs",
        "/dev/shm",
        "--proc",
        "/proc",
        "--tmpfs",
        "/tmp",
        "--remount-ro",
        "/",
    ]);
    bwrap.args(["--hostname", "job", "--setenv", PROBE, "1", "/probe"]).args(ARGUMENTS);
    let theirs = bwrap.stdin(std::process::Stdio::null()).output().unwrap();
    let theirs = lines(&String::from_utf8_lossy(&theirs.stdout));
    let ours = lines(&output(&plan()).unwrap().0);
    assert!(theirs.len() > 50, "{theirs:?}");
    // Which error it was depends on who refuses first.
    let kind = |result: &str| -> String {
        let refused = result.starts_with('E') || result.starts_with("errno");
        if refused { "refused".to_owned() } else { result.to_owned() }
    };
    let listed =
        |name: &str| name == "mounts" || DIFFERENCES.iter().any(|(listed, _)| *listed == name);
    let differ = |name: &str, result: &str| {
        theirs.get(name).map(|result| kind(result)) != Some(kind(result))
    };
    let unlisted: Vec<_> =
        ours.iter().filter(|(name, result)| differ(name, result) && !listed(name)).collect();
    assert_eq!(unlisted, []);
}
