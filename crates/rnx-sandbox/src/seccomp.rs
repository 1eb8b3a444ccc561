//! The seccomp filter of jobs and builds, assembled by the compiler: starting a job pays for loading it, not for making it.
//!
//! Written here because `seccompiler` gives one action to all rules (we need `ENOSYS` for `clone3`, so that the C library
//! falls back to `clone`, whose flags can be looked at) and does not refuse the x32 system calls, whose numbers pass by any deny list.
//! A job, whose files land in its caller's folders, can make no file with set-user-ID or set-group-ID bits: on the host
//! the file would belong to the caller. (`RestrictSUIDSGID=` of systemd is the same, with `openat2`, whose mode a filter
//! cannot see, refused as unknown.)
//! Denied: what Docker's default profile denies to a container without capabilities, and every call newer than this list.

use libc::{c_long, sock_filter};

const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_GREATER: u16 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
const JUMP_AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const JUMP_SET: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

const OFFSET_NR: u32 = 0;
const OFFSET_ARCH: u32 = 4;
// Low words of the arguments; both architectures are little-endian.
const OFFSET_ARG0: u32 = 16;
const OFFSET_ARG1: u32 = 24;
const OFFSET_ARG2: u32 = 32;
const OFFSET_ARG3: u32 = 40;

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
/// `S_ISUID` and `S_ISGID`.
const SET_ID_MODES: u32 = 0o6000;
/// `O_CREAT` and `__O_TMPFILE`: with these `open` has a mode.
const CREATES: u32 = 0o2000_0100;
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
const SPECIAL: [(c_long, usize); 14] = [
    (libc::SYS_clone, 0),
    (libc::SYS_ioctl, 3),
    (libc::SYS_socket, 6),
    (libc::SYS_openat2, 8),
    ONLY_X86_MODES[0],
    (libc::SYS_openat, 13),
    ONLY_X86_MODES[1],
    ONLY_X86_MODES[2],
    ONLY_X86_MODES[3],
    (libc::SYS_fchmod, 17),
    (libc::SYS_fchmodat, 19),
    (SYS_FCHMODAT2, 19),
    (libc::SYS_mknodat, 19),
    (libc::SYS_personality, 22),
];
const SYS_FCHMODAT2: c_long = 452;

#[cfg(target_arch = "x86_64")]
const ONLY_X86_MODES: [(c_long, usize); 4] =
    [(libc::SYS_open, 9), (libc::SYS_creat, 17), (libc::SYS_chmod, 17), (libc::SYS_mknod, 17)];
/// Nothing to add: repeats.
#[cfg(target_arch = "aarch64")]
const ONLY_X86_MODES: [(c_long, usize); 4] = [(libc::SYS_fchmod, 17); 4];

/// The numbers of [`DENIED`] and [`SPECIAL`] in ascending order.
const SORTED: [u32; DENIED.len() + SPECIAL.len()] = sorted();
/// At most this many numbers are compared one by one at the end of the search.
const LEAF_LEN_MAX: usize = 4;

/// Prologue, the search, the blocks, three results.
const LEN: usize = AT_BLOCKS + AT_PERSONALITY + 1 + PERSONALITIES.len() + 3;
const AT_PERSONALITY: usize = 22;
const AT_SEARCH: usize = 6;
const AT_BLOCKS: usize = AT_SEARCH + search_len(SORTED.len());

/// The programs that [`crate::sys::install_filter`] loads.
///
/// The kernel runs it once for every number there is when it is loaded, to remember which calls are always allowed: a
/// search by halves makes that, and the start of each job, quicker than a list.
pub(crate) static JOB: [sock_filter; LEN] = assemble(SET_ID_MODES);
/// A build's own tools set these bits, in a tree that is packed without.
pub(crate) static BUILD: [sock_filter; LEN] = assemble(0);

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

