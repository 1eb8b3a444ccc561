//! GPUs of made hosts: folders with specifications, device nodes and libraries in them.

use std::fmt::Write;
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fs_err as fs;
use tempfile::TempDir;

use super::{GpuRequest, Gpus, Which, find};

struct Host(TempDir);

impl Host {
    fn new(files: &[&str]) -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        for file in files {
            host.write(file, "");
        }
        host
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    /// What is found, or why nothing is, without the folder's name.
    fn find(&self, which: Which) -> String {
        self.shown(&GpuRequest { which, memory_bytes_min: None })
    }

    fn shown(&self, request: &GpuRequest) -> String {
        let text = match find(request, self.root()) {
            Ok(gpus) => listing(&gpus),
            Err(error) => format!("error: {error}\n"),
        };
        text.replace(self.root().to_str().unwrap(), "")
    }
}

fn listing(gpus: &Gpus) -> String {
    let mut text = format!("{} from {}\n", gpus.names.join(" "), gpus.source);
    let mut line = |kind: &str, from: &dyn std::fmt::Display, to: &dyn std::fmt::Display| {
        writeln!(text, "{kind} {from} -> {to}").unwrap();
    };
    for (host, guest) in &gpus.devices {
        line("device", &host.display(), &guest.display());
    }
    for (host, name) in &gpus.libraries {
        line("library", &host.display(), name);
    }
    for (name, target) in &gpus.links {
        line("link", name, target);
    }
    for (host, name) in &gpus.programs {
        line("program", &host.display(), name);
    }
    for (host, guest) in &gpus.files {
        line("file", &host.display(), &guest.display());
    }
    for (name, value) in &gpus.env {
        line("env", name, value);
    }
    for left_out in &gpus.left_out {
        writeln!(text, "left out: {left_out}").unwrap();
    }
    text
}

fn count(count: usize) -> Which {
    Which::Count(NonZeroUsize::new(count).unwrap())
}

/// As `nvidia-ctk cdi generate` writes it, shortened.
const YAML: &str = r#"
cdiVersion: 0.5.0
kind: nvidia.com/gpu
devices:
  - name: "0"
    containerEdits:
      deviceNodes: [{path: /dev/nvidia0}]
  - name: "1"
    containerEdits:
      deviceNodes: [{path: /dev/nvidia1, hostPath: /dev/second}]
  - name: all
    containerEdits:
      deviceNodes: [{path: /dev/nvidia0}, {path: /dev/nvidia1}]
containerEdits:
  env: [NVIDIA_VISIBLE_DEVICES=void]
  deviceNodes: [{path: /dev/nvidiactl}, {path: /dev/absent}, {path: /dev/../etc/shadow, hostPath: /dev/nvidiactl}, {path: /etc/nvidia, hostPath: /dev/nvidiactl}]
  mounts:
    - {hostPath: /usr/lib/libcuda.so.550.1, containerPath: /usr/lib64/libcuda.so.550.1, options: [ro, bind]}
    - {hostPath: /usr/bin/nvidia-smi, containerPath: /usr/bin/nvidia-smi}
    - {hostPath: /run/socket, containerPath: /run/socket}
    - {hostPath: /usr/lib/absent.so, containerPath: /usr/lib/absent.so}
  hooks:
    - hookName: createContainer
      path: /usr/bin/nvidia-cdi-hook
      args: [nvidia-cdi-hook, create-symlinks, --link, "libcuda.so.550.1::/usr/lib64/libcuda.so.1", --link, "libcuda.so.1::/usr/lib64/libcuda.so"]
    - {hookName: createContainer, path: /usr/bin/nvidia-cdi-hook, args: [nvidia-cdi-hook, update-ldcache, --folder, /usr/lib64]}
    - {hookName: createContainer, path: /usr/bin/nvidia-cdi-hook, args: [nvidia-cdi-hook, chmod, --mode, "755"]}
"#;

