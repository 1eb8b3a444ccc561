//! `rnx job run -it`, typed at through a terminal made here.

use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::busybox::Busybox;

/// The far end of a terminal with a program on it, and what was seen so far.
struct Typist {
    outer: OwnedFd,
    child: Child,
    seen: String,
}

impl Typist {
    fn new(mut command: Command) -> Self {
        let outer = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&outer).unwrap();
        unlockpt(&outer).unwrap();
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
        let name = ptsname(&outer, Vec::new()).unwrap();
        let inner = rustix::fs::open(name, flags, rustix::fs::Mode::empty()).unwrap();
        tcsetwinsize(&outer, size(24)).unwrap();
        command.stdin(inner.try_clone().unwrap()).stdout(inner.try_clone().unwrap()).stderr(inner);
        let child = command.spawn().unwrap();
        // The command holds copies, which would keep the terminal from ending.
        drop(command);
        Self { outer, child, seen: String::new() }
    }

    fn types(&self, keys: &str) {
        rustix::io::write(&self.outer, keys.as_bytes()).unwrap();
    }

    /// Reads until this was shown, and forgets what came before.
    fn sees(&mut self, text: &str) {
        // What does not come for so long will not come.
        assert!(self.sees_within(text, 20), "waiting for `{text}`: {:?}", self.seen);
    }

    /// The same; `false` if nothing more comes for so long.
    fn sees_within(&mut self, text: &str, seconds: i64) -> bool {
        let mut buffer = [0; 1024];
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return true;
            }
            let mut fds = [PollFd::new(&self.outer, PollFlags::IN)];
            let pause = Timespec { tv_sec: seconds, tv_nsec: 0 };
            if rustix::event::poll(&mut fds, Some(&pause)).unwrap() == 0 {
                return false;
            }
            match rustix::io::read(&self.outer, &mut buffer) {
                Ok(count) if count > 0 => {
                    self.seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
                }
                end => panic!("{end:?} while waiting for `{text}`: {}", self.seen),
            }
        }
    }

    fn has_echo(&self) -> bool {
        tcgetattr(&self.outer).unwrap().local_modes.contains(LocalModes::ECHO)
    }
}

fn size(rows: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 }
}

#[test]
fn a_shell_on_a_terminal_has_job_control() {
    for busybox in Busybox::callers() {
        let mut typist = Typist::new(busybox.job(&["-it", "-e", "PS1=prompt> ", "--", "sh"]));
        typist.sees("prompt> ");
        assert!(!typist.has_echo(), "raw: the job's terminal echoes");
        typist.types("tty; stty size\r");
        typist.sees("/dev/pts/0\r\n24 80\r\n");
        // The size is passed on with its signal.
        let waits = "trap 'echo resized $(stty size)' WINCH; echo waits; while :; do :; done";
        typist.types(&format!("sh -c \"{}\"\r", waits.replace('$', "\\$")));
        typist.sees("\nwaits");
        tcsetwinsize(&typist.outer, size(50)).unwrap();
        // The terminal is not the controlling one of the program, which is told by whoever changes it.
        let pid = rustix::process::Pid::from_child(&typist.child);
        rustix::process::kill_process(pid, rustix::process::Signal::WINCH).unwrap();
        typist.sees("resized 50 80");
        // Stopping and going on is the job's own matter: rnx, which is told so too, goes on.
        rustix::process::kill_process(pid, rustix::process::Signal::TSTP).unwrap();
        // The shell takes an interruption of its trap for no more than that.
        let mut again = 0..10;
        typist.types("\x03");
        while !typist.sees_within("prompt> ", 2) {
            assert!(again.next().is_some(), "{:?}", typist.seen);
            typist.types("\x03");
        }
        // Stopped by a key, seen by the shell, gone on with.
        typist.types("sh -c 'echo running; read line; echo got $line'\r");
        typist.sees("\nrunning");
        typist.types("\x1a");
        typist.sees("Stopped");
        typist.types("fg\r");
        typist.sees("sh -c");
        typist.types("this\r");
        typist.sees("got this");
        typist.types("exit 3\r");
        assert_eq!(typist.child.wait().unwrap().code(), Some(3), "{}", busybox.caller());
        assert!(typist.has_echo(), "as it was");
    }
}

