//! `registry.json`: which runtimes are published, and where their bytes are.
