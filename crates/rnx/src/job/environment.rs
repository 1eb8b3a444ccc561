//! The environment of a job.

use std::ffi::{OsStr, OsString};

use rnx_spec::runtime_yml::{PATH_PREPEND, RuntimeYml};

use super::{JobRequest, Surroundings, gpu};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Later layers win: defaults, the caller's few, the runtime's, the request's.
pub(super) fn of(
    yml: &RuntimeYml,
    request: &JobRequest,
    around: &Surroundings,
) -> Vec<(OsString, OsString)> {
    let mut env = vec![];
    for (name, value) in [("PATH", PATH), ("HOME", "/tmp"), ("USER", "job"), ("LOGNAME", "job")] {
        set(&mut env, name.as_ref(), value.as_ref());
    }
    for (name, value) in &around.env {
        set(&mut env, name, value);
    }
    let path = yml.environment.get("PATH").map_or(PATH, String::as_str);
    for (name, value) in &yml.environment {
        if name == PATH_PREPEND {
            let path = format!("{}:{path}", value.trim_matches(':'));
            set(&mut env, "PATH".as_ref(), path.as_ref());
        } else if name != "PATH" || !yml.environment.contains_key(PATH_PREPEND) {
            set(&mut env, name.as_ref(), value.as_ref());
        }
    }
    let root = request.user.uid == 0;
    if root {
        for name in ["USER", "LOGNAME"] {
            set(&mut env, name.as_ref(), "root".as_ref());
        }
    }
    if let Some(gpus) = &request.gpus {
        let of = |name: &str| env.iter().find(|(known, _)| known == name).map(|(_, v)| v.clone());
        for (name, value) in gpu::environment(gpus, of("PATH"), of("LD_LIBRARY_PATH")) {
            set(&mut env, &name, &value);
        }
    }
    for (name, value) in &request.env {
        set(&mut env, name, value);
    }
    env.retain(|(name, _)| !request.secrets.iter().any(|(secret, _)| secret == name));
    env
}

fn set(env: &mut Vec<(OsString, OsString)>, name: &OsStr, value: &OsStr) {
    match env.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => value.clone_into(old),
        None => env.push((name.to_owned(), value.to_owned())),
    }
}
