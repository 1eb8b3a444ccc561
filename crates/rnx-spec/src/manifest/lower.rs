//! Nodes → [`Manifest`]: every key is read, and every fault reported.

use std::collections::BTreeMap;

use super::report::{Report, replace};
use super::syntax::{Key, Node, Plain, Value};
use super::{BaseChoice, BuildNetwork, Limits, Manifest, entries, read, rules};
use crate::diagnostic::codes;
use crate::name::ParseNameError;
use crate::version::ParseVersionError;
use crate::{Distro, Platform, RuntimeName, SourceUrl, Version};

/// The keys that mean something; all others are the author's own.
pub(super) const KEYS: [&str; 15] = [
    "name",
    "version",
    "description",
    "platforms",
    "packages",
    "license",
    "homepage",
    "base",
    "reuse",
    "sources",
    "environment",
    "tests",
    "limits",
    "network",
    "parity",
];
const REQUIRED: [&str; 4] = ["name", "version", "description", "platforms"];

/// Reads the root of a manifest. `None` if an error was reported.
pub(super) fn lower(root: &Node, report: &mut Report<'_>) -> Option<Manifest> {
    let map = match &root.value {
        Value::Map(map) => map,
        Value::Plain(Plain::Null, _) => {
            report.file_error(codes::MANIFEST_EMPTY, "the manifest is empty");
            return None;
        }
        _ => {
            read::wrong_type(report, root, "a manifest", "a map of keys");
            return None;
        }
    };
    let mut draft = Draft::default();
    let mut seen: Vec<&str> = Vec::new();
    for (key, node) in map {
        if KEYS.contains(&key.text.as_str()) {
            seen.push(&key.text);
            draft.read(report, key, node);
        } else if read::misspelt_key(report, key, &KEYS, map) {
            // The key that is meant is not missing besides.
            seen.extend(rules::near(&key.text, &KEYS));
        } else {
            custom(report, key, node);
        }
    }
    for key in REQUIRED {
        if !seen.contains(&key) {
            report.file_error(codes::MISSING_KEY, format!("the manifest has no `{key}`")).help =
                Some(format!("add a line `{key}: …`"));
        }
    }
    draft.check_reuse(report);
    if report.has_errors() { None } else { draft.finish() }
}

/// A manifest of which not everything is read yet.
#[derive(Default)]
struct Draft {
    name: Option<RuntimeName>,
    version: Option<Version>,
    description: Option<String>,
    platforms: Vec<Platform>,
    packages: Vec<String>,
    license: Option<String>,
    homepage: Option<String>,
    base: Option<BaseChoice>,
    reuse: BTreeMap<Distro, Distro>,
    reuse_keys: BTreeMap<Distro, Key>,
    sources: Vec<super::Source>,
    environment: BTreeMap<String, String>,
    tests: Vec<super::RuntimeTest>,
    limits: Option<Limits>,
    network: Option<BuildNetwork>,
    parity: BTreeMap<String, String>,
}

impl Draft {
    fn read(&mut self, report: &mut Report<'_>, key: &Key, node: &Node) {
        match key.text.as_str() {
            "name" => self.name = name(report, node),
            "version" => self.version = version(report, node),
            "description" => self.description = description(report, node),
            "platforms" => self.platforms = platforms(report, node, "`platforms`"),
            "packages" => self.packages = read::texts(report, node, "`packages`"),
            "license" => self.license = license(report, node),
            "homepage" => self.homepage = homepage(report, node),
            "base" => self.base = base(report, node),
            "reuse" => self.read_reuse(report, node),
            "sources" => self.sources = entries::sources(report, node),
            "environment" => self.environment = entries::environment(report, node),
            "tests" => self.tests = entries::tests(report, node),
            "limits" => self.limits = Some(entries::limits(report, node)),
            "network" => self.network = network(report, node),
            "parity" => self.parity = entries::parity(report, node),
            _ => {}
        }
    }

    fn read_reuse(&mut self, report: &mut Report<'_>, node: &Node) {
        for (key, node) in read::map(report, node, "`reuse`").unwrap_or_default() {
            let from = distro(report, &key.text, &key.span);
            let to = read::text(report, node, "a distro in `reuse`")
                .and_then(|to| distro(report, &to, &node.span));
            if let (Some(from), Some(to)) = (from, to) {
                self.reuse.insert(from, to);
                self.reuse_keys.insert(from, key.clone());
            }
        }
    }

