//! The relative links of Markdown pages: each leads to a file of the repository, and to a heading that is there.

use std::collections::{BTreeMap, BTreeSet};

use super::Untidy;

/// Checks the links of all `pages` (text by path); `paths` are all files of the repository.
pub fn check(pages: &BTreeMap<String, String>, paths: &BTreeSet<String>) -> Vec<Untidy> {
    let mut untidy = Vec::new();
    for (path, text) in pages {
        for (line, target) in links(text) {
            if let Some(why) = broken(path, target, pages, paths) {
                let message = format!("the link `{target}` leads nowhere: {why}");
                untidy.push(Untidy { path: path.clone(), line: Some(line), message });
            }
        }
    }
    untidy
}

fn broken(
    from: &str,
    target: &str,
    pages: &BTreeMap<String, String>,
    paths: &BTreeSet<String>,
) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) =
        target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let Some(path) = resolve(from, file) else {
        return Some("it leaves the repository".to_owned());
    };
    let below = format!("{path}/");
    if !path.is_empty() && !paths.contains(&path) && !paths.iter().any(|p| p.starts_with(&below)) {
        return Some(format!("there is no `{path}`"));
    }
    let (anchor, page) = (anchor?, pages.get(&path)?);
    (!anchors(page).contains(anchor)).then(|| format!("`{path}` has no such heading"))
}

/// Returns a link's path from the top of the repository.
fn resolve(from: &str, file: &str) -> Option<String> {
    if file.is_empty() {
        return Some(from.to_owned());
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in file.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Returns each link's line and target; code holds none.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        for (index, part) in line.split('`').enumerate() {
            // In odd parts a code span stands; a link's text may be one, so its end counts.
            if index % 2 == 1 {
                continue;
            }
            let mut rest = part;
            while let Some((_, after)) = rest.split_once("](") {
                let Some((target, after)) = after.split_once(')') else { break };
                found.push((number, target.split(' ').next().unwrap_or_default()));
                rest = after;
            }
        }
    }
    found
}

/// Returns the names that headings have as anchors.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for (_, line) in prose(text) {
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let name: String =
            kept.map(|c| if c == ' ' { '-' } else { c }).flat_map(char::to_lowercase).collect();
        let again = (1..).map(|count| format!("{name}-{count}"));
        let mut names = std::iter::once(name.clone()).chain(again);
        anchors.extend(names.find(|name| !anchors.contains(name)));
    }
    anchors
}

/// Returns the numbered lines outside of fenced code.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut code = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_lead_nowhere_are_found() {
        let page = "# A `b`, c\n\n[ok](../README.md#title) [`x`](x.md) [self](#a-b-c) [dir](.) [again](#a-1)\n\
                    [web](https://example.org/#x) `[code](none)` \n\n```sh\n[code](none)\n```\n\n## A\n### A\n\
                    [1](none.md) and [2](../README.md#none)\n[3](../../x) [4](#a-2)\n";
        let pages = BTreeMap::from(
            [("docs/a.md", page), ("docs/x.md", ""), ("README.md", "# Title\n")]
                .map(|(path, text)| (path.to_owned(), text.to_owned())),
        );
        let paths = pages.keys().cloned().collect();
        let shown = |found: &Untidy| format!("{}: {}", found.line.unwrap(), found.message);
        let found: Vec<_> = check(&pages, &paths).iter().map(shown).collect();
        assert_eq!(
            found,
            [
                "12: the link `none.md` leads nowhere: there is no `docs/none.md`",
                "12: the link `../README.md#none` leads nowhere: `README.md` has no such heading",
                "13: the link `../../x` leads nowhere: it leaves the repository",
                "13: the link `#a-2` leads nowhere: `docs/a.md` has no such heading",
            ]
        );
    }
}
