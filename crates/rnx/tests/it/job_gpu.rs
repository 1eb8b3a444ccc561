//! GPUs of jobs by the real program, on hosts that have none: a specification, or a driver as NVIDIA's lies, with device
//! nodes that do no harm, is put where the program looks, in a mount namespace of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use crate::busybox::Busybox;

/// A driver for two GPUs; FOLDER has its files.
const SPECIFICATION: &str = r#"
cdiVersion: 0.5.0
kind: made.example/gpu
devices:
  - name: "0"
    containerEdits:
      env: [DEVICE=the first]
      deviceNodes: [{path: /dev/made0, hostPath: /dev/zero}]
  - name: "1"
    containerEdits: {deviceNodes: [{path: /dev/made1, hostPath: /dev/zero}]}
containerEdits:
  env: [DRIVER=made]
  deviceNodes: [{path: /dev/madectl, hostPath: /dev/null}, {path: /dev/absent}]
  mounts:
    - {hostPath: FOLDER/libmade.so.1.2, containerPath: /usr/lib/libmade.so.1.2}
    - {hostPath: FOLDER/made-smi, containerPath: /usr/bin/made-smi}
    - {hostPath: FOLDER/made.json, containerPath: /opt/made/made.json}
    - {hostPath: FOLDER/made.json, containerPath: /etc/made.json}
  hooks:
    - {hookName: createContainer, path: /x, args: [x, create-symlinks, --link, "libmade.so.1.2::/usr/lib/libmade.so.1"]}
"#;

/// What a job sees of it.
const LOOK: &str = "head -c 3 /dev/made0 | wc -c; echo gone >/dev/madectl; ls /dev | grep made; ls /gpu/lib
cat /gpu/lib/libmade.so.1; made-smi; cat /opt/made/made.json; echo $DRIVER, $DEVICE, $LD_LIBRARY_PATH, $PATH
(echo x >/gpu/lib/libmade.so.1) 2>/dev/null || echo read-only; ls /etc | grep made";

const SEEN: &str = "3
made0
madectl
libmade.so.1
libmade.so.1.2
the library
the program
the file
made, the first, /gpu/lib, /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/gpu/bin
read-only
";

/// `false` if the test cannot be made here; in CI that is a failure.
fn has_bwrap() -> bool {
    let has = Command::new("bwrap").arg("--version").output().is_ok();
    if !has {
        assert!(std::env::var_os("CI").is_none(), "CI needs bwrap (Debian: bubblewrap)");
        eprintln!("skipped: no bwrap (Debian: bubblewrap)");
    }
    has
}

/// Writes the driver's files; returns their folder.
fn write_driver(busybox: &Busybox, files: &[(&str, &str)]) -> PathBuf {
    let folder = busybox.scratch.path().join("driver");
    fs::create_dir(&folder).unwrap();
    for (name, content) in files {
        fs::write(folder.join(name), content).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(folder.join(name), mode).unwrap();
    }
    folder
}

fn write_specification(busybox: &Busybox) -> PathBuf {
    let script = "#!/bin/sh\necho the program\n";
    let files =
        [("libmade.so.1.2", "the library\n"), ("made-smi", script), ("made.json", "the file\n")];
    let driver = write_driver(busybox, &files);
    let path = busybox.scratch.path().join("made.yaml");
    fs::write(&path, SPECIFICATION.replace("FOLDER", driver.to_str().unwrap())).unwrap();
    path
}

