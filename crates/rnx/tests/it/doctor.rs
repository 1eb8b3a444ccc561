//! `rnx doctor` by the real program, as root and as an ordinary user.

use serde_json::Value;

use crate::busybox::Busybox;

#[test]
fn the_doctor_says_what_a_failing_job_says() {
    for busybox in Busybox::callers() {
        let base = busybox.work().join("base");
        let base = base.to_str().unwrap();
        let asked = |words: &[&str]| {
            let mut command = busybox.rnx(&["--offline", "--base", base, "doctor"]);
            command.args(words).output().unwrap()
        };
        let output = asked(&["--json"]);
        let checks: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let schema = include_str!("../../../../schemas/rnx-doctor.schema.json");
        let schema: Value = serde_json::from_str(schema).unwrap();
        jsonschema::validate(&schema, &Value::from(checks.clone())).unwrap();
        let check = |name: &str| -> Value {
            checks.iter().find(|check| check["name"] == name).unwrap().clone()
        };
        // The other tests run jobs here.
        assert_eq!(output.status.code(), Some(0), "{}", busybox.caller());
        assert_eq!(check("user namespaces")["state"], "works");
        assert_eq!(check("registry official")["found"], "not asked: this is offline");

        let text = String::from_utf8(asked(&[]).stdout).unwrap();
        assert!(text.starts_with("✓ user namespaces: "), "{text}");
        for check in &checks {
            let fix = check["fix"].as_str();
            assert_eq!(check["state"] == "works", fix.is_none(), "{check}");
            assert!(fix.is_none_or(|fix| text.contains(fix)), "{check}");
        }
        if let Some(fix) = check("limits")["fix"].as_str() {
            let all = ["--memory", "64M", "--pids", "9", "--cpu", "1", "--cpu-cores", "0", "true"];
            let (status, text) = busybox.run(&all);
            assert_eq!(status, Some(5), "{text}");
            assert!(text.ends_with(&format!("hint: {fix}\n")), "{text}\n{fix}");
        }
    }
}
