//! Which of libc's functions the released program imports.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSymbol};
use truechimer_tests::binaries;

/// What a simulator replaces; calling it in any other way would bypass it.
const REQUIRED: [&str; 9] = [
    "adjtimex",
    "bind",
    "clock_gettime",
    "connect",
    "poll",
    "recvmsg",
    "sendmsg",
    "setsockopt",
    "socket",
];

/// Beginnings of names that are not to be imported at all, and why.
///
/// Imported, but not called by a daemon with numeric addresses and without a control socket, as
/// the trials of system calls and of the simulator show, are `pthread_create` (the standard
/// library's threads, which `chimed demo` uses), `syscall` (the standard library's locks, which
/// only wait when threads compete), `getaddrinfo` (names of servers), `accept4` (the control
/// socket), `recvmmsg`, `sendmmsg` and `socketpair` (workers, of which there are none unless the
/// configuration says how many), and `fork`, `posix_spawn`, `execvp` and `pipe2` (the other processes,
/// of which `-d` has none).
const FORBIDDEN: [(&str, &str); 20] = [
    ("epoll_", "waits beside poll"),
    ("ppoll", "waits beside poll"),
    ("select", "waits beside poll"),
    ("pselect", "waits beside poll"),
    ("sleep", "waits in real time"),
    ("usleep", "waits in real time"),
    ("nanosleep", "waits in real time"),
    ("clock_nanosleep", "waits in real time"),
    ("alarm", "is a timer in real time"),
    ("setitimer", "is a timer in real time"),
    ("timer_create", "is a timer in real time"),
    ("timerfd_", "is a timer in real time"),
    ("eventfd", "is a descriptor that simulators do not know"),
    ("signalfd", "is a descriptor that simulators do not know"),
    ("inotify_", "is a descriptor that simulators do not know"),
    ("io_uring_", "bypasses libc"),
    ("vfork", "makes a process whose clock is another one"),
    ("clone", "makes a process whose clock is another one"),
    ("gettimeofday", "is a second way to read the clock, to the microsecond only"),
    ("time", "is a second way to read the clock, to the second only"),
];

pub fn are_known() -> Result<()> {
    let program = fs::read(binaries::released_chimed()?)?;
    let imports = imports(&program)?;
    for name in REQUIRED {
        ensure!(imports.contains(name), "{name} is not imported: of {imports:?}");
    }
    for (beginning, reason) in FORBIDDEN {
        let found = imports.iter().find(|name| name.starts_with(beginning));
        ensure!(found.is_none(), "{} is imported, which {reason}", found.unwrap_or(&""));
    }
    Ok(())
}

/// The undefined names of the dynamic symbol table.
fn imports(program: &[u8]) -> Result<BTreeSet<&str>> {
    let file = object::File::parse(program).context("not an object file")?;
    let undefined = file.dynamic_symbols().filter(ObjectSymbol::is_undefined);
    undefined.map(|symbol| Ok(symbol.name()?)).collect()
}