const fn assemble(denied_modes: u32) -> [sock_filter; LEN] {
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
    let unseen = if denied_modes == 0 { RET_ALLOW } else { RET_ENOSYS };
    out[at + 8] = instruction(RETURN, unseen, 0, 0);
    out = modes(out, at + 9, denied_modes);
    at += AT_PERSONALITY;
    out[at] = instruction(LOAD_WORD, OFFSET_ARG0, 0, 0);
    at += 1;
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

/// `open` and `openat` if they create; calls with the mode as second, and as third argument; the look at the mode.
const fn modes(mut out: [sock_filter; LEN], at: usize, denied: u32) -> [sock_filter; LEN] {
    let check = at + 11;
    let mut block = at;
    while block < at + 8 {
        let (flags, mode) =
            if block == at { (OFFSET_ARG1, OFFSET_ARG2) } else { (OFFSET_ARG2, OFFSET_ARG3) };
        out[block] = instruction(LOAD_WORD, flags, 0, 0);
        out[block + 1] = instruction(JUMP_SET, CREATES, 0, distance(block + 1, AT_ALLOW));
        out[block + 2] = instruction(LOAD_WORD, mode, 0, 0);
        out[block + 3] = instruction(JUMP, distance(block + 3, check) as u32, 0, 0);
        block += 4;
    }
    out[at + 8] = instruction(LOAD_WORD, OFFSET_ARG1, 0, 0);
    out[at + 9] = instruction(JUMP, distance(at + 9, check) as u32, 0, 0);
    out[at + 10] = instruction(LOAD_WORD, OFFSET_ARG2, 0, 0);
    out[check] = instruction(AND, denied, 0, 0);
    out[check + 1] =
        instruction(JUMP_EQUAL, 0, distance(check + 1, AT_ALLOW), distance(check + 1, AT_EPERM));
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
    fn answer(filter: &[sock_filter], number: u32, arguments: [u32; 4]) -> u32 {
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = filter[at];
            at += 1;
            let jump = |taken: bool| usize::from(if taken { jt } else { jf });
            match code {
                LOAD_WORD => {
                    accumulator = match k {
                        OFFSET_NR => number,
                        OFFSET_ARCH => ARCH,
                        argument => arguments[(argument - OFFSET_ARG0) as usize / 8],
                    }
                }
                AND => accumulator &= k,
                JUMP => at += k as usize,
                JUMP_SET => at += jump(accumulator & k != 0),
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
            let unknown = number > NR_MAX || listed(&libc::SYS_clone3);
            let by_number = |openat2: u32| {
                if unknown {
                    RET_ENOSYS
                } else if DENIED.iter().any(listed) {
                    RET_EPERM
                } else if listed(&libc::SYS_openat2) {
                    openat2
                } else {
                    RET_ALLOW
                }
            };
            assert_eq!(answer(&JOB, number, [0; 4]), by_number(RET_ENOSYS), "call {number}");
            assert_eq!(answer(&BUILD, number, [0; 4]), by_number(RET_ALLOW), "call {number}");
        }
    }

    #[test]
    fn some_calls_are_answered_by_their_arguments() {
        for (call, arguments) in [
            (libc::SYS_clone, [CLONE_NEW, 0, 0, 0]),
            (libc::SYS_ioctl, [0, TIOCSTI, 0, 0]),
            (libc::SYS_ioctl, [0, TIOCLINUX, 0, 0]),
            (libc::SYS_socket, [AF_VSOCK, 0, 0, 0]),
            (libc::SYS_personality, [0x4_0000, 0, 0, 0]),
        ] {
            for filter in [&JOB, &BUILD] {
                assert_eq!(answer(filter, nr(call), arguments), RET_EPERM, "call {call}");
            }
        }
    }

    #[test]
    fn a_job_makes_no_file_that_changes_ids() {
        let create = 0o100;
        for (call, arguments) in [
            (libc::SYS_fchmod, [3, 0o4755, 0, 0]),
            (libc::SYS_fchmodat, [3, 0, 0o2755, 0]),
            (SYS_FCHMODAT2, [3, 0, 0o4755, 0]),
            (libc::SYS_mknodat, [3, 0, 0o4755, 0]),
            (libc::SYS_openat, [3, 0, create, 0o4755]),
            (libc::SYS_openat, [3, 0, 0o2020_0002, 0o4755]),
            #[cfg(target_arch = "x86_64")]
            (libc::SYS_open, [0, create, 0o6755, 0]),
            #[cfg(target_arch = "x86_64")]
            (libc::SYS_chmod, [0, 0o4755, 0, 0]),
            #[cfg(target_arch = "x86_64")]
            (libc::SYS_creat, [0, 0o4755, 0, 0]),
            #[cfg(target_arch = "x86_64")]
            (libc::SYS_mknod, [0, 0o4755, 0, 0]),
        ] {
            assert_eq!(answer(&JOB, nr(call), arguments), RET_EPERM, "call {call}");
            assert_eq!(answer(&BUILD, nr(call), arguments), RET_ALLOW, "call {call}");
            let plain = arguments.map(|word| word & !SET_ID_MODES);
            assert_eq!(answer(&JOB, nr(call), plain), RET_ALLOW, "call {call}");
        }
        // Without a file to be made, what stands in place of a mode is nothing.
        assert_eq!(answer(&JOB, nr(libc::SYS_openat), [3, 0, 0o2, 0o4755]), RET_ALLOW);
    }
}
