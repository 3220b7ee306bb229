//! An appliance on Arm's MPS3 board with image AN524: a client of up to four servers, and a server.

#![no_std]
#![no_main]

mod flash;
mod host;
mod lan9118;
#[cfg(feature = "lockstep")]
mod lockstep;
mod pl031;
mod register;
mod settings;
mod timer;
mod uart;
mod vectors;

use core::panic::PanicInfo;

use cortex_m::peripheral::NVIC;
use cortex_m_rt::{entry, exception};
use smoltcp::iface::SocketStorage;
use smoltcp::wire::EthernetAddress;
use truechimer_core::config::Config;
use truechimer_core::hal::Store;
use truechimer_core::holdover::Record;
use truechimer_core::units::{Instant, Span};
use truechimer_firmware::App;
use truechimer_firmware::clock::SystemClock;
use truechimer_firmware::net::{Addressing, Buffers, OTHER_SOCKETS, Stack};
use truechimer_firmware::rtc::{self, EdgeSearch};
use truechimer_firmware::store::TwoPages;

use crate::flash::Flash;
use crate::host::File;
use crate::lan9118::Lan9118;
use crate::pl031::Pl031;
use crate::settings::Settings;
use crate::timer::Counter;
use crate::vectors::{ALARM_IRQ, ETHERNET_IRQ, Irq, TYPED_IRQ};

const PEERS: usize = 4;
/// Locally administered.
const HARDWARE: EthernetAddress = EthernetAddress([0x02, 0x00, 0x00, 0xAA, 0x05, 0x24]);

static CLOCK: SystemClock<Counter> = SystemClock::new(Counter);

#[entry]
fn main() -> ! {
    static mut SOCKETS: [SocketStorage<'static>; PEERS + OTHER_SOCKETS] =
        [SocketStorage::EMPTY; PEERS + OTHER_SOCKETS];
    static mut BUFFERS: Buffers<PEERS> = Buffers::new();
    static mut LINE: [u8; 256] = [0; 256];

    uart::start();
    Counter::start();
    let Some(seed) = host::entropy() else { stop("no entropy") };
    let settings = Settings::read(LINE);

    let pages = |path| File::update(path).and_then(|file| TwoPages::new(Flash(file), 0).ok());
    let mut store = settings.store.and_then(pages);
    let record = match store.as_mut().map(|store| nb::block!(store.load())) {
        Some(Ok(Some(record))) => record,
        Some(Err(error)) => {
            defmt::warn!("the store cannot be read: {}", error);
            Record::default()
        }
        _ => Record::default(),
    };
    let mut rtc = EdgeSearch::new(Pl031, &CLOCK);
    let Ok(start) = nb::block!(rtc::start(&CLOCK, &mut rtc, &record));
    defmt::info!("started at {=i64} s by {}", start.boot.time.unix_secs(), start.boot.status);

    let Ok(device) = Lan9118::start(HARDWARE, &CLOCK) else { stop("no Ethernet controller") };
    #[cfg(feature = "lockstep")]
    let device = lockstep::Lockstep::new(device, &CLOCK);
    for irq in [ALARM_IRQ, TYPED_IRQ, ETHERNET_IRQ] {
        // SAFETY: the handlers are there, and what they share is behind critical sections.
        unsafe { NVIC::unmask(Irq(irq)) };
    }
    let addressing = Addressing {
        hardware: HARDWARE.into(),
        ipv4: settings.ipv4,
        slaac: true,
        resolver: settings.resolver,
    };
    let Ok(stack) = Stack::new(device, &addressing, SOCKETS, BUFFERS, &CLOCK, seed) else {
        stop("too few sockets");
    };
    let mut app = App::new(stack, Some(rtc), store, &start, &Config::default());
    for (name, peer) in &settings.peers {
        if app.add_peer(name, peer).is_err() {
            defmt::warn!("too many peers");
        }
    }
    loop {
        match app.poll() {
            Ok(_) => {}
            Err(nb::Error::WouldBlock) => {
                if uart::typed() == Some(b'?') {
                    app.log_status();
                }
                sleep(app.poll_at());
            }
            Err(nb::Error::Other(error)) => defmt::warn!("{}", error),
        }
    }
}

/// Until a frame comes, and at most until `wake`.
fn sleep(wake: Instant) {
    #[cfg(feature = "lockstep")]
    if lockstep::awaits(CLOCK.mono()) {
        return;
    }
    #[cfg(feature = "lockstep")]
    let wake = wake.min(lockstep::due());
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
