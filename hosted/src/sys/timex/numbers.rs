//! The core's bits and states are this system's own numbers, or this does not compile.

use truechimer_core::timex::{ClockState, Status};

macro_rules! same_numbers {
    ($bits:ident: $($ours:ident = $theirs:ident),+) => {
        const _: () = assert!($($bits::$ours.bits() as u32 == libc::$theirs as u32)&&+);
    };
}
pub(super) use same_numbers;

same_numbers! {
    Status: PLL = STA_PLL, PPSFREQ = STA_PPSFREQ, PPSTIME = STA_PPSTIME, FLL = STA_FLL,
    INS = STA_INS, DEL = STA_DEL, UNSYNC = STA_UNSYNC, FREQHOLD = STA_FREQHOLD,
    PPSSIGNAL = STA_PPSSIGNAL, PPSJITTER = STA_PPSJITTER, PPSWANDER = STA_PPSWANDER,
    PPSERROR = STA_PPSERROR, CLOCKERR = STA_CLOCKERR, NANO = STA_NANO, MODE = STA_MODE,
    CLK = STA_CLK
}

const fn is(state: ClockState, number: libc::c_int) -> bool {
    ClockState::ALL[number as usize] as u8 == state as u8
}

const _: () = assert!(
    is(ClockState::Ok, libc::TIME_OK)
        && is(ClockState::Insert, libc::TIME_INS)
        && is(ClockState::Delete, libc::TIME_DEL)
        && is(ClockState::InProgress, libc::TIME_OOP)
        && is(ClockState::Wait, libc::TIME_WAIT)
        && is(ClockState::Error, libc::TIME_ERROR)
);
