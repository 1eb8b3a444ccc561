//! The options of `rnx job run`, by the real program, as root and as an ordinary user.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use fs_err as fs;

use crate::busybox::Busybox;

#[test]
fn uploads_are_copies_in_a_private_work_folder() {
    for busybox in Busybox::callers() {
        busybox.write("script.sh", "cat data; echo changed > data; touch new; ls");
        busybox.write("data", "content\n");
        busybox.write("other", "");
        let words = ["--upload", "script.sh", "--upload", "data", "--", "sh", "script.sh"];
        let expected = (Some(0), "content\ndata\nnew\nscript.sh\n".to_owned());
        assert_eq!(busybox.run(&words), expected, "{}", busybox.caller());
        assert_eq!(fs::read_to_string(busybox.work().join("data")).unwrap(), "content\n");
        assert!(!busybox.work().join("new").exists());
        let (status, text) = busybox.run(&["--upload", "absent", "true"]);
        assert_eq!(status, Some(1), "{text}");
        assert!(text.starts_with("error: failed to read what is to be uploaded"), "{text}");
    }
}

#[test]
fn secrets_reach_the_job_and_nobody_else() {
    for busybox in Busybox::callers() {
        let script = "echo $A $B $SECRET; echo ready; read line";
        busybox.write("secrets", "B=file-s3cret\n");
        let words = [
            "-s",
            "A=option-s3cret",
            "--secret-env-file",
            "secrets",
            "-s",
            "SECRET",
            "--json",
            "--",
            "sh",
            "-c",
            script,
        ];
        let explained: Vec<&str> = ["--explain"].into_iter().chain(words).collect();
        let (_, text) = busybox.run(&explained);
        assert!(!text.contains("s3cret"), "{text}");
        assert!(text.contains("env A=(hidden)\n"), "{text}");

        let mut command = busybox.job(&words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "option-s3cret file-s3cret x");
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
        for pid in all_below(child.id()) {
            let seen = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
            assert!(!String::from_utf8_lossy(&seen).contains("s3cret"), "{}", busybox.caller());
        }
        let own = fs::read(format!("/proc/{}/cmdline", child.id())).unwrap();
        assert!(String::from_utf8_lossy(&own).contains("\0A=*************\0"));
        drop(child.stdin.take());
        let output = child.wait_with_output().unwrap();
        let receipt = String::from_utf8(output.stderr).unwrap();
        assert!(receipt.contains("\"exit_status\":1"), "{receipt}");
        assert!(!receipt.contains("s3cret"), "{receipt}");
    }
}

/// The process and all that it started.
fn all_below(pid: u32) -> Vec<u32> {
    let (mut all, mut at) = (vec![pid], 0);
    while at < all.len() {
        let pid = all[at];
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        all.extend(children.split_whitespace().map(|pid| pid.parse::<u32>().unwrap()));
        at += 1;
    }
    assert!(all.len() >= 3, "{all:?}");
    all
}

#[test]
fn variables_come_from_files_and_options() {
    for busybox in Busybox::callers() {
        busybox.write("env", "# comment\nA=from file\nB=kept\nSECRET\n");
        let words =
            ["--env-file", "env", "-e", "A=from option", "--", "sh", "-c", "echo $A, $B, $SECRET"];
        assert_eq!(busybox.run(&words), (Some(0), "from option, kept, x\n".to_owned()));
        let (status, text) = busybox.run(&["-e", "=x", "true"]);
        assert_eq!(status, Some(2), "{text}");
    }
}

#[test]
fn a_user_is_only_what_the_job_sees() {
    for busybox in Busybox::callers() {
        let script = "id -u; id -g; id -un; touch /etc/x 2>/dev/null || echo no; touch made; stat -c %u made";
        let run = |user: &str| busybox.run(&["--user", user, "--", "sh", "-c", script]);
        assert_eq!(
            run("root"),
            (Some(0), "0\n0\nroot\nno\n0\n".to_owned()),
            "{}",
            busybox.caller()
        );
        assert_eq!(run("1234:77").1, "1234\n77\njob\nno\n1234\n");
        let owner = |path: &Path| std::os::unix::fs::MetadataExt::uid(&fs::metadata(path).unwrap());
        assert_eq!(owner(&busybox.work().join("made")), owner(&busybox.work()));
        assert_eq!(busybox.run(&["--user", "nobody", "true"]).0, Some(2));
    }
}

