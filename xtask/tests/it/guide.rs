//! The guide for authors, executed: its commands do what it says, and print what stands below them.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use regex::Regex;

use crate::bases::scene::{self, Scene, needs_program, needs_ranges};

/// A block of commands, and what stands below it as what they print.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) commands: String,
    pub(crate) output: Option<String>,
}

#[test]
fn the_guide_does_what_it_says() {
    let guide = fs_err::read_to_string(workspace().join("docs/CREATING_RUNTIMES.md")).unwrap();
    let blocks = blocks(&guide);
    assert_eq!(blocks.len(), 7, "every block is seen");
    if !needs_ranges() || !needs_program("mmdebstrap") || !needs_debian() {
        return;
    }
    let scene = Scene::new();
    let bin = reader_of_the_guide(&scene);
    let path = std::env::var("PATH").unwrap();
    for block in blocks {
        let mut shell = Command::new("bash");
        shell
            .args(["-e", "-c", &block.commands])
            .current_dir(scene.repo())
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("RNX_CACHE_DIR", cache(&scene))
            .env_remove("RNX_REPO")
            .stdin(Stdio::null());
        let ran = scene::ran(&mut shell);
        assert_eq!(ran.status.code(), Some(0), "{}\n{ran:#?}", block.commands);
        let Some(output) = block.output else { continue };
        assert!(
            pattern(&output).is_match(&ran.stdout),
            "{}\nprints:\n{}\nand not:\n{output}",
            block.commands,
            ran.stdout
        );
    }
}

#[test]
fn blocks_and_their_output_are_found() {
    let text = "a\n```sh\none\ntwo\n```\n\n```text output\nx …\n```\n```text\nno\n```\n```sh\nthree\n```\n";
    let block = |commands: &str, output: Option<&str>| Block {
        commands: commands.to_owned(),
        output: output.map(str::to_owned),
    };
    assert_eq!(blocks(text), [block("one\ntwo\n", Some("x …\n")), block("three\n", None)]);
    assert!(pattern("x …\n").is_match("x (y)\n"));
    assert!(!pattern("x …\n").is_match("x y\nz\n"));
    assert!(!pattern("x.y\n").is_match("x-y\n"));
}

/// Returns the blocks of commands in their order.
pub(crate) fn blocks(guide: &str) -> Vec<Block> {
    let mut blocks = Vec::<Block>::new();
    let mut fences = guide.split("\n```");
    // What is before the first fence; then text inside and outside of fences in turn.
    fences.next();
    while let Some(inside) = fences.next() {
        let (kind, text) = inside.split_once('\n').unwrap();
        let text = format!("{text}\n");
        match kind {
            "sh" => blocks.push(Block { commands: text, output: None }),
            "text output" => {
                let last = blocks.last_mut().unwrap();
                assert_eq!(last.output.replace(text), None, "two outputs of {}", last.commands);
            }
            _ => {}
        }
        fences.next();
    }
    blocks
}

/// Returns the whole of what is printed, where `…` stands for any part of a line.
pub(crate) fn pattern(output: &str) -> Regex {
    Regex::new(&format!("^{}$", regex::escape(output).replace('…', "[^\n]+"))).unwrap()
}

/// Makes the scene's repository what the reader has, and returns a folder with the programs that the reader types.
fn reader_of_the_guide(scene: &Scene) -> PathBuf {
    let runtimes = scene.repo().join("runtimes");
    let own = workspace().join("runtimes");
    let mut copy = Command::new("cp");
    copy.arg("-R").arg(own.join("lib")).arg(own.join("bases.yaml")).arg(&runtimes);
    assert!(copy.status().unwrap().success());
    programs(scene)
}

/// Returns a folder with the programs that a reader of this repository's documents types.
pub(crate) fn programs(scene: &Scene) -> PathBuf {
    let xtask = Path::new(env!("CARGO_BIN_EXE_xtask"));
    let bin = scene.repo().with_file_name("bin");
    fs_err::create_dir(&bin).unwrap();
    symlink(rnx(), bin.join("rnx")).unwrap();
    let cargo = format!(
        "#!/bin/sh\ncase \"$*\" in\n\
         'install --quiet --path crates/rnx') ;;\n\
         'xtask '*) shift && exec '{}' \"$@\" ;;\n\
         *) echo \"the test knows no: cargo $*\" >&2; exit 64 ;;\nesac\n",
        xtask.display()
    );
    fs_err::write(bin.join("cargo"), cargo).unwrap();
    fs_err::set_permissions(bin.join("cargo"), PermissionsExt::from_mode(0o755)).unwrap();
    bin
}

/// Returns a cache that keeps its base from one run to the next.
///
/// Not where an ordinary user runs the tests: files of subordinate ids would stand in the way of `cargo clean`.
fn cache(scene: &Scene) -> PathBuf {
    if scene::is_root() {
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("guide-cache")
    } else {
        scene.cache()
    }
}

/// Returns the host's program, built; `try` looks for it beside its own, too.
pub(crate) fn rnx() -> PathBuf {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", "rnx"]).current_dir(workspace());
    assert!(build.status().unwrap().success());
    Path::new(env!("CARGO_BIN_EXE_xtask")).with_file_name("rnx")
}

pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Says whether Debian's packages can be had; where not, that is a failure in continuous integration.
fn needs_debian() -> bool {
    let mut ask = Command::new("mmdebstrap");
    ask.args(["--simulate", "--quiet", "--variant=extract", "bookworm", "/dev/null"]);
    ask.args(std::env::var_os("RNX_DEBIAN_MIRROR"));
    let answer = ask.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    scene::present(answer.success(), "Debian's packages cannot be reached")
}
