//! Control groups: finds where this process may make one, makes it with its limits, and takes it away again.

mod hierarchy;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{Mode, OFlags, open};

pub use self::hierarchy::{Hierarchies, Own};
use crate::limits::{Controller, Limits, Version};

/// Begins the name of every control group that is made here; the maker's process id follows.
const PREFIX: &str = "rnx-job-";
/// Where this process goes, if it is alone in a group that it must divide.
const SUPERVISOR: &str = "rnx-supervisor";
/// How often a group is tried to be removed whose last process has just ended, and the pause between.
const REMOVE_TRIES: u32 = 100;
const REMOVE_PAUSE: Duration = Duration::from_millis(5);

/// A limit cannot be given. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    #[error("failed to read this process's control groups")]
    Read { source: io::Error },
    #[error("this host has no `{controller}` control group controller")]
    NoController { controller: Controller },
    #[error("no control group with `{controllers}` may be made here (tried {})", tried.join(", "))]
    NotDelegated {
        controllers: String,
        /// Folders, and why each could not be used.
        tried: Vec<String>,
    },
    #[error("failed to set the limit `{value}` in `{}`", path.display())]
    Set { path: PathBuf, value: String, source: io::Error },
    #[error("failed to open the control group `{}`", path.display())]
    Open { path: PathBuf, source: io::Error },
}

/// A control group with limits, in as many hierarchies as it needs. Removed when it is dropped.
#[derive(Debug)]
pub struct Cgroup {
    folders: Vec<Folder>,
    /// Ready when the memory of a group of version 1 is used up.
    out_of_memory: Option<OwnedFd>,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    version: Version,
    controllers: Vec<Controller>,
    /// `cgroup.procs` of version 1, the folder of version 2.
    entrance: OwnedFd,
}

/// What a control group counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// The most memory that was in use at once, where it was counted.
    pub memory_bytes_max: Option<u64>,
    /// How many processes were killed because the memory was used up.
    pub killed_for_memory: u64,
    /// How often a process could not be started because there were too many.
    pub refused_processes: u64,
}

impl Cgroup {
    /// Makes a group with all limits set, or nothing.
    pub fn new(limits: &Limits, at: &Hierarchies) -> Result<Self, CgroupError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{count}", std::process::id());
        let mut group = Self { folders: Vec::new(), out_of_memory: None };
        for own in at.holding(&limits.controllers())? {
            let path = place(&own, &name)?;
            // From here on it is removed if anything fails.
            let entrance = match own.version {
                Version::V1 => opened(&path.join("cgroup.procs"), OFlags::WRONLY),
                Version::V2 => opened(&path, OFlags::PATH | OFlags::DIRECTORY),
            };
            let (version, controllers) = (own.version, own.controllers);
            let entrance = entrance.inspect_err(|_| remove(&path))?;
            group.folders.push(Folder { path, version, controllers, entrance });
        }
        for folder in &group.folders {
            folder.apply(limits)?;
            if folder.version == Version::V1 && folder.controllers.contains(&Controller::Memory) {
                group.out_of_memory = memory_event(&folder.path)?;
            }
        }
        Ok(group)
    }

    /// The group's folder for `clone3`, in the one hierarchy of version 2.
    pub(crate) fn clone_into(&self) -> Option<RawFd> {
        self.entrances(Version::V2).next()
    }

    /// Files that a process writes `0` to, to come in.
    pub(crate) fn doors(&self) -> Vec<RawFd> {
        self.entrances(Version::V1).collect()
    }

    fn entrances(&self, version: Version) -> impl Iterator<Item = RawFd> {
        self.folders
            .iter()
            .filter(move |folder| folder.version == version)
            .map(|folder| folder.entrance.as_raw_fd())
    }

    /// Something that is ready to be read when the memory is used up and the kernel will not end all of the group by
    /// itself, as it does in version 2: it kills the largest process alone.
    pub fn out_of_memory(&self) -> Option<BorrowedFd<'_>> {
        self.out_of_memory.as_ref().map(AsFd::as_fd)
    }

    /// Reads what was counted so far.
    pub fn counted(&self) -> Counted {
        let mut counted = Counted::default();
        for Folder { path, version, controllers, .. } in &self.folders {
            let v1 = *version == Version::V1;
            if controllers.contains(&Controller::Memory) {
                let (peak, events) = if v1 {
                    ("memory.max_usage_in_bytes", "memory.oom_control")
                } else {
                    ("memory.peak", "memory.events")
                };
                counted.memory_bytes_max =
                    read(&path.join(peak)).and_then(|text| text.trim().parse().ok());
                counted.killed_for_memory = value(&path.join(events), "oom_kill");
            }
            if controllers.contains(&Controller::Pids) {
                counted.refused_processes = value(&path.join("pids.events"), "max");
            }
        }
        counted
    }
}

impl Folder {
    fn apply(&self, limits: &Limits) -> Result<(), CgroupError> {
        if self.version == Version::V1 && self.controllers.contains(&Controller::Cpuset) {
            // A new group of version 1 has no memory nodes, and takes no process without.
            let from = self.path.parent().unwrap_or(&self.path).join("cpuset.mems");
            // One that cannot be read leaves the new group without, and joining it then fails with the reason.
            let nodes = read(&from).unwrap_or_default();
            set(&self.path.join("cpuset.mems"), nodes.trim(), false)?;
        }
        for controller in &self.controllers {
            for setting in limits.settings(*controller, self.version) {
                set(&self.path.join(setting.file), &setting.value, setting.optional)?;
            }
        }
        Ok(())
    }
}

