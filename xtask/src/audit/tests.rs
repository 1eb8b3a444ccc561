//! Every rule, on trees that are made for it.

pub(crate) mod made_elf;
pub(crate) mod made_tree;

use made_elf::MadeElf;
use made_tree::{LINKER, MadeTree, yml};

use crate::audit::elf;
use crate::audit::listing::Listing;
use crate::audit::view::MountView;

const BIN: &str = "isolated/usr/bin";
const LIB: &str = "isolated/usr/lib/x86_64-linux-gnu";

#[test]
fn a_sound_tree_has_no_findings() {
    assert_eq!(MadeTree::sound().findings(), "");
}

/// The tree that the recipe before this project left: it reported success.
#[test]
fn it_is_said_why_python_cannot_run() {
    let python = MadeElf {
        interpreter: Some(LINKER),
        needed: vec!["libm.so.6", "libz.so.1", "libexpat.so.1", "libc.so.6"],
        needs: vec![("libc.so.6", "GLIBC_2.34")],
        ..MadeElf::default()
    };
    let tree = MadeTree::new(&yml("PATH_PREPEND: /usr/local/bin"))
        .elf("isolated/usr/bin/python3.11", &python)
        .link("isolated/usr/bin/python3", "python3.11")
        .file("isolated/usr/bin/pip3", "#!/usr/bin/python3\n", 0o755)
        .link("isolated/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
        .dir("isolated/lib");
    insta::assert_snapshot!(tree.findings(), @r"
    Error[RT0340]: isolated/lib64/ld-linux-x86-64.so.2: is dangling: leads to /lib/x86_64-linux-gnu/ld-linux-x86-64.so.2
    Error[RT0362]: isolated/usr/bin/python3.11: cannot be started: its interpreter is missing: `/lib64/ld-linux-x86-64.so.2` leads to `/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2`, which does not exist
    Error[RT0363]: isolated/usr/bin/python3.11: needs `libc.so.6`, which is in none of /lib/x86_64-linux-gnu, /usr/lib/x86_64-linux-gnu, /lib64, /usr/lib64, /lib, /usr/lib, /usr/local/lib
    Error[RT0363]: isolated/usr/bin/python3.11: needs `libexpat.so.1`, which is in none of /lib/x86_64-linux-gnu, /usr/lib/x86_64-linux-gnu, /lib64, /usr/lib64, /lib, /usr/lib, /usr/local/lib
    Error[RT0363]: isolated/usr/bin/python3.11: needs `libm.so.6`, which is in none of /lib/x86_64-linux-gnu, /usr/lib/x86_64-linux-gnu, /lib64, /usr/lib64, /lib, /usr/lib, /usr/local/lib
    Error[RT0363]: isolated/usr/bin/python3.11: needs `libz.so.1`, which is in none of /lib/x86_64-linux-gnu, /usr/lib/x86_64-linux-gnu, /lib64, /usr/lib64, /lib, /usr/lib, /usr/local/lib
    Error[RT0366]: isolated: the tree has no C library (libc.so.6), which 1 program such as `isolated/usr/bin/python3.11` needs
    Warning[RT0326]: runtime.yml: the mount source `isolated/lib` is an empty folder
    Warning[RT0329]: runtime.yml: in `PATH_PREPEND`: `/usr/local/bin` does not exist
    ");
}

#[test]
fn every_fault_of_a_file_is_found() {
    let old = MadeElf {
        interpreter: Some(LINKER),
        needed: vec!["libc.so.6"],
        needs: vec![("libc.so.6", "GLIBC_2.38"), ("libc.so.6", "GLIBC_2.2.5")],
        ..MadeElf::default()
    };
    let tree = MadeTree::sound()
        .elf(&format!("{BIN}/too-new"), &old)
        .elf(&format!("{BIN}/foreign"), &MadeElf { machine: Some(183), ..MadeElf::default() })
        .file(&format!("{BIN}/cut"), &old.bytes()[..100], 0o755)
        .file(&format!("{BIN}/su"), "", 0o4755)
        .file(&format!("{BIN}/wall"), "", 0o2755)
        .file(&format!("{BIN}/open"), "", 0o666)
        .file(&format!("{BIN}/s1"), "#! /bin/bash\n", 0o755)
        .file(&format!("{BIN}/s2"), "#!/usr/bin/env -S perl -w\n", 0o755)
        .file(&format!("{BIN}/s3"), "#!python\n", 0o755)
        .file(&format!("{BIN}/s4"), "#!/bin/bash is never run\n", 0o644)
        .file(&format!("{BIN}/env"), "", 0o755)
        .file("isolated/usr/share/here", "x /home/builder/x\n", 0o644)
        .file(
            "isolated/usr/share/border",
            [".".repeat(1024 * 1024 - 5), "/tmp/build-1".to_owned()].concat(),
            0o644,
        )
        .link("isolated/usr/share/lost", "/etc/lost")
        .link("isolated/usr/share/out", "../../../../etc/passwd")
        .link("isolated/usr/share/turn", "turn")
        .link("isolated/usr/share/host", "/tmp/build-1/x");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        tree.path().join("isolated/usr/share/fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    insta::assert_snapshot!(tree.findings(), @r"
    Error[RT0340]: isolated/usr/share/lost: is dangling: leads to /etc/lost
    Error[RT0341]: isolated/usr/share/out: leads out of the tree: ../../../../etc/passwd
    Error[RT0342]: isolated/usr/share/turn: is a loop of symlinks
    Error[RT0343]: isolated/usr/share/fifo: is a FIFO
    Error[RT0344]: isolated/usr/bin/su: is setuid (mode 4755)
    Error[RT0344]: isolated/usr/bin/wall: is setgid (mode 2755)
    Error[RT0345]: isolated/usr/bin/open: can be written by everybody (mode 0666)
    Error[RT0346]: isolated/usr/share/border: holds the build host's path `/tmp/build-1`, at byte 1048571
    Error[RT0346]: isolated/usr/share/here: holds the build host's path `/home/builder/`, at byte 2
    Error[RT0346]: isolated/usr/share/host: leads to the build host's path `/tmp/build-1`
    Error[RT0360]: isolated/usr/bin/cut: is a broken ELF file: its program headers are not valid
    Error[RT0361]: isolated/usr/bin/foreign: is code for aarch64, in a runtime for x86_64
    Error[RT0365]: isolated/usr/bin/too-new: needs version GLIBC_2.38 of `libc.so.6`, which `/lib/x86_64-linux-gnu/libc.so.6` does not define
    Error[RT0367]: isolated/usr/bin/s1: its interpreter is missing: `/bin/bash` does not exist
    Error[RT0367]: isolated/usr/bin/s2: its interpreter `perl` is not on the runtime's PATH (/usr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
    Error[RT0367]: isolated/usr/bin/s3: its interpreter `python` is not an absolute path
    ");
}

#[test]
fn libraries_are_found_as_the_linker_finds_them() {
    let library = MadeElf { soname: Some("libx.so"), ..MadeElf::default() };
    let plugin = |elf: MadeElf| MadeElf { needed: vec!["libx.so"], ..elf };
    let cases = [
        ("nowhere", MadeElf::default(), None),
        ("default folder", MadeElf::default(), Some("isolated/usr/lib/libx.so")),
        ("elsewhere", MadeElf::default(), Some("isolated/usr/private/libx.so")),
        ("LD_LIBRARY_PATH", MadeElf::default(), Some("isolated/usr/env/libx.so")),
        (
            "RUNPATH",
            MadeElf { runpath: Some("/nowhere:${ORIGIN}/../p"), ..MadeElf::default() },
            Some("isolated/usr/p/libx.so"),
        ),
        (
            "RPATH",
            MadeElf { rpath: Some("$ORIGIN/../$LIB"), ..MadeElf::default() },
            Some("isolated/usr/lib/x86_64-linux-gnu/libx.so"),
        ),
        (
            "RPATH beside RUNPATH",
            MadeElf { rpath: Some("/usr/p"), runpath: Some("/usr/q"), ..MadeElf::default() },
            Some("isolated/usr/p/libx.so"),
        ),
    ];
    let mut found = String::new();
    for (name, elf, place) in cases {
        let mut tree = MadeTree::sound().elf("isolated/usr/mod/plugin.so", &plugin(elf));
        tree = tree.file("runtime.yml", yml("LD_LIBRARY_PATH: /usr/env"), 0o644);
        if let Some(place) = place {
            tree = tree.elf(place, &library);
        }
        found.extend([format!("{name}\n"), tree.findings()]);
    }
    insta::assert_snapshot!(found, @r"
    nowhere
    Error[RT0363]: isolated/usr/mod/plugin.so: needs `libx.so`, which is in none of /usr/env, /lib/x86_64-linux-gnu, /usr/lib/x86_64-linux-gnu, /lib64, /usr/lib64, /lib, /usr/lib, /usr/local/lib
    default folder
    elsewhere
    Warning[RT0364]: isolated/usr/mod/plugin.so: needs `libx.so`, which is at `isolated/usr/private/libx.so`, where it is not searched for
    LD_LIBRARY_PATH
    RUNPATH
    RPATH
    RPATH beside RUNPATH
    Warning[RT0364]: isolated/usr/mod/plugin.so: needs `libx.so`, which is at `isolated/usr/p/libx.so`, where it is not searched for
    ");
}

#[test]
fn many_that_miss_the_same_library_are_one_finding() {
    let mut tree = MadeTree::sound();
    for name in ["a", "b", "c"] {
        let plugin = MadeElf { needed: vec!["libx.so"], ..MadeElf::default() };
        tree = tree.elf(&format!("isolated/usr/mod/{name}.so"), &plugin);
    }
    let tree = tree.elf("isolated/usr/private/libx.so", &MadeElf::default());
    insta::assert_snapshot!(tree.findings(), @"Warning[RT0364]: isolated/usr/mod/a.so: needs `libx.so`, which is at `isolated/usr/private/libx.so`, where it is not searched for; more that need it: 2");
}

#[test]
fn a_library_of_another_architecture_is_passed_over() {
    let arm = MadeElf { machine: Some(183), ..MadeElf::default() };
    let tree = MadeTree::sound().elf("isolated/usr/lib/libc.so.6", &arm);
    let tree = tree.without(&format!("{LIB}/libc.so.6"));
    insta::assert_snapshot!(tree.findings(), @r"
    Error[RT0361]: isolated/usr/lib/libc.so.6: is code for aarch64, in a runtime for x86_64
    Error[RT0363]: isolated/usr/bin/program: needs `libc.so.6`, which is in none of /lib/x86_64-linux-gnu, /usr/lib/x86_64-linux-gnu, /lib64, /usr/lib64, /lib, /usr/lib, /usr/local/lib
    Error[RT0366]: isolated: the tree has no C library (libc.so.6), which 1 program such as `isolated/usr/bin/program` needs
    ");
}

#[test]
fn an_rpath_is_inherited_by_what_it_loads() {
    let program = MadeElf {
        interpreter: Some(LINKER),
        needed: vec!["liba.so"],
        rpath: Some("/usr/own"),
        ..MadeElf::default()
    };
    let a = MadeElf { needed: vec!["libb.so"], ..MadeElf::default() };
    let tree = MadeTree::sound()
        .elf(&format!("{BIN}/p"), &program)
        .elf("isolated/usr/own/liba.so", &a)
        .elf("isolated/usr/own/libb.so", &MadeElf::default());
    assert_eq!(tree.findings(), "");
}

#[test]
fn every_fault_of_runtime_yml_is_found() {
    let text = "name: other\nversion: 2.0.0\nmounts:\n\
        \x20 - {source: isolated/usr, target: /usr, readonly: false}\n\
        \x20 - {source: isolated/usr, target: /usr}\n\
        \x20 - {source: isolated/none, target: /none}\n\
        \x20 - {source: isolated/empty, target: /empty}\n\
        \x20 - {source: /etc, target: /etc}\n\
        \x20 - {source: ../x, target: /x}\n\
        \x20 - {source: isolated/etc, target: /etc}\n\
        \x20 - {source: isolated/usr, target: relative}\n\
        \x20 - {source: isolated/usr, target: /proc/x}\n\
        \x20 - {source: isolated/usr, target: /a/../b}\n\
        environment: {PATH_PREPEND: /usr/none}\nrequirements: {architectures: [arm64]}\n";
    let tree = MadeTree::new(text)
        .dir("isolated/empty")
        .file("isolated/usr/x", "", 0o644)
        .link("isolated/etc", "/etc");
    let nonsense = MadeTree::new("name: [");
    let none = MadeTree::new("").without("runtime.yml");
    let found = [tree.findings(), nonsense.findings(), none.findings()].join("--\n");
    insta::assert_snapshot!(found, @r"
    Error[RT0322]: runtime.yml: name is `other`, but this is `made-1`
    Error[RT0322]: runtime.yml: version is `2.0.0`, but this is `1.0.0`
    Error[RT0323]: runtime.yml: this build is for amd64, but it requires arm64
    Error[RT0324]: runtime.yml: the mount source `isolated/none` does not exist
    Error[RT0325]: runtime.yml: the mount source `../x` leads out of the runtime's folder
    Error[RT0325]: runtime.yml: the mount source `/etc` leads out of the runtime's folder
    Error[RT0327]: runtime.yml: the mount target `/a/../b` is not a plain path
    Error[RT0327]: runtime.yml: the mount target `/etc` is mounted twice
    Error[RT0327]: runtime.yml: the mount target `/proc/x` belongs to the job runner
    Error[RT0327]: runtime.yml: the mount target `/usr` is mounted twice
    Error[RT0327]: runtime.yml: the mount target `relative` is not an absolute path
    Warning[RT0326]: runtime.yml: the mount source `isolated/empty` is an empty folder
    Warning[RT0328]: runtime.yml: `/usr` is mounted writable: jobs would change it
    Warning[RT0329]: runtime.yml: in `PATH_PREPEND`: `/usr/none` does not exist
    --
    Error[RT0321]: runtime.yml: not a valid runtime.yml: line 1 column 7: expected string scalar
    --
    Error[RT0320]: runtime.yml: does not exist
    ");
}

#[test]
fn a_broken_elf_file_is_an_error_and_never_a_panic() {
    let whole = MadeElf {
        interpreter: Some(LINKER),
        soname: Some("libx.so"),
        needed: vec!["libc.so.6"],
        runpath: Some("/x:/y"),
        needs: vec![("libc.so.6", "GLIBC_2.34")],
        defines: vec!["X_1"],
        ..MadeElf::default()
    }
    .bytes();
    let info = elf::parse(&whole).unwrap().unwrap();
    assert_eq!(info.needed, ["libc.so.6"]);
    assert_eq!(info.runpath, ["/x", "/y"]);
    assert_eq!(info.version_defines, ["X_1"]);
    for at in 0..whole.len() {
        assert_ne!(elf::parse(&whole[..at].to_vec()), Some(Ok(info.clone())), "cut at {at}");
        for value in [0, 1, 0x7f, 0x80, 0xfe, 0xff] {
            let mut broken = whole.clone();
            broken[at] = value;
            let _parsed = elf::parse(&broken);
            // Wide numbers too: offsets and lengths near the end of their range.
            let end = (at + 8).min(broken.len());
            broken[at..end].fill(value);
            let _parsed = elf::parse(&broken);
        }
    }
}

#[test]
fn the_deepest_mount_shows_and_symlinks_stay_in_the_guest() {
    let tree = MadeTree::new("")
        .file("isolated/usr/a", "", 0o644)
        .file("isolated/local/b", "", 0o644)
        .link("isolated/usr/up", "../../../usr/local/b")
        .link("isolated/usr/host", "/etc/passwd");
    let listing: Listing = super::listing::read(tree.path(), &[]).unwrap();
    let mounts = [("/usr", "isolated/usr"), ("/usr/local", "isolated/local")];
    let view = MountView::new(&listing, mounts.map(|(t, s)| (t.to_owned(), s.to_owned())));
    let shown: Vec<String> =
        ["/usr/a", "/usr/local/b", "/usr/up", "/usr/host", "/usr/a/x", "/", "/proc/1/exe"]
            .map(|guest| match view.walk(guest).end {
                Ok(place) => format!("{guest} -> {} {:?}", place.guest, place.tree),
                Err(error) => error.to_string(),
            })
            .to_vec();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    /usr/a -> /usr/a Some("isolated/usr/a")
    /usr/local/b -> /usr/local/b Some("isolated/local/b")
    /usr/up -> /usr/local/b Some("isolated/local/b")
    `/usr/host` leads to `/etc/passwd`, which does not exist
    `/usr/a/x` leads to `/usr/a`, which is not a folder
    / -> / None
    /proc/1/exe -> /proc None
    "#);
}

#[test]
fn a_driver_is_the_hosts_and_only_of_a_cuda_runtime() {
    let cuda = "isolated/usr/lib/python3/nvidia";
    let needs = |needed: &'static str| MadeElf { needed: vec![needed], ..MadeElf::default() };
    let tree = MadeTree::sound().elf(&format!("{LIB}/libtorch.so"), &needs("libcuda.so.1"));
    let searched = "/lib/x86_64-linux-gnu, /usr/lib/x86_64-linux-gnu, /lib64, /usr/lib64, /lib, /usr/lib, /usr/local/lib";
    let none = format!(
        "Error[RT0363]: {LIB}/libtorch.so: needs `libcuda.so.1`, which is in none of {searched}"
    );
    assert_eq!(tree.findings().trim_end(), none);
    let tree = tree
        .elf(&format!("{cuda}/libcudart.so.12"), &MadeElf::default())
        .elf(&format!("{LIB}/libother.so"), &needs("libnvidia-other.so.1"))
        .elf(&format!("{LIB}/libnvidia-encode.so.1"), &MadeElf::default())
        .link(&format!("{LIB}/libcuda.so"), "libnvidia-encode.so.1");
    insta::assert_snapshot!(tree.findings().replace(searched, "…"), @r"
    Error[RT0363]: isolated/usr/lib/x86_64-linux-gnu/libother.so: needs `libnvidia-other.so.1`, which is in none of …
    Error[RT0369]: isolated/usr/lib/x86_64-linux-gnu/libcuda.so: is a part of a GPU's driver, which must be the host's own
    Error[RT0369]: isolated/usr/lib/x86_64-linux-gnu/libnvidia-encode.so.1: is a part of a GPU's driver, which must be the host's own
    Warning[RT0368]: isolated/usr/lib/x86_64-linux-gnu/libtorch.so: needs `libcuda.so.1`, which the driver of a host with a GPU supplies
    ");
}
