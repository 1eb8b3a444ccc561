//! `rnx`: finds, installs, verifies, removes runtimes and runs jobs in them.

fn main() {}
