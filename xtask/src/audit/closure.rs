//! Loads every ELF file of a tree in thought, and tells which libraries and versions are missing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::elf::{ElfInfo, ElfKind};
use super::listing::{FileFacts, NodeKind};
use super::loader::{Loader, Requester};
use super::view::Place;

/// An ELF file of the tree that the loader may be given.
#[derive(Debug, Clone, Copy)]
pub struct Object<'a> {
    pub tree: &'a str,
    pub elf: &'a ElfInfo,
}

/// What is missing for the ELF files of a tree to load.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missing {
    pub interpreters: Vec<MissingInterpreter>,
    pub libraries: Vec<MissingLibrary>,
    pub versions: Vec<MissingVersion>,
}

/// A program whose interpreter is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingInterpreter {
    /// The program's path in the tree.
    pub tree: String,
    pub interpreter: String,
    pub why: String,
}

/// A library that is not found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingLibrary {
    /// The path in the tree of the file that needs it.
    pub tree: String,
    pub guest: String,
    pub needed: String,
    pub searched: Vec<String>,
    /// What else in the tree has the name, at a place that is not searched.
    pub elsewhere: Option<String>,
    /// Whether a program needs it, directly or not; not just a library that something may open.
    pub by_program: bool,
}

/// A library that lacks a symbol version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MissingVersion {
    pub tree: String,
    pub library: String,
    pub found_at: String,
    pub version: String,
}

struct Survey<'a> {
    loader: &'a Loader<'a>,
    /// The linkers that programs name, by file name: they are loaded before any library.
    linkers: BTreeMap<String, Place<'a>>,
    by_name: BTreeMap<&'a str, &'a str>,
    loaded: BTreeSet<String>,
    resolved: BTreeSet<(String, String)>,
    missing: BTreeMap<(String, String), MissingLibrary>,
    versions: BTreeSet<MissingVersion>,
}

/// Finds what is missing for all `objects` to load.
pub fn survey(loader: &Loader<'_>, objects: &[Object<'_>]) -> Missing {
    let mut interpreters = Vec::new();
    let mut linkers = BTreeMap::new();
    for object in objects {
        let Some(interpreter) = &object.elf.interpreter else { continue };
        match loader.view.walk(interpreter).end {
            Ok(place) if matches!(place.found, super::view::Found::File(_)) => {
                let name = interpreter.rsplit('/').next().unwrap_or(interpreter);
                linkers.insert(name.to_owned(), place);
            }
            end => {
                let why = end.map_or_else(
                    |error| error.to_string(),
                    |place| format!("`{}` is not a file", place.guest),
                );
                let (tree, interpreter) = (object.tree.to_owned(), interpreter.clone());
                interpreters.push(MissingInterpreter { tree, interpreter, why });
            }
        }
    }
    let mut survey = Survey {
        loader,
        linkers,
        by_name: by_name(objects),
        loaded: BTreeSet::new(),
        resolved: BTreeSet::new(),
        missing: BTreeMap::new(),
        versions: BTreeSet::new(),
    };
    for object in objects.iter().filter(|object| object.elf.interpreter.is_some()) {
        survey.load(object, true);
    }
    for object in objects.iter().filter(|object| object.elf.interpreter.is_none()) {
        // What a program loads has been judged in that program.
        if !survey.loaded.contains(object.tree) {
            survey.load(object, false);
        }
    }
    let Survey { resolved, missing, versions, .. } = survey;
    let libraries = missing
        .into_iter()
        .filter(|(key, missing)| missing.by_program || !resolved.contains(key))
        .map(|(_, missing)| missing)
        .collect();
    Missing { interpreters, libraries, versions: versions.into_iter().collect() }
}