const FILES: [&str; 6] = [
    "dev/nvidia0",
    "dev/second",
    "dev/nvidiactl",
    "usr/lib/libcuda.so.550.1",
    "usr/bin/nvidia-smi",
    "run/socket",
];

#[test]
fn a_specification_says_what_a_job_gets() {
    let host = Host::new(&FILES);
    host.write("etc/cdi/nvidia.yaml", YAML);
    let common = "library /usr/lib/libcuda.so.550.1 -> libcuda.so.550.1
link libcuda.so.1 -> libcuda.so.550.1
link libcuda.so -> libcuda.so.1
program /usr/bin/nvidia-smi -> nvidia-smi
file /run/socket -> /run/socket
env NVIDIA_VISIBLE_DEVICES -> void
left out: device /dev/absent: not on this host
left out: device /dev/../etc/shadow: not below /dev
left out: device /etc/nvidia: not below /dev
left out: /usr/lib/absent.so: not on this host
left out: hook chmod: hooks are not run
";
    let (first, second) =
        ("device /dev/nvidia0 -> /dev/nvidia0\n", "device /dev/second -> /dev/nvidia1\n");
    let from = "from /etc/cdi/nvidia.yaml\ndevice /dev/nvidiactl -> /dev/nvidiactl\n";
    assert_eq!(host.find(count(1)), format!("nvidia.com/gpu=0 {from}{first}{common}"));
    let both = format!("nvidia.com/gpu=0 nvidia.com/gpu=1 {from}{first}{second}{common}");
    assert_eq!(host.find(Which::All), both);
    assert_eq!(host.find(count(2)), both);
    let named = host.find(Which::Named("nvidia.com/gpu=1".to_owned()));
    assert_eq!(named, format!("nvidia.com/gpu=1 {from}{second}{common}"));
    assert_eq!(host.find(count(3)), "error: 3 GPUs are asked for, and this host has 2\n");
    assert_eq!(
        host.find(Which::Named("nvidia.com/gpu=7".to_owned())),
        "error: there is no GPU `nvidia.com/gpu=7`; there are: nvidia.com/gpu=0, nvidia.com/gpu=1, nvidia.com/gpu=all\n"
    );
}

#[test]
fn json_and_the_later_folder_win_and_a_broken_file_is_named() {
    let host = Host::new(&FILES);
    host.write("etc/cdi/nvidia.yaml", YAML);
    host.write("etc/cdi/README", "not a specification");
    let json = r#"{"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu", "devices": [{"name": "0",
        "containerEdits": {"deviceNodes": [{"path": "/dev/nvidia9", "hostPath": "/dev/nvidia0"}]}}]}"#;
    host.write("var/run/cdi/dynamic.json", json);
    assert_eq!(
        host.find(count(1)),
        "nvidia.com/gpu=0 from /var/run/cdi/dynamic.json\ndevice /dev/nvidia0 -> /dev/nvidia9\n"
    );
    // What cannot be read is left out, and is why nothing is found if nothing is.
    host.write("var/run/cdi/broken.json", "{");
    fs::os::unix::fs::symlink("absent", host.root().join("etc/cdi/absent.yaml")).unwrap();
    let found = host.find(count(1));
    let (given, left_out) = found.split_once("left out: ").unwrap();
    assert_eq!(given.lines().count(), 2, "{found}");
    let invalid = "the CDI specification `/var/run/cdi/broken.json` is not valid";
    assert!(left_out.starts_with(&format!("{invalid}: EOF while parsing")), "{found}");
    let unread = "\nleft out: failed to read the CDI specification `/etc/cdi/absent.yaml`: ";
    assert!(left_out.contains(unread), "{found}");
    let named = host.find(Which::Named("amd.com/gpu=0".to_owned()));
    assert_eq!(named, format!("error: {invalid}\n"));
    assert_eq!(host.find(count(9)), format!("error: {invalid}\n"));
}

