//! The seccomp filter of jobs and builds, assembled by the compiler: starting a job pays for loading it, not for making it.
//!
//! Written here because `seccompiler` gives one action to all rules (we need `ENOSYS` for `clone3`, so that the C library
//! falls back to `clone`, whose flags can be looked at) and does not refuse the x32 system calls, whose numbers pass by any deny list.
//! Denied: what Docker's default profile denies to a container without capabilities, and every call newer than this list.

use libc::{c_long, sock_filter};

const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_GREATER: u16 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
const JUMP_AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

const OFFSET_NR: u32 = 0;
const OFFSET_ARCH: u32 = 4;
// Low words of the first and the second argument; both architectures are little-endian.
const OFFSET_ARG0: u32 = 16;
const OFFSET_ARG1: u32 = 24;

const RET_KILL_PROCESS: u32 = 0x8000_0000;
const RET_ALLOW: u32 = 0x7fff_0000;
const RET_EPERM: u32 = 0x0005_0001;
const RET_ENOSYS: u32 = 0x0005_0026;

#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xc000_00b7;

/// `mseal`: later calls, and all of x32 (bit 30 of the number), are refused until someone has looked at them.
const NR_MAX: u32 = 462;

/// The `CLONE_NEW*` flags that fit in `clone`: ns, cgroup, uts, ipc, user, pid, net.
const CLONE_NEW: u32 = 0x7e02_0000;
const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541c;
const AF_VSOCK: u32 = 40;
/// `PER_LINUX`, `PER_LINUX32`, both with `UNAME26`, and the question what is set.
const PERSONALITIES: [u32; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

const DENIED: [c_long; 60] = [
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_get_mempolicy,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_mbind,
    libc::SYS_migrate_pages,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_move_pages,
    libc::SYS_nfsservctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_madvise,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_set_mempolicy,
    SYS_SET_MEMPOLICY_HOME_NODE,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
    SYS_STATMOUNT,
    SYS_LISTMOUNT,
    ONLY_X86[0],
    ONLY_X86[1],
    ONLY_X86[2],
    ONLY_X86[3],
    ONLY_X86[4],
    ONLY_X86[5],
];
const SYS_SET_MEMPOLICY_HOME_NODE: c_long = 450;
const SYS_STATMOUNT: c_long = 457;
const SYS_LISTMOUNT: c_long = 458;

#[cfg(target_arch = "x86_64")]
const ONLY_X86: [c_long; 6] = [
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_sysfs,
    libc::SYS__sysctl,
];
/// Nothing to add: repeats of a denied call.
#[cfg(target_arch = "aarch64")]
const ONLY_X86: [c_long; 6] = [libc::SYS_acct; 6];

/// Calls that are neither allowed nor denied by their number alone, and where each goes on, counted from [`AT_BLOCKS`].
const SPECIAL: [(c_long, usize); 4] =
    [(libc::SYS_clone, 0), (libc::SYS_ioctl, 3), (libc::SYS_socket, 6), (libc::SYS_personality, 8)];

/// The numbers of [`DENIED`] and [`SPECIAL`] in ascending order.
const SORTED: [u32; DENIED.len() + SPECIAL.len()] = sorted();
/// At most this many numbers are compared one by one at the end of the search.
const LEAF_LEN_MAX: usize = 4;

/// Prologue, the search, the blocks, three results.
const LEN: usize = AT_BLOCKS + 9 + PERSONALITIES.len() + 3;
const AT_SEARCH: usize = 6;
const AT_BLOCKS: usize = AT_SEARCH + search_len(SORTED.len());

/// The program that [`crate::sys::install_filter`] loads.
///
/// The kernel runs it once for every number there is when it is loaded, to remember which calls are always allowed: a
/// search by halves makes that, and the start of each job, quicker than a list.
pub(crate) static FILTER: [sock_filter; LEN] = assemble();

/// Position of the instruction that refuses with `EPERM`; after it `ENOSYS` and `ALLOW`.
const AT_EPERM: usize = LEN - 3;
const AT_ENOSYS: usize = LEN - 2;
const AT_ALLOW: usize = LEN - 1;

const fn sorted() -> [u32; DENIED.len() + SPECIAL.len()] {
    let mut out = [0; DENIED.len() + SPECIAL.len()];
    let mut len = 0;
    while len < out.len() {
        let number =
            if len < DENIED.len() { nr(DENIED[len]) } else { nr(SPECIAL[len - DENIED.len()].0) };
        let mut at = len;
        while at > 0 && out[at - 1] > number {
            out[at] = out[at - 1];
            at -= 1;
        }
        out[at] = number;
        len += 1;
    }
    out
}

/// Instructions that [`search`] makes of this many numbers.
const fn search_len(count: usize) -> usize {
    if count <= LEAF_LEN_MAX {
        count + 1
    } else {
        1 + search_len(count / 2) + search_len(count - count / 2)
    }
}

/// Writes, from `at` on, the search for the loaded number among those of `SORTED[from..to]`.
const fn search(
    mut out: [sock_filter; LEN],
    at: usize,
    from: usize,
    to: usize,
) -> [sock_filter; LEN] {
    let count = to - from;
    if count > LEAF_LEN_MAX {
        let middle = from + count / 2;
        let upper = at + 1 + search_len(count / 2);
        out[at] = instruction(JUMP_AT_LEAST, SORTED[middle], distance(at, upper), 0);
        out = search(out, at + 1, from, middle);
        return search(out, upper, middle, to);
    }
    let mut index = 0;
    while index < count {
        let number = SORTED[from + index];
        out[at + index] = when(at + index, number, target(number));
        index += 1;
    }
    out[at + count] = instruction(RETURN, RET_ALLOW, 0, 0);
    out
}

const fn target(number: u32) -> usize {
    let mut index = 0;
    while index < SPECIAL.len() {
        if nr(SPECIAL[index].0) == number {
            return AT_BLOCKS + SPECIAL[index].1;
        }
        index += 1;
    }
    AT_EPERM
}

const fn assemble() -> [sock_filter; LEN] {
    let mut out = [instruction(RETURN, RET_ALLOW, 0, 0); LEN];
    out[0] = instruction(LOAD_WORD, OFFSET_ARCH, 0, 0);
    out[1] = instruction(JUMP_EQUAL, ARCH, 1, 0);
    out[2] = instruction(RETURN, RET_KILL_PROCESS, 0, 0);
    out[3] = instruction(LOAD_WORD, OFFSET_NR, 0, 0);
    out[4] = instruction(JUMP_GREATER, NR_MAX, distance(4, AT_ENOSYS), 0);
    out[5] = when(5, nr(libc::SYS_clone3), AT_ENOSYS);
    out = search(out, AT_SEARCH, 0, SORTED.len());
    let mut at = AT_BLOCKS;
    out[at] = instruction(LOAD_WORD, OFFSET_ARG0, 0, 0);
    out[at + 1] = instruction(AND, CLONE_NEW, 0, 0);
    out[at + 2] =
        instruction(JUMP_EQUAL, 0, distance(at + 2, AT_ALLOW), distance(at + 2, AT_EPERM));
    out[at + 3] = instruction(LOAD_WORD, OFFSET_ARG1, 0, 0);
    out[at + 4] = when(at + 4, TIOCSTI, AT_EPERM);
    out[at + 5] =
        instruction(JUMP_EQUAL, TIOCLINUX, distance(at + 5, AT_EPERM), distance(at + 5, AT_ALLOW));
    out[at + 6] = instruction(LOAD_WORD, OFFSET_ARG0, 0, 0);
    out[at + 7] =
        instruction(JUMP_EQUAL, AF_VSOCK, distance(at + 7, AT_EPERM), distance(at + 7, AT_ALLOW));
    out[at + 8] = instruction(LOAD_WORD, OFFSET_ARG0, 0, 0);
    at += 9;
    let mut index = 0;
    while index < PERSONALITIES.len() {
        out[at] = when(at, PERSONALITIES[index], AT_ALLOW);
        at += 1;
        index += 1;
    }
    assert!(at == AT_EPERM, "LEN counts the instructions");
    out[AT_EPERM] = instruction(RETURN, RET_EPERM, 0, 0);
    out[AT_ENOSYS] = instruction(RETURN, RET_ENOSYS, 0, 0);
    out
}

/// Jumps from `from` to `to` if the accumulator is `value`, and falls through otherwise.
const fn when(from: usize, value: u32, to: usize) -> sock_filter {
    instruction(JUMP_EQUAL, value, distance(from, to), 0)
}

#[expect(clippy::cast_possible_truncation, reason = "asserted, while compiling")]
const fn distance(from: usize, to: usize) -> u8 {
    assert!(to > from && to - from - 1 < 256, "BPF jumps forward by at most 255");
    (to - from - 1) as u8
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "call numbers are small"
)]
const fn nr(call: c_long) -> u32 {
    call as u32
}

