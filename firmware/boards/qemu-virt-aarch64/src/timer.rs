//! The generic timer (Arm DDI 0487, D12): the counter that the clock is made of, and its virtual
//! timer, which wakes the main loop.

use core::arch::asm;

use embedded_time::fraction::Fraction;
use embedded_time::{Clock, clock};
use truechimer_core::units::Span;

const HERTZ: u32 = 62_500_000;
const NANOS_PER_TICK: i64 = 1_000_000_000 / HERTZ as i64;
/// On, with an interrupt.
const ENABLE: u64 = 1;

#[derive(Debug)]
pub struct Counter;

impl Counter {
    /// Whether it runs as this program was built for.
    pub fn is_right() -> bool {
        let hertz: u64;
        // SAFETY: it may be read.
        unsafe { asm!("mrs {}, cntfrq_el0", out(reg) hertz) };
        hertz == HERTZ.into()
    }
}

impl Clock for Counter {
    type T = u64;
    const SCALING_FACTOR: Fraction = Fraction::new(1, HERTZ);

    fn try_now(&self) -> Result<embedded_time::Instant<Self>, clock::Error> {
        let ticks: u64;
        // SAFETY: it may be read; not before what comes before.
        unsafe { asm!("isb", "mrs {}, cntvct_el0", out(reg) ticks) };
        Ok(embedded_time::Instant::new(ticks))
    }
}

/// Interrupts once after `pause`, at most the 34 s that it can count.
pub fn set_alarm(pause: Span) {
    let ticks = (pause.as_nanos() / NANOS_PER_TICK).clamp(1, i64::from(i32::MAX)).cast_unsigned();
    // SAFETY: the timer is nobody else's.
    unsafe {
        asm!("msr cntv_tval_el0, {}", "msr cntv_ctl_el0, {}", "isb", in(reg) ticks, in(reg) ENABLE);
    }
}

/// What the interrupt calls.
pub fn silence_alarm() {
    // SAFETY: likewise.
    unsafe { asm!("msr cntv_ctl_el0, xzr", "isb") };
}
