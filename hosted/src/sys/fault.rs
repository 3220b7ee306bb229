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
    #[cfg(target_os = "linux")]
    Timestamping,
    #[cfg(target_os = "linux")]
    Timestampns,
    Timestamp,
    #[cfg(target_os = "linux")]
    Departure,
    #[cfg(target_os = "linux")]
    HardwareInfo,
    #[cfg(target_os = "linux")]
    HardwareStamps,
    #[cfg(target_os = "linux")]
    ReadPhc,
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
    use std::cell::RefCell;

    use nix::errno::Errno;

    use super::Call;

    thread_local!(static FAULTS: RefCell<Vec<(Call, Errno)>> = const { RefCell::new(Vec::new()) });

    /// The error that was injected.
    pub(crate) fn fault(call: Call) -> Result<(), Errno> {
        let failing =
            FAULTS.with_borrow(|faults| faults.iter().find(|fault| fault.0 == call).copied());
        failing.map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Has a call fail on this thread for as long as the result lives.
    #[must_use]
    pub(crate) fn inject(call: Call, error: Errno) -> Injection {
        FAULTS.with_borrow_mut(|faults| faults.push((call, error)));
        Injection(call)
    }

    pub(crate) struct Injection(Call);

    impl Drop for Injection {
        fn drop(&mut self) {
            FAULTS.with_borrow_mut(|faults| faults.retain(|fault| fault.0 != self.0));
        }
    }
}