const fn instruction(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel answers to a call with these arguments, run as the kernel runs it.
    fn answer(number: u32, arguments: [u32; 2]) -> u32 {
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = FILTER[at];
            at += 1;
            let jump = |taken: bool| usize::from(if taken { jt } else { jf });
            match code {
                LOAD_WORD => {
                    accumulator = match k {
                        OFFSET_NR => number,
                        OFFSET_ARCH => ARCH,
                        OFFSET_ARG0 => arguments[0],
                        _ => arguments[1],
                    }
                }
                AND => accumulator &= k,
                JUMP_EQUAL => at += jump(accumulator == k),
                JUMP_GREATER => at += jump(accumulator > k),
                JUMP_AT_LEAST => at += jump(accumulator >= k),
                _ => return k,
            }
        }
    }

    #[test]
    fn every_call_is_answered_as_listed() {
        for number in (0..600).chain([0x4000_0000 + 39]) {
            let listed = |call: &c_long| nr(*call) == number;
            let expected = if number > NR_MAX || listed(&libc::SYS_clone3) {
                RET_ENOSYS
            } else if DENIED.iter().any(listed) {
                RET_EPERM
            } else {
                RET_ALLOW
            };
            assert_eq!(answer(number, [0, 0]), expected, "call {number}");
        }
    }

    #[test]
    fn some_calls_are_answered_by_their_arguments() {
        for (call, arguments) in [
            (libc::SYS_clone, [CLONE_NEW, 0]),
            (libc::SYS_ioctl, [0, TIOCSTI]),
            (libc::SYS_ioctl, [0, TIOCLINUX]),
            (libc::SYS_socket, [AF_VSOCK, 0]),
            (libc::SYS_personality, [0x4_0000, 0]),
        ] {
            assert_eq!(answer(nr(call), arguments), RET_EPERM, "call {call}");
        }
    }
}
