//! defmt's frames, to wherever the board puts octets.

use core::cell::{Cell, UnsafeCell};

use critical_section::RestoreState;

#[defmt::global_logger]
struct Logger;

struct State {
    put: Cell<fn(&[u8])>,
    /// What `acquire` found; meaningful while it is held.
    restore: Cell<RestoreState>,
    encoder: UnsafeCell<defmt::Encoder>,
}

// SAFETY: only touched without interrupts, on the only core that runs.
unsafe impl Sync for State {}

static STATE: State = State {
    put: Cell::new(|_| {}),
    restore: Cell::new(RestoreState::invalid()),
    encoder: UnsafeCell::new(defmt::Encoder::new()),
};

/// Puts the frames out by `put` from now on, which waits until there is room.
pub fn start(put: fn(&[u8])) {
    critical_section::with(|_| STATE.put.set(put));
}

// SAFETY: a critical section keeps others out, interrupt handlers among them; defmt promises that
// `acquire` is not nested and `release` ends it.
unsafe impl defmt::Logger for Logger {
    fn acquire() {
        // SAFETY: `release` ends it.
        let restore = unsafe { critical_section::acquire() };
        STATE.restore.set(restore);
        // SAFETY: nobody else is here.
        unsafe { &mut *STATE.encoder.get() }.start_frame(STATE.put.get());
    }

    unsafe fn flush() {}

    unsafe fn release() {
        // SAFETY: nobody else is here.
        unsafe { &mut *STATE.encoder.get() }.end_frame(STATE.put.get());
        // SAFETY: as `acquire` had it.
        unsafe { critical_section::release(STATE.restore.get()) };
    }

    unsafe fn write(bytes: &[u8]) {
        // SAFETY: between the two above.
        unsafe { &mut *STATE.encoder.get() }.write(bytes, STATE.put.get());
    }
}
