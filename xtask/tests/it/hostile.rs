//! Setup scripts that do what no honest one does: a build neither follows them out of the chroot nor hangs.

use crate::bases::scene;
use crate::build::{GOOD, GOOD_TEST, Workshop};

/// Returns what the build of `script` said; it must have been refused.
fn refused(script: &str) -> Option<String> {
    let workshop = Workshop::new(&format!("{GOOD}{script}"), GOOD_TEST)?;
    let ran = workshop.build();
    assert_eq!(ran.status.code(), Some(1), "{script}: {ran:?}");
    assert!(!workshop.dist().join("SHA256SUMS").exists(), "{script}");
    Some(ran.stderr_text().to_owned())
}

#[test]
fn a_runtime_yml_that_is_no_plain_file_is_refused_unread() {
    let dir = tempfile::tempdir().unwrap();
    fs_err::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let canary = dir.path().join("canary");
    fs_err::write(&canary, "canary-of-the-host\n").unwrap();
    let scripts = [
        format!("ln -s {} $tree/../runtime.yml\n", canary.display()),
        "mkfifo $tree/../runtime.yml\n".to_owned(),
        "mkdir $tree/../runtime.yml\n".to_owned(),
    ];
    for script in scripts {
        let Some(said) = refused(&script) else { return };
        assert!(said.contains("runtime.yml is not a plain file"), "{said}");
        assert!(!said.contains("canary-of-the-host"), "{said}");
    }
}

#[test]
fn a_link_in_place_of_the_output_folder_is_not_followed() {
    let Some(workshop) = Workshop::new(GOOD, GOOD_TEST) else { return };
    // The same relative link means the same inside and outside: both see the copy of the definition beside `upper`.
    let script = "mkdir -p joblet/runtimes/tiny\nmv $tree joblet/runtimes/tiny/\nrm -r /opt\nln -s ../definition /opt\n";
    workshop.define(&format!("{GOOD}{script}"), GOOD_TEST);
    let ran = workshop.build();
    assert!(
        ran.stderr_text().contains("left no folder `/opt/joblet/runtimes/tiny/isolated`"),
        "{ran:?}"
    );
}

#[test]
fn links_of_the_tree_are_followed_in_the_tree_alone() {
    let script = "mkdir -p $tree/usr $tree/stuff/bin\nln -s /stuff $tree/usr/local\n";
    let Some(workshop) = Workshop::new(&format!("{GOOD}{script}"), GOOD_TEST) else { return };
    let ran = workshop.build();
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    let described = workshop.packed("runtime.yml");
    assert!(described.contains("PATH_PREPEND: /usr/local/bin:/bin\n"), "{described}");
}

#[test]
fn output_without_an_end_is_neither_held_nor_kept_and_cannot_draw_on_the_screen() {
    let script = "printf 'x\\033[2J'\nyes | tr -d '\\n' | head -c 80000000\nexit 3\n";
    let Some(workshop) = Workshop::new(script, GOOD_TEST) else { return };
    let ran = workshop.build();
    assert_eq!(ran.status.code(), Some(1), "{:?}", ran.status);
    assert!(ran.stderr_text().len() < 256 * 1024, "{} bytes", ran.stderr_text().len());
    let logs = workshop.dist().join("logs");
    let log = logs.join(scene::names(&logs).first().unwrap());
    let bytes = fs_err::metadata(log).unwrap().len();
    assert!(bytes < 80 * 1024 * 1024, "{bytes} bytes");

    workshop.define("printf 'red\\033[31m\\n'\nexit 3\n", GOOD_TEST);
    let ran = workshop.build();
    assert!(ran.stderr_text().contains("red\\u{1b}[31m"), "{ran:?}");
}
