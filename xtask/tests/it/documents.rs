//! What the documents tell people to type: each command exists, with the options named.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;

use crate::guide::{rnx, workspace};

/// Commands that a document calls missing. One that is there by now is struck from here, and from the document.
const NOT_YET: [&str; 0] = [];

#[test]
fn documents_name_commands_that_exist() {
    let command = Regex::new(
        r"(?:(?P<xtask>cargo xtask)|\brnx(?: --base \S+)?) (?P<words>[a-z]+(?: (?:run|install|update|list|search|info|outdated|add|refresh|remove|verify|path|gc|export|import|check|merge|mirror|reconcile)\b)?)(?P<rest>[^`\n#|]*)",
    )
    .unwrap();
    let (xtask, rnx) = (PathBuf::from(env!("CARGO_BIN_EXE_xtask")), rnx());
    let mut said = BTreeSet::new();
    let mut missing = BTreeSet::new();
    for page in pages() {
        for found in command.captures_iter(&fs_err::read_to_string(&page).unwrap()) {
            let (name, program) = match found.name("xtask") {
                Some(_) => ("cargo xtask", &xtask),
                None => ("rnx", &rnx),
            };
            let typed = format!("{name} {}", &found["words"]);
            let help = Command::new(program)
                .args(found["words"].split(' '))
                .arg("--help")
                .output()
                .unwrap();
            let help = help.status.success().then(|| String::from_utf8(help.stdout).unwrap());
            let Some(help) = help else {
                missing.insert(typed);
                continue;
            };
            // What comes after a lone `--` is a job's.
            let own = found["rest"].split(" -- ").next().unwrap();
            let options = own.split([' ', '=', ']', '[']).filter(|word| word.starts_with("--"));
            for option in options.map(|word| word.trim_end_matches([',', '.', ')'])) {
                let known = help.split([' ', ',', '\n', '[']).any(|word| word == option);
                assert!(known, "{}: {typed} has no {option}", page.display());
            }
            said.insert(typed);
        }
    }
    assert_eq!(missing.iter().map(String::as_str).collect::<Vec<_>>(), NOT_YET);
    assert!(said.contains("cargo xtask test"), "{said:?}");
    assert!(said.contains("rnx job run"), "{said:?}");
}

/// Returns all Markdown pages at the top and below `docs`.
fn pages() -> Vec<PathBuf> {
    let docs = workspace().join("docs");
    let folders = [workspace().to_owned(), docs.join("formats"), docs];
    let files = folders.iter().flat_map(|folder| fs_err::read_dir(folder).unwrap());
    let is_page = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md");
    let pages: Vec<_> = files.map(|entry| entry.unwrap().path()).filter(is_page).collect();
    assert!(pages.iter().any(|page| page.ends_with(Path::new("formats/bases.md"))));
    pages
}
