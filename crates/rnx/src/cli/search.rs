//! `rnx runtime search`.

use rnx::failure::{ExitStatus, Failure};
use rnx_spec::registry::near_names;
use rnx_spec::{Platform, RuntimeName};

use crate::cli::context::Context;
use crate::cli::list::{here, item, print_available};
use crate::cli::render;
use crate::cli::say::say;

/// Search the registries for runtimes, by name and description
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Words that the name or the description has, all of them; upper and lower case are alike
    #[arg(required = true, value_name = "WORD")]
    words: Vec<String>,
    /// The registry, instead of those configured
    #[arg(long, value_name = "REGISTRY")]
    registry: Option<String>,
    /// Only what is built for this platform
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<Platform>,
    /// Print JSON, as `rnx runtime list --available` does
    #[arg(long)]
    json: bool,
}

/// Prints what was found, names before descriptions.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus, Failure> {
    let words: Vec<String> = args.words.iter().map(|word| word.to_lowercase()).collect();
    let registries = context.readable(args.registry.as_deref())?;
    let here = here(context)?;
    let mut found = Vec::new();
    for (order, open) in registries.iter().enumerate() {
        for (name, runtime) in &open.index().runtimes {
            let mut newest = runtime.releases.iter().rev();
            let newest = newest.find(|release| {
                args.platform.is_none_or(|platform| release.platforms.contains(&platform))
            });
            let Some(release) = newest else { continue };
            if let Some(rank) = rank(&words, name, &release.description) {
                found.push((rank, order, item(&here, open, name, release)));
            }
        }
    }
    found.sort_by(|a, b| (a.0, &a.2.name, a.1).cmp(&(b.0, &b.2.name, b.1)));
    let items: Vec<_> = found.into_iter().map(|(.., item)| item).collect();
    print_available(&items, args.json)?;
    if items.is_empty() && !args.json {
        let text: Vec<String> = args.words.iter().map(|word| render::shown(word)).collect();
        say!("no runtime has `{}` in its name or description", text.join(" "));
        if let Ok(name) = words.join("-").parse::<RuntimeName>() {
            let names = registries.iter().flat_map(|open| open.index().runtimes.keys());
            let near: Vec<String> =
                near_names(&name, names).iter().map(|name| format!("`{name}`")).collect();
            if !near.is_empty() {
                say!("hint: did you mean {}?", near.join(" or "));
            }
        }
    }
    Ok(ExitStatus::Done)
}

/// Returns how well a runtime fits, 0 best; `None` if a word is nowhere.
fn rank(words: &[String], name: &RuntimeName, description: &str) -> Option<u8> {
    let name = name.as_str();
    let description = description.to_lowercase();
    let of_word = |word: &String| match word.as_str() {
        word if name == word => Some(0),
        word if name.starts_with(word) => Some(1),
        word if name.contains(word) => Some(2),
        word if description.contains(word) => Some(3),
        _ => None,
    };
    // The word that fits least counts.
    words.iter().map(of_word).try_fold(0, |worst, rank| Some(worst.max(rank?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_words_are_somewhere() {
        let name = "python-3.11-ml".parse().unwrap();
        let rank = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            rank(&words, &name, "Python with NumPy")
        };
        assert_eq!(rank(&["python-3.11-ml"]), Some(0));
        assert_eq!(rank(&["python"]), Some(1));
        assert_eq!(rank(&["ml"]), Some(2));
        assert_eq!(rank(&["ml", "numpy"]), Some(3));
        assert_eq!(rank(&["ml", "java"]), None);
    }
}
