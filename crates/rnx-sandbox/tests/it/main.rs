//! The sandbox against the real kernel.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests")]

mod attacks;
mod support;

mod build;
mod copy;
mod life;
mod limits;
mod sockets;
mod terminal;
