//! Completes a built tree: a library that it needs and the build's chroot has is copied into it.
//!
//! [`plan`] is pure; [`complete`] reads, copies and looks again until nothing is missing.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rnx_spec::Arch;

use crate::audit::closure::{self, Missing, MissingLibrary};
use crate::audit::listing::{self, Listing, NodeKind};
use crate::audit::loader::{Loader, Requester};
use crate::audit::runtime;
use crate::audit::view::{Found, MountView};
use crate::audit::{self, AuditError, Options, RuntimeTree};

/// A library may need another one, which is only seen when it has been copied.
const ROUNDS_MAX: usize = 64;

/// One file or symlink that is brought from the chroot into the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyStep {
    /// The path in the chroot, relative to its root.
    pub from: String,
    /// The path in the runtime's folder.
    pub to: String,
    pub content: Content,
    /// The file of the tree that needs it.
    pub needed_by: String,
}

/// What a [`CopyStep`] brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    File { executable: bool },
    Symlink { target: String },
}

/// A tree that could not be completed.
#[derive(Debug, thiserror::Error)]
pub enum CloseError {
    #[error("failed to read the built tree")]
    ReadTree { source: AuditError },
    #[error("failed to read the chroot of the build")]
    ReadChroot { source: AuditError },
    #[error("failed to copy `/{}` of the chroot to `{}`", step.from, step.to)]
    Copy { step: CopyStep, source: io::Error },
}

/// Copies what the runtime in the folder `root` needs from the root filesystem that `layers` are, the
/// uppermost first, and returns what was copied. What it lacks too is left for the audit to find. ⚡
pub fn complete(root: &Path, layers: &[&Path], arch: Arch) -> Result<Vec<CopyStep>, CloseError> {
    let mut copied = Vec::new();
    let mut chroot_listing: Option<Listing> = None;
    for _ in 0..ROUNDS_MAX {
        let tree = audit::read(root, &[]).map_err(|source| CloseError::ReadTree { source })?;
        let missing = missing(&tree, arch);
        // Most trees lack nothing, and then the chroot need not be read.
        if missing.libraries.is_empty() && missing.interpreters.is_empty() {
            break;
        }
        if chroot_listing.is_none() {
            let read = layered(layers);
            chroot_listing = Some(read.map_err(|source| CloseError::ReadChroot { source })?);
        }
        let steps = chroot_listing.as_ref().map_or(vec![], |chroot| plan(&tree, chroot, arch));
        if steps.is_empty() {
            break;
        }
        for step in steps {
            copy(&step, root, layers)
                .map_err(|source| CloseError::Copy { step: step.clone(), source })?;
            copied.push(step);
        }
    }
    Ok(copied)
}

/// Reads layers as the overlay shows them, but for what an upper layer took away: a library that is gone is
/// brought back at worst.
fn layered(layers: &[&Path]) -> Result<Listing, AuditError> {
    let mut all = Listing::default();
    for layer in layers.iter().rev() {
        all.nodes.extend(listing::read(layer, &[])?.nodes);
    }
    Ok(all)
}

/// Plans to bring what `tree` lacks and `chroot` has, with the symlinks on the way to it.
pub fn plan(tree: &RuntimeTree, chroot: &Listing, arch: Arch) -> Vec<CopyStep> {
    let Some(mounted) = mounted(tree, arch) else { return vec![] };
    let view = MountView::new(&tree.listing, mounted.mounts.clone());
    let chroot = MountView::new(chroot, [(String::new(), String::new())]);
    let loader = Loader::new(&chroot, arch, &mounted.library_path);
    let missing = missing(tree, arch);
    let mut steps = BTreeMap::new();
    for program in &missing.interpreters {
        if chroot.file(&program.interpreter).is_some() {
            bring(&program.interpreter, &program.tree, (&chroot, &view), &mut steps);
        }
    }
    for library in &missing.libraries {
        if let Some(path) = locate(library, &tree.listing, &loader) {
            bring(&path, &library.tree, (&chroot, &view), &mut steps);
        }
    }
    steps.into_values().collect()
}

fn mounted(tree: &RuntimeTree, arch: Arch) -> Option<runtime::Mounted> {
    let options = Options { arch, spec: None, forbidden: vec![] };
    let text = tree.runtime_yml.as_ref().ok()?;
    Some(runtime::check(text, &tree.listing, &options).0)
}

fn missing(tree: &RuntimeTree, arch: Arch) -> Missing {
    let Some(mounted) = mounted(tree, arch) else { return Missing::default() };
    let view = MountView::new(&tree.listing, mounted.mounts.clone());
    let loader = Loader::new(&view, arch, &mounted.library_path);
    closure::survey(&loader, &closure::objects(&loader))
}

/// Returns the path in the chroot where the library would have been found.
fn locate(library: &MissingLibrary, tree: &Listing, chroot: &Loader<'_>) -> Option<String> {
    // The tree has it: where it belongs is for people to say.
    if library.elsewhere.is_some() && !library.by_program {
        return None;
    }
    let NodeKind::File(facts) = &tree.nodes.get(&library.tree)?.kind else { return None };
    let elf = facts.elf.as_ref()?.as_ref().ok()?;
    let inherited = &library.searched;
    chroot.locate(&library.needed, Requester { guest: &library.guest, elf, inherited })
}