    fn check_reuse(&self, report: &mut Report<'_>) {
        for (from, to) in &self.reuse {
            let Some(key) = self.reuse_keys.get(from) else { continue };
            let (from_name, to_name) = (from.as_str(), to.as_str());
            if from == to || self.reuse.contains_key(to) {
                let message =
                    format!("`{to_name}` cannot serve `{from_name}`: it has no build of its own");
                report.error(codes::REUSE_INVALID, &key.span, message).help =
                    Some("name a distro that is not itself a key of `reuse`".to_owned());
                continue;
            }
            for platform in self.platforms.iter().filter(|p| p.distro == *from) {
                let served_by = Platform { distro: *to, arch: platform.arch };
                if !self.platforms.contains(&served_by) {
                    let message = format!(
                        "`{platform}` is to be served by `{served_by}`, which `platforms` does not list"
                    );
                    report.error(codes::REUSE_INVALID, &key.span, message).help =
                        Some(format!("add `{served_by}` to `platforms`"));
                }
            }
        }
    }

    fn finish(self) -> Option<Manifest> {
        Some(Manifest {
            name: self.name?,
            version: self.version?,
            description: self.description?,
            platforms: self.platforms,
            packages: self.packages,
            license: self.license,
            homepage: self.homepage,
            base: self.base.unwrap_or(BaseChoice::Default),
            reuse: self.reuse,
            sources: self.sources,
            environment: self.environment,
            tests: self.tests,
            limits: self.limits.unwrap_or(entries::NO_LIMITS),
            network: self.network.unwrap_or(BuildNetwork::Host),
            parity: self.parity,
        })
    }
}

fn name(report: &mut Report<'_>, node: &Node) -> Option<RuntimeName> {
    let text = read::text(report, node, "`name`")?;
    match text.parse() {
        Ok(name) => Some(name),
        Err(error) => {
            let code = match error {
                ParseNameError::EndsInVersion { .. } => codes::NAME_ENDS_IN_VERSION,
                _ => codes::NAME_INVALID,
            };
            let lower = text.to_lowercase().replace(['_', ' '], "-");
            let finding = report.error(code, &node.span, error.to_string());
            if lower.parse::<RuntimeName>().is_ok() {
                finding.help = Some(format!("for example `{lower}`, with the folder of that name"));
            }
            None
        }
    }
}

fn version(report: &mut Report<'_>, node: &Node) -> Option<Version> {
    let text = match &node.value {
        // Two numbers are no version, quoted or not: that is the fault to tell.
        Value::Plain(Plain::Number, text) => text.clone(),
        _ => read::text(report, node, "`version`")?,
    };
    let error = match text.parse::<Version>() {
        Ok(version) => return Some(version),
        Err(error) => error,
    };
    let code = match &error {
        ParseVersionError::LeadingZero { .. } => codes::VERSION_LEADING_ZERO,
        ParseVersionError::Suffix { .. } => codes::VERSION_SUFFIX,
        ParseVersionError::Shape { .. } | ParseVersionError::TooLarge { .. } => {
            codes::VERSION_INVALID
        }
    };
    let meant = plain_version(&text);
    let finding = report.error(code, &node.span, error.to_string());
    if let Some(meant) = meant {
        finding.help = Some(format!("write `{meant}`"));
        finding.fix = Some(replace(&node.span, meant));
    }
    None
}

/// Returns the version that `v1.2.3` or `1.02.3` can only mean.
fn plain_version(text: &str) -> Option<String> {
    let digits = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let trim = |part: &str| match part.trim_start_matches('0') {
        "" => part.get(..1).unwrap_or_default().to_owned(),
        digits => digits.to_owned(),
    };
    let parts: Vec<String> = digits.split('.').map(trim).collect();
    parts.join(".").parse::<Version>().ok().map(|version| version.to_string())
}

fn description(report: &mut Report<'_>, node: &Node) -> Option<String> {
    let text = read::text(report, node, "`description`")?;
    let text = text.trim_end_matches('\n');
    let chars = text.chars().count();
    if text.trim().is_empty() {
        report.error(codes::DESCRIPTION_EMPTY, &node.span, "the description is empty");
    } else if text.chars().any(char::is_control) {
        let message = "the description has more than one line, or a control character";
        report.error(codes::DESCRIPTION_SEVERAL_LINES, &node.span, message);
    } else if chars > rules::DESCRIPTION_CHARS_MAX {
        let most = rules::DESCRIPTION_CHARS_MAX;
        let message = format!("the description has {chars} characters; at most {most} are allowed");
        report.error(codes::DESCRIPTION_TOO_LONG, &node.span, message);
    } else {
        return Some(text.to_owned());
    }
    None
}

