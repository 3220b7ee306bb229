//! The signals that ask a program to end or to read its configuration again, noted for the main loop.

use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

static REQUESTED: AtomicBool = AtomicBool::new(false);
static RELOAD: AtomicBool = AtomicBool::new(false);

extern "C" fn note(_: libc::c_int) {
    REQUESTED.store(true, Ordering::Relaxed);
}

extern "C" fn note_reload(_: libc::c_int) {
    RELOAD.store(true, Ordering::Relaxed);
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

/// From now on SIGHUP interrupts a waiting poll(2) too, but does not ask the program to end.
///
/// # Errors
/// sigaction(2) failed.
pub fn catch_reload() -> Result<(), Errno> {
    let handler = SigHandler::Handler(note_reload);
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler only stores to an atomic, which is async-signal-safe.
    unsafe { sigaction(Signal::SIGHUP, &action) }.map(drop)
}

/// Whether it has come since this was last asked.
pub fn take_reload_request() -> bool {
    RELOAD.swap(false, Ordering::Relaxed)
}

/// Whether one of those that [`catch_termination`] catches has come.
pub fn termination_requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}
