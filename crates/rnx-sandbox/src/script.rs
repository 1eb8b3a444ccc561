//! A plan made ready for the child: every string and list it needs is here before the fork.

mod special;

use std::ffi::{CString, OsStr, c_char};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr::null;

use crate::plan::{Access, CopyEntry, Identity, Network, Privileges, Root, SandboxPlan, Step};
use crate::spawn::SandboxError;
use crate::sys;

/// What is being done, in a report of a failure. Steps of the plan are counted from [`FIRST_STEP`].
pub(crate) type Label = u32;
pub(crate) const IDS: Label = 0;
pub(crate) const ROOT: Label = 1;
pub(crate) const PIVOT: Label = 2;
pub(crate) const HOSTNAME: Label = 3;
pub(crate) const NETWORK: Label = 4;
pub(crate) const DESCRIPTORS: Label = 5;
pub(crate) const PRIVILEGES: Label = 6;
pub(crate) const FOLDER: Label = 7;
pub(crate) const FORK: Label = 8;
pub(crate) const LIMITS: Label = 9;
pub(crate) const TERMINAL: Label = 10;
pub(crate) const FIRST_STEP: Label = 16;

/// The line of the plan that a label stands for.
pub(crate) fn describe(plan: &SandboxPlan, label: Label) -> String {
    match label {
        IDS => plan.identity.to_string(),
        ROOT => plan.root.to_string(),
        PIVOT => "make the new root `/`".to_owned(),
        HOSTNAME => format!("hostname {}", plan.hostname),
        NETWORK => plan.network.to_string(),
        DESCRIPTORS => "arrange standard input, output and error".to_owned(),
        PRIVILEGES => format!(
            "run as {}:{} with {}",
            plan.process.uid, plan.process.gid, plan.process.privileges
        ),
        FOLDER => format!("enter the folder {}", plan.process.cwd.display()),
        LIMITS => plan.limits.to_string(),
        TERMINAL => "open a terminal for the job".to_owned(),
        FORK => "start the process".to_owned(),
        step => plan
            .steps
            .get((step - FIRST_STEP) as usize)
            .map_or_else(String::new, ToString::to_string),
    }
}

pub(crate) struct Script {
    pub(crate) namespaces: i32,
    /// The child is in a control group of its own, and joins those of version 1 through these descriptors.
    pub(crate) limited: bool,
    pub(crate) cgroup_doors: Vec<RawFd>,
    /// What the child writes into its own `uid_map` and `gid_map`; without, the parent writes them and says go.
    pub(crate) own_maps: Option<[Vec<u8>; 2]>,
    /// Who the child is while it carries out the steps.
    pub(crate) setup_ids: Option<(u32, u32)>,
    /// The maps of a second user namespace that is entered after the last step.
    pub(crate) inner_maps: Option<[Vec<u8>; 2]>,
    pub(crate) root: RootOp,
    /// Mounts made while the host's tree is still in sight.
    pub(crate) sources: Vec<Source>,
    pub(crate) ops: Vec<(Label, Op)>,
    pub(crate) hostname: Vec<u8>,
    pub(crate) loopback: bool,
    pub(crate) start: Start,
}

pub(crate) enum RootOp {
    Tmpfs,
    /// The source at this index.
    Bind(usize),
    /// Folders to open as descriptors in this order: upper, work, lower from the top down.
    Overlay(Vec<CString>),
}

pub(crate) struct Source {
    pub(crate) label: Label,
    pub(crate) from: From,
    pub(crate) attributes: u64,
    /// The detached mount, once it is made.
    pub(crate) mount: RawFd,
}

pub(crate) enum From {
    Host(CString),
    Proc,
}

