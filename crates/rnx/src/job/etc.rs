//! The few files of `/etc` that are the job's own or the host's, whatever the runtime's tree has.

use std::path::{Path, PathBuf};

use rnx_sandbox::plan::{Access, Network, Step};

use super::{JobRequest, Surroundings, User};

/// Files below `/etc` that a plan may show something else for, if the tree has them.
pub const ETC_FILES: [&str; 7] =
    ["passwd", "group", "hosts", "resolv.conf", CERTIFICATES[0], CERTIFICATES[1], CERTIFICATES[2]];

/// What a host knows of names.
pub const NAME_FILES: [&str; 2] = ["hosts", "resolv.conf"];

/// Where Debian's and Fedora's families keep the certificates to trust.
const CERTIFICATES: [&str; 3] = [
    "ssl/certs/ca-certificates.crt",
    "pki/tls/certs/ca-bundle.crt",
    "pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
];

/// The job's own user, and with the host's network the host's way to resolve names and to trust certificates.
pub(super) fn steps(request: &JobRequest, around: &Surroundings) -> Vec<Step> {
    let User { uid, gid } = request.user;
    let line = |id: u32, text: String| if id == 0 { String::new() } else { text };
    let own = [
        (
            "passwd",
            format!(
                "root:x:0:0:root:{}:/bin/sh\n{}nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
                if uid == 0 { "/tmp" } else { "/root" },
                line(uid, format!("job:x:{uid}:{gid}:job:/tmp:/bin/sh\n")),
            ),
        ),
        ("group", format!("root:x:0:\n{}nogroup:x:65534:\n", line(gid, format!("job:x:{gid}:\n")))),
    ];
    let mut steps = Vec::new();
    for (name, content) in own {
        let (guest, content) = (Path::new("/etc").join(name), content.into_bytes());
        if around.etc.contains(&name) {
            steps.push(Step::Cover { guest, content });
        } else if !around.has_etc {
            steps.push(Step::File { guest, content, mode: 0o644 });
        }
    }
    if request.network == Network::Host {
        steps.extend(of_host(around));
    }
    steps
}

fn of_host(around: &Surroundings) -> Vec<Step> {
    let bind = |host: PathBuf, name: &str| Step::Bind {
        host,
        guest: Path::new("/etc").join(name),
        access: Access::ReadOnly,
    };
    let names = around
        .host_names
        .iter()
        .filter(|name| around.etc.contains(name) || !around.has_etc)
        .map(|name| bind(Path::new("/etc").join(name), name));
    // A host behind an inspecting proxy trusts its certificate, which no runtime has.
    let certificates = CERTIFICATES
        .into_iter()
        .filter(|name| around.etc.contains(name) || (!around.has_etc && *name == CERTIFICATES[0]))
        .filter_map(|name| Some(bind(around.certificates.clone()?, name)));
    names.chain(certificates).collect()
}
