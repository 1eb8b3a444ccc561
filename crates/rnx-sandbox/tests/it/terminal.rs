//! A job on a terminal of its own. The caller's terminal is one made here, in a process of its own session.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rnx_sandbox::spawn::spawn_on_terminal;
use rnx_sandbox::terminal::CallersTerminal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use crate::support::{job, lacks_busybox};

const CALLER: &str = "RNX_SANDBOX_TERMINAL_CALLER";

fn pair() -> (OwnedFd, OwnedFd) {
    let outer = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&outer).unwrap();
    unlockpt(&outer).unwrap();
    let name = ptsname(&outer, Vec::new()).unwrap();
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
    let inner = rustix::fs::open(name, flags, rustix::fs::Mode::empty()).unwrap();
    (outer, inner)
}

/// Not a test outside: the caller whose terminal is standard input. Prints what the job writes first, then waits.
#[test]
fn caller() {
    if std::env::var_os(CALLER).is_none() {
        return;
    }
    let caller = CallersTerminal::on_stdin().unwrap();
    let script = "busybox tty; echo made > /dev/tty; busybox stty size; echo ready; read line; echo got $line; sleep 1000";
    let (_child, terminal) = spawn_on_terminal(&job(script), &caller).unwrap();
    caller.make_raw().unwrap();
    let mut out = std::io::stdout();
    let (mut buffer, mut heard) = ([0; 256], Vec::new());
    loop {
        let mut fds = [rustix::event::PollFd::new(&terminal, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut fds, None).unwrap();
        let Ok(count) = rustix::io::read(&terminal, &mut buffer) else { return };
        out.write_all(&buffer[..count]).unwrap();
        out.flush().unwrap();
        heard.extend_from_slice(&buffer[..count]);
        // What is typed sooner is echoed into the line that is being written.
        if heard.ends_with(b"ready\r\n") {
            rustix::io::write(&terminal, b"hello\n").unwrap();
        }
    }
}

#[test]
fn a_job_has_a_terminal_of_its_own_and_a_killed_caller_gets_its_own_back() {
    if lacks_busybox() {
        return;
    }
    let (outer, inner) = pair();
    rustix::termios::tcsetwinsize(
        &outer,
        rustix::termios::Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 },
    )
    .unwrap();
    let has_echo = || tcgetattr(&outer).unwrap().local_modes.contains(LocalModes::ECHO);
    assert!(has_echo());
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["terminal::caller", "--exact", "--nocapture"]).env(CALLER, "1");
    command.stdin(inner).stdout(std::process::Stdio::piped()).process_group(0);
    let mut child = command.spawn().unwrap();
    let mut text = String::new();
    let mut byte = [0];
    let mut out = child.stdout.take().unwrap();
    while !text.contains("got hello") {
        assert_eq!(out.read(&mut byte).unwrap(), 1, "{text}");
        text.push(byte[0].into());
    }
    assert!(text.contains("/dev/pts/0\r\nmade\r\n24 80\r\n"), "{text}");
    assert!(!has_echo(), "raw while the job runs");
    child.kill().unwrap();
    child.wait().unwrap();
    // The sandbox holds the output until it has seen that its caller is gone, and acted on it.
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    wait_until(has_echo);
}

/// The sandbox's first process has no descriptor of ours but the terminal: its work is looked at until it is done.
fn wait_until(done: impl Fn() -> bool) {
    for _ in 0..1000 {
        if done() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("the terminal was not set back");
}
