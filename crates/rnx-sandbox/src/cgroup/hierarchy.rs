//! Where this process is in which hierarchy of control groups (`cgroups(7)`, `/proc/[pid]/cgroup` and `mountinfo`).

use std::path::{Path, PathBuf};

use super::{CgroupError, fs_read};
use crate::limits::{Controller, Version};

/// The hierarchies that are mounted here, and this process's place in each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchies {
    places: Vec<Place>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    version: Version,
    /// Controllers of a hierarchy of version 1; those of version 2 are in its files.
    names: Vec<String>,
    mount: PathBuf,
    path: PathBuf,
}

/// This process's own group in one hierarchy, and the controllers wanted there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    pub version: Version,
    pub mount: PathBuf,
    pub path: PathBuf,
    pub controllers: Vec<Controller>,
}

impl Own {
    /// Groups in which a new one may be made, the nearest first: in version 1 its own, in version 2 also those above.
    pub(super) fn candidates(&self) -> impl Iterator<Item = &Path> {
        let mount = &self.mount;
        let count = if self.version == Version::V1 { 1 } else { usize::MAX };
        self.path.ancestors().take_while(move |path| path.starts_with(mount)).take(count)
    }
}

impl Hierarchies {
    /// Reads them of this process.
    pub fn read() -> Result<Self, CgroupError> {
        let read = |path| fs_read(Path::new(path)).map_err(|source| CgroupError::Read { source });
        Ok(Self::parse(&read("/proc/self/cgroup")?, &read("/proc/self/mountinfo")?))
    }

    /// Understands `/proc/self/cgroup` and `/proc/self/mountinfo`.
    pub fn parse(groups: &str, mounts: &str) -> Self {
        let groups: Vec<(Vec<String>, &str)> = groups
            .lines()
            .filter_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                let names = parts.next()?.split(',').filter(|name| !name.is_empty());
                Some((names.map(str::to_owned).collect(), parts.next()?))
            })
            .collect();
        let places = mounts.lines().filter_map(|line| place(line, &groups)).collect();
        Self { places }
    }

    /// Returns the group of this process in each hierarchy that one of the controllers is in.
    pub(super) fn holding(&self, wanted: &[Controller]) -> Result<Vec<Own>, CgroupError> {
        let mut found: Vec<Own> = Vec::new();
        for controller in wanted {
            let place = self
                .places
                .iter()
                .find(|place| place.has(*controller))
                .ok_or(CgroupError::NoController { controller: *controller })?;
            match found.iter_mut().find(|own| own.path == place.path) {
                Some(own) => own.controllers.push(*controller),
                None => found.push(Own {
                    version: place.version,
                    mount: place.mount.clone(),
                    path: place.path.clone(),
                    controllers: vec![*controller],
                }),
            }
        }
        Ok(found)
    }
}

impl Place {
    /// In version 2, whether the whole hierarchy has it: it may be handed down, or not.
    fn has(&self, controller: Controller) -> bool {
        match self.version {
            Version::V1 => self.names.iter().any(|name| name == controller.name()),
            Version::V2 => fs_read(&self.mount.join("cgroup.controllers"))
                .is_ok_and(|text| text.split_whitespace().any(|name| name == controller.name())),
        }
    }
}

/// `36 35 98:0 /root /mount options - cgroup source super-options`; the group's path is seen from the mount's root.
fn place(line: &str, groups: &[(Vec<String>, &str)]) -> Option<Place> {
    let (before, after) = line.split_once(" - ")?;
    let mut fields = before.split(' ').skip(3);
    let (root, mount) = (fields.next()?, unescaped(fields.next()?));
    let kind = after.split(' ').next()?;
    let options: Vec<&str> = after.split(' ').nth(2)?.split(',').collect();
    let (version, (names, path)) = match kind {
        "cgroup2" => (Version::V2, groups.iter().find(|(names, _)| names.is_empty())?),
        "cgroup" => {
            let here = |(names, _): &&(Vec<String>, &str)| {
                !names.is_empty() && names.iter().all(|name| options.contains(&name.as_str()))
            };
            (Version::V1, groups.iter().find(here)?)
        }
        _ => return None,
    };
    let below = Path::new(path).strip_prefix(root).ok()?;
    // A group outside what is mounted here cannot be reached.
    if below.components().any(|part| part == std::path::Component::ParentDir) {
        return None;
    }
    let path = if below == Path::new("") { mount.clone() } else { mount.join(below) };
    Some(Place { version, names: names.clone(), mount, path })
}

/// `mountinfo` writes spaces and the like as octal numbers.
fn unescaped(text: &str) -> PathBuf {
    let plain = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    PathBuf::from(plain.iter().fold(text.to_owned(), |text, (code, c)| text.replace(code, c)))
}
