//! `xtask explain`: what a code means.
#![expect(clippy::print_stdout, reason = "the answer goes to standard output")]

use rnx::failure::{ExitStatus, Failure};
use xtask::explain;

/// Explain a code such as RT0110
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The code; all of them are listed without one
    code: Option<String>,
}

/// Prints one explanation, or the list of codes.
pub(crate) fn run(args: &Args) -> Result<ExitStatus, Failure> {
    let Some(code) = &args.code else {
        for explanation in explain::all() {
            println!("{}  {}", explanation.code, explanation.title);
        }
        return Ok(ExitStatus::Done);
    };
    let Some(explanation) = explain::find(code) else {
        let failure =
            Failure::message(ExitStatus::Usage, format!("no finding has the code `{code}`"));
        return Err(failure.hint("`cargo xtask explain` lists the codes"));
    };
    println!("{}: {}\n\n{}", explanation.code, explanation.title, explanation.text);
    for (label, example) in [("Shows it", explanation.bad), ("Right", explanation.good)] {
        if !example.is_empty() {
            let indented: String = example.lines().map(|line| format!("    {line}\n")).collect();
            print!("\n{label}:\n\n{indented}");
        }
    }
    Ok(ExitStatus::Done)
}
