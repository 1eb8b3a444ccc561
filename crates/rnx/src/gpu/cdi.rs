//! Container Device Interface specifications (github.com/cncf-tags/container-device-interface, SPEC.md 0.8).

use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::Deserialize;

use super::{GpuError, Gpus, is_plain, on_host};

/// Where specifications are; one in the later folder wins.
pub(super) const FOLDERS: [&str; 2] = ["etc/cdi", "var/run/cdi"];

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec {
    kind: String,
    devices: Vec<Device>,
    #[serde(default)]
    container_edits: Edits,
    #[serde(skip)]
    path: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Device {
    name: String,
    #[serde(default)]
    container_edits: Edits,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Edits {
    env: Vec<String>,
    device_nodes: Vec<DeviceNode>,
    mounts: Vec<Mount>,
    hooks: Vec<Hook>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeviceNode {
    path: PathBuf,
    host_path: Option<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mount {
    host_path: PathBuf,
    container_path: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hook {
    #[serde(default)]
    args: Vec<String>,
}

/// Reads all specifications, those that win first; and why others cannot be used.
pub(super) fn read(root: &Path) -> Result<(Vec<Spec>, Vec<GpuError>), GpuError> {
    let (mut specs, mut unusable) = (Vec::new(), Vec::new());
    for folder in FOLDERS.iter().rev() {
        let folder = root.join(folder);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(source) => return Err(GpuError::Folder { path: folder, source }),
        };
        let mut paths = Vec::new();
        for entry in entries {
            let entry =
                entry.map_err(|source| GpuError::Folder { path: folder.clone(), source })?;
            paths.push(entry.path());
        }
        paths.sort();
        for path in paths {
            match parse(path) {
                Ok(spec) => specs.extend(spec),
                Err(error) => unusable.push(error),
            }
        }
    }
    Ok((specs, unusable))
}

fn parse(path: PathBuf) -> Result<Option<Spec>, GpuError> {
    let kind = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    if !matches!(kind, "json" | "yaml") {
        return Ok(None);
    }
    let text = fs::read_to_string(&path)
        .map_err(|source| GpuError::ReadSpec { path: path.clone(), source })?;
    let parsed: Result<Spec, Box<dyn std::error::Error + Send + Sync>> = if kind == "json" {
        serde_json::from_str(&text).map_err(Into::into)
    } else {
        serde_saphyr::from_str(&text).map_err(Into::into)
    };
    match parsed {
        Ok(spec) => Ok(Some(Spec { path, ..spec })),
        Err(source) => Err(GpuError::ParseSpec { path, source }),
    }
}

/// The GPUs that have a number for a name: number and full name, of the first kind that has any.
pub(super) fn gpus(specs: &[Spec]) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    for spec in specs.iter().filter(|spec| spec.kind.ends_with("/gpu")) {
        for device in &spec.devices {
            let full = format!("{}={}", spec.kind, device.name);
            let Ok(number) = device.name.parse() else { continue };
            let same_kind = found.first().is_none_or(|(_, name)| name.starts_with(&spec.kind));
            if same_kind && !found.iter().any(|(_, known)| *known == full) {
                found.push((number, full));
            }
        }
    }
    found.sort();
    found
}

/// The device of this full name.
pub(super) fn named(specs: &[Spec], name: &str, root: &Path) -> Result<Gpus, GpuError> {
    let known: Vec<String> = specs
        .iter()
        .flat_map(|spec| spec.devices.iter().map(|device| format!("{}={}", spec.kind, device.name)))
        .collect();
    if known.iter().any(|known| known == name) {
        Ok(edits(specs, &[name], root))
    } else {
        Err(GpuError::Unknown { name: name.to_owned(), known })
    }
}

/// What the devices of these full names bring with them.
pub(super) fn edits(specs: &[Spec], names: &[&str], root: &Path) -> Gpus {
    let mut gpus = Gpus::default();
    let mut used: Vec<&Path> = Vec::new();
    for name in names {
        let found = specs.iter().find_map(|spec| {
            let device = spec.devices.iter().find(|d| *name == format!("{}={}", spec.kind, d.name));
            device.map(|device| (spec, device))
        });
        let Some((spec, device)) = found else { continue };
        if !used.contains(&spec.path.as_path()) {
            used.push(&spec.path);
            add(&mut gpus, &spec.container_edits, root);
        }
        add(&mut gpus, &device.container_edits, root);
        gpus.names.push((*name).to_owned());
    }
    let sources: Vec<String> = used.iter().map(|path| path.display().to_string()).collect();
    gpus.source = sources.join(", ");
    gpus
}

fn add(gpus: &mut Gpus, edits: &Edits, root: &Path) {
    for text in &edits.env {
        if let Some((name, value)) = text.split_once('=') {
            gpus.env.push((name.to_owned(), value.to_owned()));
        }
    }
    for node in &edits.device_nodes {
        let host = on_host(root, node.host_path.as_ref().unwrap_or(&node.path));
        let known = gpus.devices.iter().any(|(_, guest)| *guest == node.path);
        if known {
            continue;
        }
        if !is_plain(&node.path) || !node.path.starts_with("/dev") {
            gpus.left_out.push(format!("device {}: not below /dev", node.path.display()));
        } else if host.exists() {
            gpus.devices.push((host, node.path.clone()));
        } else {
            gpus.left_out.push(format!("device {}: not on this host", node.path.display()));
        }
    }
    for mount in &edits.mounts {
        place(gpus, mount, root);
    }
    for hook in &edits.hooks {
        links(gpus, hook);
    }
}

/// Sorts by what a mount is: the job's `/usr` is the runtime's and read-only, so nothing can be put into it.
fn place(gpus: &mut Gpus, mount: &Mount, root: &Path) {
    let (host, guest) = (on_host(root, &mount.host_path), &mount.container_path);
    let name = guest.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    if !is_plain(guest) {
        gpus.left_out.push(format!("{}: no plain path", guest.display()));
    } else if !host.exists() {
        gpus.left_out.push(format!("{}: not on this host", mount.host_path.display()));
    } else if name.contains(".so") {
        gpus.libraries.push((host, name));
    } else if guest.parent().is_some_and(|folder| folder.ends_with("bin")) {
        gpus.programs.push((host, name));
    } else {
        gpus.files.push((host, guest.clone()));
    }
}

/// A specification's hooks are programs that would run as the caller in the job's tree: none is run. What they are there
/// for, links beside the libraries, is done.
fn links(gpus: &mut Gpus, hook: &Hook) {
    let action = hook.args.get(1).map_or("", String::as_str);
    let action =
        if action == "hook" { hook.args.get(2).map_or("", String::as_str) } else { action };
    match action {
        "create-symlinks" => {
            let mut args = hook.args.iter();
            while let Some(arg) = args.next() {
                let link = arg
                    .strip_prefix("--link=")
                    .or_else(|| (arg == "--link").then(|| args.next().map_or("", String::as_str)));
                let Some((target, place)) = link.and_then(|link| link.split_once("::")) else {
                    continue;
                };
                let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
                gpus.links.push((name(place), name(target)));
            }
        }
        // The job's libraries are found by `LD_LIBRARY_PATH`.
        "update-ldcache" => {}
        other => gpus.left_out.push(format!("hook {other}: hooks are not run")),
    }
}
