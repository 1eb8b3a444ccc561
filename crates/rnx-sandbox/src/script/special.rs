//! `/proc` and `/dev` of a sandbox, as operations.

use std::ffi::CString;
use std::path::Path;

use super::{From, Label, Op, RootOp, Script, path, text};
use crate::spawn::SandboxError;
use crate::sys;

impl Script {
    /// Hidden and read-only are what the OCI runtimes hide and make read-only, where the host has it.
    pub(super) fn proc(
        &mut self,
        label: Label,
        guest: &Path,
        masked: bool,
    ) -> Result<(), SandboxError> {
        let quiet = sys::MOUNT_ATTR_NOSUID | sys::MOUNT_ATTR_NODEV | sys::MOUNT_ATTR_NOEXEC;
        let source = self.source(label, From::Proc, quiet);
        self.ops.push((label, Op::Attach { source, path: path(guest)? }));
        if !masked {
            return Ok(());
        }
        let host = Path::new("/proc");
        for name in [
            "kcore",
            "keys",
            "latency_stats",
            "timer_list",
            "timer_stats",
            "sched_debug",
            "interrupts",
        ] {
            if host.join(name).exists() {
                let quiet =
                    sys::MOUNT_ATTR_RDONLY | sys::MOUNT_ATTR_NOSUID | sys::MOUNT_ATTR_NOEXEC;
                self.attach(label, Path::new("/dev/null"), &guest.join(name), quiet)?;
            }
        }
        for name in ["acpi", "asound", "scsi"] {
            if host.join(name).exists() {
                self.ops.push((label, Op::Hide { path: path(guest.join(name))? }));
            }
        }
        for name in ["bus", "fs", "irq", "sys", "sysrq-trigger"] {
            if host.join(name).exists() {
                self.ops.push((label, Op::Freeze { path: path(guest.join(name))? }));
            }
        }
        Ok(())
    }

    pub(super) fn dev(&mut self, label: Label, guest: &Path) -> Result<(), SandboxError> {
        let tmpfs = |path: CString, size: &str, mode: &str| -> Result<Op, SandboxError> {
            Ok(Op::Tmpfs { path, size: text(size)?, mode: text(mode)? })
        };
        // A tmpfs root is made read-only, and its `/dev` with it.
        if !matches!(self.root, RootOp::Tmpfs) {
            self.ops.push((label, tmpfs(path(guest)?, "1m", "755")?));
        }
        for name in ["null", "zero", "full", "random", "urandom", "tty"] {
            let node = guest.join(name);
            self.ops.push((label, Op::Touch { path: path(&node)? }));
            let quiet = sys::MOUNT_ATTR_NOSUID | sys::MOUNT_ATTR_NOEXEC;
            self.attach(label, &Path::new("/dev").join(name), &node, quiet)?;
        }
        for name in ["pts", "shm"] {
            self.ops.push((label, Op::Dir { path: path(guest.join(name))?, mode: 0o755 }));
        }
        self.ops.push((label, Op::Devpts { path: path(guest.join("pts"))? }));
        self.ops.push((label, tmpfs(path(guest.join("shm"))?, "50%", "1777")?));
        for (name, target) in [
            ("ptmx", "pts/ptmx"),
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
        ] {
            let link = Op::Symlink { path: path(guest.join(name))?, target: text(target)? };
            self.ops.push((label, link));
        }
        Ok(())
    }
}
