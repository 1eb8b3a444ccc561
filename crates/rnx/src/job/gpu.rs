//! A job's GPUs, at places that no runtime's tree has a part in.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rnx_sandbox::plan::{Access, Step};

use super::{JobError, Runtime};
use crate::gpu::{Gpus, LIBRARIES, PROGRAMS};

/// What is shown of the driver is below this folder.
pub(super) const PLACE: &str = "/gpu";

pub(super) fn steps(gpus: &Gpus, runtime: &Runtime) -> Result<Vec<Step>, JobError> {
    let mounted = |place: &Path| is_mounted(place, runtime);
    // Nor below: a link of the tree there would lead elsewhere.
    let below = runtime.yml.mounts.iter().any(|mount| Path::new(&mount.target).starts_with(PLACE));
    if below || mounted(Path::new(PLACE)) {
        return Err(JobError::GpuPlace { name: runtime.yml.name.clone() });
    }
    let bind = |host: &Path, guest: PathBuf| Step::Bind {
        host: host.to_owned(),
        guest,
        access: Access::ReadOnly,
    };
    let mut steps: Vec<Step> = gpus
        .devices
        .iter()
        .map(|(host, guest)| Step::Device { host: host.clone(), guest: guest.clone() })
        .collect();
    for (folder, files) in [(LIBRARIES, &gpus.libraries), (PROGRAMS, &gpus.programs)] {
        let mut known: Vec<&str> = Vec::new();
        for (host, name) in files {
            if !known.contains(&name.as_str()) {
                known.push(name);
                steps.push(bind(host, Path::new(folder).join(name)));
            }
        }
    }
    let mut known: Vec<&str> = gpus.libraries.iter().map(|(_, name)| name.as_str()).collect();
    for (name, target) in &gpus.links {
        if !known.contains(&name.as_str()) {
            known.push(name);
            let guest = Path::new(LIBRARIES).join(name);
            steps.push(Step::Symlink { guest, target: target.into() });
        }
    }
    // Below a folder of the runtime nothing can be made, and a link of its tree would lead elsewhere.
    let places = gpus.files.iter().filter(|(_, guest)| !mounted(guest));
    steps.extend(places.map(|(host, guest)| bind(host, guest.clone())));
    let system = gpus.system.iter().filter(|place| !mounted(place));
    steps.extend(system.map(|place| bind(place, place.clone())));
    Ok(steps)
}

/// The files of `gpus` that the job is not shown, as the runtime has something at their places.
pub fn covered<'a>(gpus: &'a Gpus, runtime: &'a Runtime) -> impl Iterator<Item = &'a Path> {
    let places = gpus.files.iter().map(|(_, guest)| guest.as_path());
    places.filter(|place| is_mounted(place, runtime))
}

fn is_mounted(place: &Path, runtime: &Runtime) -> bool {
    runtime.yml.mounts.iter().any(|mount| place.starts_with(&mount.target))
}

/// What the job's environment needs for them, on top of `path` and `libraries`, which are those of the job without.
pub(super) fn environment(
    gpus: &Gpus,
    path: Option<OsString>,
    libraries: Option<OsString>,
) -> Vec<(OsString, OsString)> {
    let mut own: Vec<(OsString, OsString)> =
        gpus.env.iter().map(|(name, value)| (name.into(), value.into())).collect();
    let joined = |first: OsString, then: Option<OsString>| match then {
        Some(then) if !then.is_empty() => [first, then].join(":".as_ref()),
        _ => first,
    };
    // The driver's libraries belong to the host's kernel: a runtime's own would be of another version.
    own.push(("LD_LIBRARY_PATH".into(), joined(LIBRARIES.into(), libraries)));
    if !gpus.programs.is_empty() {
        own.push(("PATH".into(), joined(path.unwrap_or_default(), Some(PROGRAMS.into()))));
    }
    own
}
