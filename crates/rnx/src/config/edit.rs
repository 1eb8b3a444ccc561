//! Changing the list of registries in a configuration file that a person wrote: line by line, so that comments and order
//! stay, and only if what is read afterwards is what was meant. Pure.

use super::{Auth, CommandLine, Document, RegistryConfig};

/// The line of a list without registries.
const EMPTY: &str = "registries: []";

/// A change that is not made, since this program does not find its way in the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    #[error("the file is written in a way that this program does not change")]
    Notation,
    #[error("there is a registry `{name}` already")]
    Taken { name: String },
    #[error("there is no registry `{name}`")]
    Unknown { name: String, known: Vec<String> },
}

/// Returns the list that a text has, as it is written.
pub fn listed(text: &str) -> Result<Option<Vec<RegistryConfig>>, EditError> {
    Ok(read(text)?.runtimes.and_then(|section| section.registries))
}

/// Returns the text with a registry added at the end of the list, or at its beginning. Where the text has no list, it
/// gets those of `effective` too, which a list of its own would otherwise hide.
pub fn add(
    text: &str,
    effective: &[RegistryConfig],
    new: &RegistryConfig,
    first: bool,
) -> Result<String, EditError> {
    if effective.iter().any(|known| known.name == new.name) {
        return Err(EditError::Taken { name: new.name.clone() });
    }
    let mut wanted = effective.to_vec();
    wanted.insert(if first { 0 } else { wanted.len() }, new.clone());
    let edited = match list(text)? {
        Some(list) if list.items.is_empty() => {
            let item = format!("{}  {}", list.indent, line(new));
            with_line(text, list.key, &format!("{}registries:\n{item}", list.indent))
        }
        Some(list) => {
            let at = match (first, list.items.first(), list.items.last()) {
                (true, Some(item), _) => item.start,
                (false, _, Some(item)) => item.end,
                _ => return Err(EditError::Notation),
            };
            insert(text, at, &format!("{}{}\n", list.indent, line(new)))
        }
        None => with_list(text, &wanted)?,
    };
    checked(text, edited, &wanted)
}

/// Returns the text without a registry.
pub fn remove(text: &str, effective: &[RegistryConfig], name: &str) -> Result<String, EditError> {
    let wanted: Vec<_> = effective.iter().filter(|known| known.name != name).cloned().collect();
    if wanted.len() == effective.len() {
        let known = effective.iter().map(|known| known.name.clone()).collect();
        return Err(EditError::Unknown { name: name.to_owned(), known });
    }
    let edited = match list(text)? {
        Some(list) => {
            let at = effective.iter().position(|known| known.name == name);
            let item = at.and_then(|at| list.items.get(at)).ok_or(EditError::Notation)?;
            let kept: String = text
                .lines()
                .enumerate()
                .filter(|(number, _)| !item.contains(number))
                .map(|(_, line)| format!("{line}\n"))
                .collect();
            if list.items.len() > 1 {
                kept
            } else {
                let key = text.lines().nth(list.key).ok_or(EditError::Notation)?;
                let indent = &key[..key.len() - key.trim_start().len()];
                with_line(&kept, list.key, &format!("{indent}{EMPTY}"))
            }
        }
        None => with_list(text, &wanted)?,
    };
    checked(text, edited, &wanted)
}

/// A list of registries in a text: the lines of its items, the end not included, and what stands before their dash.
struct List {
    /// The line of `registries:`.
    key: usize,
    items: Vec<std::ops::Range<usize>>,
    indent: String,
}

/// Finds the block `runtimes:` → `registries:` → `- …`; `None` if there is no list.
fn list(text: &str) -> Result<Option<List>, EditError> {
    let document: Document = read(text)?;
    let Some(registries) = document.runtimes.and_then(|section| section.registries) else {
        return Ok(None);
    };
    let lines: Vec<&str> = text.lines().collect();
    let runtimes = position(&lines, 0, "runtimes:").ok_or(EditError::Notation)?;
    if registries.is_empty() {
        let is_empty = |line: &&str| line.trim() == EMPTY;
        let key = lines.iter().position(is_empty).ok_or(EditError::Notation)?;
        let indent = lines[key].replace(EMPTY, "").trim_end_matches('\n').to_owned();
        return Ok(Some(List { key, items: Vec::new(), indent }));
    }
    let key = position(&lines, runtimes + 1, "registries:").ok_or(EditError::Notation)?;
    let mut items: Vec<std::ops::Range<usize>> = Vec::new();
    let mut dash = None;
    for (number, line) in lines.iter().enumerate().skip(key + 1) {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let dash = *dash.get_or_insert(indent);
        if indent == dash && content.starts_with("- ") {
            items.push(number..number + 1);
        } else if indent > dash {
            items.last_mut().ok_or(EditError::Notation)?.end = number + 1;
        } else {
            break;
        }
    }
    if items.len() != registries.len() {
        return Err(EditError::Notation);
    }
    let indent = match (items.first(), dash) {
        (Some(first), Some(dash)) => lines[first.start][..dash].to_owned(),
        _ => return Err(EditError::Notation),
    };
    Ok(Some(List { key, items, indent }))
}

