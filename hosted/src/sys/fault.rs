//! Calls that fail because a test wants them to, as they would on a system in need.

#[cfg(not(test))]
use nix::errno::Errno;

/// What can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    ReadClock,
    SetClock,
    AdjustClock,
    DatagramSocket,
    TypeOfService,
    Sendmsg,
    Recvmsg,
    ControlSocket,
    ControlUnlink,
    ControlBind,
    ControlChmod,
    ControlListen,
    ControlAccept,
    Poll,
    ReadFile,
    WriteFile,
    Socketpair,
    Fork,
    Setsid,
    SetPriority,
    DropPrivileges,
}

/// Nothing fails here but what the system itself refuses.
#[cfg(not(test))]
#[inline]
pub(crate) const fn fault(_: Call) -> Result<(), Errno> {
    Ok(())
}

#[cfg(test)]
pub(crate) use injected::{fault, inject};

#[cfg(test)]
mod injected {
    use std::cell::Cell;

    use nix::errno::Errno;

    use super::Call;

    thread_local!(static FAULT: Cell<Option<(Call, Errno)>> = const { Cell::new(None) });

    /// The error that was injected.
    pub(crate) fn fault(call: Call) -> Result<(), Errno> {
        match FAULT.get() {
            Some((failing, error)) if failing == call => Err(error),
            _ => Ok(()),
        }
    }

    /// Has a call fail on this thread for as long as the result lives.
    #[must_use]
    pub(crate) fn inject(call: Call, error: Errno) -> Injection {
        FAULT.set(Some((call, error)));
        Injection
    }

    pub(crate) struct Injection;

    impl Drop for Injection {
        fn drop(&mut self) {
            FAULT.set(None);
        }
    }
}
