//! The guide to releasing, executed on a runtime of one program: from a lock to a job, over a folder and a web server.

use std::path::Path;
use std::process::{Command, Stdio};

use rnx_spec::registry;
use test_support::old_reader;
use test_support::server::FileServer;

use crate::bases::scene::{self, Ran, Scene};
use crate::build::{GOOD, Workshop, platform};
use crate::guide::{blocks, pattern, programs, workspace};

/// A clone with the definition `hello`, and the bare repository that it pushes to.
fn clone(workshop: &Workshop) {
    let repo = workshop.scene.repo();
    let definition = repo.join("runtimes/hello");
    fs_err::rename(repo.join("runtimes/tiny"), &definition).unwrap();
    let manifest = format!(
        "name: hello\nversion: 0.1.0 # the first\ndescription: says hello\nbase: box\nplatforms: [{}]\n\
         tests: [{{name: says, run: [cat, /etc/greeting], stdout: ^hello$}}]\n",
        platform()
    );
    fs_err::write(definition.join("manifest.yaml"), manifest).unwrap();
    fs_err::write(
        repo.join(".gitignore"),
        "/dist\n/images\n/runtimes/bases.yaml\n/public\n/base\n/other\n/mirror\n",
    )
    .unwrap();
    let hub = repo.with_file_name("hub");
    git(&repo, &["init", "--quiet", "--bare", "--initial-branch=main", hub.to_str().unwrap()]);
    git(&repo, &["init", "--quiet", "--initial-branch=main"]);
    git(&repo, &["remote", "add", "origin", hub.to_str().unwrap()]);
    git(&repo, &["add", ".gitignore"]);
    git(&repo, &["commit", "--quiet", "-m", "a repository of definitions"]);
    git(&repo, &["push", "--quiet", "--set-upstream", "origin", "main"]);
}

fn git(dir: &Path, args: &[&str]) {
    let ran = scene::ran(as_author(Command::new("git").arg("-C").arg(dir).args(args)));
    assert!(ran.status.success(), "git {args:?}: {ran:#?}");
}

fn as_author(command: &mut Command) -> &mut Command {
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "A");
        command.env(format!("GIT_{role}_EMAIL"), "a@example.org");
    }
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").stdin(Stdio::null())
}

/// Types commands as a reader does.
fn typed(scene: &Scene, bin: &Path, commands: &str) -> Ran {
    let path = std::env::var("PATH").unwrap();
    let mut shell = Command::new("bash");
    shell
        .args(["-e", "-c", commands])
        .current_dir(scene.repo())
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("RNX_CACHE_DIR", scene.cache())
        .env_remove("RNX_REPO");
    scene::ran(as_author(&mut shell))
}

#[test]
fn the_guide_to_releasing_does_what_it_says() {
    let guide = fs_err::read_to_string(workspace().join("docs/RELEASING.md")).unwrap();
    let blocks = blocks(&guide);
    assert_eq!(blocks.len(), 14, "every block is seen");
    let script = format!("{GOOD}mkdir \"$tree/etc\" && echo hello >\"$tree/etc/greeting\"\n");
    let Some(workshop) = Workshop::new(&script, "") else { return };
    clone(&workshop);
    let (scene, repo) = (&workshop.scene, workshop.scene.repo());
    let bin = programs(scene);
    for block in blocks {
        let ran = typed(scene, &bin, &block.commands);
        assert_eq!(ran.status.code(), Some(0), "{}\n{ran:#?}", block.commands);
        let Some(output) = block.output else { continue };
        assert!(
            pattern(&output).is_match(&ran.stdout),
            "{}\nprints:\n{}\nand not:\n{output}\n{}",
            block.commands,
            ran.stdout,
            ran.stderr_text()
        );
    }

    // What is published stays published; both folders are what old readers and web servers take.
    for folder in ["public", "mirror"] {
        let text = fs_err::read_to_string(repo.join(folder).join("registry.json")).unwrap();
        assert_eq!(old_reader::decode(&text).unwrap().runtimes["hello"].len(), 1);
        let server = FileServer::start(&repo.join(folder));
        let url = server.url("registry.json");
        let install = format!(
            "rnx --base ./over-{folder} runtime install hello --registry {url}\n\
             rnx --base ./over-{folder} job run --runtime=hello -- cat /etc/greeting"
        );
        let ran = typed(scene, &bin, &install);
        assert_eq!(ran.stdout, "hello\n", "{ran:#?}");
    }
    // A mirror that is complete fetches nothing; a file that was damaged is fetched again, and no other.
    let mirror = "cargo xtask registry mirror --from ./public --to ./mirror";
    assert_eq!(
        typed(scene, &bin, mirror).stdout,
        "1 release(s) in ./mirror: 0 file(s) fetched, 4 there already\n"
    );
    let damaged = repo.join("mirror/hello@0.1.0/hello-0.1.0.tar.gz");
    fs_err::write(&damaged, "damaged").unwrap();
    assert_eq!(
        typed(scene, &bin, mirror).stdout,
        "1 release(s) in ./mirror: 1 file(s) fetched, 3 there already\n"
    );
    assert_eq!(
        fs_err::read(damaged).unwrap(),
        fs_err::read(repo.join("public/hello@0.1.0/hello-0.1.0.tar.gz")).unwrap()
    );
    // A file that is gone, and an entry that is, are found; what the release says of itself brings the entry back.
    let reconcile = "cargo xtask registry reconcile --in ./mirror";
    assert_eq!(typed(scene, &bin, reconcile).stdout, "the registry and its releases agree\n");
    let left: Vec<String> = scene::names(&repo.join("mirror"));
    assert_eq!(left, ["hello@0.1.0", "registry.json"], "nothing else is left");
    agree_again(scene, &bin);
}

/// Takes a file and then the entry away.
fn agree_again(scene: &Scene, bin: &Path) {
    let repo = scene.repo();
    let gone = repo.join("public/hello@0.1.0/hello-0.1.0.tar.gz");
    fs_err::remove_file(gone).unwrap();
    let told = typed(scene, bin, "cargo xtask registry reconcile --in ./public");
    assert_eq!(told.status.code(), Some(1));
    let expected = "hello@0.1.0 is in the registry, and its file is gone: file:///…/public/hello@0.1.0/hello-0.1.0.tar.gz\n";
    assert!(pattern(expected).is_match(&told.stdout), "{told:#?}");
    fs_err::remove_file(repo.join("public/registry.json")).unwrap();
    let told = typed(scene, bin, "cargo xtask registry reconcile --in ./public");
    assert_eq!(told.stdout, "hello@0.1.0 is released, and the registry lacks it\n");
    let told = typed(scene, bin, "cargo xtask registry reconcile --in ./public --yes");
    assert_eq!(told.status.code(), Some(0), "{told:#?}");
    let text = fs_err::read_to_string(repo.join("public/registry.json")).unwrap();
    assert_eq!(registry::check(&text).1, []);
}
