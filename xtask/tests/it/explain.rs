//! Every code is explained, and the examples show what they say.

use rnx_spec::diagnostic::Code;
use rnx_spec::{bases, manifest};
use xtask::explain;

fn shows(code: Code, text: &str) -> bool {
    let diagnostics = match code.0 {
        100..200 => manifest::parse(text).diagnostics,
        _ => bases::parse(text).diagnostics,
    };
    diagnostics.iter().any(|finding| finding.code == code)
}

#[test]
fn examples_show_their_finding_and_the_right_ones_do_not() {
    // Folders, built trees, clones and registries have no one text that shows a finding.
    let has_example = |code: Code| !matches!(code.0, 200..300 | 320..);
    for explanation in explain::all().into_iter().filter(|e| has_example(e.code)) {
        assert!(shows(explanation.code, explanation.bad), "{}", explanation.code);
        assert!(
            !shows(explanation.code, explanation.good) || explanation.good.is_empty(),
            "{}",
            explanation.code
        );
    }
}

#[test]
fn every_code_is_explained_once() {
    let source = include_str!("../../../crates/rnx-spec/src/diagnostic/codes.rs");
    let mut codes: Vec<u16> = source
        .lines()
        .filter_map(|line| line.split_once("= Code(")?.1.strip_suffix(");")?.parse().ok())
        .collect();
    codes.sort_unstable();
    let explained: Vec<u16> = explain::all().iter().map(|explanation| explanation.code.0).collect();
    assert_eq!(explained, codes);
}
