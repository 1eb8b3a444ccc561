//! The rules for the entries of a tree: a listing and its view in, findings out.

use std::collections::BTreeMap;

use rnx_spec::diagnostic::codes;

use super::closure::{self, Missing};
use super::driver;
use super::elf::ElfKind;
use super::listing::{FileFacts, Listing, Node, NodeKind};
use super::loader::Loader;
use super::view::{Found, MountView, Reason, WalkError, parts};
use super::{Finding, Options};

/// Machines whose files are data to every processor: kernel BPF programs and GPU code.
const DATA_MACHINES: [u16; 3] = [goblin::elf::header::EM_BPF, goblin::elf::header::EM_CUDA, 0];

/// Checks the entries, one by one.
pub fn entries(view: &MountView<'_>, path: &[String], options: &Options) -> Vec<Finding> {
    let listing = view.listing();
    let mut findings: Vec<Finding> = listing
        .not_utf8
        .iter()
        .map(|name| Finding::error(codes::FILE_NAME_NOT_UTF8, name, "its name is not UTF-8"))
        .collect();
    findings.extend(listing.unreadable.iter().map(|(path, why)| {
        Finding::error(codes::FILE_UNREADABLE, path, format!("cannot be read: {why}"))
    }));
    for (tree, node) in &listing.nodes {
        if driver::is_part(tree, &node.kind) {
            let message = "is a part of a GPU's driver, which must be the host's own";
            findings.push(Finding::error(codes::DRIVER_INSIDE, tree, message));
        }
        match &node.kind {
            NodeKind::Dir => {}
            NodeKind::Special(kind) => {
                findings.push(Finding::error(codes::SPECIAL_FILE, tree, format!("is a {kind}")));
            }
            NodeKind::Symlink { target } => {
                findings.extend(symlink(tree, target, view));
                findings.extend(forbidden_target(tree, target, options));
            }
            NodeKind::File(facts) => {
                findings.extend(mode(tree, node.mode));
                findings.extend(content(tree, facts, node, options));
                findings.extend(script(tree, (facts, node.mode), view, path));
            }
        }
    }
    findings
}

/// Checks that all programs and libraries of the tree load.
pub fn programs(loader: &Loader<'_>) -> Vec<Finding> {
    let objects = closure::objects(loader);
    let mut findings = missing(closure::survey(loader, &objects), loader.view.listing());
    let dynamic = objects.iter().filter(|object| object.elf.interpreter.is_some());
    let count = dynamic.clone().count();
    if count > 0 && !has_libc(loader) {
        let program = dynamic.map(|object| object.tree).next().unwrap_or_default();
        let message = format!(
            "the tree has no C library (libc.so.6), which {count} program{} such as `{program}` {}",
            if count == 1 { "" } else { "s" },
            if count == 1 { "needs" } else { "need" },
        );
        findings.insert(0, Finding::error(codes::LIBC_MISSING, "isolated", message));
    }
    findings
}

fn has_libc(loader: &Loader<'_>) -> bool {
    let view = loader.view;
    let runs = |facts: &FileFacts| matches!(&facts.elf, Some(Ok(elf)) if elf.runs_on(loader.arch));
    view.listing().nodes.iter().any(|(path, node)| {
        let name = path.rsplit('/').next().unwrap_or(path);
        (name == "libc.so.6" || name.starts_with("ld-musl-"))
            && view.guest_of(path).is_some_and(|guest| match &node.kind {
                NodeKind::File(facts) => runs(facts),
                _ => view.file(&guest).is_some_and(|(_, facts)| runs(facts)),
            })
    })
}

fn missing(missing: Missing, listing: &Listing) -> Vec<Finding> {
    let mut findings = Vec::new();
    for program in missing.interpreters {
        let message = format!("cannot be started: its interpreter is missing: {}", program.why);
        findings.push(Finding::error(codes::ELF_INTERPRETER_MISSING, &program.tree, message));
    }
    // A language's own loader finds its libraries: one finding for all that need the same one, the first of them named.
    let mut elsewhere: BTreeMap<(String, String), (String, usize)> = BTreeMap::new();
    for library in missing.libraries {
        let needed = &library.needed;
        let searched = library.searched.join(", ");
        if driver::supplies(&library, listing) {
            let message =
                format!("needs `{needed}`, which the driver of a host with a GPU supplies");
            findings.push(Finding::warning(codes::DRIVER_OF_HOST, &library.tree, message));
            continue;
        }
        let but = match library.elsewhere {
            Some(place) if !library.by_program => {
                let first = elsewhere.entry((needed.clone(), place));
                first.and_modify(|(_, others)| *others += 1).or_insert((library.tree, 0));
                continue;
            }
            Some(place) => format!("; `{place}` is out of reach"),
            None => String::new(),
        };
        let message = format!("needs `{needed}`, which is in none of {searched}{but}");
        findings.push(Finding::error(codes::LIBRARY_MISSING, &library.tree, message));
    }
    for ((needed, place), (tree, others)) in elsewhere {
        let too = if others > 0 { format!("; more that need it: {others}") } else { String::new() };
        let message =
            format!("needs `{needed}`, which is at `{place}`, where it is not searched for{too}");
        findings.push(Finding::warning(codes::LIBRARY_ELSEWHERE, &tree, message));
    }
    for need in missing.versions {
        let (library, version, at) = (&need.library, &need.version, &need.found_at);
        let message =
            format!("needs version {version} of `{library}`, which `{at}` does not define");
        findings.push(Finding::error(codes::SYMBOL_VERSION_MISSING, &need.tree, message));
    }
    findings
}