#[test]
fn the_terminal_is_as_it_was_after_a_kill_of_either() {
    for busybox in Busybox::callers() {
        for (signal, code) in [("TERM", Some(143)), ("KILL", None)] {
            let script = "echo ready; exec sleep 1000";
            let mut typist = Typist::new(busybox.job(&["-it", "--", "sh", "-c", script]));
            typist.sees("ready");
            assert!(!typist.has_echo());
            let pid = rustix::process::Pid::from_child(&typist.child);
            let signal = match signal {
                "TERM" => rustix::process::Signal::TERM,
                _ => rustix::process::Signal::KILL,
            };
            rustix::process::kill_process(pid, signal).unwrap();
            assert_eq!(typist.child.wait().unwrap().code(), code);
            // After a kill the sandbox's first process does it, which holds the terminal until then.
            while !typist.has_echo() {
                std::thread::yield_now();
            }
        }
    }
}

#[test]
fn a_job_ends_when_its_callers_terminal_does() {
    for busybox in Busybox::callers() {
        let mut typist =
            Typist::new(busybox.job(&["-it", "--", "sh", "-c", "echo ready; sleep 1000"]));
        typist.sees("ready");
        let Typist { outer, mut child, .. } = typist;
        drop(outer);
        assert_eq!(child.wait().unwrap().code(), Some(128 + 1), "{}", busybox.caller());
    }
}

#[test]
fn keys_that_nobody_takes_do_not_hide_that_the_terminal_is_gone() {
    let Some(busybox) = Busybox::new() else { return };
    let script = "stty raw -echo; echo ready; exec sleep 1000";
    let mut typist = Typist::new(busybox.job(&["-it", "--", "sh", "-c", script]));
    typist.sees("ready");
    let Typist { outer, mut child, .. } = typist;
    let flags = rustix::fs::fcntl_getfl(&outer).unwrap();
    rustix::fs::fcntl_setfl(&outer, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
    // Until both terminals, and what is between them, are full.
    loop {
        let end = rustix::io::write(&outer, &[b'x'; 1024]);
        let second = Timespec { tv_sec: 1, tv_nsec: 0 };
        let mut fds = [PollFd::new(&outer, PollFlags::OUT)];
        match end {
            Ok(_) => {}
            Err(rustix::io::Errno::AGAIN) => {
                if rustix::event::poll(&mut fds, Some(&second)).unwrap() == 0 {
                    break;
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
    drop(outer);
    assert_eq!(child.wait().unwrap().code(), Some(128 + 1));
}

#[test]
fn a_job_that_does_not_listen_ends_with_its_terminal_too() {
    let Some(busybox) = Busybox::new() else { return };
    let deaf = "trap '' HUP; echo ready; while :; do sleep 1; done";
    let start = || {
        let mut typist = Typist::new(busybox.job(&["-it", "--", "sh", "-c", deaf]));
        typist.sees("ready");
        typist
    };
    let Typist { outer, child: mut without_terminal, .. } = start();
    drop(outer);
    let mut told = start();
    let pid = rustix::process::Pid::from_child(&told.child);
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    assert_eq!(without_terminal.wait().unwrap().code(), Some(128 + 9));
    assert_eq!(told.child.wait().unwrap().code(), Some(128 + 9));
}

#[test]
fn a_terminal_that_is_none_is_told() {
    let Some(busybox) = Busybox::new() else { return };
    let output = busybox.job(&["-t", "--", "true"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.starts_with("error: `--tty` needs a terminal"), "{text}");
}
