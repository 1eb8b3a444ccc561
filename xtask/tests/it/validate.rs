//! `xtask validate` on repositories with every kind of fault.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const GOOD: &str =
    "name: good\nversion: 1.3.2\ndescription: An example\nplatforms: [ubuntu-amd64, rhel-amd64]\n";
const SCRIPT: &str = "#!/bin/bash\nset -eu\necho done\n";

/// A repository of definitions in a temporary folder.
struct Repo(tempfile::TempDir);

impl Repo {
    fn new() -> Self {
        let repo = Self(tempfile::tempdir().unwrap());
        fs_err::create_dir_all(repo.path().join("runtimes")).unwrap();
        repo
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join("runtimes").join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, content).unwrap();
    }

    fn script(&self, path: &str, content: &str) {
        self.write(path, content);
        let path = self.path().join("runtimes").join(path);
        fs_err::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs_err::read_to_string(self.path().join("runtimes").join(path)).unwrap()
    }

    fn validate(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_xtask"))
            .arg("validate")
            .args(args)
            .arg("--repo")
            .arg(self.path())
            .env("RNX_CACHE_DIR", self.path().join("cache"))
            .output()
            .unwrap()
    }

    /// Returns the status and what was printed.
    fn output(&self, args: &[&str]) -> (i32, String) {
        let output = self.validate(args);
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.validate(&["--format", "json"]).stdout).unwrap()
    }
}

/// Returns `file code message` for each finding.
fn findings(document: &Value) -> Vec<String> {
    let runtimes = document["runtimes"].as_array().unwrap();
    let all = runtimes.iter().chain([document]).flat_map(|r| r["findings"].as_array().unwrap());
    all.map(|finding| {
        let text = |key: &str| finding[key].as_str().unwrap();
        format!(
            "{} {} {}",
            text("file").trim_start_matches("runtimes/"),
            text("code"),
            text("message")
        )
    })
    .collect()
}

#[test]
fn a_good_definition_prints_the_known_lines() {
    let repo = Repo::new();
    repo.write("good/manifest.yaml", GOOD);
    for script in ["setup.sh", "setup-ubuntu-amd64.sh", "setup-rhel-amd64.sh"] {
        repo.script(&format!("good/{script}"), SCRIPT);
    }
    repo.script("lib/lib.sh", SCRIPT);
    assert_eq!(
        repo.output(&["good"]),
        (
            0,
            "Checking: good\n  \
             ✓ Runtime name valid: good\n  \
             ✓ Version format valid: 1.3.2\n  \
             ✓ Found 2 setup script(s)\n\
             \n✓ 1 runtime checked, nothing found\n"
                .to_owned()
        )
    );
    assert_eq!(repo.output(&[]), repo.output(&["good", "runtimes/good/"]));
}

#[test]
fn findings_of_all_runtimes_are_drawn_like_the_compilers() {
    let repo = Repo::new();
    let manifest = GOOD.replace("platforms", "plaforms") + "python_version: 3.10\nx: \"\\e[31m\"\n";
    repo.write("one/manifest.yaml", manifest);
    repo.script("one/setup.sh", "#!/bin/bash\nif true; then\necho 'a'\n");
    repo.write("two/manifest.yaml", GOOD.replace("good", "two") + "network: \"\\e[31m\"\n");
    repo.write("three/manifest.yaml", GOOD.replace("good", "tree"));
    let (status, text) = repo.output(&[]);
    assert_eq!(status, 1);
    insta::assert_snapshot!(text);
}