#[test]
fn a_receipt_tells_what_happened() {
    for busybox in Busybox::callers() {
        let words = ["--json=receipt.json", "--network", "none", "--", "sh", "-c", "kill -9 $$"];
        assert_eq!(busybox.run(&words), (Some(137), String::new()), "{}", busybox.caller());
        let text = fs::read_to_string(busybox.work().join("receipt.json")).unwrap();
        let receipt: serde_json::Value = serde_json::from_str(&text).unwrap();
        let schema = include_str!("../../../../schemas/rnx-job-receipt.schema.json");
        let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
        jsonschema::validate(&schema, &receipt).unwrap();
        let cases = [
            ("/exit_status", serde_json::json!(137)),
            ("/signal", serde_json::json!(9)),
            ("/timed_out", serde_json::json!(false)),
            ("/runtime/name", serde_json::json!("busybox")),
            ("/command", serde_json::json!(["sh", "-c", "kill -9 $$"])),
            ("/network", serde_json::json!("none")),
            ("/limits/memory_bytes", serde_json::json!(null)),
            ("/gpus", serde_json::json!([])),
        ];
        for (place, value) in cases {
            assert_eq!(receipt.pointer(place), Some(&value), "{place} in {text}");
        }
        // An ordinary end, too, and the time that the job used.
        let busy = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        let (status, text) = busybox.run(&["--json", "--", "sh", "-c", busy]);
        assert_eq!(status, Some(0), "{text}");
        let receipt: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(receipt["used"]["cpu_seconds"].as_f64().unwrap() > 0.0, "{text}");
    }
}

#[test]
fn a_timeout_ends_all_of_a_job() {
    for busybox in Busybox::callers() {
        // Neither the command nor what it started in a session of its own hears TERM.
        let script = "trap '' TERM; busybox setsid sh -c 'trap \"\" TERM; sleep 1000' & sleep 1000";
        let output = busybox.job(&["--timeout", "1s", "--", "sh", "-c", script]).output().unwrap();
        // The end of its output: nothing that holds it is left.
        assert_eq!(output.status.code(), Some(124), "{}", busybox.caller());
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(text, "error: the job was ended: its time, 1 s, was over\n");
    }
}

#[test]
fn a_job_hears_of_the_end_of_its_time_and_may_clean_up() {
    for busybox in Busybox::callers() {
        // One that is stopped does so, too.
        for wait in ["while :; do sleep 0.05; done", "kill -STOP $$; while :; do sleep 0.05; done"]
        {
            let script = format!("trap 'echo cleaned up; exit 7' TERM; {wait}");
            let (status, text) = busybox.run(&["--timeout", "1s", "--", "sh", "-c", &script]);
            let told = "cleaned up\nerror: the job was ended: its time, 1 s, was over\n";
            assert_eq!((status, text.as_str()), (Some(124), told), "{}", busybox.caller());
        }
    }
}

#[test]
fn names_are_resolved_and_certificates_trusted_as_on_the_host() {
    for busybox in Busybox::callers() {
        let etc = busybox.scratch.path().join("runtime/isolated/etc");
        fs::create_dir_all(etc.join("ssl/certs")).unwrap();
        fs::write(etc.join("ssl/certs/ca-certificates.crt"), "the runtime's\n").unwrap();
        let host = busybox.scratch.path().join("host.pem");
        fs::write(&host, "the host's\n").unwrap();
        let shown = |network: &str| {
            let script = "cat /etc/ssl/certs/ca-certificates.crt /etc/resolv.conf";
            let mut command = busybox.job(&["--network", network, "--", "sh", "-c", script]);
            command.env("SSL_CERT_FILE", &host);
            String::from_utf8(command.output().unwrap().stdout).unwrap()
        };
        let resolver = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        assert_eq!(shown("host"), format!("the host's\n{resolver}"), "{}", busybox.caller());
        assert_eq!(shown("none"), "the runtime's\n");
    }
}

#[test]
fn a_missing_runtime_is_installed_when_asked() {
    let rnx = crate::rnx::Rnx::new();
    let run = |words: &[&str]| {
        let mut command = rnx.command(words);
        command.env("RNX_REGISTRY", rnx.registry.path());
        rnx.shown(&command.output().unwrap())
    };
    let job = ["job", "run", "--runtime=demo@1.9.0", "--explain"];
    let shown = run(&[&job[..], &["true"]].concat());
    assert!(shown.starts_with("error: `demo@1.9.0` is not installed\n"), "{shown}");
    let shown = run(&[&job[..], &["--install", "true"]].concat());
    assert!(shown.starts_with("error: `demo@1.9.0` is not installed\n"), "{shown}");
    assert!(!rnx.base.exists(), "an explanation changes nothing");
    let shown = run(&["job", "run", "--runtime=demo@1.9.0", "--install", "true"]);
    assert!(shown.starts_with("Downloading demo@1.9.0"), "{shown}");
    assert!(shown.contains("Installed demo@1.9.0 in BASE/demo-1.9.0\n"), "{shown}");
    let shown = run(&[&job[..], &["true"]].concat());
    assert!(shown.contains(" BASE/demo-1.9.0/isolated"), "{shown}");
    assert!(shown.ends_with("status 0"), "{shown}");
}