/// Returns the line that begins with a key, whatever stands before it.
fn position(lines: &[&str], from: usize, key: &str) -> Option<usize> {
    let is_key = |line: &&str| {
        let rest = line.trim_start().strip_prefix(key);
        rest.is_some_and(|rest| rest.trim().is_empty() || rest.trim_start().starts_with('#'))
    };
    lines.iter().enumerate().skip(from).find(|(_, line)| is_key(line)).map(|(number, _)| number)
}

/// Adds a list to a text that has none.
fn with_list(text: &str, registries: &[RegistryConfig]) -> Result<String, EditError> {
    let document: Document = read(text)?;
    let lines: Vec<&str> = text.lines().collect();
    let list = |indent: &str| {
        if registries.is_empty() {
            return format!("{indent}registries: []\n");
        }
        let items = registries.iter().map(|registry| format!("{indent}  {}\n", line(registry)));
        format!("{indent}registries:\n{}", items.collect::<String>())
    };
    if document.runtimes.is_none() && position(&lines, 0, "runtimes:").is_none() {
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        return Ok(format!("{text}{end}runtimes:\n{}", list("  ")));
    }
    let at = position(&lines, 0, "runtimes:").ok_or(EditError::Notation)?;
    let next = lines.iter().skip(at + 1).find(|line| {
        let content = line.trim_start();
        !content.is_empty() && !content.starts_with('#')
    });
    let indent = next.map(|line| &line[..line.len() - line.trim_start().len()]);
    let indent = indent.filter(|indent| !indent.is_empty()).unwrap_or("  ");
    Ok(insert(text, at + 1, &list(indent)))
}

/// Replaces a line.
fn with_line(text: &str, at: usize, new: &str) -> String {
    let lines = text.lines().enumerate();
    lines.map(|(number, line)| format!("{}\n", if number == at { new } else { line })).collect()
}

fn insert(text: &str, at: usize, new: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(|line| format!("{line}\n")).collect();
    lines.insert(at.min(lines.len()), new.to_owned());
    lines.concat()
}

/// Returns the edited text if it says what was meant, and nothing else than before.
fn checked(before: &str, edited: String, wanted: &[RegistryConfig]) -> Result<String, EditError> {
    let without = |text: &str| -> Result<_, EditError> {
        let mut value: serde_json::Value = if text.trim().is_empty() {
            serde_json::json!({})
        } else {
            serde_saphyr::from_str(text).map_err(|_unreadable| EditError::Notation)?
        };
        if let Some(runtimes) = value.get_mut("runtimes").and_then(|value| value.as_object_mut()) {
            runtimes.remove("registries");
        }
        // A section that has nothing else is as good as none.
        if value.get("runtimes").is_some_and(|runtimes| {
            runtimes.is_null() || runtimes.as_object().is_some_and(serde_json::Map::is_empty)
        }) {
            value.as_object_mut().map(|value| value.remove("runtimes"));
        }
        Ok(value)
    };
    let now: Document = read(&edited)?;
    let registries = now.runtimes.and_then(|section| section.registries);
    if registries.as_deref() == Some(wanted) && without(before)? == without(&edited)? {
        Ok(edited)
    } else {
        Err(EditError::Notation)
    }
}

fn read(text: &str) -> Result<Document, EditError> {
    if text.trim().is_empty() {
        return Ok(Document::default());
    }
    serde_saphyr::from_str(text).map_err(|_unreadable| EditError::Notation)
}

/// Returns a registry as one item of a list.
pub fn line(registry: &RegistryConfig) -> String {
    let mut fields = vec![
        format!("name: {}", quoted(&registry.name)),
        format!("url: {}", quoted(&registry.url)),
    ];
    if !registry.enabled {
        fields.push("enabled: false".to_owned());
    }
    fields.extend(registry.auth.as_ref().map(|auth| format!("auth: {{{}}}", auth_fields(auth))));
    format!("- {{{}}}", fields.join(", "))
}

