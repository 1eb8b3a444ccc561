//! `cargo xtask`: validates, builds, audits, tests and publishes runtimes.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