pub(crate) enum Op {
    /// A folder that may exist already.
    Dir {
        path: CString,
        mode: u32,
    },
    /// An empty file to mount on, that may exist already.
    Touch {
        path: CString,
    },
    Symlink {
        path: CString,
        target: CString,
    },
    File {
        path: CString,
        content: Vec<u8>,
        mode: u32,
    },
    Attach {
        source: usize,
        path: CString,
    },
    Tmpfs {
        path: CString,
        size: CString,
        mode: CString,
    },
    Devpts {
        path: CString,
    },
    /// Mounts an empty read-only folder.
    Hide {
        path: CString,
    },
    /// Makes what is at this path read-only.
    Freeze {
        path: CString,
    },
    Cover {
        path: CString,
        content: Vec<u8>,
    },
    /// Copies from the source into the folder.
    Copy {
        source: usize,
        path: CString,
        entries: Vec<CopyOp>,
    },
}

pub(crate) enum CopyOp {
    Dir { path: CString },
    File { path: CString, mode: u32 },
    Symlink { path: CString, target: CString },
}

pub(crate) struct Start {
    /// What to try to execute, in this order.
    pub(crate) candidates: Vec<CString>,
    pub(crate) argv: Words,
    pub(crate) env: Words,
    pub(crate) cwd: CString,
    pub(crate) ids: Option<(u32, u32)>,
    pub(crate) privileges: Privileges,
    /// The host's abstract sockets are in its network namespace, and out of any folder.
    pub(crate) shares_network: bool,
    pub(crate) stdio: [RawFd; 3],
    /// They are a terminal that the process's session gets.
    pub(crate) on_terminal: bool,
}

/// Strings as `execve` takes them.
pub(crate) struct Words {
    pub(crate) pointers: Vec<*const c_char>,
    /// What the pointers point into.
    _strings: Vec<CString>,
}

impl Words {
    fn new(strings: Vec<CString>) -> Self {
        let pointers = strings.iter().map(|s| s.as_ptr()).chain([null()]).collect();
        Self { pointers, _strings: strings }
    }
}

/// Reads of the host only what kind of file each bind shows.
pub(crate) fn prepare(plan: &SandboxPlan, stdio: [RawFd; 3]) -> Result<Script, SandboxError> {
    let mut script = Script {
        namespaces: namespaces(plan),
        limited: !plan.limits.is_empty(),
        cgroup_doors: Vec::new(),
        own_maps: None,
        setup_ids: None,
        inner_maps: None,
        root: RootOp::Tmpfs,
        sources: Vec::with_capacity(plan.steps.len() + 16),
        ops: Vec::with_capacity(4 * plan.steps.len() + 32),
        hostname: plan.hostname.clone().into_bytes(),
        loopback: plan.network == Network::None,
        start: start(plan, stdio)?,
    };
    script.identity(plan);
    script.root(&plan.root)?;
    let mut made = Made(vec![PathBuf::from("/")]);
    for (label, step) in (FIRST_STEP..).zip(&plan.steps) {
        script.step(label, step, &mut made)?;
    }
    Ok(script)
}

fn namespaces(plan: &SandboxPlan) -> i32 {
    let mut all = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS;
    // With limits the child makes its cgroup namespace when it is in its group.
    if plan.limits.is_empty() {
        all |= libc::CLONE_NEWCGROUP;
    }
    if plan.network == Network::None {
        all |= libc::CLONE_NEWNET;
    }
    all
}

/// Folders that an earlier operation made or mounted.
struct Made(Vec<PathBuf>);

impl Script {
    fn identity(&mut self, plan: &SandboxPlan) {
        let one = |guest: u32, host: u32| format!("{guest} {host} 1\n").into_bytes();
        match plan.identity {
            Identity::Single { uid, gid } => {
                let (euid, egid) =
                    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
                self.own_maps = Some([one(uid, euid), one(gid, egid)]);
            }
            Identity::Shifted { uid, gid, .. } => {
                self.setup_ids = Some((0, 0));
                self.inner_maps = Some([one(uid, 0), one(gid, 0)]);
            }
            Identity::Ranges { .. } => {
                self.setup_ids = Some((0, 0));
                let process = (plan.process.uid, plan.process.gid);
                self.start.ids = (process != (0, 0)).then_some(process);
            }
        }
    }

