//! Publishing to GitHub: reads this clone, asks GitHub, says what happened.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's rendering")]

use std::path::Path;

use rnx::failure::{ExitStatus, Failure};
use rnx::shown::shown_lines;
use rnx_spec::registry::Registry;
use xtask::git::Git;
use xtask::release::github::{Account, ConnectError, GitHub, Proposal, Repository, Token};
use xtask::release::publish::prepare::Prepared;
use xtask::release::publish::run::{self, Options, Published};
use xtask::release::registry_branch::{
    Backoff, Change, PushRegistryError, Pushed, REGISTRY_FILE, RegistryBranch, push, with_releases,
};

use super::super::{git_with_token, now, yank};
use super::here::{failure, forge_failure, prepared};
use super::{Args, show};

/// Publishes, or says what that would do.
pub(super) fn run(args: &Args, repo: &Path) -> Result<ExitStatus, Failure> {
    show::listen("nothing half done is visible; run the same command again to continue")?;
    let git = git_with_token(repo);
    let account = account(args, &git)?;
    let url = |file: &str| account.download_url(&args.tag, file);
    let prepared = prepared(args, repo, &git, &url)?;
    let mut github = GitHub::connect(account.clone()).map_err(|error| match error {
        ConnectError::Url { .. } => Failure::new(ExitStatus::Usage, &error),
        _ => Failure::new(ExitStatus::Host, &error),
    })?;
    let branch = RegistryBranch::on_default_branch(git, &args.remote)
        .map_err(|error| Failure::new(ExitStatus::Network, &error))?;
    let now = now();
    let specs: Vec<String> = prepared.releases.iter().map(|one| one.spec.to_string()).collect();
    let change = Change {
        message: format!("registry: {}\n", specs.join(", ")),
        names: prepared.releases.iter().map(|one| one.spec.name.clone()).collect(),
        apply: &|registry: &Registry| with_releases(registry, &prepared.releases, &now),
        now: now.clone(),
    };
    // Before anything is changed: a registry that refuses the release refuses it now.
    let due = branch.preview(&change).map_err(|error| yank::failure(&error))?;
    let options = Options { resume: args.resume, backoff: Backoff::default() };
    if args.dry_run {
        return dry_run(args, &prepared, &mut github, (options, &branch, due.is_some()));
    }
    let mut show = show::Show::new();
    let published =
        run::run(&prepared.wanted, &mut github, options, &mut |event| show.event(event))
            .map_err(|error| failure(&error))?;
    show.end();
    if !args.json {
        println!("{} is published: {}", args.tag, published.page);
    }
    let registered = register(&branch, &change, &github, (due, args));
    finish(args, &published, registered)
}

fn account(args: &Args, git: &Git) -> Result<Account, Failure> {
    let remote = || {
        git.ask("read the remote's address", ["remote", "get-url", args.remote.as_str()])
            .map_err(|error| Failure::new(ExitStatus::Usage, &error))
    };
    let repository: Repository = match &args.repository {
        Some(text) => text.parse(),
        None => remote()?.parse(),
    }
    .map_err(|error| {
        Failure::new(ExitStatus::Usage, &error).hint("name it: `--repository OWNER/NAME`")
    })?;
    let token = ["GITHUB_TOKEN", "GH_TOKEN"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok())
        .find_map(|text| Token::new(&text));
    if token.is_none() {
        return Err(Failure::message(
            ExitStatus::Usage,
            "there is no token: GITHUB_TOKEN and GH_TOKEN are empty",
        )
        .hint("set GITHUB_TOKEN to a token that may write the repository's contents"));
    }
    let url = |text: &str| text.trim_end_matches('/').to_owned();
    Ok(Account { repository, api_url: url(&args.api_url), web_url: url(&args.server_url), token })
}

