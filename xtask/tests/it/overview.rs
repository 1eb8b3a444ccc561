//! The documents for people who run jobs, executed with a real runtime: their commands do what they say, and print what
//! stands below them.

use std::path::{Path, PathBuf};
use std::process::Command;

use test_support::fixture::RegistryFolder;
use test_support::home::Home;

use crate::bases::scene;
use crate::guide::{blocks, pattern, rnx, workspace};

/// Names the archive of a built `python-3.11`. The check `documents` of `cargo xtask ci` does, after it built one.
const ARCHIVE: &str = "RNX_DOCUMENTS_ARCHIVE";

/// What stands for GitHub: everything that is asked there is in the folder.
const CONFIG: &str = "\
runtimes:
  base_dir: HOME/.local/share/joblet/runtimes
  mirrors:
    - {from: https://raw.githubusercontent.com/ehsaniara/joblet-runtimes/HEAD/, to: file://FOLDER/}
    - {from: https://raw.githubusercontent.com/mycompany/joblet-runtimes/HEAD/, to: file://FOLDER/}
";

#[test]
fn the_documents_for_users_do_what_they_say() {
    let Some(archive) = std::env::var_os(ARCHIVE) else {
        eprintln!(
            "skipped: {ARCHIVE} names no archive of python-3.11; `cargo xtask ci documents` does"
        );
        return;
    };
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("registry");
    publish(Path::new(&archive), &folder, scratch.path());
    for page in ["RUNTIME_OVERVIEW.md", "README.md"] {
        let text = fs_err::read_to_string(workspace().join("docs").join(page)).unwrap();
        let blocks = blocks(&text);
        assert!(blocks.len() > 5, "{page}: every block is seen");
        let reader = Reader::new(&folder);
        for block in blocks {
            let ran = scene::ran(&mut reader.shell(&block.commands));
            assert_eq!(ran.status.code(), Some(0), "{page}: {}\n{ran:#?}", block.commands);
            let Some(output) = block.output else { continue };
            let printed = &ran.stdout;
            assert!(
                pattern(&output).is_match(printed),
                "{page}: {}\nprints:\n{printed}\nand not:\n{output}",
                block.commands
            );
        }
    }
}

/// Someone with a home, a project, and the program.
struct Reader {
    home: Home,
    project: PathBuf,
}

impl Reader {
    fn new(registry: &Path) -> Self {
        let home = Home::new();
        let project = home.path().join("project");
        fs_err::create_dir(&project).unwrap();
        fs_err::create_dir(home.path().join(".rnx")).unwrap();
        let text = CONFIG
            .replace("HOME", home.path().to_str().unwrap())
            .replace("FOLDER", registry.to_str().unwrap());
        fs_err::write(home.path().join(".rnx/config.yaml"), text).unwrap();
        Self { home, project }
    }

    fn shell(&self, commands: &str) -> Command {
        let path = std::env::var("PATH").unwrap();
        let program = rnx();
        let mut shell = Command::new("bash");
        shell.args(["-e", "-o", "pipefail", "-c", commands]).current_dir(&self.project);
        shell.env_clear().envs(self.home.env()).env("RNX_PLATFORM", "ubuntu-amd64");
        shell.env("RNX_CACHE_DIR", self.home.path().join("cache"));
        shell.envs(std::env::var_os("SSL_CERT_FILE").map(|file| ("SSL_CERT_FILE", file)));
        shell.env("PATH", format!("{}:{path}", program.parent().unwrap().display()));
        shell.stdin(std::process::Stdio::null());
        shell
    }
}

/// Publishes the runtime in two versions: what the archive is, and one before it.
fn publish(archive: &Path, folder: &Path, scratch: &Path) {
    let tree = scratch.join("tree");
    fs_err::create_dir(&tree).unwrap();
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(workspace().join(archive)).arg("-C").arg(&tree);
    assert!(tar.status().unwrap().success());
    let mut registry = RegistryFolder::new(folder);
    let yml = fs_err::read_to_string(tree.join("runtime.yml")).unwrap();
    for version in ["1.3.2", "1.3.3"] {
        let lines = yml.lines().map(|line| match line.strip_prefix("version:") {
            Some(_) => format!("version: \"{version}\"\n"),
            None => format!("{line}\n"),
        });
        fs_err::write(tree.join("runtime.yml"), lines.collect::<String>()).unwrap();
        let spec = format!("python-3.11@{version}").parse().unwrap();
        registry.publish_tree(&spec, &["ubuntu-amd64"], &tree);
    }
}
