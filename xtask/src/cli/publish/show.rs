//! What a person sees of publishing: a line per step, a bar per upload, and what Ctrl-C means.
#![expect(clippy::print_stderr, reason = "progress is talk, and goes to standard error")]

use std::io::IsTerminal;
use std::thread;

use indicatif::{ProgressBar, ProgressStyle};
use rnx::failure::{ExitStatus, Failure};
use rnx::shown::shown;
use rnx_sandbox::signals::Signals;
use rustix::process::Signal;
use xtask::release::publish::Step;
use xtask::release::publish::run::Event;

/// Where publishing shows its progress.
pub(super) struct Show {
    on_terminal: bool,
    bar: Option<ProgressBar>,
}

impl Show {
    pub(super) fn new() -> Self {
        Self { on_terminal: std::io::stderr().is_terminal(), bar: None }
    }

    /// Shows one event.
    pub(super) fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Step(step) => {
                self.end();
                eprintln!("{}", shown(&step.to_string()));
                if let Step::Upload { size_bytes, .. } = step
                    && self.on_terminal
                {
                    self.bar = Some(bar(*size_bytes));
                }
            }
            Event::Sent { bytes, .. } => {
                if let Some(bar) = &self.bar {
                    bar.set_position(bytes);
                }
            }
            Event::Waiting { why, time } => {
                self.end();
                eprintln!("{}; looking again in {:.1} s", shown(&why), time.as_secs_f64());
            }
        }
    }

    /// Takes the bar away.
    pub(super) fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn bar(size_bytes: u64) -> ProgressBar {
    let bar = ProgressBar::new(size_bytes);
    let template = "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// Lets Ctrl-C and its kin end the program with a word on what that means. Nothing needs to be cleaned up.
#[expect(clippy::exit, reason = "the person wants an end, and no value can be returned from here")]
pub(super) fn listen(meaning: &'static str) -> Result<(), Failure> {
    let numbers = [Signal::INT, Signal::TERM, Signal::HUP].map(Signal::as_raw);
    let signals =
        Signals::catch(&numbers).map_err(|error| Failure::new(ExitStatus::Host, &error))?;
    thread::spawn(move || {
        if let Ok(signal) = signals.next() {
            eprintln!("\ninterrupted: {meaning}");
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}
