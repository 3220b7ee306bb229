//! The signals that ask a program to end, noted for the main loop.

use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

static REQUESTED: AtomicBool = AtomicBool::new(false);

extern "C" fn note(_: libc::c_int) {
    REQUESTED.store(true, Ordering::Relaxed);
}

/// From now on SIGTERM, SIGINT, SIGHUP and SIGQUIT only interrupt a waiting poll(2): the clock must
/// not be left in the midst of a slew.
///
/// # Errors
/// sigaction(2) failed.
pub fn catch_termination() -> Result<(), Errno> {
    let action = SigAction::new(SigHandler::Handler(note), SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        // SAFETY: the handler only stores to an atomic, which is async-signal-safe.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

/// Whether one of them has come.
pub fn termination_requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}
