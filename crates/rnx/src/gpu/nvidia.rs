//! NVIDIA's device nodes and driver libraries, found as they lie on the host.

use std::path::Path;

use fs_err as fs;

use super::{GpuError, Gpus, loader_cache};

/// Nodes that every GPU needs, where they are.
const COMMON: [&str; 4] = ["nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset"];

/// How the driver's libraries are called; what begins so and belongs to CUDA itself is a runtime's own.
const LIBRARIES: [&str; 8] = [
    "libcuda.so",
    "libcudadebugger.so",
    "libnvcuvid.so",
    "libnvidia-",
    "libnvoptix.so",
    "libEGL_nvidia.so",
    "libGLX_nvidia.so",
    "libnvrm",
];

const PROGRAMS: [&str; 3] = ["nvidia-smi", "nvidia-debugdump", "nvidia-cuda-mps-control"];

/// Folders that are looked into where the loader's cache does not know the driver.
const FOLDERS: [&str; 6] = [
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
    "usr/lib64",
    "usr/lib",
    "usr/local/nvidia/lib64",
    "usr/lib/wsl/lib",
];

/// The numbers of the GPUs.
pub(super) fn nodes(root: &Path) -> Vec<usize> {
    // A host without `/dev` has no GPU.
    let entries = fs::read_dir(root.join("dev")).into_iter().flatten().flatten();
    let mut numbers: Vec<usize> = entries
        .filter_map(|entry| entry.file_name().to_str()?.strip_prefix("nvidia")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers
}

/// What a job with these GPUs needs.
pub(super) fn gpus(numbers: &[usize], root: &Path) -> Result<Gpus, GpuError> {
    let mut gpus =
        Gpus { source: "device nodes and libraries of the host".to_owned(), ..Gpus::default() };
    let own = numbers.iter().map(|number| format!("nvidia{number}"));
    for name in COMMON.map(str::to_owned).into_iter().chain(own) {
        let host = root.join("dev").join(&name);
        if host.exists() {
            gpus.devices.push((host, Path::new("/dev").join(name)));
        }
    }
    gpus.names = numbers.iter().map(|number| format!("nvidia{number}")).collect();
    gpus.libraries = loader_cache::libraries(root, &is_driver);
    if gpus.libraries.is_empty() {
        gpus.libraries = in_folders(root);
    }
    if !gpus.libraries.iter().any(|(_, name)| name == "libcuda.so.1") {
        return Err(GpuError::NoDriver);
    }
    for name in PROGRAMS {
        let host = root.join("usr/bin").join(name);
        if host.exists() {
            gpus.programs.push((host, name.to_owned()));
        }
    }
    Ok(gpus)
}

fn is_driver(name: &str) -> bool {
    name.contains(".so") && LIBRARIES.iter().any(|prefix| name.starts_with(prefix))
}

/// The driver's libraries of the first folder that has its main one.
fn in_folders(root: &Path) -> Vec<(std::path::PathBuf, String)> {
    for folder in FOLDERS.map(|folder| root.join(folder)) {
        if !folder.join("libcuda.so.1").exists() {
            continue;
        }
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        let mut found: Vec<_> = entries
            .filter_map(|entry| Some((entry.path(), entry.file_name().to_str()?.to_owned())))
            // A dangling link is none.
            .filter(|(path, name)| is_driver(name) && path.exists())
            .collect();
        found.sort();
        return found;
    }
    Vec::new()
}