    fn root(&mut self, root: &Root) -> Result<(), SandboxError> {
        self.root = match root {
            Root::Tmpfs => RootOp::Tmpfs,
            Root::Bind { host, access } => {
                RootOp::Bind(self.source(ROOT, From::Host(path(host)?), attributes(*access)))
            }
            Root::Overlay { lower, upper, work } => RootOp::Overlay(
                [upper, work].into_iter().chain(lower).map(path).collect::<Result<_, _>>()?,
            ),
        };
        Ok(())
    }

    fn source(&mut self, label: Label, from: From, attributes: u64) -> usize {
        self.sources.push(Source { label, from, attributes, mount: -1 });
        self.sources.len() - 1
    }

    fn step(&mut self, label: Label, step: &Step, made: &mut Made) -> Result<(), SandboxError> {
        match step {
            Step::Bind { host, guest, access } => {
                self.parents(label, guest, made)?;
                let metadata = std::fs::metadata(host)
                    .map_err(|source| SandboxError::Step { step: step.to_string(), source })?;
                if metadata.is_dir() {
                    self.dir(label, guest, 0o755, made)?;
                } else {
                    self.ops.push((label, Op::Touch { path: path(guest)? }));
                }
                self.attach(label, host, guest, attributes(*access))?;
            }
            Step::Device { host, guest } => {
                self.parents(label, guest, made)?;
                self.ops.push((label, Op::Touch { path: path(guest)? }));
                let quiet = sys::MOUNT_ATTR_NOSUID | sys::MOUNT_ATTR_NOEXEC;
                self.attach(label, host, guest, quiet)?;
            }
            Step::Copy { host, guest, entries } => {
                let source =
                    self.source(label, From::Host(path(host)?), attributes(Access::ReadOnly));
                let entries = entries.iter().map(copied).collect::<Result<_, _>>()?;
                self.ops.push((label, Op::Copy { source, path: path(guest)?, entries }));
            }
            Step::Tmpfs { guest, size_bytes_max, mode } => {
                self.dir_and_parents(label, guest, 0o755, made)?;
                let (size, mode) =
                    (text(&size_bytes_max.to_string())?, text(&format!("{mode:o}"))?);
                self.ops.push((label, Op::Tmpfs { path: path(guest)?, size, mode }));
            }
            Step::Proc { guest, masked } => {
                self.dir_and_parents(label, guest, 0o755, made)?;
                self.proc(label, guest, *masked)?;
            }
            Step::Dev { guest } => {
                self.dir_and_parents(label, guest, 0o755, made)?;
                self.dev(label, guest)?;
            }
            Step::Symlink { guest, target } => {
                self.parents(label, guest, made)?;
                self.ops.push((label, Op::Symlink { path: path(guest)?, target: path(target)? }));
            }
            Step::Dir { guest, mode } => self.dir_and_parents(label, guest, *mode, made)?,
            Step::File { guest, content, mode } => {
                self.parents(label, guest, made)?;
                self.ops.push((
                    label,
                    Op::File { path: path(guest)?, content: content.clone(), mode: *mode },
                ));
            }
            Step::Cover { guest, content } => {
                self.ops.push((label, Op::Cover { path: path(guest)?, content: content.clone() }));
            }
        }
        Ok(())
    }

    fn parents(&mut self, label: Label, guest: &Path, made: &mut Made) -> Result<(), SandboxError> {
        let Some(parent) = guest.parent() else { return Ok(()) };
        if made.0.iter().any(|known| known == parent) {
            return Ok(());
        }
        self.parents(label, parent, made)?;
        self.dir(label, parent, 0o755, made)
    }

