//! How a plan reads: one line per step, printed by `--explain` and quoted in errors.

use std::ffi::OsStr;
use std::fmt::{Display, Formatter, Result};

use super::{Access, CopyEntry, Identity, Network, Privileges, Process, Root, SandboxPlan, Step};
use crate::limits::Limits;

impl Display for SandboxPlan {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(f, "{}", self.identity)?;
        writeln!(f, "{}", self.network)?;
        if !self.limits.is_empty() {
            writeln!(f, "{}", self.limits)?;
        }
        writeln!(f, "hostname {}", self.hostname)?;
        writeln!(f, "{}", self.root)?;
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        write!(f, "{}", self.process)
    }
}

impl Display for Identity {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Single { uid, gid } => write!(f, "ids: the caller is {uid}:{gid}"),
            Self::Shifted { host_uid, host_gid, uid, gid } => {
                write!(
                    f,
                    "ids: host {host_uid}:{host_gid} is {uid}:{gid}, and sees the caller's files as its own"
                )
            }
            Self::Ranges { uids, gids } => {
                write!(f, "ids:")?;
                for (kind, ranges) in [("uid", uids), ("gid", gids)] {
                    for range in ranges {
                        write!(
                            f,
                            " {kind} {}+{} is host {}",
                            range.guest, range.count, range.host
                        )?;
                    }
                }
                Ok(())
            }
        }
    }
}

impl Display for Network {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::Host => "network of the host",
            Self::None => "network: loopback alone",
        })
    }
}

impl Display for Limits {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "limits:")?;
        if let Some(millis) = self.cpu_millis_max {
            write!(f, " {}.{:03} processors", millis / 1000, millis % 1000)?;
        }
        if let Some(cpus) = &self.cpus {
            write!(f, " processors numbered {cpus}")?;
        }
        if let Some(bytes) = self.memory_bytes_max {
            write!(f, " {bytes} bytes of memory")?;
        }
        if let Some(count) = self.processes_max {
            write!(f, " {count} processes")?;
        }
        Ok(())
    }
}

impl Display for Root {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Tmpfs => write!(f, "root: an empty tmpfs, read-only when it is filled"),
            Self::Bind { host, access } => write!(f, "root: bind {access} {}", host.display()),
            Self::Overlay { lower, upper, work } => {
                write!(f, "root: overlay of")?;
                for folder in lower {
                    write!(f, " {}", folder.display())?;
                }
                write!(f, ", changes to {}, work folder {}", upper.display(), work.display())
            }
        }
    }
}

impl Display for Access {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::ReadOnly => "ro",
            Self::ReadWrite => "rw",
        })
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Bind { host, guest, access } => {
                write!(f, "bind {access} {} -> {}", host.display(), guest.display())
            }
            Self::Device { host, guest } => {
                write!(f, "device {} -> {}", host.display(), guest.display())
            }
            Self::Copy { host, guest, entries } => {
                let size = |entry: &CopyEntry| match entry {
                    CopyEntry::File { size_bytes, .. } => *size_bytes,
                    _ => 0,
                };
                let (count, bytes) = (entries.len(), entries.iter().map(size).sum::<u64>());
                let (host, guest) = (host.display(), guest.display());
                write!(f, "copy {host} ({count} entries, {bytes} bytes) -> {guest}")
            }
            Self::Tmpfs { guest, size_bytes_max, mode } => {
                write!(
                    f,
                    "tmpfs {} (at most {size_bytes_max} bytes, mode {mode:04o})",
                    guest.display()
                )
            }
            Self::Proc { guest, masked: true } => write!(f, "proc {} (masked)", guest.display()),
            Self::Proc { guest, masked: false } => write!(f, "proc {}", guest.display()),
            Self::Dev { guest } => write!(f, "dev {}", guest.display()),
            Self::Symlink { guest, target } => {
                write!(f, "symlink {} -> {}", guest.display(), target.display())
            }
            Self::Dir { guest, mode } => write!(f, "dir {} (mode {mode:04o})", guest.display()),
            Self::File { guest, content, mode } => {
                write!(f, "file {} ({} bytes, mode {mode:04o})", guest.display(), content.len())
            }
            Self::Cover { guest, content } => {
                write!(f, "cover {} ({} bytes)", guest.display(), content.len())
            }
        }
    }
}

impl Display for Process {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for (name, value) in &self.env {
            writeln!(f, "env {}={}", shown(name), shown(value))?;
        }
        for (name, _) in &self.secrets {
            writeln!(f, "env {}=(hidden)", shown(name))?;
        }
        write!(
            f,
            "run as {}:{} with {} in {}:",
            self.uid,
            self.gid,
            self.privileges,
            self.cwd.display()
        )?;
        for word in &self.argv {
            write!(f, " {}", shown(word))?;
        }
        Ok(())
    }
}

impl Display for Privileges {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::Job => "no privileges",
            Self::Build => "a build's privileges",
            Self::Provision => "all privileges of its namespace",
        })
    }
}

/// A word as it can be typed again, on one line whatever is in it.
fn shown(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    let plain = !text.is_empty()
        && text.chars().all(|c| {
            c.is_ascii_alphanumeric()
                || "-_./=:,+@%".contains(c)
                || (!c.is_ascii() && !c.is_control())
        });
    if plain { text.into_owned() } else { format!("{text:?}") }
}
