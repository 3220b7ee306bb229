//! The system calls that each process makes, by which C library ever, and the filter that fails all
//! others with EPERM.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

use super::Work;

/// Calls without a look at their arguments.
type Calls = &'static [i64];

/// What every process does: memory, time, signals, waiting, and talking on what is open.
const COMMON: Calls = &[
    libc::SYS_brk,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_futex,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_getsockopt,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_getuid,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_ppoll,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
    libc::SYS_write,
    libc::SYS_writev,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
];

/// Sockets, clients of the control socket, and threads that serve.
const NTP: Calls = &[
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_clone3,
    libc::SYS_connect,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_recvmmsg,
    libc::SYS_rseq,
    libc::SYS_sendmmsg,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_socketpair,
];

/// Connections, and a thread for each.
const CONSTRAINT: Calls = &[
    libc::SYS_clone3,
    libc::SYS_connect,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
];

/// Clients and the control socket, and a thread for each.
const EXPORTER: Calls = &[
    libc::SYS_accept4,
    libc::SYS_clone3,
    libc::SYS_connect,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
];

/// Whatever the system's resolver and its modules do: sockets, and files to read.
const DNS: Calls = &[
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pread64,
    libc::SYS_pselect6,
    libc::SYS_readlinkat,
    libc::SYS_sendmmsg,
    libc::SYS_socket,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_uname,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_select,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
];

/// The clock, files, children, and a receiver of messages that was started anew.
const PARENT: Calls = &[
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_connect,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fdatasync,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_kill,
    libc::SYS_mkdirat,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pread64,
    libc::SYS_readlinkat,
    #[cfg(not(target_arch = "riscv64"))]
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_settimeofday,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_umask,
    libc::SYS_uname,
    libc::SYS_unlinkat,
    libc::SYS_wait4,
    libc::SYS_waitid,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
];

/// A call of which one argument has to be one of these values, or has to have these bits.
struct Argument {
    call: i64,
    place: u8,
    compare: SeccompCmpOp,
    values: &'static [u64],
}

/// Non-blocking sockets, and how much waits in them.
#[allow(clippy::unnecessary_cast, reason = "the type is another one with musl")]
const IOCTL: Argument = Argument {
    call: libc::SYS_ioctl,
    place: 1,
    compare: SeccompCmpOp::Eq,
    values: &[libc::FIONBIO as u64, libc::FIONREAD as u64],
};
/// Clocks of network cards besides, which are only read.
#[allow(clippy::unnecessary_cast, reason = "the type is another one with musl")]
const CARD: Argument = Argument {
    values: &[
        libc::FIONBIO as u64,
        libc::FIONREAD as u64,
        libc::PTP_SYS_OFFSET_PRECISE as u64,
        libc::PTP_SYS_OFFSET_EXTENDED as u64,
        libc::PTP_SYS_OFFSET as u64,
    ],
    ..IOCTL
};
/// Names of threads.
const PRCTL: Argument = Argument {
    call: libc::SYS_prctl,
    place: 0,
    compare: SeccompCmpOp::Eq,
    values: &[libc::PR_SET_NAME as u64],
};
/// Threads and no processes. `clone3` has its arguments where no filter sees them.
const CLONE: Argument = Argument {
    call: libc::SYS_clone,
    place: 0,
    compare: SeccompCmpOp::MaskedEq(libc::CLONE_THREAD as u64),
    values: &[libc::CLONE_THREAD as u64],
};
/// The internet.
const INTERNET: Argument = Argument {
    call: libc::SYS_socket,
    place: 0,
    compare: SeccompCmpOp::Eq,
    values: &[libc::AF_INET as u64, libc::AF_INET6 as u64],
};
/// Programs of this host.
const LOCAL: Argument = Argument {
    call: libc::SYS_socket,
    place: 0,
    compare: SeccompCmpOp::Eq,
    values: &[libc::AF_UNIX as u64],
};
/// The limits are only looked at: there are no new ones.
const LIMITS: Argument =
    Argument { call: libc::SYS_prlimit64, place: 2, compare: SeccompCmpOp::Eq, values: &[0] };

/// Lets a process make the calls of its work only. False where there are no filters.
pub(super) fn restrict(work: &Work) -> Result<bool, Box<dyn std::error::Error>> {
    let Ok(architecture) = TargetArch::try_from(std::env::consts::ARCH) else { return Ok(false) };
    let (calls, arguments): (Calls, &[Argument]) = match work {
        Work::Parent(_) => (PARENT, &[IOCTL, LOCAL]),
        Work::Ntp => (NTP, &[CARD, LIMITS, PRCTL, CLONE, INTERNET]),
        Work::Dns => (DNS, &[IOCTL]),
        Work::Constraint(_) => (CONSTRAINT, &[IOCTL, PRCTL, CLONE, INTERNET]),
        Work::Exporter => (EXPORTER, &[IOCTL, PRCTL, CLONE, LOCAL]),
    };
    let mut rules: std::collections::BTreeMap<i64, Vec<SeccompRule>> =
        COMMON.iter().chain(calls).map(|&call| (call, Vec::new())).collect();
    for Argument { call, place, compare, values } in arguments {
        let rule = |&value| {
            let length = match compare {
                // A pointer.
                _ if *call == libc::SYS_prlimit64 => SeccompCmpArgLen::Qword,
                _ => SeccompCmpArgLen::Dword,
            };
            SeccompRule::new(vec![SeccompCondition::new(*place, length, compare.clone(), value)?])
        };
        rules.insert(*call, values.iter().map(rule).collect::<Result<_, _>>()?);
    }
    let errno = |errno: i32| SeccompAction::Errno(errno as u32);
    let filter = |rules, others, these| -> Result<BpfProgram, _> {
        SeccompFilter::new(rules, others, these, architecture)?.try_into()
    };
    // The C library takes it for an old kernel's answer, and makes threads by `clone`.
    let unseen = [(libc::SYS_clone3, Vec::new())].into();
    let unseen = filter(unseen, SeccompAction::Allow, errno(libc::ENOSYS))?;
    let program = filter(rules, errno(libc::EPERM), SeccompAction::Allow)?;
    apply_filter(&unseen)?;
    apply_filter(&program)?;
    Ok(true)
}

#[cfg(test)]
mod tests;