    fn dir(
        &mut self,
        label: Label,
        guest: &Path,
        mode: u32,
        made: &mut Made,
    ) -> Result<(), SandboxError> {
        if made.0.iter().any(|known| known == guest) {
            return Ok(());
        }
        made.0.push(guest.to_owned());
        self.ops.push((label, Op::Dir { path: path(guest)?, mode }));
        Ok(())
    }

    fn dir_and_parents(
        &mut self,
        label: Label,
        guest: &Path,
        mode: u32,
        made: &mut Made,
    ) -> Result<(), SandboxError> {
        self.parents(label, guest, made)?;
        self.dir(label, guest, mode, made)
    }

    fn attach(
        &mut self,
        label: Label,
        host: &Path,
        guest: &Path,
        attributes: u64,
    ) -> Result<(), SandboxError> {
        let source = self.source(label, From::Host(path(host)?), attributes);
        self.ops.push((label, Op::Attach { source, path: path(guest)? }));
        Ok(())
    }
}

fn copied(entry: &CopyEntry) -> Result<CopyOp, SandboxError> {
    Ok(match entry {
        CopyEntry::Dir { path: at } => CopyOp::Dir { path: path(at)? },
        CopyEntry::File { path: at, executable, .. } => {
            CopyOp::File { path: path(at)?, mode: if *executable { 0o755 } else { 0o644 } }
        }
        CopyEntry::Symlink { path: at, target } => {
            CopyOp::Symlink { path: path(at)?, target: path(target)? }
        }
    })
}

fn attributes(access: Access) -> u64 {
    let quiet = sys::MOUNT_ATTR_NOSUID | sys::MOUNT_ATTR_NODEV;
    match access {
        Access::ReadOnly => quiet | sys::MOUNT_ATTR_RDONLY,
        Access::ReadWrite => quiet,
    }
}

fn start(plan: &SandboxPlan, stdio: [RawFd; 3]) -> Result<Start, SandboxError> {
    let process = &plan.process;
    let program = process.argv.first().ok_or(SandboxError::EmptyCommand)?;
    let candidates = if program.as_bytes().contains(&b'/') {
        vec![word(program)?]
    } else {
        let path = process
            .env
            .iter()
            .rfind(|(name, _)| name == "PATH")
            .map(|(_, value)| value.as_os_str());
        let folders = path.unwrap_or(OsStr::new("/usr/bin:/bin"));
        std::env::split_paths(folders)
            .map(|folder| path_of(&folder, program))
            .collect::<Result<_, _>>()?
    };
    let argv = process.argv.iter().map(|argument| word(argument)).collect::<Result<_, _>>()?;
    let env = process.env.iter().map(|(name, value)| variable(name, value));
    let secrets = process.secrets.iter().map(|(name, value)| variable(name, &value.0));
    let env = env.chain(secrets).collect::<Result<_, _>>()?;
    Ok(Start {
        candidates,
        argv: Words::new(argv),
        env: Words::new(env),
        cwd: path(&process.cwd)?,
        ids: None,
        privileges: process.privileges,
        shares_network: plan.network == Network::Host,
        stdio,
        on_terminal: false,
    })
}

fn path_of(folder: &Path, program: &OsStr) -> Result<CString, SandboxError> {
    path(folder.join(program))
}

fn variable(name: &OsStr, value: &OsStr) -> Result<CString, SandboxError> {
    let mut both = name.to_owned();
    both.push("=");
    both.push(value);
    word(&both)
}

fn path(path: impl AsRef<Path>) -> Result<CString, SandboxError> {
    word(path.as_ref().as_os_str())
}

fn text(text: &str) -> Result<CString, SandboxError> {
    word(OsStr::new(text))
}

fn word(word: &OsStr) -> Result<CString, SandboxError> {
    CString::new(word.as_bytes())
        .map_err(|source| SandboxError::Nul { word: word.to_string_lossy().into_owned(), source })
}
