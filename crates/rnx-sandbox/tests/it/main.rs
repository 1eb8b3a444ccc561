//! The sandbox against the real kernel.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod attacks;
mod support;

mod build;
mod life;
mod sockets;
