//! How installs are shown while they are going on: a bar each on a terminal, plain lines in a pipe.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use rnx::install::{InstallPlan, Progress, Stage};
use rnx::shown::shown;
use rnx_store::blob::AddBlobError;

use crate::cli::render::size;
use crate::cli::say::say;

const TICK: Duration = Duration::from_millis(100);

/// The bars of one command.
pub(crate) struct Bars {
    bars: Option<MultiProgress>,
}

/// The progress of one install.
pub(crate) struct Shown {
    bars: Option<MultiProgress>,
    bar: ProgressBar,
    what: String,
    resumed: bool,
}

impl Bars {
    /// Shows on standard error.
    pub(crate) fn new() -> Self {
        let bars = io::stderr()
            .is_terminal()
            .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        Self { bars }
    }

    /// Shows the progress of one more install.
    pub(crate) fn add(&self, plan: &InstallPlan) -> Shown {
        let bar = match &self.bars {
            Some(bars) => bars.add(ProgressBar::new(plan.resolved.size_bytes)),
            None => ProgressBar::hidden(),
        };
        let what = format!("{} ({})", plan.resolved.spec, plan.resolved.platform);
        Shown { bars: self.bars.clone(), bar, what, resumed: false }
    }
}

impl Shown {
    /// Clears the bar, and says how it ended above those that are left.
    pub(crate) fn finish(self, text: Option<&str>) {
        self.bar.finish_and_clear();
        if let Some(text) = text {
            self.say(text);
        }
    }

    fn say(&self, text: &str) {
        match &self.bars {
            // Where the terminal cannot be written to, nobody is looking.
            Some(bars) => drop(bars.println(text)),
            None => say!("{text}"),
        }
    }
}

impl Progress for Shown {
    fn stage(&mut self, stage: Stage) {
        let what = &self.what;
        let text = match stage {
            Stage::Waiting => format!("Waiting for another install of {what}"),
            Stage::Downloading { bytes } => format!("Downloading {what}, {}", size(bytes)),
            Stage::Unpacking => format!("Unpacking {what}"),
            Stage::Finishing => format!("Finishing {what}"),
        };
        if self.bars.is_none() {
            self.say(&text);
            return;
        }
        let template = if let Stage::Downloading { bytes } = stage {
            self.bar.set_length(bytes);
            self.bar.reset();
            self.bar.set_message(format!("Downloading {what}"));
            "{msg} {wide_bar} {bytes:>10} of {total_bytes} {binary_bytes_per_sec:>12} {eta:>4} left"
        } else {
            self.bar.set_message(text);
            "{msg} {spinner}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style.progress_chars("=> "));
        }
        self.bar.enable_steady_tick(TICK);
    }

    fn downloaded(&mut self, bytes: u64) {
        self.bar.set_position(bytes);
        if !self.resumed {
            // What an earlier run has downloaded says nothing about the speed of this one.
            self.resumed = true;
            self.bar.reset_eta();
        }
    }

    fn paused(&mut self, why: &AddBlobError, pause: Duration) {
        let mut causes = vec![why.to_string()];
        let mut next = std::error::Error::source(why);
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        let (what, causes) = (&self.what, shown(&causes.join(": ")));
        self.say(&format!("{what}: {causes}; trying again in {:.1} s", pause.as_secs_f64()));
    }
}
