//! Progress of builds: a spinner with the last line on a terminal, plain lines elsewhere.
#![expect(clippy::print_stderr, reason = "progress is talk, and goes to standard error")]

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use rnx::shown::shown;
use xtask::build::Event;

/// The progress of one build among others.
pub(crate) struct BuildProgress {
    label: String,
    bar: Option<ProgressBar>,
    started: Instant,
    verbose: bool,
}

/// Where several builds show their progress at once.
#[derive(Clone)]
pub(crate) struct Screen(Option<MultiProgress>);

impl Screen {
    /// Uses the terminal that standard error is, if it is one.
    pub(crate) fn new() -> Self {
        Self(std::io::stderr().is_terminal().then(MultiProgress::new))
    }

    /// Begins the progress of one build.
    pub(crate) fn begin(&self, label: String, verbose: bool) -> BuildProgress {
        let bar = self.0.as_ref().map(|screen| {
            let bar = screen.add(ProgressBar::new_spinner());
            if let Ok(style) =
                ProgressStyle::with_template("{spinner} {prefix} [{elapsed}] {wide_msg}")
            {
                bar.set_style(style);
            }
            bar.set_prefix(label.clone());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        BuildProgress { label, bar, started: Instant::now(), verbose }
    }
}

impl BuildProgress {
    /// Shows one event.
    pub(crate) fn show(&self, event: &Event<'_>) {
        match event {
            Event::Step(step) => match &self.bar {
                Some(bar) => bar.set_message(step.clone()),
                None => self.line(step),
            },
            Event::Note(note) => self.line(note),
            Event::Line(line) if self.verbose => self.line(line),
            Event::Line(line) => {
                if let Some(bar) = &self.bar
                    && !line.trim().is_empty()
                {
                    bar.set_message(shown(line));
                }
            }
        }
    }

    /// Ends the progress; what stays on the screen is the caller's to print.
    pub(crate) fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&self, text: &str) {
        let seconds = self.started.elapsed().as_secs();
        let line = format!("{} [{seconds:>3}s] {}", self.label, shown(text));
        match &self.bar {
            Some(bar) => bar.println(line),
            None => eprintln!("{line}"),
        }
    }
}
