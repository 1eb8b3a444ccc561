//! `rnx runtime gc`.

use rnx::failure::{ExitStatus, Failure};
use rnx::gc::{self, Item, Verdict, What};
use rnx::output::Cleaned;
use rnx::record;

use crate::cli::context::Context;
use crate::cli::failure::failure;
use crate::cli::render;

/// Remove what broken-off downloads left and, with --keep, old versions
///
/// Leftovers of installs that were killed are removed by every command that changes something.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Keep so many versions of each runtime, the highest; without it, all are kept
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
    /// Print what would be kept and removed, and why, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Cleans up, and says what went and why the rest stays.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus, Failure> {
    if !args.dry_run {
        record::settle(&context.layout).map_err(|error| failure(&error))?;
    }
    let keep = args.keep.map(|keep| usize::try_from(keep).unwrap_or(usize::MAX));
    let plan = gc::plan(&context.layout, keep).map_err(|error| failure(&error))?;
    let shown = if args.dry_run {
        plan
    } else {
        let gone = gc::carry_out(&context.layout, &plan).map_err(|error| failure(&error))?;
        let stays = |item: &Item| matches!(item.verdict, Verdict::Keep(_));
        plan.into_iter().filter(|item| stays(item) || gone.contains(item)).collect()
    };
    if args.json {
        render::print_json(&shown.iter().map(of).collect::<Vec<_>>())?;
        return Ok(ExitStatus::Done);
    }
    render::print(&text(&shown, args.dry_run))?;
    Ok(ExitStatus::Done)
}

fn text(items: &[Item], dry_run: bool) -> String {
    let remove = if dry_run { "would remove" } else { "removed" };
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|item| {
            let (word, size) = match item.verdict {
                Verdict::Keep(_) => ("kept", String::new()),
                Verdict::Remove(_) => (remove, format!(", {}", render::size(item.bytes))),
            };
            let reason = render::shown(&item.verdict.to_string());
            vec![word.to_owned(), item.what.to_string(), format!("{reason}{size}")]
        })
        .collect();
    let freed = items
        .iter()
        .filter(|item| matches!(item.verdict, Verdict::Remove(_)))
        .map(|item| item.bytes)
        .sum();
    let verb = if dry_run { "would free" } else { "freed" };
    format!("{}{verb} {}\n", render::table(&rows), render::size(freed))
}

fn of(item: &Item) -> Cleaned {
    Cleaned {
        item: match &item.what {
            What::Install(spec) => spec.to_string(),
            What::Download(path) => path.display().to_string(),
        },
        kind: if matches!(item.what, What::Install(_)) { "install" } else { "download" },
        verdict: if matches!(item.verdict, Verdict::Keep(_)) { "keep" } else { "remove" },
        reason: item.verdict.to_string(),
        freed_bytes: item.bytes,
    }
}
