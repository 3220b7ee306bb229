//! An appliance on Arm's MPS3 board with image AN524: a client of up to four servers, and a server.

#![no_std]
#![no_main]

mod host;
mod lan9118;
mod pl031;
mod register;
mod settings;
mod timer;
mod uart;
mod vectors;

use core::panic::PanicInfo;

use cortex_m::peripheral::NVIC;
use cortex_m_rt::{entry, exception};
use smoltcp::iface::{self, Interface, SocketStorage};
use smoltcp::wire::{EthernetAddress, IpCidr};
use truechimer_core::config::Config;
use truechimer_core::units::{Instant, Span};
use truechimer_firmware::App;
use truechimer_firmware::clock::SystemClock;
use truechimer_firmware::net::{Buffers, Stack};
use truechimer_firmware::rtc::{self, EdgeSearch};

use crate::lan9118::Lan9118;
use crate::pl031::Pl031;
use crate::settings::Settings;
use crate::timer::Counter;
use crate::vectors::{ALARM_IRQ, ETHERNET_IRQ, Irq};

const PEERS: usize = 4;
/// Locally administered.
const HARDWARE: EthernetAddress = EthernetAddress([0x02, 0x00, 0x00, 0xAA, 0x05, 0x24]);

static CLOCK: SystemClock<Counter> = SystemClock::new(Counter);

#[entry]
fn main() -> ! {
    static mut SOCKETS: [SocketStorage<'static>; PEERS + 1] = [SocketStorage::EMPTY; PEERS + 1];
    static mut BUFFERS: Buffers<PEERS> = Buffers::new();

    uart::start();
    Counter::start();
    let Some(seed) = host::entropy() else { stop("no entropy") };
    let settings = Settings::read();

    let mut rtc = EdgeSearch::new(Pl031, &CLOCK);
    let Ok(time) = nb::block!(rtc::start(&CLOCK, &mut rtc));
    defmt::info!("started from the real-time clock: {=i64} s", time.unix_secs());

    let Ok(mut device) = Lan9118::start(HARDWARE, &CLOCK) else { stop("no Ethernet controller") };
    if !device.is_up() {
        defmt::warn!("no link");
    }
    for irq in [ALARM_IRQ, ETHERNET_IRQ] {
        // SAFETY: the handlers are there, and what they share is behind critical sections.
        unsafe { NVIC::unmask(Irq(irq)) };
    }
    let mut config = iface::Config::new(HARDWARE.into());
    config.random_seed = u64::from_le_bytes(seed[..8].try_into().unwrap_or_default());
    let mut interface = Interface::new(config, &mut device, smoltcp::time::Instant::ZERO);
    interface.update_ip_addrs(|ours| {
        let _ = ours.push(IpCidr::Ipv4(settings.address));
    });
    let Ok(stack) = Stack::new(interface, device, SOCKETS, BUFFERS, &CLOCK, seed) else {
        stop("too few sockets");
    };
    let mut app = App::new(stack, Some(rtc), &Config::default());
    for peer in &settings.peers {
        if app.add_peer("peer", peer).is_err() {
            defmt::warn!("too many peers");
        }
    }
    loop {
        match app.poll() {
            Ok(_) => {}
            Err(nb::Error::WouldBlock) => sleep(app.poll_at()),
            Err(nb::Error::Other(error)) => defmt::warn!("{}", error),
        }
    }
}

/// Until a frame comes, and at most until `wake`.
fn sleep(wake: Instant) {
    let pause = wake - CLOCK.mono();
    if pause <= Span::ZERO {
        return;
    }
    timer::set_alarm(pause);
    // An interrupt wakes the processor even while it is kept from its handler: none is missed
    // between the look and the sleep.
    critical_section::with(|_| {
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
