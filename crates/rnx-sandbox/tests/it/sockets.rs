//! Abstract sockets of the host, which the network namespace alone would hide.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use rnx_sandbox::plan::{Identity, Network, Privileges};
use rnx_sandbox::spawn::Exit;

use crate::attacks::plan_of;
use crate::support::output;

const PROBE: &str = "RNX_SANDBOX_SOCKET_PROBE";
const ARGUMENTS: [&str; 3] = ["sockets::probe", "--exact", "--nocapture"];
const HOST: &[u8] = b"rnx-sandbox-test-host";

fn address(name: &[u8]) -> SocketAddr {
    SocketAddr::from_abstract_name(name).unwrap()
}

/// Not a test outside: tries to connect, when it is run inside a sandbox.
#[test]
fn probe() {
    if std::env::var_os(PROBE).is_none() {
        return;
    }
    let own = UnixListener::bind_addr(&address(b"rnx-sandbox-test-own")).unwrap();
    UnixStream::connect_addr(&own.local_addr().unwrap()).unwrap();
    let host = UnixStream::connect_addr(&address(HOST)).map_err(|error| error.kind());
    println!("\nprobe {host:?}");
}

#[test]
fn a_sandbox_with_the_hosts_network_cannot_reach_the_hosts_abstract_sockets() {
    if !kernel_has_scopes() {
        eprintln!("skipped: Landlock of this kernel has no scopes (Linux 6.12)");
        return;
    }
    let _listening = UnixListener::bind_addr(&address(HOST)).unwrap();
    for privileges in [Privileges::Job, Privileges::Build] {
        let mut plan = plan_of(PROBE, &ARGUMENTS);
        plan.network = Network::Host;
        if privileges == Privileges::Build {
            plan.identity = Identity::Single { uid: 0, gid: 0 };
            (plan.process.uid, plan.process.gid) = (0, 0);
        }
        plan.process.privileges = privileges;
        let (text, exit) = output(&plan).unwrap();
        assert_eq!(exit, Exit::Code(0), "{text}");
        assert!(text.contains("probe Err(PermissionDenied)"), "{privileges:?}: {text}");
    }
}

#[expect(unsafe_code, reason = "no library asks for the version")]
fn kernel_has_scopes() -> bool {
    // SAFETY: with this flag the call reads no memory and returns the version.
    let version = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0usize, 1u32)
    };
    version >= 6
}