fn dry_run(
    args: &Args,
    prepared: &Prepared,
    github: &mut GitHub,
    (options, branch, due): (Options, &RegistryBranch, bool),
) -> Result<ExitStatus, Failure> {
    let wanted = &prepared.wanted;
    run::check_digests(&wanted.files, &mut |file| eprintln!("checking {}", file.name))
        .map_err(|error| forge_failure(&error, Failure::new(ExitStatus::Integrity, &error)))?;
    let steps = run::preview(wanted, github, options).map_err(|error| failure(&error))?;
    let mut lines: Vec<String> = steps.iter().map(ToString::to_string).collect();
    if due {
        let specs: Vec<String> = prepared.releases.iter().map(|one| one.spec.to_string()).collect();
        let (remote, name) = (&branch.remote, &branch.branch);
        lines.push(format!("add {} to {REGISTRY_FILE} on `{name}` of {remote}", specs.join(", ")));
    }
    if args.json {
        println!("{}", serde_json::json!({"tag": args.tag.to_string(), "steps": lines}));
        return Ok(ExitStatus::Done);
    }
    if lines.is_empty() {
        println!("{} is published and registered: nothing is left to do", args.tag);
    }
    for (number, line) in (1..).zip(&lines) {
        print!("{}", shown_lines(&format!("{number}. {line}\n")));
    }
    Ok(ExitStatus::Done)
}

/// Pushes the registry; where that is refused, asks people to merge it.
fn register(
    branch: &RegistryBranch,
    change: &Change<'_>,
    github: &GitHub,
    (due, args): (Option<String>, &Args),
) -> Result<Pushed, Failure> {
    if due.is_some() {
        eprintln!("adding it to {REGISTRY_FILE} on `{}` of {}", branch.branch, branch.remote);
    }
    let title = change.message.trim().to_owned();
    let text = format!("The release `{}` is published. This adds it to the registry.", args.tag);
    let pull = match push(branch, change, Backoff::default()) {
        Ok(Pushed::Proposed { id, branch: proposed, reason }) => {
            let page = github.open_pull(&branch.branch, &proposed, &title, &text);
            page.map(|page| (page, Pushed::Proposed { id, branch: proposed, reason }))
        }
        // This clone may push nothing at all; the token may.
        Err(PushRegistryError::Refused { reason, source }) => {
            let proposal = Proposal {
                base: branch.branch.clone(),
                branch: format!("registry-{}", args.tag).replace('@', "-"),
                file: REGISTRY_FILE.to_owned(),
                content: due.unwrap_or_default().into_bytes(),
                title,
                text,
            };
            let proposed = Pushed::Proposed {
                id: String::new(),
                branch: proposal.branch.clone(),
                reason: reason.clone(),
            };
            match github.propose(&proposal) {
                Ok(page) => Ok((page, proposed)),
                Err(_also_refused) => {
                    return Err(yank::failure(&PushRegistryError::Refused { reason, source }));
                }
            }
        }
        other => return other.map_err(|error| yank::failure(&error)),
    };
    match pull {
        Ok((page, pushed)) => {
            eprintln!("a pull request is open: {}", rnx::shown::shown(&page));
            Ok(pushed)
        }
        Err(error) => Err(forge_failure(&error, Failure::new(ExitStatus::Findings, &error))),
    }
}

fn finish(
    args: &Args,
    published: &Published,
    registered: Result<Pushed, Failure>,
) -> Result<ExitStatus, Failure> {
    let pushed = registered.map_err(|failure| {
        failure
            .hint("the release is out, and only the registry lacks it: run the same command again")
    })?;
    if !args.json {
        return Ok(yank::report(&pushed));
    }
    let (state, commit) = match &pushed {
        Pushed::Nothing => ("unchanged", None),
        Pushed::Commit { id, .. } => ("changed", Some(id)),
        Pushed::Proposed { id, .. } => ("proposed", Some(id)),
    };
    println!(
        "{}",
        serde_json::json!({
            "tag": args.tag.to_string(), "page": published.page, "uploaded": published.uploaded,
            "kept": published.kept, "registry": {"state": state, "commit": commit},
        })
    );
    Ok(if state == "proposed" { ExitStatus::Findings } else { ExitStatus::Done })
}