/// Returns the ELF files of the listing that a job sees and that its architecture can load.
pub fn objects<'a>(loader: &Loader<'a>) -> Vec<Object<'a>> {
    loader
        .view
        .listing()
        .nodes
        .iter()
        .filter_map(|(tree, node)| match &node.kind {
            NodeKind::File(facts) => {
                let elf = facts.elf.as_ref()?.as_ref().ok()?;
                let loads = elf.kind == ElfKind::Loadable && elf.runs_on(loader.arch);
                loader.view.guest_of(tree).filter(|_| loads).map(|_| Object { tree, elf })
            }
            _ => None,
        })
        .collect()
}

fn by_name<'a>(objects: &[Object<'a>]) -> BTreeMap<&'a str, &'a str> {
    let mut names = BTreeMap::new();
    for object in objects {
        let file = object.tree.rsplit('/').next().unwrap_or(object.tree);
        for name in std::iter::once(file).chain(object.elf.soname.as_deref()) {
            names.entry(name).or_insert(object.tree);
        }
    }
    names
}

impl<'a> Survey<'a> {
    /// Follows what `root` needs, breadth first as the linker does.
    fn load(&mut self, root: &Object<'_>, by_program: bool) {
        let Some(guest) = self.loader.view.guest_of(root.tree) else { return };
        let mut names: BTreeMap<String, Place<'a>> = BTreeMap::new();
        let mut queued = BTreeSet::from([root.tree.to_owned()]);
        let mut queue =
            VecDeque::from([(guest, root.tree.to_owned(), root.elf, Vec::<String>::new())]);
        while let Some((guest, tree, elf, inherited)) = queue.pop_front() {
            self.loaded.insert(tree.clone());
            let by = Requester { guest: &guest, elf, inherited: &inherited };
            let mut passed_on = self.loader.rpath(elf, &guest);
            passed_on.extend_from_slice(&inherited);
            for needed in &elf.needed {
                let place = names.get(needed).or_else(|| self.linkers.get(needed)).cloned();
                let found = place
                    .or_else(|| self.loader.find(needed, by).map(|(place, _)| place))
                    .and_then(|place| Some((library(&place)?, place)));
                let key = (tree.clone(), needed.clone());
                let Some((library, place)) = found else {
                    self.miss(key, by, by_program);
                    continue;
                };
                self.resolved.insert(key);
                self.compare_versions((&tree, elf), needed, (&place, library));
                let library_tree = place.tree.clone().unwrap_or_default();
                for name in std::iter::once(needed).chain(&library.soname) {
                    names.entry(name.clone()).or_insert_with(|| place.clone());
                }
                if queued.insert(library_tree.clone()) {
                    queue.push_back((place.guest, library_tree, library, passed_on.clone()));
                }
            }
        }
    }

    fn miss(&mut self, (tree, needed): (String, String), by: Requester<'_>, by_program: bool) {
        let elsewhere = self.by_name.get(needed.as_str()).map(|tree| (*tree).to_owned());
        let searched = self.loader.searched(by);
        let key = (tree.clone(), needed.clone());
        let guest = by.guest.to_owned();
        let missing = MissingLibrary { tree, guest, needed, searched, elsewhere, by_program };
        self.missing.entry(key).or_insert(missing).by_program |= by_program;
    }

    fn compare_versions(
        &mut self,
        (tree, elf): (&str, &ElfInfo),
        needed: &str,
        (place, library): (&Place<'_>, &ElfInfo),
    ) {
        // The linker only warns of a library without any versions.
        if library.version_defines.is_empty() {
            return;
        }
        for need in elf.version_needs.iter().filter(|need| need.library == needed) {
            if !library.version_defines.contains(&need.version) {
                self.versions.insert(MissingVersion {
                    tree: tree.to_owned(),
                    library: needed.to_owned(),
                    found_at: place.guest.clone(),
                    version: need.version.clone(),
                });
            }
        }
    }
}

fn library<'a>(place: &Place<'a>) -> Option<&'a ElfInfo> {
    match place.found {
        super::view::Found::File(FileFacts { elf: Some(Ok(elf)), .. }) => Some(elf),
        _ => None,
    }
}