fn bring(
    path: &str,
    needed_by: &str,
    (chroot, view): (&MountView<'_>, &MountView<'_>),
    steps: &mut BTreeMap<String, CopyStep>,
) {
    let walk = chroot.walk(path);
    let Ok(place) = walk.end else { return };
    let file = Content::File { executable: place.mode & 0o111 != 0 };
    let links = walk.links.into_iter().map(|(guest, target)| (guest, Content::Symlink { target }));
    let file = matches!(place.found, Found::File(_)).then_some((place.guest, file));
    for (guest, content) in links.chain(file) {
        // A folder of the tree may well stand where the chroot has a symlink to one.
        let Some(to) = destination(&guest, view) else { continue };
        let from = guest.trim_start_matches('/').to_owned();
        let needed_by = needed_by.to_owned();
        steps.entry(to.clone()).or_insert(CopyStep { from, to, content, needed_by });
    }
}

/// Returns the free path of the tree that a job would see as `guest`.
fn destination(guest: &str, view: &MountView<'_>) -> Option<String> {
    let (parent, name) = guest.rsplit_once('/')?;
    let parent = match view.walk(parent).end {
        Ok(place) => place.tree.filter(|_| place.found == Found::Folder)?,
        Err(_) => destination(parent, view)?,
    };
    let path = format!("{parent}/{name}");
    // What is there is kept, be it a symlink that leads nowhere.
    (!view.listing().nodes.contains_key(&path)).then_some(path)
}

fn copy(step: &CopyStep, root: &Path, layers: &[&Path]) -> io::Result<()> {
    let to = root.join(&step.to);
    let mut places = layers.iter().map(|layer| layer.join(&step.from));
    let from = places.find(|place| place.symlink_metadata().is_ok()).unwrap_or_default();
    if let Some(parent) = to.parent() {
        fs_err::create_dir_all(parent)?;
    }
    match &step.content {
        Content::Symlink { target } => symlink(target, &to),
        Content::File { executable } => {
            fs_err::copy(&from, &to)?;
            let mode = if *executable { 0o755 } else { 0o644 };
            fs_err::set_permissions(&to, std::fs::Permissions::from_mode(mode))
        }
    }
}

impl fmt::Display for CopyStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} <- /{}", self.to, self.from)?;
        if let Content::Symlink { target } = &self.content {
            write!(f, " -> {target}")?;
        }
        write!(f, " (needed by {})", self.needed_by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::tests::made_elf::MadeElf;
    use crate::audit::tests::made_tree::{LINKER, MadeTree, yml};

    /// The tree has one program; the chroot has its linker and, behind symlinks, its libraries.
    #[test]
    fn a_tree_is_completed_from_the_chroot() {
        let needs = |library| MadeElf { needed: vec![library], ..MadeElf::default() };
        let program = MadeElf { interpreter: Some(LINKER), ..needs("liba.so.1") };
        let tree = MadeTree::new(&yml("X: y"))
            .dir("isolated/usr/lib")
            .link("isolated/lib", "usr/lib")
            .link("isolated/lib64", "usr/lib64")
            .dir("isolated/usr/lib64")
            .elf("isolated/usr/bin/program", &program);
        let multiarch = "usr/lib/x86_64-linux-gnu";
        let chroot = MadeTree::new("")
            .link("lib", "usr/lib")
            .link("lib64", "usr/lib64")
            .elf(&format!("{multiarch}/liba.so.1.2"), &needs("libc.so.6"))
            .link(&format!("{multiarch}/liba.so.1"), "liba.so.1.2")
            .elf(&format!("{multiarch}/libc.so.6"), &needs("libnowhere.so"))
            .elf(&format!("{multiarch}/ld.so"), &MadeElf::default())
            .link("usr/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/ld.so");
        let copied = complete(tree.path(), &[chroot.path()], Arch::Amd64).unwrap();
        let copied: Vec<String> = copied.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(copied.join("\n"), @r"
    isolated/usr/lib/x86_64-linux-gnu/ld.so <- /usr/lib/x86_64-linux-gnu/ld.so (needed by isolated/usr/bin/program)
    isolated/usr/lib/x86_64-linux-gnu/liba.so.1 <- /usr/lib/x86_64-linux-gnu/liba.so.1 -> liba.so.1.2 (needed by isolated/usr/bin/program)
    isolated/usr/lib/x86_64-linux-gnu/liba.so.1.2 <- /usr/lib/x86_64-linux-gnu/liba.so.1.2 (needed by isolated/usr/bin/program)
    isolated/usr/lib64/ld-linux-x86-64.so.2 <- /usr/lib64/ld-linux-x86-64.so.2 -> /lib/x86_64-linux-gnu/ld.so (needed by isolated/usr/bin/program)
    isolated/usr/lib/x86_64-linux-gnu/libc.so.6 <- /usr/lib/x86_64-linux-gnu/libc.so.6 (needed by isolated/usr/lib/x86_64-linux-gnu/liba.so.1.2)
    ");
        insta::assert_snapshot!(tree.findings(), @r"
    Error[RT0363]: isolated/usr/lib/x86_64-linux-gnu/libc.so.6: needs `libnowhere.so`, which is in none of /lib/x86_64-linux-gnu, /usr/lib/x86_64-linux-gnu, /lib64, /usr/lib64, /lib, /usr/lib, /usr/local/lib
    ");
        assert_eq!(complete(tree.path(), &[chroot.path()], Arch::Amd64).unwrap(), []);
    }
}
