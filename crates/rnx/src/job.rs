//! What a job may do and see: an installed runtime and a request become a sandbox plan.

mod environment;
mod etc;
pub mod gpu;

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use rnx_sandbox::limits::Limits;
use rnx_sandbox::plan::{
    Access, Identity, Network, Privileges, Process, Root, SandboxPlan, Secret, Step,
};
use rnx_spec::runtime_yml::RuntimeYml;

use crate::gpu::Gpus;
use crate::upload::Upload;

/// The job's user and group, whoever runs it, if nothing else is asked for.
pub const JOB_ID: u32 = 1000;
/// Who a job of root is on the host: above all ids that distributions, users and container engines hand out.
pub const SHIFTED_ID: u32 = 1_900_000_000;
/// Where the caller's folder is in the job.
pub const WORK: &str = "/work";

const TMP_BYTES_MAX: u64 = 4 << 30;

/// A runtime that lies on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runtime {
    /// The folder of `runtime.yml`, absolute.
    pub dir: PathBuf,
    pub yml: RuntimeYml,
}

pub use self::etc::{ETC_FILES, NAME_FILES};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRequest {
    pub argv: Vec<OsString>,
    /// On top of the runtime's environment.
    pub env: Vec<(OsString, OsString)>,
    /// More of it, whose values are not shown.
    pub secrets: Vec<(OsString, Secret)>,
    pub volumes: Vec<Volume>,
    /// Copies in a private `/work`, instead of the caller's folder.
    pub uploads: Option<Vec<Upload>>,
    /// Where the command starts, in the job.
    pub workdir: PathBuf,
    pub network: Network,
    pub limits: Limits,
    pub gpus: Option<Gpus>,
    pub user: User,
}

/// Who the job is, as it sees itself. What stands behind it on the host does not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
}

impl User {
    /// `job`, who is nobody else.
    pub const JOB: Self = Self { uid: JOB_ID, gid: JOB_ID };
}

/// A file or folder of the host that the job sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    pub host: PathBuf,
    pub guest: PathBuf,
    pub access: Access,
}

/// What the plan depends on besides the request; read by [`crate::run::look`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    pub caller_is_root: bool,
    /// The caller's working directory, absolute.
    pub folder: PathBuf,
    /// `TERM`, `LANG` and `TZ`, as far as they are set.
    pub env: Vec<(OsString, OsString)>,
    /// What each mount of the runtime is, in the order of `runtime.yml`.
    pub mounts: Vec<MountKind>,
    /// Files of the job's `/etc` that the tree has, of those in [`ETC_FILES`].
    pub etc: Vec<&'static str>,
    /// The tree has an `/etc`; if not, the job's is made.
    pub has_etc: bool,
    /// Those of the host's `hosts` and `resolv.conf` in `/etc` that there are.
    pub host_names: Vec<&'static str>,
    /// The host's certificates to trust, one file.
    pub certificates: Option<PathBuf>,
}

/// What a mount's source is in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountKind {
    FileOrFolder,
    /// Becomes the same link in the job (`/bin` is one in most trees).
    Symlink(PathBuf),
}

/// A job that cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error(
        "the runtime {name} mounts `{target}`: a mount's target is an absolute path without `..`"
    )]
    Target { name: String, target: String },
    #[error("the volume `{}` cannot be in the job: its place is an absolute path without `..`, below `/`", .0.display())]
    VolumeTarget(PathBuf),
    #[error("the runtime {name} mounts `{}`, where a job's GPUs are", gpu::PLACE)]
    GpuPlace { name: String },
    #[error("the working directory `{}` is not an absolute path in the job", .0.display())]
    Workdir(PathBuf),
}

/// Decides everything about a job. Reads nothing.
pub fn plan(
    runtime: &Runtime,
    request: &JobRequest,
    around: &Surroundings,
) -> Result<SandboxPlan, JobError> {
    if !request.workdir.is_absolute() {
        return Err(JobError::Workdir(request.workdir.clone()));
    }
    let mut steps = mounts(runtime, around)?;
    steps.extend([
        Step::Dev { guest: "/dev".into() },
        Step::Proc { guest: "/proc".into(), masked: true },
        Step::Tmpfs { guest: "/tmp".into(), size_bytes_max: TMP_BYTES_MAX, mode: 0o1777 },
    ]);
    steps.extend(work(request, around));
    steps.extend(etc::steps(request, around));
    if let Some(gpus) = &request.gpus {
        steps.extend(gpu::steps(gpus, runtime)?);
    }
    for volume in &request.volumes {
        if !is_place(&volume.guest) {
            return Err(JobError::VolumeTarget(volume.guest.clone()));
        }
        steps.push(Step::Bind {
            host: volume.host.clone(),
            guest: volume.guest.clone(),
            access: volume.access,
        });
    }
    Ok(SandboxPlan {
        identity: identity(request.user, around),
        network: request.network,
        limits: request.limits.clone(),
        hostname: "job".to_owned(),
        root: Root::Tmpfs,
        steps,
        process: Process {
            argv: request.argv.clone(),
            env: environment::of(&runtime.yml, request, around),
            secrets: request.secrets.clone(),
            cwd: request.workdir.clone(),
            uid: request.user.uid,
            gid: request.user.gid,
            privileges: Privileges::Job,
        },
    })
}

fn identity(User { uid, gid }: User, around: &Surroundings) -> Identity {
    if around.caller_is_root {
        Identity::Shifted { host_uid: SHIFTED_ID, host_gid: SHIFTED_ID, uid, gid }
    } else {
        Identity::Single { uid, gid }
    }
}

/// Read-only whatever `runtime.yml` says: many jobs share an install. A parent comes before what is mounted in it.
fn mounts(runtime: &Runtime, around: &Surroundings) -> Result<Vec<Step>, JobError> {
    let mut sorted: Vec<_> = runtime.yml.mounts.iter().zip(&around.mounts).collect();
    sorted.sort_by_key(|(mount, _)| Path::new(&mount.target).components().count());
    sorted
        .into_iter()
        .map(|(mount, kind)| {
            let guest = PathBuf::from(&mount.target);
            if !is_place(&guest) {
                return Err(JobError::Target {
                    name: runtime.yml.name.clone(),
                    target: mount.target.clone(),
                });
            }
            Ok(match kind {
                MountKind::Symlink(target) => Step::Symlink { guest, target: target.clone() },
                MountKind::FileOrFolder => Step::Bind {
                    host: runtime.dir.join(&mount.source),
                    guest,
                    access: Access::ReadOnly,
                },
            })
        })
        .collect()
}

/// The caller's folder, or a private one with copies. One called from `/` would hand out the whole host, and gets an
/// empty one.
fn work(request: &JobRequest, around: &Surroundings) -> Vec<Step> {
    let guest = PathBuf::from(WORK);
    if request.uploads.is_none() && around.folder != Path::new("/") {
        return vec![Step::Bind { host: around.folder.clone(), guest, access: Access::ReadWrite }];
    }
    let uploads = request.uploads.iter().flatten().map(|upload| Step::Copy {
        host: upload.folder.clone(),
        guest: guest.clone(),
        entries: upload.entries.clone(),
    });
    let own = Step::Tmpfs { guest: guest.clone(), size_bytes_max: TMP_BYTES_MAX, mode: 0o1777 };
    [own].into_iter().chain(uploads).collect()
}

/// A path that names one place in the job, other than its root.
fn is_place(path: &Path) -> bool {
    path.is_absolute()
        && path.components().count() > 1
        && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
}