/// Lets the kernel tell when a group of version 1 is out of memory (`Documentation/admin-guide/cgroup-v1/memory.rst`, 10).
fn memory_event(folder: &Path) -> Result<Option<OwnedFd>, CgroupError> {
    let (told, control) = (folder.join("memory.oom_control"), folder.join("cgroup.event_control"));
    if !control.exists() {
        // A kernel that does not tell kills one process at a time.
        return Ok(None);
    }
    let event = eventfd(0, EventfdFlags::CLOEXEC)
        .map_err(|source| CgroupError::Open { path: told.clone(), source: source.into() })?;
    let source = opened(&told, OFlags::RDONLY)?;
    set(&control, &format!("{} {}", event.as_raw_fd(), source.as_raw_fd()), false)?;
    Ok(Some(event))
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for folder in &self.folders {
            remove(&folder.path);
        }
    }
}

/// The kernel says that a process is gone a little before it leaves its group.
fn remove(path: &Path) {
    for _ in 0..REMOVE_TRIES {
        match rustix::fs::rmdir(path) {
            Err(rustix::io::Errno::BUSY) => thread::sleep(REMOVE_PAUSE),
            // What cannot be removed now is removed by the next that makes one here.
            _ => return,
        }
    }
}

/// Makes the folder, with the controllers in it.
fn place(own: &Own, name: &str) -> Result<PathBuf, CgroupError> {
    let mut tried = Vec::new();
    for parent in own.candidates() {
        match divide(own, parent).and_then(|()| make_anew(&parent.join(name))) {
            Ok(()) => {
                sweep(parent);
                return Ok(parent.join(name));
            }
            Err(why) => tried.push(format!("`{}`: {why}", parent.display())),
        }
    }
    let names: Vec<_> = own.controllers.iter().map(ToString::to_string).collect();
    Err(CgroupError::NotDelegated { controllers: names.join(" "), tried })
}

fn make(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::mkdir(path, Mode::from_raw_mode(0o755))?)
}

/// Makes a group of this process's own name. One that is there is what an earlier process of this number left, which was
/// killed, as in a container the program always has the same number.
fn make_anew(path: &Path) -> io::Result<()> {
    match make(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            rustix::fs::rmdir(path)?;
            make(path)
        }
        other => other,
    }
}

/// Sees to it that groups in `parent` get the controllers; in version 1 all do.
fn divide(own: &Own, parent: &Path) -> io::Result<()> {
    if own.version == Version::V1 {
        return Ok(());
    }
    let has = |file: &str| -> io::Result<Vec<String>> {
        let text = fs_read(&parent.join(file))?;
        Ok(text.split_whitespace().map(str::to_owned).collect())
    };
    let lacks = |list: &[String]| -> Vec<&'static str> {
        let names = own.controllers.iter().map(|controller| controller.name());
        names.filter(|name| !list.iter().any(|listed| listed == name)).collect()
    };
    let absent = lacks(&has("cgroup.controllers")?);
    if !absent.is_empty() {
        return Err(io::Error::other(format!("it has no {}", absent.join(", "))));
    }
    let missing = lacks(&has("cgroup.subtree_control")?);
    if missing.is_empty() {
        return Ok(());
    }
    // A group with processes cannot hand controllers down; the root can. That of a container is none, and has a type.
    if parent == own.path && parent.join("cgroup.type").exists() {
        let processes = has("cgroup.procs")?;
        if processes != [std::process::id().to_string()] {
            return Err(io::Error::other("other processes are in it"));
        }
        let leaf = parent.join(SUPERVISOR);
        if !leaf.exists() {
            make(&leaf)?;
        }
        fs_write(&leaf.join("cgroup.procs"), "0")?;
    }
    let enable: Vec<_> = missing.iter().map(|name| format!("+{name}")).collect();
    fs_write(&parent.join("cgroup.subtree_control"), &enable.join(" "))
}

/// Removes groups whose makers were killed before they could.
fn sweep(parent: &Path) {
    #[expect(clippy::disallowed_methods, reason = "what cannot be read is left alone")]
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let maker = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
        if maker.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // One that still has processes stays.
            let _populated = rustix::fs::rmdir(entry.path());
        }
    }
}

fn opened(path: &Path, flags: OFlags) -> Result<OwnedFd, CgroupError> {
    open(path, flags | OFlags::CLOEXEC, Mode::empty())
        .map_err(|source| CgroupError::Open { path: path.to_owned(), source: source.into() })
}

fn set(path: &Path, value: &str, optional: bool) -> Result<(), CgroupError> {
    match fs_write(path, value) {
        Err(error) if optional && error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|source| CgroupError::Set {
            path: path.to_owned(),
            value: value.to_owned(),
            source,
        }),
    }
}

/// Files of the kernel are opened as they are: one that is not there is not made.
fn fs_write(path: &Path, value: &str) -> io::Result<()> {
    use std::io::Write;
    std::fs::File::options().write(true).open(path)?.write_all(value.as_bytes())
}

fn fs_read(path: &Path) -> io::Result<String> {
    #[expect(clippy::disallowed_methods, reason = "the caller names the path")]
    std::fs::read_to_string(path)
}

/// What a counter says; a kernel that does not count has no file.
fn read(path: &Path) -> Option<String> {
    fs_read(path).ok()
}

fn value(path: &Path, key: &str) -> u64 {
    let text = read(path).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
