//! The counter that the clock is made of, timer 0 at the processor's clock, and the alarm that
//! wakes the main loop (RP2350 datasheet §12.8).

use embedded_time::fraction::Fraction;
use embedded_time::{Clock, clock};
use rp235x_hal::pac;
use truechimer_core::units::Span;

/// What `init_clocks_and_plls` makes of the crystal.
const HERTZ: u32 = 150_000_000;

#[derive(Debug)]
pub struct Counter;

/// Its registers.
fn timer() -> &'static pac::timer0::RegisterBlock {
    // SAFETY: nothing else uses them.
    unsafe { &*pac::TIMER0::ptr() }
}

impl Counter {
    /// The timer is out of its reset.
    pub fn start() {
        timer().source().write(|w| w.clk_sys().clk_sys());
        timer().inte().write(|w| w.alarm_0().set_bit());
    }
}

impl Clock for Counter {
    type T = u64;
    const SCALING_FACTOR: Fraction = Fraction::new(1, HERTZ);

    fn try_now(&self) -> Result<embedded_time::Instant<Self>, clock::Error> {
        let mut high = timer().timerawh().read().bits();
        loop {
            let low = timer().timerawl().read().bits();
            let after = timer().timerawh().read().bits();
            if after == high {
                let ticks = u64::from(high) << 32 | u64::from(low);
                return Ok(embedded_time::Instant::new(ticks));
            }
            high = after;
        }
    }
}

/// Interrupts once after `pause`, at most the 28 s that it can count.
pub fn set_alarm(pause: Span) {
    // 3 ticks are 20 ns.
    let ticks = (pause.as_nanos() / 20).clamp(20, i64::from(u32::MAX / 4)) * 3;
    let now = timer().timerawl().read().bits();
    // SAFETY: any moment will do.
    timer().alarm0().write(|w| unsafe { w.bits(now.wrapping_add(ticks as u32)) });
}

/// What the interrupt calls.
pub fn silence_alarm() {
    timer().intr().write(|w| w.alarm_0().clear_bit_by_one());
}