#[test]
fn without_a_specification_the_driver_is_found_as_it_lies() {
    let host =
        Host::new(&["dev/nvidia1", "dev/nvidia0", "dev/nvidiactl", "dev/nvidia-uvm", "dev/null"]);
    assert_eq!(
        host.find(Which::All),
        "error: the driver's library libcuda.so.1 is not on this host, though its devices are\n"
    );
    for name in ["libcuda.so.550.1", "libnvidia-ml.so.1", "libcudart.so.12", "libc.so.6"] {
        host.write(&format!("usr/lib64/{name}"), "");
    }
    fs::os::unix::fs::symlink("libcuda.so.550.1", host.root().join("usr/lib64/libcuda.so.1"))
        .unwrap();
    fs::os::unix::fs::symlink("absent", host.root().join("usr/lib64/libnvidia-gone.so.1")).unwrap();
    host.write("usr/bin/nvidia-smi", "");
    assert_eq!(
        host.find(count(1)),
        "nvidia0 from device nodes and libraries of the host
device /dev/nvidiactl -> /dev/nvidiactl
device /dev/nvidia-uvm -> /dev/nvidia-uvm
device /dev/nvidia0 -> /dev/nvidia0
library /usr/lib64/libcuda.so.1 -> libcuda.so.1
library /usr/lib64/libcuda.so.550.1 -> libcuda.so.550.1
library /usr/lib64/libnvidia-ml.so.1 -> libnvidia-ml.so.1
program /usr/bin/nvidia-smi -> nvidia-smi
"
    );
    assert_eq!(
        Host::new(&["dev/null"]).find(Which::All),
        "error: this host shows no GPU: no CDI specification in /etc/cdi, /var/run/cdi, no /dev/nvidia0\n"
    );
}

#[test]
fn memory_is_asked_of_the_drivers_own_program() {
    let host = Host::new(&["dev/nvidia0", "dev/nvidia1", "usr/lib64/libcuda.so.1"]);
    let ask = |bytes| host.shown(&GpuRequest { which: count(1), memory_bytes_min: Some(bytes) });
    let told = ask(8 << 30);
    assert!(
        told.starts_with("error: failed to ask `/usr/bin/nvidia-smi` how much memory"),
        "{told}"
    );
    host.write("usr/bin/nvidia-smi", "#!/bin/sh\necho '0, 4096'\necho '1, 81559'\n");
    let program = host.root().join("usr/bin/nvidia-smi");
    fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(ask(8 << 30).starts_with("nvidia1 from "), "{}", ask(8 << 30));
    assert!(ask(4 << 30).starts_with("nvidia0 from "));
    host.write("etc/cdi/nvidia.yaml", YAML);
    host.write(
        "etc/cdi/other.yaml",
        "{kind: other.com/gpu, devices: [{name: \"0\"}, {name: \"1\"}]}",
    );
    let named = |name: &str, bytes| {
        let which = Which::Named(name.to_owned());
        host.shown(&GpuRequest { which, memory_bytes_min: Some(bytes) })
    };
    assert!(named("nvidia.com/gpu=1", 8 << 30).starts_with("nvidia.com/gpu=1 from "));
    assert_eq!(
        named("nvidia.com/gpu=0", 8 << 30),
        "error: the GPU `nvidia.com/gpu=0` has less than 8589934592 bytes of memory\n"
    );
    for name in ["nvidia.com/gpu=all", "other.com/gpu=1"] {
        let told = format!("error: how much memory the GPU `{name}` has cannot be told");
        assert!(named(name, 1).starts_with(&told), "{}", named(name, 1));
    }
    fs::remove_file(host.root().join("etc/cdi/nvidia.yaml")).unwrap();
    assert!(ask(1).starts_with("error: how much memory the GPU `other.com/gpu=0` has"));
    fs::remove_file(host.root().join("etc/cdi/other.yaml")).unwrap();
    assert_eq!(
        ask(1 << 40),
        "error: 1 GPUs are asked for, and this host has 0 with at least 1099511627776 bytes of memory\n"
    );
}
