//! The signals that ask a program to end or to read its configuration again, noted for the main loop.

use std::os::fd::{IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

static REQUESTED: AtomicBool = AtomicBool::new(false);
static RELOAD: AtomicBool = AtomicBool::new(false);

/// Written to when a signal comes, if it is one.
static BELL: AtomicI32 = AtomicI32::new(-1);

/// Those that ask for an end.
const TERMINATION: [Signal; 4] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT];

extern "C" fn note(_: libc::c_int) {
    REQUESTED.store(true, Ordering::Relaxed);
    ring();
}

extern "C" fn note_reload(_: libc::c_int) {
    RELOAD.store(true, Ordering::Relaxed);
    ring();
}

fn ring() {
    let bell = BELL.load(Ordering::Relaxed);
    if bell >= 0 {
        let errno = Errno::last_raw();
        // SAFETY: one octet of a static is written; write(2) is async-signal-safe. A bell that is
        // full has been rung.
        unsafe { libc::write(bell, [0_u8].as_ptr().cast(), 1) };
        Errno::set_raw(errno);
    }
}

/// From now on an octet is written to `bell`, which must not block, when a signal comes that is caught
/// here: whoever polls the other end misses none.
pub fn ring_on_signals(bell: OwnedFd) {
    BELL.store(bell.into_raw_fd(), Ordering::Relaxed);
}

/// From now on the signals of [`catch_termination`] do nothing: another process gets them too, and
/// tells this one.
///
/// # Errors
/// sigaction(2) failed.
pub fn ignore_termination() -> Result<(), Errno> {
    let action = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    for signal in TERMINATION {
        // SAFETY: there is no handler.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

/// From now on SIGTERM, SIGINT, SIGHUP and SIGQUIT only interrupt a waiting poll(2): the clock must
/// not be left in the midst of a slew.
///
/// # Errors
/// sigaction(2) failed.
pub fn catch_termination() -> Result<(), Errno> {
    let action = SigAction::new(SigHandler::Handler(note), SaFlags::empty(), SigSet::empty());
    for signal in TERMINATION {
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

/// Whether a signal has come that was not yet taken.
pub fn has_request() -> bool {
    termination_requested() || RELOAD.load(Ordering::Relaxed)
}

/// Whether one of those that [`catch_termination`] catches has come.
pub fn termination_requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}
