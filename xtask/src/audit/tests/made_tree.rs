//! Writes small runtime trees to a temp folder.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rnx_spec::Arch;
use tempfile::TempDir;

use super::made_elf::MadeElf;
use crate::audit::{self, Options};

pub(crate) const LINKER: &str = "/lib64/ld-linux-x86-64.so.2";

pub(crate) struct MadeTree(pub(crate) TempDir);

impl MadeTree {
    pub(crate) fn new(runtime_yml: &str) -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        tree.file("runtime.yml", runtime_yml, 0o644)
    }

    /// A tree without faults: a linker, a libc and one program.
    pub(crate) fn sound() -> Self {
        let libc = MadeElf {
            soname: Some("libc.so.6"),
            defines: vec!["GLIBC_2.2.5", "GLIBC_2.34"],
            ..MadeElf::default()
        };
        let program = MadeElf {
            interpreter: Some(LINKER),
            needed: vec!["libc.so.6"],
            needs: vec![("libc.so.6", "GLIBC_2.34")],
            ..MadeElf::default()
        };
        let bin = "mounts:\n  - {source: isolated/bin, target: /bin}\n";
        Self::new(&yml("PATH_PREPEND: /usr/bin").replace("mounts:\n", bin))
            .elf("isolated/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", &MadeElf::default())
            .elf("isolated/usr/lib/x86_64-linux-gnu/libc.so.6", &libc)
            .link(
                "isolated/usr/lib64/ld-linux-x86-64.so.2",
                "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
            )
            .link("isolated/lib", "usr/lib")
            .link("isolated/lib64", "usr/lib64")
            .elf("isolated/usr/bin/program", &program)
            .file("isolated/usr/bin/script", "#!/usr/bin/program -x\n", 0o755)
            .link("isolated/bin", "usr/bin")
            .link("isolated/usr/bin/away", "../lib64/ld-linux-x86-64.so.2")
            .link("isolated/usr/bin/further", "../share/null")
            .link("isolated/usr/share/null", "/dev/null")
    }

    pub(crate) fn file(self, path: &str, text: impl AsRef<[u8]>, mode: u32) -> Self {
        let path = self.0.path().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, text).unwrap();
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    pub(crate) fn elf(self, path: &str, elf: &MadeElf) -> Self {
        self.file(path, elf.bytes(), 0o755)
    }

    pub(crate) fn link(self, path: &str, target: &str) -> Self {
        let path = self.0.path().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
        self
    }

    pub(crate) fn dir(self, path: &str) -> Self {
        fs_err::create_dir_all(self.0.path().join(path)).unwrap();
        self
    }

    pub(crate) fn without(self, path: &str) -> Self {
        fs_err::remove_file(self.0.path().join(path)).unwrap();
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// All findings, one per line.
    pub(crate) fn findings(&self) -> String {
        let options = Options {
            arch: Arch::Amd64,
            spec: Some("made-1@1.0.0".parse().unwrap()),
            forbidden: vec!["/home/builder/".into(), "/tmp/build-1".into()],
        };
        audit::check(self.path(), &options)
            .unwrap()
            .iter()
            .map(|f| format!("{:?}[{}]: {}: {}\n", f.severity, f.code, f.path, f.message))
            .collect()
    }
}

/// A `runtime.yml` with the usual mounts and one variable.
pub(crate) fn yml(variable: &str) -> String {
    let mounts: String = ["usr", "lib", "lib64"]
        .map(|name| format!("  - {{source: isolated/{name}, target: /{name}, readonly: true}}\n"))
        .concat();
    format!("name: made-1\nversion: \"1.0.0\"\nmounts:\n{mounts}environment: {{{variable}}}\n")
}