fn symlink(tree: &str, target: &str, view: &MountView<'_>) -> Option<Finding> {
    if !target.starts_with('/') && climbs_out(tree, target) {
        let message = format!("leads out of the tree: {target}");
        return Some(Finding::error(codes::SYMLINK_OUTSIDE, tree, message));
    }
    let guest = view.guest_of(tree)?;
    let error = view.walk(&guest).end.err()?;
    let (code, message) = match error.reason {
        Reason::Loop => (codes::SYMLINK_LOOP, "is a loop of symlinks".to_owned()),
        Reason::Missing | Reason::NotFolder => {
            let WalkError { at, .. } = &error;
            let but = if at == target { String::new() } else { format!(": there is no `{at}`") };
            (codes::SYMLINK_DANGLING, format!("is dangling: leads to {target}{but}"))
        }
    };
    Some(Finding::error(code, tree, message))
}

fn climbs_out(tree: &str, target: &str) -> bool {
    let mut depth = parts(tree).count().saturating_sub(1);
    for part in parts(target) {
        if part == ".." {
            let Some(less) = depth.checked_sub(1) else { return true };
            depth = less;
        } else {
            depth += 1;
        }
    }
    false
}

fn mode(tree: &str, mode: u32) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (bit, name) in [(0o4000, "setuid"), (0o2000, "setgid")] {
        if mode & bit != 0 {
            let message = format!("is {name} (mode {mode:04o})");
            findings.push(Finding::error(codes::SETUID, tree, message));
        }
    }
    if mode & 0o002 != 0 {
        let message = format!("can be written by everybody (mode {mode:04o})");
        findings.push(Finding::error(codes::WORLD_WRITABLE, tree, message));
    }
    findings
}

fn forbidden_target(tree: &str, target: &str, options: &Options) -> Option<Finding> {
    let text = options.forbidden.iter().find(|text| target.contains(*text))?;
    let message = format!("leads to the build host's path `{text}`");
    Some(Finding::error(codes::BUILD_HOST_PATH, tree, message))
}

fn content(tree: &str, facts: &FileFacts, node: &Node, options: &Options) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(why) = &facts.unreadable {
        findings.push(Finding::error(
            codes::FILE_UNREADABLE,
            tree,
            format!("cannot be read: {why}"),
        ));
    }
    for (index, offset) in &facts.forbidden {
        let text = options.forbidden.get(*index).map_or("", String::as_str);
        let message = format!("holds the build host's path `{text}`, at byte {offset}");
        findings.push(Finding::error(codes::BUILD_HOST_PATH, tree, message));
    }
    match &facts.elf {
        Some(Err(error)) => {
            let name = tree.rsplit('/').next().unwrap_or(tree);
            let message = format!("is a broken ELF file: {error}");
            let used = node.mode & 0o111 != 0 || name.contains(".so");
            let new = if used { Finding::error } else { Finding::warning };
            findings.push(new(codes::ELF_MALFORMED, tree, message));
        }
        Some(Ok(elf)) if !elf.runs_on(options.arch) && !DATA_MACHINES.contains(&elf.machine) => {
            let kind =
                if elf.kind == ElfKind::Loadable && !elf.is_64_little { "32-bit " } else { "" };
            let message = format!(
                "is {kind}code for {}, in a runtime for {}",
                elf.machine_name(),
                options.arch.machine()
            );
            findings.push(Finding::error(codes::ELF_FOREIGN, tree, message));
        }
        _ => {}
    }
    findings
}

fn script(
    tree: &str,
    (facts, mode): (&FileFacts, u32),
    view: &MountView<'_>,
    path: &[String],
) -> Option<Finding> {
    // Without the bit the kernel never reads the line; libraries and examples often carry one.
    let line = facts.shebang.as_deref().filter(|_| mode & 0o111 != 0)?;
    view.guest_of(tree)?;
    let mut words = line.split_whitespace();
    let finding =
        |message: String| Some(Finding::error(codes::SCRIPT_INTERPRETER_MISSING, tree, message));
    let Some(interpreter) = words.next() else {
        return finding("has an empty `#!` line".to_owned());
    };
    if !interpreter.starts_with('/') {
        return finding(format!("its interpreter `{interpreter}` is not an absolute path"));
    }
    match view.walk(interpreter).end {
        Err(error) => return finding(format!("its interpreter is missing: {error}")),
        Ok(place) if matches!(place.found, Found::File(_)) && place.mode & 0o111 != 0 => {}
        Ok(_) => return finding(format!("its interpreter `{interpreter}` is no program")),
    }
    if !interpreter.ends_with("/env") {
        return None;
    }
    let program = words.find(|word| !word.starts_with('-') && !word.contains('='))?;
    let on_path = path.iter().any(|dir| view.file(&format!("{dir}/{program}")).is_some());
    if on_path || view.file(program).is_some() {
        return None;
    }
    finding(format!(
        "its interpreter `{program}` is not on the runtime's PATH ({})",
        path.join(":")
    ))
}