#[test]
fn every_nasty_file_is_a_finding() {
    let repo = Repo::new();
    let dir = repo.path().join("runtimes");
    repo.write("big/manifest.yaml", vec![b'a'; 10_000_000]);
    repo.write("bytes/manifest.yaml", b"name: a\nversion: \xff\n");
    repo.write("bomb/manifest.yaml", "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d]\n");
    repo.write("empty/manifest.yaml", "");
    repo.write("no-manifest/README.md", "");
    repo.write("folder/manifest.yaml/x", "");
    for (folder, target) in [
        ("link-out", "/etc/passwd"),
        ("link-nowhere", "nothing"),
        ("link-in", "../empty/manifest.yaml"),
    ] {
        fs_err::create_dir(dir.join(folder)).unwrap();
        symlink(target, dir.join(folder).join("manifest.yaml")).unwrap();
    }
    fs_err::create_dir(dir.join("pipe")).unwrap();
    let made = Command::new("mkfifo").arg(dir.join("pipe/manifest.yaml")).status().unwrap();
    assert!(made.success());
    repo.write("twice/manifest.yaml", "name: twice\nname: twice\n");
    let document = repo.json();
    insta::assert_snapshot!(findings(&document).join("\n"));
    // None of them stops the human report either.
    assert_eq!(repo.output(&[]).0, 1);
}

#[test]
fn an_unreadable_manifest_is_a_finding() {
    if rustix::process::geteuid().is_root() {
        eprintln!("skipped: an_unreadable_manifest_is_a_finding: root reads everything");
        return;
    }
    let repo = Repo::new();
    repo.write("a/manifest.yaml", GOOD);
    let path = repo.path().join("runtimes/a/manifest.yaml");
    fs_err::set_permissions(path, PermissionsExt::from_mode(0o0)).unwrap();
    assert_eq!(
        findings(&repo.json()),
        ["a/manifest.yaml RT0203 the manifest cannot be read: permission denied"]
    );
}

#[test]
fn scripts_and_folders_are_checked() {
    let repo = Repo::new();
    repo.write(
        "bases.yaml",
        "bases: {debian: {amd64: {debootstrap: {suite: x}}}}\ndefaults: {rhel-amd64: sid}\n",
    );
    repo.write("good/manifest.yaml", GOOD);
    repo.script("good/setup-ubuntu-amd64.sh", "#!/usr/bin/env -S bash -e\nfi\n");
    repo.write("good/setup.sh", "echo\n");
    repo.script("good/setup-rhel-amd46.sh", "#!/usr/bin/python3\n");
    repo.script("good/setup-rhel-arm64.sh", "#!/bin/sh\r\n:\r\n");
    symlink("/bin/true", repo.path().join("runtimes/good/setup-amzn-amd64.sh")).unwrap();
    repo.write("other/manifest.yaml", GOOD.to_owned() + "reuse: {rhel: ubuntu}\n");
    repo.script("other/setup-ubuntu-amd64.sh", "#!/bin/sh\nif\n");
    insta::assert_snapshot!(findings(&repo.json()).join("\n"));
}

#[test]
fn a_base_must_be_known_and_serve_the_architecture() {
    let repo = Repo::new();
    repo.write("bases.yaml", "bases: {debian: {amd64: {debootstrap: {suite: x}}}}\n");
    for (folder, base, platform) in [
        ("a", "sarge", "ubuntu-amd64"),
        ("b", "debian", "ubuntu-arm64"),
        ("c", "debian", "ubuntu-amd64"),
    ] {
        let manifest = format!(
            "name: {folder}\nversion: 1.0.0\ndescription: x\nplatforms: [{platform}]\nbase: {base}\n"
        );
        repo.write(&format!("{folder}/manifest.yaml"), manifest);
        repo.script(&format!("{folder}/setup.sh"), SCRIPT);
    }
    assert_eq!(
        findings(&repo.json()),
        [
            "a/manifest.yaml RT0208 `runtimes/bases.yaml` has no base `sarge`; it has `debian`",
            "b/manifest.yaml RT0208 the base `debian` has no source for `arm64`",
        ]
    );
}