/// Runs a job on a host that is this one, but for these mounts and the specifications that it has.
fn run(busybox: &Busybox, mounts: &[&str], words: &[&str]) -> (Option<i32>, String) {
    let mut outer = vec!["bwrap", "--dev-bind", "/", "/", "--tmpfs", "/run"];
    if Path::new("/etc/cdi").is_dir() {
        outer.extend(["--tmpfs", "/etc/cdi"]);
    }
    outer.extend(mounts);
    outer.push("--");
    let output = busybox.job_within(&outer, words).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn a_job_has_what_a_specification_says() {
    for busybox in if has_bwrap() { Busybox::callers() } else { Vec::new() } {
        let path = write_specification(&busybox);
        let mounts = ["--ro-bind", path.to_str().unwrap(), "/run/cdi/made.yaml"];
        for gpu in ["--gpu=made.example/gpu=0", "--gpu=1"] {
            let (status, text) = run(&busybox, &mounts, &[gpu, "--", "sh", "-c", LOOK]);
            assert_eq!(text, SEEN, "{gpu} {}", busybox.caller());
            assert_eq!(status, Some(1), "nothing of it is in the runtime's /etc");
        }
        let both = "ls /dev | grep made";
        let (_, text) = run(&busybox, &mounts, &["--gpu", "--", "sh", "-c", both]);
        assert_eq!(text, "made0\nmade1\nmadectl\n");
        let (_, text) = run(&busybox, &mounts, &["--gpu=1", "--explain", "--", "true"]);
        for line in [
            "left out: device /dev/absent: not on this host",
            "left out: /etc/made.json: the runtime has something at its place",
        ] {
            assert!(text.lines().any(|told| told == line), "{text}");
        }
        let (_, text) = run(&busybox, &mounts, &["--", "sh", "-c", "ls /dev /gpu"]);
        assert!(!text.contains("made"), "without the option: {text}");
    }
}

#[test]
fn no_link_of_a_runtime_is_on_the_way_of_a_driver() {
    for busybox in if has_bwrap() { Busybox::callers() } else { Vec::new() } {
        let path = write_specification(&busybox);
        let mounts = ["--ro-bind", path.to_str().unwrap(), "/run/cdi/made.yaml"];
        let runtime = busybox.scratch.path().join("runtime");
        fs::os::unix::fs::symlink("/work", runtime.join("isolated/link")).unwrap();
        let yml = fs::read_to_string(runtime.join("runtime.yml")).unwrap();
        let with_link_at = |target: &str| {
            let mount = format!("  - {{source: isolated/link, target: {target}}}\n");
            fs::write(runtime.join("runtime.yml"), format!("{yml}{mount}")).unwrap();
        };
        with_link_at("/opt");
        let words = ["--gpu", "--", "sh", "-c", "ls /work; cat /gpu/lib/libmade.so.1"];
        let (status, text) = run(&busybox, &mounts, &words);
        assert_eq!((status, text.as_str()), (Some(0), "the library\n"), "{}", busybox.caller());
        for target in ["/gpu", "/gpu/lib", "/gpu/bin"] {
            with_link_at(target);
            let (status, text) = run(&busybox, &mounts, &words);
            let told = "error: the runtime busybox mounts `/gpu`, where a job's GPUs are";
            assert!(text.starts_with(told) && status == Some(1), "{target}: {text}");
        }
        assert_eq!(fs::read_dir(busybox.work()).unwrap().count(), 0, "through the link");
    }
}

#[test]
fn a_driver_without_a_specification_is_found_as_nvidias_lies() {
    for busybox in if has_bwrap() { Busybox::callers() } else { Vec::new() } {
        let files = [("libcuda.so.550.1", "the library\n"), ("libc.so.6", "not the driver's")];
        let driver = write_driver(&busybox, &files);
        fs::os::unix::fs::symlink("libcuda.so.550.1", driver.join("libcuda.so.1")).unwrap();
        let mut mounts = vec!["--ro-bind", "/dev/null", "/etc/ld.so.cache", "--dev", "/dev"];
        for node in ["/dev/nvidia0", "/dev/nvidia1", "/dev/nvidiactl"] {
            mounts.extend(["--dev-bind", "/dev/zero", node]);
        }
        let libraries = "/usr/local/nvidia/lib64";
        mounts.extend(["--tmpfs", "/usr/local", "--ro-bind", driver.to_str().unwrap(), libraries]);
        let script = "ls /dev | grep nvidia; head -c 3 /dev/nvidia0 | wc -c; ls /gpu/lib; cat /gpu/lib/libcuda.so.1";
        let (status, text) = run(&busybox, &mounts, &["--gpu=1", "--", "sh", "-c", script]);
        let seen = "nvidia0\nnvidiactl\n3\nlibcuda.so.1\nlibcuda.so.550.1\nthe library\n";
        assert_eq!((status, text.as_str()), (Some(0), seen), "{}", busybox.caller());
        let (_, text) =
            run(&busybox, &mounts, &["--gpu", "--", "sh", "-c", "ls /dev | grep nvidia"]);
        assert_eq!(text, "nvidia0\nnvidia1\nnvidiactl\n");
        let (status, text) = run(&busybox, &mounts, &["--gpu=3", "--", "true"]);
        let told = "error: 3 GPUs are asked for, and this host has 2\n";
        assert_eq!((status, text.as_str()), (Some(5), told));
    }
}
