//! `rnx doctor`.

use std::path::Path;
use std::time::SystemTime;

use rnx::doctor::{self, Caller, Check, State};
use rnx::failure::{ExitStatus, Failure};
use rnx::fixes::Lack;
use rnx::resolve::RegistryLocation;

use crate::cli::context::Context;
use crate::cli::render;

/// Say what works on this host, what does not, and what fixes it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Looks, and prints what was found; a host that cannot run jobs is a failure.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus, Failure> {
    let user = rustix::process::geteuid();
    // Without its own name the advice is still right.
    let program = std::env::current_exe().unwrap_or_else(|_unknown| "rnx".into());
    let name = user_name(user.as_raw());
    let caller = Caller {
        is_root: user.is_root(),
        name: &name,
        program: &program,
        base: context.layout.base(),
        scratch: &std::env::temp_dir(),
        now: SystemTime::now(),
    };
    let mut checks = doctor::examine(&caller);
    checks.extend(registries(context));
    if args.json {
        render::print_json(&checks)?;
    } else {
        let lines: String = checks.iter().map(|check| format!("{check}\n")).collect();
        render::print(&render::shown_lines(&lines))?;
    }
    Ok(if doctor::is_broken(&checks) { ExitStatus::Host } else { ExitStatus::Done })
}

fn registries(context: &Context) -> Vec<Check> {
    match context.locations(None) {
        Ok(locations) => {
            locations.into_iter().map(|location| registry(context, location)).collect()
        }
        Err(failure) => {
            let url = "(none)".to_owned();
            let found = failure.causes.join(": ");
            vec![Check::lacks("registry", State::Limited, found, &Lack::Registry { url })]
        }
    }
}

fn registry(context: &Context, location: RegistryLocation) -> Check {
    let name = format!("registry {}", location.name);
    let url = location.document.to_string();
    if context.config.offline && location.document.file_path().is_none() {
        return Check::works(&name, "not asked: this is offline");
    }
    match context.refreshed(location) {
        Ok(_) => Check::works(&name, format!("{url} was read")),
        Err(failure) => {
            let found = failure.causes.join(": ");
            Check::lacks(&name, State::Limited, found, &Lack::Registry { url })
        }
    }
}

/// The user's name, or number where `/etc/passwd` has none.
fn user_name(uid: u32) -> String {
    let text = fs_err::read_to_string(Path::new("/etc/passwd")).unwrap_or_default();
    let named = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| uid.to_string())
}
