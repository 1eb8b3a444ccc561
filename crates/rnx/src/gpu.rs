//! The GPUs of this host, and what of its driver a job needs: by Container Device Interface specifications, or by
//! looking for NVIDIA's device nodes and libraries.
//!
//! Everything is shown at places of the job's own (`/gpu`, `/dev`), so no link of a runtime's tree is on the way.

mod cdi;
mod loader_cache;
mod nvidia;

use std::io;
use std::num::NonZeroUsize;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

/// Where the driver's libraries and programs are in a job.
pub const LIBRARIES: &str = "/gpu/lib";
pub const PROGRAMS: &str = "/gpu/bin";

/// Folders of `/sys` in which drivers look for their devices; a board without PCI has not all of them.
const SYSTEM: [&str; 3] = ["/sys/bus/pci", "/sys/devices", "/sys/module"];

/// Which GPUs are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuRequest {
    pub which: Which,
    /// Only GPUs with at least this much memory of their own.
    pub memory_bytes_min: Option<u64>,
}

/// How many, or the one of this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    All,
    /// The first ones by number.
    Count(NonZeroUsize),
    /// A name of a CDI device, as `nvidia.com/gpu=0`.
    Named(String),
}

/// What a job is given of the host's GPUs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gpus {
    /// The GPUs, as their specification or their device nodes name them.
    pub names: Vec<String>,
    /// Where this was found.
    pub source: String,
    /// Device nodes: on the host, in the job.
    pub devices: Vec<(PathBuf, PathBuf)>,
    /// Libraries of the host, and their names in [`LIBRARIES`].
    pub libraries: Vec<(PathBuf, String)>,
    /// Links in [`LIBRARIES`]: name, target.
    pub links: Vec<(String, String)>,
    /// Programs of the host, and their names in [`PROGRAMS`].
    pub programs: Vec<(PathBuf, String)>,
    /// Other files and folders: on the host, in the job.
    pub files: Vec<(PathBuf, PathBuf)>,
    /// Folders of the host's `/sys` that its driver looks into.
    pub system: Vec<PathBuf>,
    pub env: Vec<(String, String)>,
    /// What a specification asks for and a job does not get, and why.
    pub left_out: Vec<String>,
}

/// There is no such GPU for a job.
#[derive(Debug, thiserror::Error)]
pub enum GpuError {
    #[error("this host shows no GPU: no CDI specification in {}, no /dev/nvidia0", looked.join(", "))]
    None { looked: Vec<String> },
    #[error("{asked} GPUs are asked for, and this host has {found}{}", memory(*memory_bytes_min))]
    TooFew { asked: usize, found: usize, memory_bytes_min: Option<u64> },
    #[error("there is no GPU `{name}`; there are: {}", known.join(", "))]
    Unknown { name: String, known: Vec<String> },
    #[error("failed to read the folder of CDI specifications `{}`", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("failed to read the CDI specification `{}`", path.display())]
    ReadSpec { path: PathBuf, source: io::Error },
    #[error("the CDI specification `{}` is not valid", path.display())]
    ParseSpec { path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the GPU `{name}` has less than {memory_bytes_min} bytes of memory")]
    TooSmall { name: String, memory_bytes_min: u64 },
    #[error(
        "how much memory the GPU `{name}` has cannot be told: only NVIDIA's are known, by number"
    )]
    MemoryUnknown { name: String },
    #[error("the driver's library libcuda.so.1 is not on this host, though its devices are")]
    NoDriver,
    #[error("failed to ask `{}` how much memory the GPUs have", program.display())]
    AskMemory { program: PathBuf, source: io::Error },
    #[error("`{}` does not say how much memory the GPUs have: {said}", program.display())]
    Memory { program: PathBuf, said: String },
}

fn memory(bytes_min: Option<u64>) -> String {
    bytes_min.map_or_else(String::new, |bytes| format!(" with at least {bytes} bytes of memory"))
}

/// Finds what a request means on the host whose files are below `root` (`/`, but in tests).
///
/// A specification that cannot be read is left out, and said to be; it is why there is no GPU if there is none without it.
pub fn find(request: &GpuRequest, root: &Path) -> Result<Gpus, GpuError> {
    let (specs, mut unusable) = cdi::read(root)?;
    match among(request, &specs, root) {
        Ok(mut gpus) => {
            gpus.left_out.extend(unusable.iter().map(causes));
            let is_there = |place: &PathBuf| on_host(root, place).is_dir();
            gpus.system = SYSTEM.map(PathBuf::from).into_iter().filter(is_there).collect();
            Ok(gpus)
        }
        Err(GpuError::None { .. } | GpuError::TooFew { .. } | GpuError::Unknown { .. })
            if !unusable.is_empty() =>
        {
            Err(unusable.swap_remove(0))
        }
        Err(other) => Err(other),
    }
}

