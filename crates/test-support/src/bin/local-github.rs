//! A GitHub on loopback as a program: it prints where it is as one line of JSON, and ends with its standard input.
//!
//! Its first argument is a folder for what it stores, its second the bare git repository to serve; both may be left out.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a tool of tests")]

use std::io::Read;

use test_support::github::{GitHub, Options, REPOSITORY};

fn main() {
    let mut args = std::env::args_os().skip(1).map(Into::into);
    let (scratch, git_dir) = (args.next(), args.next());
    // Whoever shows this token may write; everyone may, if there is none.
    let token = std::env::var("LOCAL_GITHUB_TOKEN").ok();
    let github = GitHub::with(&Options { token, scratch, git_dir });
    let origins = github.origins();
    println!(
        "{}",
        serde_json::json!({
            "repository": REPOSITORY, "api": origins.api, "web": origins.web,
            "uploads": origins.uploads, "objects": origins.objects,
            "git": github.git_dir(), "registry": github.raw_url("main", "registry.json"),
        })
    );
    // Nothing is said on it: its end is the end.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}
