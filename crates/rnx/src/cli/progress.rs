//! How an install is shown while it is going on: a bar on a terminal, plain lines in a pipe.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rnx::install::{InstallPlan, Progress, Stage};

use crate::cli::render::size;

/// The progress of one install.
pub(crate) struct Shown {
    bar: Option<ProgressBar>,
    what: String,
    size_bytes: u64,
}

impl Shown {
    /// Shows the progress of `plan` on standard error.
    pub(crate) fn new(plan: &InstallPlan) -> Self {
        let what = format!("{} ({})", plan.resolved.spec, plan.resolved.platform);
        let size_bytes = plan.resolved.size_bytes;
        let bar = io::stderr()
            .is_terminal()
            .then(|| ProgressBar::with_draw_target(Some(size_bytes), ProgressDrawTarget::stderr()));
        Self { bar, what, size_bytes }
    }

    /// Clears the bar, so that what is said next stands alone.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn text(&self, stage: Stage) -> String {
        let what = &self.what;
        match stage {
            Stage::Waiting => format!("Waiting for another install of {what}"),
            Stage::Downloading => format!("Downloading {what}, {}", size(self.size_bytes)),
            Stage::Unpacking => format!("Unpacking {what}"),
            Stage::Finishing => format!("Finishing {what}"),
        }
    }
}

impl Progress for Shown {
    fn stage(&mut self, stage: Stage) {
        let text = self.text(stage);
        let Some(bar) = &self.bar else {
            anstream::eprintln!("{text}");
            return;
        };
        let template = match stage {
            Stage::Downloading => "{msg} {bar:30} {bytes_per_sec} {eta}",
            _ => "{msg} {spinner}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(text);
        bar.enable_steady_tick(Duration::from_millis(100));
    }

    fn downloaded(&mut self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(bytes);
        }
    }
}
