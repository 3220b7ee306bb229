//! An appliance on QEMU's machine `virt` with a 64-bit processor.

#![no_std]
#![no_main]

use core::panic::PanicInfo;

use aarch64_rt::{
    ExceptionHandlers, RegisterStateRef, entry, exception_handlers, initial_pagetable,
};
use truechimer_boards::pl011::Pl011;
use truechimer_boards::pl031::Pl031;
use truechimer_boards::program::{Board, boot};
use truechimer_boards::register::Registers;
use truechimer_boards::settings::Product;
use truechimer_boards::{host, logger};
use truechimer_core::units::Span;
use truechimer_firmware::clock::SystemClock;
use truechimer_firmware::rtc::EdgeSearch;

use truechimer_qemu_virt_aarch64::timer::{self, Counter};
use truechimer_qemu_virt_aarch64::virtio::{self, Network};
use truechimer_qemu_virt_aarch64::{interrupts, memory};

// SAFETY: the serial line is there.
const UART: Pl011 = Pl011(unsafe { Registers::at(0x0900_0000) });
// SAFETY: the real-time clock is there.
const RTC: Registers = unsafe { Registers::at(0x0901_0000) };
/// Of the virtual timer, a private one.
const ALARM_IRQ: u32 = 27;
/// Of what is typed.
const TYPED_IRQ: u32 = 33;

initial_pagetable!(memory::MAP);

static CLOCK: SystemClock<Counter> = SystemClock::new(Counter);

entry!(main);
fn main(_: u64, _: u64, _: u64, _: u64) -> ! {
    UART.start();
    logger::start(|octets| UART.put(octets));
    if !Counter::is_right() {
        stop("a counter of another frequency");
    }
    let Some(seed) = host::entropy() else { stop("no entropy") };
    let mut product = Product::read();
    let mut rtc = EdgeSearch::new(Pl031(RTC), &CLOCK);
    let start = boot(&CLOCK, &mut rtc, product.store.as_mut());
    let Some((device, irq)) = Network::start(&CLOCK) else { stop("no Ethernet controller") };
    interrupts::enable(&[ALARM_IRQ, TYPED_IRQ, irq]);
    let hardware = device.hardware();
    let (clock, store) = (&CLOCK, product.store);
    let board = Board { clock, device, hardware, rtc, store, seed, wait, typed: || UART.typed() };
    let Err(_) = board.run(&start, &product.settings);
    stop("too few sockets")
}

/// An interrupt wakes the processor even while it is kept from its handler: none is missed
/// between the look, or the alarm, and the sleep.
fn wait(pause: Span) {
    critical_section::with(|_| {
        timer::set_alarm(pause);
        if !virtio::has_frames() {
            interrupts::wait();
        }
    });
}

fn stop(reason: &str) -> ! {
    defmt::error!("{=str}", reason);
    host::fail()
}

struct Handlers;
exception_handlers!(Handlers);

impl ExceptionHandlers for Handlers {
    extern "C" fn irq_current(_: RegisterStateRef<'_>) {
        interrupts::take(|id| match id {
            ALARM_IRQ => timer::silence_alarm(),
            TYPED_IRQ => UART.silence(),
            _ => virtio::interrupt(&CLOCK),
        });
    }

    extern "C" fn sync_current(_: RegisterStateRef<'_>) {
        stop("synchronous exception")
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    stop("panic")
}
