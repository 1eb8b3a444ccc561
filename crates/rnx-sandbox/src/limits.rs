//! What a sandbox may use at most, as data, and how both versions of cgroups are told.

use std::fmt;
use std::str::FromStr;

/// Bounds for all processes of a sandbox together. Nothing set means that no control group is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Processor time in thousandths of one processor.
    pub cpu_millis_max: Option<u64>,
    /// Memory, swap and everything written to a tmpfs together.
    pub memory_bytes_max: Option<u64>,
    /// Processes and threads of the job; the sandbox's own first process is not counted.
    pub processes_max: Option<u64>,
    /// The processors that are used.
    pub cpus: Option<CpuList>,
}

/// Numbers of processors as `0-3,6` (`cpuset(7)`, list format).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuList(String);

/// A text that is no list of processors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected numbers of processors, for example 0-3 or 0,2")]
pub struct ParseCpuListError;

/// A part of the kernel that holds one kind of limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Controller {
    Cpu,
    Cpuset,
    Memory,
    Pids,
}

/// The two interfaces of control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// A hierarchy for each controller (`Documentation/admin-guide/cgroup-v1`).
    V1,
    /// One hierarchy (`Documentation/admin-guide/cgroup-v2.rst`).
    V2,
}

/// A file of a control group, and what is written into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    pub file: &'static str,
    pub value: String,
    /// A kernel without the feature lacks the file, and there is then nothing to bound.
    pub optional: bool,
}

/// The time over which processor time is measured out, in microseconds.
const PERIOD_US: u64 = 100_000;

impl Limits {
    /// Whether nothing is bounded.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the controllers that the limits need.
    pub fn controllers(&self) -> Vec<Controller> {
        let wanted = [
            (Controller::Cpu, self.cpu_millis_max.is_some()),
            (Controller::Cpuset, self.cpus.is_some()),
            (Controller::Memory, self.memory_bytes_max.is_some()),
            (Controller::Pids, self.processes_max.is_some()),
        ];
        wanted.into_iter().filter(|(_, wanted)| *wanted).map(|(controller, _)| controller).collect()
    }

    /// Returns what is written for one controller, in this order.
    pub fn settings(&self, controller: Controller, version: Version) -> Vec<Setting> {
        let set = |file, value: String| Setting { file, value, optional: false };
        let maybe = |file, value: String| Setting { file, value, optional: true };
        match (controller, version) {
            (Controller::Cpu, _) => self.cpu_millis_max.map_or_else(Vec::new, |millis| {
                let quota = (millis.saturating_mul(PERIOD_US) / 1000).max(1000);
                match version {
                    Version::V1 => vec![
                        set("cpu.cfs_period_us", PERIOD_US.to_string()),
                        set("cpu.cfs_quota_us", quota.to_string()),
                    ],
                    Version::V2 => vec![set("cpu.max", format!("{quota} {PERIOD_US}"))],
                }
            }),
            (Controller::Cpuset, _) => {
                self.cpus.iter().map(|cpus| set("cpuset.cpus", cpus.to_string())).collect()
            }
            (Controller::Memory, Version::V1) => {
                self.memory_bytes_max.map_or_else(Vec::new, |bytes| {
                    vec![
                        set("memory.limit_in_bytes", bytes.to_string()),
                        maybe("memory.memsw.limit_in_bytes", bytes.to_string()),
                    ]
                })
            }
            (Controller::Memory, Version::V2) => {
                self.memory_bytes_max.map_or_else(Vec::new, |bytes| {
                    vec![
                        set("memory.max", bytes.to_string()),
                        maybe("memory.swap.max", "0".to_owned()),
                        // A job that lost one of its processes at random is worse than one that ended.
                        maybe("memory.oom.group", "1".to_owned()),
                    ]
                })
            }
            (Controller::Pids, _) => self
                .processes_max
                .map(|count| set("pids.max", count.saturating_add(1).to_string()))
                .into_iter()
                .collect(),
        }
    }
}

impl Controller {
    /// Its name in `/proc/self/cgroup`, in mount options and in `cgroup.controllers`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cpuset => "cpuset",
            Self::Memory => "memory",
            Self::Pids => "pids",
        }
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for CpuList {
    type Err = ParseCpuListError;

    fn from_str(text: &str) -> Result<Self, ParseCpuListError> {
        let number = |text: &str| text.parse::<u16>().map_err(|_not_a_number| ParseCpuListError);
        for range in text.split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            if number(first)? > number(last)? {
                return Err(ParseCpuListError);
            }
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_told_the_same_in_their_own_words() {
        let limits = Limits {
            cpu_millis_max: Some(1500),
            memory_bytes_max: Some(1 << 30),
            processes_max: Some(64),
            cpus: Some("0-3,6".parse().unwrap()),
        };
        let told = |version| -> Vec<String> {
            let settings = limits.controllers().into_iter();
            settings
                .flat_map(|controller| limits.settings(controller, version))
                .map(|Setting { file, value, optional }| {
                    format!("{file}{} = {value}", if optional { "?" } else { "" })
                })
                .collect()
        };
        assert_eq!(
            told(Version::V1),
            [
                "cpu.cfs_period_us = 100000",
                "cpu.cfs_quota_us = 150000",
                "cpuset.cpus = 0-3,6",
                "memory.limit_in_bytes = 1073741824",
                "memory.memsw.limit_in_bytes? = 1073741824",
                "pids.max = 65"
            ]
        );
        assert_eq!(
            told(Version::V2),
            [
                "cpu.max = 150000 100000",
                "cpuset.cpus = 0-3,6",
                "memory.max = 1073741824",
                "memory.swap.max? = 0",
                "memory.oom.group? = 1",
                "pids.max = 65"
            ]
        );
        assert!(Limits::default().is_empty());
        assert_eq!(Limits::default().controllers(), []);
    }

    #[test]
    fn lists_of_processors_are_checked() {
        for good in ["0", "0-3", "0,2,4-6"] {
            assert_eq!(good.parse::<CpuList>().unwrap().to_string(), good);
        }
        for bad in ["", "a", "3-1", "0-", "0,,1", "-1", "0 1", "70000"] {
            assert_eq!(bad.parse::<CpuList>(), Err(ParseCpuListError), "{bad}");
        }
    }
}
