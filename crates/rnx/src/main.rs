//! `rnx`: finds, installs, verifies, removes runtimes and runs jobs in them.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
