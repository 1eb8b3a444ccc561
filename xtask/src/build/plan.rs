//! What a build does in its chroot, as a sandbox plan: pure.

use std::path::{Path, PathBuf};

use rnx_sandbox::limits::Limits;
use rnx_sandbox::plan::{Access, Identity, Network, Privileges, Process, Root, SandboxPlan, Step};
use rnx_spec::manifest::BuildNetwork;

use super::contract::{
    self, APT_CONFIG, CA_BUNDLE, DEFINITION_DIR, LIB_DIR, LIB_FILE, SOURCES_DIR, ScriptEnvironment,
};

/// The folders of one build on the host; all below one work folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkFolder {
    pub root: PathBuf,
}

/// The files of the host that a chroot shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFiles {
    /// The folder of shared shell functions; none if the repository has no `runtimes/lib/`.
    pub lib: Option<PathBuf>,
    pub ca_bundle: Option<PathBuf>,
    /// The host's `/etc/resolv.conf` and `/etc/hosts`, links resolved, where they exist.
    pub resolver: Vec<(PathBuf, PathBuf)>,
}

/// Everything that decides what happens in the chroot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChrootInputs<'a> {
    pub base: &'a Path,
    pub work: &'a WorkFolder,
    pub host: &'a HostFiles,
    pub identity: &'a Identity,
    pub network: BuildNetwork,
    pub environment: ScriptEnvironment<'a>,
}

impl WorkFolder {
    /// Where the overlay keeps what the script changed.
    pub fn upper(&self) -> PathBuf {
        self.root.join("upper")
    }

    /// The overlay's own scratch folder.
    pub fn overlay(&self) -> PathBuf {
        self.root.join("work")
    }

    /// The copy of the definition that the script runs in.
    pub fn definition(&self) -> PathBuf {
        self.root.join("definition")
    }

    /// What is packed, until it has passed its tests.
    pub fn dist(&self) -> PathBuf {
        self.root.join("dist")
    }

    /// The packed runtime, unpacked again for its tests.
    pub fn unpacked(&self) -> PathBuf {
        self.root.join("unpacked")
    }

    /// The verified sources under the names the manifest gives them.
    pub fn sources(&self) -> PathBuf {
        self.root.join("sources")
    }
}

/// Returns the chroot in which `argv` runs: the setup script, or a shell to look around.
pub fn chroot(inputs: &ChrootInputs<'_>, argv: &[&str]) -> SandboxPlan {
    let work = inputs.work;
    let bind =
        |host: PathBuf, guest: &str, access| Step::Bind { host, guest: guest.into(), access };
    let mut steps = vec![
        Step::Proc { guest: "/proc".into(), masked: true },
        Step::Dev { guest: "/dev".into() },
        bind(work.definition(), DEFINITION_DIR, Access::ReadWrite),
        bind(work.sources(), SOURCES_DIR, Access::ReadOnly),
    ];
    if let Some(lib) = &inputs.host.lib {
        steps.push(bind(lib.clone(), LIB_DIR, Access::ReadOnly));
        steps.push(bind(lib.join("lib.sh"), LIB_FILE, Access::ReadOnly));
    }
    if let Some(bundle) = &inputs.host.ca_bundle {
        steps.push(bind(bundle.clone(), CA_BUNDLE, Access::ReadOnly));
        steps.push(bind(work.root.join("apt.conf"), APT_CONFIG, Access::ReadOnly));
    }
    if inputs.network == BuildNetwork::Host {
        for (host, guest) in &inputs.host.resolver {
            steps.push(Step::Bind {
                host: host.clone(),
                guest: guest.clone(),
                access: Access::ReadOnly,
            });
        }
    }
    SandboxPlan {
        identity: inputs.identity.clone(),
        network: match inputs.network {
            BuildNetwork::Host => Network::Host,
            BuildNetwork::None => Network::None,
        },
        limits: Limits::default(),
        hostname: "joblet-build".to_owned(),
        root: Root::Overlay {
            lower: vec![inputs.base.to_owned()],
            upper: work.upper(),
            work: work.overlay(),
        },
        steps,
        process: Process {
            argv: argv.iter().map(Into::into).collect(),
            env: contract::environment(&inputs.environment),
            secrets: Vec::new(),
            cwd: DEFINITION_DIR.into(),
            uid: 0,
            gid: 0,
            privileges: Privileges::Build,
        },
    }
}
