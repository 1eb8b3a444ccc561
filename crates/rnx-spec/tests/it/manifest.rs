//! Manifests: what is read, and what is said about those that are wrong.

use std::fmt::Write as _;

use proptest::prelude::*;
use rnx_spec::diagnostic::{Diagnostic, Span};
use rnx_spec::manifest;

/// Returns a line per finding: place, code, message; then help and fix.
fn listing(text: &str, diagnostics: &[Diagnostic]) -> String {
    let mut listing = String::new();
    for d in diagnostics {
        match &d.span {
            Some(Span(range)) => {
                let line = text[..range.start].matches('\n').count() + 1;
                write!(listing, "{line}: `{}` ", &text[range.clone()]).unwrap();
            }
            None => listing.push_str("file: "),
        }
        writeln!(listing, "{:?} {}: {}", d.severity, d.code, d.message).unwrap();
        if let Some(help) = &d.help {
            writeln!(listing, "    help: {help}").unwrap();
        }
        if let Some(fix) = &d.fix {
            let replaced = &text[fix.span.0.clone()];
            writeln!(listing, "    fix: `{replaced}` -> `{}`", fix.replacement).unwrap();
        }
    }
    listing
}

#[test]
fn invalid_manifests_are_explained() {
    insta::glob!("fixtures/invalid/*.yaml", |path| {
        let text = fs_err::read_to_string(path).unwrap();
        let parsed = manifest::parse(&text);
        assert_eq!(parsed.value, None);
        insta::assert_snapshot!(listing(&text, &parsed.diagnostics));
    });
}

#[test]
fn valid_manifests_are_read() {
    insta::glob!("fixtures/valid/*.yaml", |path| {
        let text = fs_err::read_to_string(path).unwrap();
        let parsed = manifest::parse(&text);
        assert_eq!(listing(&text, &parsed.diagnostics), "");
        insta::assert_debug_snapshot!(parsed.value.unwrap());
    });
}

/// Pieces that manifests are made of, so that random texts reach past the syntax.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-z]{1,3}: ",
        Just("name: ".to_owned()),
        Just("\nversion: ".to_owned()),
        Just("\nplatforms: [ubuntu-amd64".to_owned()),
        Just("\ntests: [{run: ".to_owned()),
        Just("\nsources:\n  - ".to_owned()),
        Just("\nreuse: {rhel: ".to_owned()),
        Just("\nlimits:\n  unpacked: ".to_owned()),
        prop::sample::select(vec![
            "[", "]", "{", "}", "&a ", "*a", "*a, ", "!!str ", "!x ", "| ", ">", "'", "\"", "%",
            "@", "`", "#", ", ", ": ", "? ", "~", "\t", "\n", "\n  ", "- ", "---\n", "\u{feff}",
            "\\",
        ])
        .prop_map(str::to_owned),
        "[0-9.exo+-]{1,4}",
        any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_gives_a_value_or_an_error(text in prop_oneof![any::<String>(), pieces()]) {
        let parsed = manifest::parse(&text);
        prop_assert!(parsed.value.is_some() != parsed.diagnostics.iter().any(|d| d.severity == rnx_spec::diagnostic::Severity::Error));
        // Every place is a piece of the text.
        drop(listing(&text, &parsed.diagnostics));
    }
}