fn auth_fields(auth: &Auth) -> String {
    let list = |words: &[String]| {
        let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        format!("[{}]", words.join(", "))
    };
    let mut fields = Vec::new();
    fields.extend(auth.token_env.as_ref().map(|name| format!("token_env: {}", quoted(name))));
    fields.extend(
        auth.token_file
            .as_ref()
            .map(|path| format!("token_file: {}", quoted(&path.to_string_lossy()))),
    );
    fields.extend(auth.command.as_ref().map(|command| match command {
        CommandLine::Words(words) => format!("command: {}", list(words)),
        CommandLine::Shell(line) => format!("command: {}", quoted(line)),
    }));
    if !auth.hosts.is_empty() {
        fields.push(format!("hosts: {}", list(&auth.hosts)));
    }
    fields.join(", ")
}

/// Returns a text as a YAML scalar: plain where it is plainly a word, else in double quotes as JSON writes them.
fn quoted(text: &str) -> String {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '~');
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:~@".contains(c);
    let word = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "~"];
    let is_word = word.contains(&text.to_ascii_lowercase().as_str());
    if starts && !is_word && !text.ends_with(':') && text.chars().all(plain) {
        text.to_owned()
    } else {
        serde_json::Value::from(text).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::official;

    fn company() -> RegistryConfig {
        RegistryConfig {
            name: "company".to_owned(),
            url: "https://github.com/mycompany/joblet-runtimes".to_owned(),
            enabled: true,
            auth: Some(Auth { token_env: Some("T".to_owned()), ..Auth::default() }),
        }
    }

    fn registries(text: &str) -> Vec<RegistryConfig> {
        read(text).unwrap().runtimes.and_then(|s| s.registries).unwrap_or_else(|| vec![official()])
    }

    #[test]
    fn a_list_grows_and_shrinks_and_the_rest_stays() {
        for (before, after) in [
            (
                "",
                "runtimes:\n  registries:\n    - {name: official, url: https://github.com/ehsaniara/joblet-runtimes}\n    NEW",
            ),
            (
                "# mine\nserver: {port: 1}",
                "# mine\nserver: {port: 1}\nruntimes:\n  registries:\n    - {name: official, url: https://github.com/ehsaniara/joblet-runtimes}\n    NEW",
            ),
            (
                "runtimes:\n    base_dir: /x # here\nother: 1\n",
                "runtimes:\n    registries:\n      - {name: official, url: https://github.com/ehsaniara/joblet-runtimes}\n      NEW    base_dir: /x # here\nother: 1\n",
            ),
            (
                "runtimes:\n  registries:\n  # the first\n  - name: a\n    url: /a # a folder\n\n  # after\n  aliases: {p: q}\n",
                "runtimes:\n  registries:\n  # the first\n  - name: a\n    url: /a # a folder\n  NEW\n  # after\n  aliases: {p: q}\n",
            ),
        ] {
            let new = format!("{}\n", line(&company()));
            let edited = add(before, &registries(before), &company(), false).unwrap();
            assert_eq!(edited, after.replace("NEW", &new));
            let removed = remove(&edited, &registries(&edited), "company").unwrap();
            assert_eq!(registries(&removed), registries(before));
            let front = add(before, &registries(before), &company(), true).unwrap();
            assert_eq!(registries(&front)[0], company());
            assert_eq!(
                add(&edited, &registries(&edited), &company(), false),
                Err(EditError::Taken { name: "company".to_owned() })
            );
        }
        let last = remove(
            "runtimes:\n  registries:\n    - {name: a, url: /a}\n",
            &registries("runtimes: {registries: [{name: a, url: /a}]}"),
            "a",
        )
        .unwrap();
        assert_eq!(last, "runtimes:\n  registries: []\n");
        let again = add(&last, &[], &company(), false).unwrap();
        assert_eq!(again, format!("runtimes:\n  registries:\n    {}\n", line(&company())));
    }

    #[test]
    fn what_cannot_be_changed_line_by_line_is_left_alone() {
        for text in [
            "runtimes: {registries: [{name: a, url: /a}]}\n",
            "runtimes:\n  registries: [{name: a, url: /a}]\n",
            "runtimes:\n  registries: &r\n  - {name: a, url: /a}\n",
        ] {
            let edited = add(text, &registries(text), &company(), false);
            assert_eq!(edited, Err(EditError::Notation), "{text}");
        }
    }

    #[test]
    fn odd_texts_are_quoted() {
        let odd = RegistryConfig {
            name: "no".to_owned(),
            url: "/a b/{c}: #d".to_owned(),
            enabled: false,
            auth: Some(Auth {
                command: Some(CommandLine::Words(vec!["x".to_owned(), "1.0".to_owned()])),
                hosts: vec!["https://h:1".to_owned()],
                ..Auth::default()
            }),
        };
        let edited = add("", &[], &odd, false).unwrap();
        assert_eq!(registries(&edited), [odd]);
    }
}
