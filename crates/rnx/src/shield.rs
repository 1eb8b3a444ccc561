//! Installs are read-only to jobs on every way: also where a job's working folder or a volume has them in it.
//!
//! Files are shared between installs, so that what one job changed would be changed for all. An ordinary user's job has
//! the user's rights, and root's writes to volumes with an idmapped mount: only a mount keeps them from it.

use std::path::{Path, PathBuf};

use rnx_sandbox::plan::{Access, SandboxPlan, Step};

/// Returns the base folder that a runtime's folder lies in, if it is one of this program.
pub fn base_of(runtime: &Path) -> Option<PathBuf> {
    runtime.parent().filter(|base| base.join(".state").is_dir()).map(Path::to_owned)
}

/// Lets the job see the base folders `bases` read-only, wherever a step before showed them writable.
///
/// Looks at the disk, as a folder may be reached by other names than its own.
pub fn apply(plan: &mut SandboxPlan, bases: &[PathBuf]) {
    // A base that is not there has no installs.
    let bases: Vec<PathBuf> = bases.iter().filter_map(|base| canonical(base)).collect();
    let steps = std::mem::take(&mut plan.steps);
    for mut step in steps {
        let mut covers = Vec::new();
        if let Step::Bind { host, guest, access } = &mut step
            && *access == Access::ReadWrite
            && let Some(host) = canonical(host)
        {
            for base in &bases {
                if host.starts_with(base) {
                    *access = Access::ReadOnly;
                } else if let Ok(below) = base.strip_prefix(&host) {
                    let (host, guest) = (base.clone(), guest.join(below));
                    covers.push(Step::Bind { host, guest, access: Access::ReadOnly });
                }
            }
        }
        plan.steps.push(step);
        plan.steps.extend(covers);
    }
}

fn canonical(path: &Path) -> Option<PathBuf> {
    fs_err::canonicalize(path).ok()
}