/// Reads a list of platforms: known ones, each once, at least one.
pub(super) fn platforms(report: &mut Report<'_>, node: &Node, what: &str) -> Vec<Platform> {
    let Some(items) = read::list(report, node, what) else { return Vec::new() };
    if items.is_empty() {
        let finding = report.error(codes::PLATFORMS_EMPTY, &node.span, format!("{what} is empty"));
        finding.help = Some(format!("the platforms are {}", Platform::list()));
    }
    let mut platforms = Vec::new();
    for item in items {
        let Some(text) = read::text(report, item, "a platform") else { continue };
        match text.parse::<Platform>() {
            Ok(platform) if platforms.contains(&platform) => {
                let message = format!("`{platform}` is listed twice");
                report.error(codes::PLATFORM_TWICE, &item.span, message);
            }
            Ok(platform) => platforms.push(platform),
            Err(error) => {
                let names = Platform::ALL.map(|platform| platform.to_string());
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let meant = rules::platform_by_other_name(&text)
                    .or_else(|| rules::near(&text, &names).map(str::to_owned));
                let finding = report.error(codes::PLATFORM_UNKNOWN, &item.span, error.to_string());
                if let Some(meant) = meant {
                    finding.help = Some(format!("did you mean `{meant}`?"));
                    finding.fix = Some(replace(&item.span, meant));
                }
            }
        }
    }
    platforms
}

fn license(report: &mut Report<'_>, node: &Node) -> Option<String> {
    let text = read::text(report, node, "`license`")?;
    if rules::is_spdx(&text) {
        return Some(text);
    }
    let message = format!("`{text}` is no SPDX licence expression");
    report.error(codes::LICENSE_INVALID, &node.span, message).help =
        Some("for example `MIT`, or `Apache-2.0 OR MIT`".to_owned());
    None
}

fn homepage(report: &mut Report<'_>, node: &Node) -> Option<String> {
    let text = read::text(report, node, "`homepage`")?;
    if text.parse::<SourceUrl>().is_ok_and(|url| url.file_path().is_none()) {
        return Some(text);
    }
    let message = format!("`{text}` is no `https://` or `http://` URL");
    report.error(codes::HOMEPAGE_INVALID, &node.span, message);
    None
}

fn base(report: &mut Report<'_>, node: &Node) -> Option<BaseChoice> {
    let Value::Map(map) = &node.value else {
        let name = read::text(report, node, "`base`")?;
        return base_name(report, name, node).map(BaseChoice::Named);
    };
    let mut names = BTreeMap::new();
    for (key, node) in map {
        let distro = distro(report, &key.text, &key.span);
        let name =
            read::text(report, node, "a base").and_then(|name| base_name(report, name, node));
        names.extend(distro.zip(name));
    }
    Some(BaseChoice::PerDistro(names))
}

fn base_name(report: &mut Report<'_>, name: String, node: &Node) -> Option<String> {
    let good = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b));
    if good {
        return Some(name);
    }
    let message = format!("`{name}` cannot name a base: letters, digits, `.`, `-` and `_` only");
    report.error(codes::BASE_INVALID, &node.span, message);
    None
}

fn distro(report: &mut Report<'_>, text: &str, span: &std::ops::Range<usize>) -> Option<Distro> {
    let found = Distro::ALL.into_iter().find(|distro| distro.as_str() == text);
    if found.is_none() {
        let names = Distro::ALL.map(Distro::as_str);
        let meant = rules::near(text, &names);
        let known = names.map(|name| format!("`{name}`")).join(", ");
        let message = format!("unknown distro `{text}`; the distros are {known}");
        let finding = report.error(codes::REUSE_INVALID, span, message);
        if let Some(meant) = meant {
            finding.help = Some(format!("did you mean `{meant}`?"));
            finding.fix = Some(replace(span, meant));
        }
    }
    found
}

fn network(report: &mut Report<'_>, node: &Node) -> Option<BuildNetwork> {
    match read::text(report, node, "`network`")?.as_str() {
        "host" => Some(BuildNetwork::Host),
        "none" => Some(BuildNetwork::None),
        other => {
            let message = format!("`network` is `host` or `none`, not `{other}`");
            report.error(codes::NETWORK_INVALID, &node.span, message);
            None
        }
    }
}

/// Checks a key of the author's own: a version among them must survive being read.
fn custom(report: &mut Report<'_>, key: &Key, node: &Node) {
    let Value::Plain(Plain::Number, text) = &node.value else { return };
    let is_version = key.text == "version" || key.text.ends_with("_version");
    if let Some(lost) = rules::lost_as_number(text).filter(|_| is_version) {
        let message = format!("`{text}` is read as a number, and becomes `{lost}`");
        let finding = report.error(codes::UNQUOTED_TEXT, &node.span, message);
        finding.help = Some(format!("quote it: `\"{text}\"`"));
        finding.fix = Some(replace(&node.span, format!("\"{text}\"")));
    }
}
