//! Instructions and stack of single calls, and where the results go.

use core::arch::asm;
use core::panic::PanicInfo;

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::register::msp;
use cortex_m_semihosting::debug::{EXIT_FAILURE, EXIT_SUCCESS, exit};
use cortex_m_semihosting::hio::hstdout;

use crate::subjects::Meter;

/// How far below a call its stack is looked at, in words.
const DEPTH: usize = 32 * 1024 / 4;
/// What unused stack is filled with.
const PAINT: u32 = 0xa5c3_965a;
/// SysTick counts modulo 2^24, which is time for 16 million instructions.
const MASK: u32 = (1 << 24) - 1;

/// The emulated board as a meter.
pub struct Board {
    /// Ticks between two readings with an empty call between them.
    overhead: u32,
    /// Of counted calls.
    calls: u64,
    ticks: u64,
    /// Of all calls.
    most_ticks: u32,
    most_stack: usize,
}

/// Measures a subject that lasts in `ram` octets, tells the host and ends.
pub fn run(ram: usize, subject: fn(&mut Board) -> u64) -> ! {
    // SAFETY: this is called once, and nothing else has taken the peripherals.
    let mut systick = unsafe { cortex_m::Peripherals::steal() }.SYST;
    systick.set_clock_source(SystClkSource::Core);
    systick.set_reload(MASK);
    systick.clear_current();
    systick.enable_counter();
    let mut board = Board { overhead: 0, calls: 0, ticks: 0, most_ticks: 0, most_stack: 0 };
    board.call(false, nothing);
    board = Board { overhead: board.most_ticks, most_ticks: 0, most_stack: 0, ..board };
    let sum = subject(&mut board);
    let Board { calls, ticks, most_ticks, most_stack, .. } = board;
    tell(&[sum, ram as u64, calls, ticks, most_ticks.into(), most_stack as u64]);
    exit(EXIT_SUCCESS);
    loop {}
}

#[inline(never)]
fn nothing() {
    // SAFETY: it does nothing; without it the call would be left out.
    unsafe { asm!("") };
}

impl Meter for Board {
    #[inline(never)]
    fn call<R>(&mut self, counted: bool, call: impl FnOnce() -> R) -> R {
        let top = msp::read() as *mut u32;
        for depth in 1..=DEPTH {
            // SAFETY: the stack ends at the RAM's end and is the only user of the rest of it,
            // which is greater than DEPTH; without interrupts nobody uses it below its pointer.
            unsafe { top.sub(depth).write_volatile(PAINT) };
        }
        let before = SYST::get_current();
        let result = call();
        let ticks = before.wrapping_sub(SYST::get_current()) & MASK;
        // SAFETY: as above.
        let is_painted = |depth: &usize| unsafe { top.sub(*depth).read_volatile() } == PAINT;
        let deepest = DEPTH - (1..=DEPTH).rev().take_while(is_painted).count();
        if deepest == DEPTH {
            fail();
        }
        let ticks = ticks.saturating_sub(self.overhead);
        if counted {
            self.calls += 1;
            self.ticks += u64::from(ticks);
        }
        self.most_ticks = self.most_ticks.max(ticks);
        self.most_stack = self.most_stack.max(4 * deepest);
        result
    }
}

/// A line of hexadecimal numbers: `core::fmt` would be in each program's size.
fn tell(values: &[u64]) {
    let Ok(mut host) = hstdout() else { fail() };
    for value in values {
        let digits: [u8; 16] = core::array::from_fn(|place| {
            let digit = (value >> (60 - 4 * place)) as u8 & 0xf;
            if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }
        });
        let _ = host.write_all(&digits);
        let _ = host.write_all(b" ");
    }
    let _ = host.write_all(b"\n");
}

fn fail() -> ! {
    exit(EXIT_FAILURE);
    loop {}
}

/// An instruction that this core has not, for one.
#[cortex_m_rt::exception]
unsafe fn HardFault(_: &cortex_m_rt::ExceptionFrame) -> ! {
    fail()
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    fail()
}