#[test]
fn warnings_fail_only_if_strict() {
    let repo = Repo::new();
    repo.write("folder/manifest.yaml", GOOD);
    repo.script("folder/setup.sh", SCRIPT);
    let status = |args: &[&str]| repo.output(args).0;
    assert_eq!(status(&[]), 0);
    assert_eq!(status(&["--strict"]), 1);
    assert_eq!(status(&["nothing-of-this-name"]), 2);
    assert_eq!(status(&["../runtimes/folder"]), 2);
}

#[test]
fn fix_changes_the_bytes_that_are_wrong_and_no_others() {
    let repo = Repo::new();
    let manifest = "# kept\nname: good   # kept too\nversion: v1.02.3\ndescription: \"An example\"\n\
        plaforms: [debian-x86_64 , 'rhel-arm6']\npython_version: 3.10  # and this\nenvironment: {A: 1, B: yes, C: true}\nlicense: MIT License\n";
    repo.write("good/manifest.yaml", manifest);
    repo.write("good/setup.sh", SCRIPT);
    let (status, text) = repo.output(&["--fix"]);
    assert_eq!(status, 1, "{text}");
    assert_eq!(
        repo.read("good/manifest.yaml"),
        "# kept\nname: good   # kept too\nversion: 1.2.3\ndescription: \"An example\"\n\
        platforms: [ubuntu-amd64 , rhel-arm64]\npython_version: \"3.10\"  # and this\nenvironment: {A: \"1\", B: yes, C: \"true\"}\nlicense: MIT License\n"
    );
    assert_eq!(
        findings(&repo.json()),
        ["good/manifest.yaml RT0133 `MIT License` is no SPDX licence expression"]
    );
    let before = repo.read("good/manifest.yaml");
    repo.output(&["--fix"]);
    assert_eq!(repo.read("good/manifest.yaml"), before);
}

#[test]
fn the_machine_formats_name_places() {
    let repo = Repo::new();
    repo.write("good/manifest.yaml", GOOD.replace("An example", "\"ä\"\nlicence: a,b:c%"));
    repo.script("good/setup.sh", SCRIPT);
    assert_eq!(
        repo.output(&["--format", "github"]).1,
        "::error file=runtimes/good/manifest.yaml,line=4,endLine=4,col=1,endColumn=8,title=RT0108::\
         unknown key `licence`; did you mean `license`?%0Ahelp: rename it to `license`\n"
    );
    let sarif = repo.output(&["--format", "sarif"]).1;
    let sarif: Value = serde_json::from_str(&sarif).unwrap();
    let result = &sarif["runs"][0]["results"][0];
    assert_eq!(result["ruleId"], "RT0108");
    assert_eq!(result["locations"][0]["physicalLocation"]["region"]["startLine"], 4);
    assert_eq!(
        result["fixes"][0]["artifactChanges"][0]["replacements"][0]["insertedContent"]["text"],
        "license"
    );
}

#[test]
fn good_syntax_is_remembered_and_bad_syntax_is_told_again() {
    let repo = Repo::new();
    repo.write("good/manifest.yaml", GOOD);
    repo.script("good/setup.sh", "#!/bin/bash\nfi\n");
    let first = findings(&repo.json());
    assert_eq!(first, ["good/setup.sh RT0225 syntax error near unexpected token `fi'"]);
    assert_eq!(findings(&repo.json()), first);
    repo.script("good/setup.sh", SCRIPT);
    assert_eq!(findings(&repo.json()), [""; 0]);
    let cached = fs_err::read_to_string(repo.path().join("cache/script-syntax-v1")).unwrap();
    assert_eq!(cached.lines().count(), 1);
}

#[test]
fn a_name_that_no_definition_has_is_answered_with_those_near() {
    let repo = Repo::new();
    repo.write("good/manifest.yaml", GOOD);
    for command in ["validate", "build", "try", "shell"] {
        let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
        let output = xtask.args([command, "godo", "--repo"]).arg(repo.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{command}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.ends_with("hint: did you mean `good`?\n"), "{command}: {text}");
    }
}
