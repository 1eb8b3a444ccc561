//! Exit statuses, as the help documents them; and what every program should do: completions, manual pages, no colours.

use std::fs::File;
use std::process::Stdio;

use fs_err as fs;
use test_support::server::{Fault, FileServer};

use crate::rnx::Rnx;

const ARCHIVE: &str = "demo-1.10.0-ubuntu-amd64.tar.gz";

/// A status, the command that ends with it, and variables that it needs to.
type Case = (i32, Vec<String>, &'static [(&'static str, &'static str)]);

#[test]
fn every_command_ends_with_the_documented_status() {
    let rnx = Rnx::new();
    let server = FileServer::start(rnx.registry.path());
    let folder = rnx.registry.path().to_str().unwrap().to_owned();
    let url = server.url("");
    let install =
        |registry: &str| ["runtime", "install", "demo", "--registry", registry].map(str::to_owned);
    let words = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
    let status = |args: &[String], vars: &[(&str, &str)]| {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = rnx.configured(&args).envs(vars.iter().copied()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let mut cases: Vec<Case> = vec![
        (0, words("runtime list"), &[]),
        (0, words("--version"), &[]),
        (0, words("runtime search cobol --registry ./registry"), &[]),
        (1, words("runtime path demo"), &[]),
        (1, words("runtime info demo --registry /nowhere"), &[]),
        (1, words("registry remove company"), &[]),
        (2, words("runtime install"), &[]),
        (2, words("runtime install Demo"), &[]),
        (2, words("runtime info demo --registry nope"), &[]),
        (2, words("runtime list --no-such-option"), &[]),
        (2, words("runtime list"), &[("RNX_CACHE_TTL", "soon")]),
        (3, words("runtime info demo --registry http://127.0.0.1:9/"), &[]),
        (3, words("runtime info demo --registry http://127.0.0.1:9/ --offline"), &[]),
        (5, install(&folder).to_vec(), &[("RNX_BASE", "/dev/null/base")]),
        (
            5,
            words("runtime info demo --registry http://127.0.0.1:9/"),
            &[("SSL_CERT_FILE", "nowhere")],
        ),
        (
            5,
            words("runtime info demo --registry http://127.0.0.1:9/"),
            &[("SSL_CERT_DIR", "nowhere")],
        ),
        // No certificates at all are not the host's own.
        (
            5,
            words("runtime info demo --registry http://127.0.0.1:9/"),
            &[("SSL_CERT_DIR", "/proc/self/fd")],
        ),
        (3, words("runtime info demo --registry http://127.0.0.1:/"), &[]),
        (4, words("runtime info demo --registry ./broken"), &[]),
    ];
    fs::create_dir(rnx.home.path().join("broken")).unwrap();
    fs::write(rnx.home.path().join("broken/registry.json"), "{").unwrap();
    fs::rename(&folder, rnx.home.path().join("registry")).unwrap();
    fs::os::unix::fs::symlink("registry", &folder).unwrap();
    server.misbehave(ARCHIVE, Fault::Replace(vec![0; 10]));
    cases.push((4, install(&url).to_vec(), &[]));
    for (expected, args, vars) in cases {
        let (code, said) = status(&args, vars);
        assert_eq!(code, expected, "{args:?} {vars:?}: {said}");
        let told = said.starts_with("error: ") || said.contains("\nerror: ");
        assert_eq!(told, expected != 0, "{args:?}: {said}");
    }
    let help = rnx.run_configured(&["--help"], &[]);
    for status in rnx::failure::ExitStatus::ALL {
        let line = format!("  {:>2}  {}\n", status as u8, status.meaning());
        assert!(help.contains(&line), "{help}");
    }
}

#[test]
fn completions_and_manual_pages_cover_all_commands() {
    let rnx = Rnx::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = rnx.run_configured(&["completions", shell], &[]);
        assert!(script.ends_with("status 0"), "{script}");
        for word in ["outdated", "refresh", "token-env", "all-versions"] {
            assert!(script.contains(word), "{shell} completes {word}");
        }
        // The shell itself reads it, where it is installed.
        let path = rnx.home.path().join(shell);
        fs::write(&path, script.trim_end_matches("status 0")).unwrap();
        let read = std::process::Command::new(shell).arg("-n").arg(&path).output();
        assert!(read.is_err() || read.unwrap().status.success(), "{shell}");
    }
    let pages = rnx.home.path().join("man");
    let written = rnx.run_configured(&["man", "--dir", "man"], &[]);
    assert_eq!(written, "status 0");
    let page = |name: &str| fs::read_to_string(pages.join(format!("{name}.1"))).unwrap();
    for name in ["rnx", "rnx-runtime", "rnx-runtime-install", "rnx-registry-add", "rnx-job-run"] {
        assert!(page(name).contains(".SH NAME"), "{name}");
    }
    assert!(page("rnx").contains("Exit status"));
    let one = rnx.run_configured(&["man", "runtime", "install"], &[]);
    assert_eq!(one, format!("{}status 0", page("rnx-runtime-install")));
    assert!(rnx.run_configured(&["man", "nothing"], &[]).ends_with("status 2"));
}

#[test]
fn colours_are_for_terminals_and_no_color_turns_them_off() {
    let rnx = Rnx::new();
    let has_colour =
        |vars: &[(&str, &str)]| rnx.run_configured(&["runtime", "--help"], vars).contains('\u{1b}');
    assert!(!has_colour(&[]), "this is no terminal");
    assert!(has_colour(&[("CLICOLOR_FORCE", "1")]));
    assert!(!has_colour(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
}

/// What is wrong with a command goes where people read, and data where programs do.
#[test]
fn what_cannot_be_printed_is_a_failure_and_what_cannot_be_said_is_none() {
    let rnx = Rnx::new();
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    let registry = rnx.registry.path().to_str().unwrap();
    rnx.run(&["runtime", "install", "demo"]);
    for args in [
        &["registry", "list"][..],
        &["runtime", "list"],
        &["runtime", "list", "--json"],
        &["runtime", "search", "demo", "--registry", registry],
        &["job", "run", "--runtime=demo", "--explain", "hello"],
        &["completions", "bash"],
        &["man"],
        &["--help"],
        &["runtime", "install", "--help"],
        &["--version"],
    ] {
        let shown = rnx.shown(&rnx.configured(args).stdout(full()).output().unwrap());
        let told = "error: failed to write to standard output\n  cause: No space left on device";
        assert!(shown.starts_with(told) && shown.ends_with("status 5"), "{args:?}: {shown}");
    }
    for (status, args) in [
        (0, &["runtime", "install", "demo", "--registry", registry][..]),
        (0, &["runtime", "install", "demo", "--registry", registry, "--force"]),
        (0, &["runtime", "export", "demo"]),
        (0, &["runtime", "remove", "demo"]),
        (0, &["runtime", "list"]),
        (1, &["runtime", "path", "demo"]),
        (2, &["runtime", "list", "--no-such-option"]),
        (2, &[]),
        (3, &["runtime", "info", "demo", "--registry", "http://127.0.0.1:9/"]),
    ] {
        let ended = rnx.configured(args).stderr(full()).output().unwrap();
        assert_eq!(ended.status.code(), Some(status), "{args:?}: {ended:?}");
    }
}
