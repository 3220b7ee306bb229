//! An appliance on Arm's MPS3 board with image AN524.

#![no_std]
#![no_main]

use core::panic::PanicInfo;

use cortex_m::peripheral::NVIC;
use cortex_m_rt::{entry, exception};
use smoltcp::wire::EthernetAddress;
use truechimer_boards::program::{Board, boot};
use truechimer_boards::settings::Product;
use truechimer_boards::{host, logger};
use truechimer_core::units::Span;
use truechimer_firmware::clock::SystemClock;
use truechimer_firmware::rtc::{EdgeSearch, SecondCounter};

use truechimer_mps3_an524::lan9118::{self, Lan9118};
use truechimer_mps3_an524::timer::{self, Counter};
use truechimer_mps3_an524::uart;
use truechimer_mps3_an524::vectors::{ALARM_IRQ, ETHERNET_IRQ, Irq, TYPED_IRQ};

/// Locally administered.
const HARDWARE: EthernetAddress = EthernetAddress([0x02, 0x00, 0x00, 0xAA, 0x05, 0x24]);

static CLOCK: SystemClock<Counter> = SystemClock::new(Counter);

#[entry]
fn main() -> ! {
    uart::start();
    logger::start(uart::put);
    Counter::start();
    let Some(seed) = host::entropy() else { stop("no entropy") };
    let mut product =
        if cfg!(feature = "command-line") { Product::read() } else { Product::built_in() };
    let mut rtc = EdgeSearch::new(seconds(), &CLOCK);
    let start = boot(&CLOCK, &mut rtc, product.store.as_mut());
    let Ok(device) = Lan9118::start(HARDWARE, &CLOCK) else { stop("no Ethernet controller") };
    for irq in [ALARM_IRQ, TYPED_IRQ, ETHERNET_IRQ] {
        // SAFETY: the handlers are there, and what they share is behind critical sections.
        unsafe { NVIC::unmask(Irq(irq)) };
    }
    let (clock, hardware, store) = (&CLOCK, HARDWARE, product.store);
    let board = Board { clock, device, hardware, rtc, store, seed, wait, typed: uart::typed };
    let Err(_) = board.run(&start, &product.settings);
    stop("too few sockets")
}

/// The board's own real-time clock.
#[cfg(not(feature = "i2c-rtc"))]
fn seconds() -> impl SecondCounter<Error: defmt::Format> {
    // SAFETY: it is there.
    truechimer_boards::pl031::Pl031(unsafe {
        truechimer_boards::register::Registers::at(0x4130_B000)
    })
}

/// One on the I2C bus, a DS3231 or what has its registers of time.
#[cfg(feature = "i2c-rtc")]
fn seconds() -> impl SecondCounter<Error: defmt::Format> {
    truechimer_firmware::rtc::Calendar(ds323x::Ds323x::new_ds3231(truechimer_mps3_an524::i2c::Bus))
}

/// An interrupt wakes the processor even while it is kept from its handler: none is missed
/// between the look, or the alarm, and the sleep.
fn wait(pause: Span) {
    critical_section::with(|_| {
        timer::set_alarm(pause);
        if !lan9118::has_frames() {
            cortex_m::asm::wfi();
        }
    });
}

fn stop(reason: &str) -> ! {
    defmt::error!("{=str}", reason);
    host::fail()
}

#[unsafe(no_mangle)]
extern "C" fn ALARM() {
    timer::silence_alarm();
}

#[unsafe(no_mangle)]
extern "C" fn TYPED() {
    uart::silence();
}

#[unsafe(no_mangle)]
extern "C" fn ETHERNET() {
    lan9118::interrupt(&CLOCK);
}

#[exception]
unsafe fn HardFault(_: &cortex_m_rt::ExceptionFrame) -> ! {
    stop("hard fault")
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    stop("panic")
}
