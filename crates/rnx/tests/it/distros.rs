//! Hosts of other distros, as far as `rnx` can see: their `os-release` over this host's, in a mount namespace.

use std::path::Path;
use std::process::{Command, Output};

use fs_err as fs;
use rnx_spec::RuntimeSpec;
use test_support::fixture::RegistryFolder;

use crate::busybox::Busybox;
use crate::rnx::program;

/// RHEL 9.4, Amazon Linux 2023 and Debian 12, as they ship the file.
const HOSTS: [(&str, &str); 3] = [
    (
        "rhel",
        "NAME=\"Red Hat Enterprise Linux\"\nVERSION=\"9.4 (Plow)\"\nID=\"rhel\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"9.4\"\nPRETTY_NAME=\"Red Hat Enterprise Linux 9.4 (Plow)\"\n",
    ),
    (
        "amzn",
        "NAME=\"Amazon Linux\"\nVERSION=\"2023\"\nID=\"amzn\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"2023\"\nPRETTY_NAME=\"Amazon Linux 2023\"\n",
    ),
    (
        "ubuntu",
        "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nID=debian\n",
    ),
];

#[test]
fn each_distro_gets_its_artifact_and_runs_it() {
    let Some(busybox) = Busybox::new() else { return };
    if Command::new("bwrap").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "CI needs bwrap (Debian: bubblewrap)");
        eprintln!("skipped: no bwrap (Debian: bubblewrap)");
        return;
    }
    let scratch = busybox.scratch.path();
    let arch = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    let mut registry = RegistryFolder::new(scratch.join("registry"));
    let mut publish = |name: &str, distros: &[&str]| {
        let spec: RuntimeSpec = format!("{name}@1.0.0").parse().unwrap();
        let yml = scratch.join("runtime/runtime.yml");
        let mounts = fs::read_to_string(&yml).unwrap();
        let mounts = mounts.split_once('\n').unwrap().1;
        fs::write(&yml, format!("name: {name}\n{mounts}")).unwrap();
        let platforms: Vec<String> = distros.iter().map(|one| format!("{one}-{arch}")).collect();
        let platforms: Vec<&str> = platforms.iter().map(String::as_str).collect();
        registry.publish_tree(&spec, &platforms, &scratch.join("runtime"));
    };
    for (distro, _) in HOSTS {
        publish(&format!("for-{distro}"), &[distro]);
    }
    publish("for-all", &["ubuntu", "rhel", "amzn"]);

    for (distro, os_release) in HOSTS {
        let file = scratch.join(format!("{distro}.os-release"));
        fs::write(&file, os_release).unwrap();
        let base = scratch.join(distro);
        let rnx = |words: &[&str]| on_host(&file, &base, words);
        for (other, _) in HOSTS {
            let installed = rnx(&[
                "runtime",
                "install",
                &format!("for-{other}"),
                "--registry",
                registry.path().to_str().unwrap(),
            ]);
            let said = String::from_utf8_lossy(&installed.stderr).into_owned();
            assert_eq!(installed.status.success(), other == distro, "{other} on {distro}: {said}");
            assert!(other == distro || said.contains(&format!("{distro}-{arch}")), "{said}");
        }
        let installed = rnx(&[
            "runtime",
            "install",
            "for-all",
            "--registry",
            registry.path().to_str().unwrap(),
        ]);
        assert!(installed.status.success(), "{installed:?}");
        let record = fs::read_to_string(base.join(".state/for-all-1.0.0.json")).unwrap();
        assert!(record.contains(&format!("\"{distro}-{arch}\"")), "{record}");
        let job = rnx(&[
            "job",
            "run",
            "--runtime=for-all",
            "--",
            "sh",
            "-c",
            "echo ran; cat /etc/os-release",
        ]);
        // The job sees nothing of the host, not even which one it is.
        assert_eq!(
            (String::from_utf8_lossy(&job.stdout).as_ref(), job.status.code()),
            ("ran\n", Some(1)),
            "{job:?}"
        );
    }
}

/// Runs `rnx` where `/etc/os-release` is `os_release`.
fn on_host(os_release: &Path, base: &Path, words: &[&str]) -> Output {
    let place = fs::canonicalize("/etc/os-release").unwrap();
    let mut command = Command::new("bwrap");
    command.args(["--dev-bind", "/", "/", "--ro-bind"]).arg(os_release).arg(place);
    command.arg("--").arg(program()).arg("--base").arg(base).args(words);
    command.current_dir(base.parent().unwrap().join("work")).env_clear().env("HOME", base);
    command.output().unwrap()
}