fn among(request: &GpuRequest, specs: &[cdi::Spec], root: &Path) -> Result<Gpus, GpuError> {
    if let Which::Named(name) = &request.which {
        let gpus = cdi::named(specs, name, root)?;
        if let Some(memory_bytes_min) = request.memory_bytes_min
            && !has_memory(nvidia_number(name)?, memory_bytes_min, root)?
        {
            return Err(GpuError::TooSmall { name: name.clone(), memory_bytes_min });
        }
        return Ok(gpus);
    }
    let from_specs = cdi::gpus(specs);
    let nodes = if from_specs.is_empty() { nvidia::nodes(root) } else { Vec::new() };
    let all: Vec<usize> = from_specs.iter().map(|(number, _)| *number).chain(nodes).collect();
    if all.is_empty() {
        return Err(GpuError::None {
            looked: cdi::FOLDERS.map(|name| format!("/{name}")).to_vec(),
        });
    }
    let mut numbers = Vec::new();
    if let (Some(_), Some((_, name))) = (request.memory_bytes_min, from_specs.first()) {
        nvidia_number(name)?;
    }
    for number in all {
        let enough = request.memory_bytes_min.map(|bytes_min| has_memory(number, bytes_min, root));
        if enough.transpose()?.unwrap_or(true) {
            numbers.push(number);
        }
    }
    let asked = match request.which {
        Which::Count(count) => count.get(),
        _ => 1,
    };
    if numbers.len() < asked {
        let (found, memory_bytes_min) = (numbers.len(), request.memory_bytes_min);
        return Err(GpuError::TooFew { asked, found, memory_bytes_min });
    }
    if matches!(request.which, Which::Count(_)) {
        numbers.truncate(asked);
    }
    if from_specs.is_empty() {
        return nvidia::gpus(&numbers, root);
    }
    let chosen: Vec<&str> = from_specs
        .iter()
        .filter(|(number, _)| numbers.contains(number))
        .map(|(_, name)| name.as_str())
        .collect();
    Ok(cdi::edits(specs, &chosen, root))
}

/// The number of an NVIDIA GPU, as `nvidia.com/gpu=0` has it in its name.
fn nvidia_number(name: &str) -> Result<usize, GpuError> {
    let number = name.strip_prefix("nvidia.com/gpu=").and_then(|number| number.parse().ok());
    number.ok_or_else(|| GpuError::MemoryUnknown { name: name.to_owned() })
}

fn has_memory(number: usize, bytes_min: u64, root: &Path) -> Result<bool, GpuError> {
    Ok(memory_bytes(root)?.iter().any(|(index, bytes)| *index == number && *bytes >= bytes_min))
}

/// An error and its causes in a line.
fn causes(error: &GpuError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        // A parser shows the place over several lines.
        let cause_text = cause.to_string();
        // A cause without text adds nothing.
        text = format!("{text}: {}", cause_text.lines().next().unwrap_or_default());
        next = cause.source();
    }
    text
}

/// The memory of each GPU by number, as the driver's own program tells; the kernel has no file about it.
fn memory_bytes(root: &Path) -> Result<Vec<(usize, u64)>, GpuError> {
    let program = root.join("usr/bin/nvidia-smi");
    let output = Command::new(&program)
        .args(["--query-gpu=index,memory.total", "--format=csv,noheader,nounits"])
        .output()
        .map_err(|source| GpuError::AskMemory { program: program.clone(), source })?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = said.lines().map(|line| {
        let (index, mebibytes) = line.split_once(',')?;
        Some((
            index.trim().parse().ok()?,
            mebibytes.trim().parse::<u64>().ok()?.checked_mul(1 << 20)?,
        ))
    });
    match lines.collect() {
        Some(found) if output.status.success() => Ok(found),
        _ => Err(GpuError::Memory { program, said: said.trim().to_owned() }),
    }
}

/// The file of the host that `path` names.
fn on_host(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Whether the path names one place below `/` without turning back.
fn is_plain(path: &Path) -> bool {
    path.is_absolute()
        && path.components().count() > 1
        && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
}

#[cfg(test)]
mod tests;
