//! An appliance on WIZnet's W5500-EVB-Pico2, with a DS3231.

#![no_std]
#![no_main]

mod entropy;
mod flash;
mod timer;

use core::cell::RefCell;
use core::panic::PanicInfo;

use cortex_m::peripheral::NVIC;
use cortex_m_rt::{entry, exception};
use critical_section::Mutex;
use ds323x::Ds323x;
use embedded_hal::digital::OutputPin;
use embedded_hal::spi::MODE_0;
use embedded_hal_bus::spi::ExclusiveDevice;
use rp235x_hal as hal;
use rp235x_hal::Clock as _;
use rp235x_hal::clocks::init_clocks_and_plls;
use rp235x_hal::fugit::RateExtU32;
use rp235x_hal::gpio::bank0::Gpio21;
use rp235x_hal::gpio::{FunctionSioInput, Interrupt, Pin, Pins, PullUp};
use rp235x_hal::pac::{self, interrupt};
use rp235x_hal::uart::{DataBits, StopBits, UartConfig, UartPeripheral};
use smoltcp::wire::EthernetAddress;
use truechimer_boards::logger;
use truechimer_boards::pl011::Pl011;
use truechimer_boards::program::{Board, Settings, boot};
use truechimer_boards::register::Registers;
use truechimer_core::units::Span;
use truechimer_firmware::clock::SystemClock;
use truechimer_firmware::net::w5500::{Arrival, W5500};
use truechimer_firmware::rtc::{Calendar, EdgeSearch};
use truechimer_firmware::store::TwoPages;

use crate::flash::Flash;
use crate::timer::Counter;

/// Who is asked unless DHCP names servers of time.
const FALLBACK: [&str; 3] = ["0.pool.ntp.org", "1.pool.ntp.org", "2.pool.ntp.org"];
const CRYSTAL: u32 = 12_000_000;

/// For the boot ROM.
#[unsafe(link_section = ".start_block")]
#[used]
static IMAGE: hal::block::ImageDef = hal::block::ImageDef::secure_exe();

// SAFETY: UART 0 is there, and is a PL011.
const UART: Pl011 = Pl011(unsafe { Registers::at(0x4007_0000) });

static CLOCK: SystemClock<Counter> = SystemClock::new(Counter);
static ARRIVAL: Arrival = Arrival::new();

/// The line INTn of the W5500.
type Line = Pin<Gpio21, FunctionSioInput, PullUp>;
static LINE: Mutex<RefCell<Option<Line>>> = Mutex::new(RefCell::new(None));

#[entry]
fn main() -> ! {
    let Some(mut device) = pac::Peripherals::take() else { stop("taken twice") };
    let resets = &mut device.RESETS;
    let mut watchdog = hal::Watchdog::new(device.WATCHDOG);
    let clocks = init_clocks_and_plls(
        CRYSTAL,
        device.XOSC,
        device.CLOCKS,
        device.PLL_SYS,
        device.PLL_USB,
        resets,
        &mut watchdog,
    );
    let Ok(clocks) = clocks else { stop("no crystal") };
    hal::Timer::new_timer0(device.TIMER0, resets, &clocks);
    Counter::start();
    let sio = hal::Sio::new(device.SIO);
    let pins = Pins::new(device.IO_BANK0, device.PADS_BANK0, sio.gpio_bank0, resets);

    let serial = (pins.gpio0.into_function(), pins.gpio1.into_function());
    let peripheral_clock = clocks.peripheral_clock.freq();
    let config = UartConfig::new(1_000_000.Hz(), DataBits::Eight, None, StopBits::One);
    let serial = UartPeripheral::new(device.UART0, serial, resets).enable(config, peripheral_clock);
    if serial.is_err() {
        stop("no serial line");
    }
    UART.start();
    logger::start(|octets| UART.put(octets));

    let mut store = TwoPages::new(Flash, 0).ok();
    let (sda, scl) = (pins.gpio4.reconfigure(), pins.gpio5.reconfigure());
    let bus = hal::I2C::i2c0(device.I2C0, sda, scl, 400.kHz(), resets, &clocks.system_clock);
    let mut rtc = EdgeSearch::new(Calendar(Ds323x::new_ds3231(bus)), &CLOCK);
    let start = boot(&CLOCK, &mut rtc, store.as_mut());

    resets.reset().modify(|_, w| w.trng().clear_bit());
    while resets.reset_done().read().trng().bit_is_clear() {}
    let seed = entropy::draw(&device.TRNG);

    // In its reset for half a millisecond, and ready another one later at the latest.
    let mut reset = pins.gpio20.into_push_pull_output();
    let Ok(()) = reset.set_low();
    cortex_m::asm::delay(150 * 500);
    let Ok(()) = reset.set_high();
    cortex_m::asm::delay(150 * 1_000);
    let (mosi, miso) = (pins.gpio19.into_function(), pins.gpio16.into_function());
    let lines = (mosi, miso, pins.gpio18.into_function());
    let spi = hal::Spi::<_, _, _, 8>::new(device.SPI0, lines);
    let spi = spi.init(resets, peripheral_clock, 30.MHz(), MODE_0);
    let selected = pins.gpio17.into_push_pull_output();
    let Ok(spi) = ExclusiveDevice::new_no_delay(spi, selected);
    let hardware = hardware(&seed);
    let Ok(device) = W5500::start(spi, hardware, &CLOCK, &ARRIVAL) else { stop("no W5500") };

    let line: Line = pins.gpio21.into_pull_up_input();
    line.set_interrupt_enabled(Interrupt::EdgeLow, true);
    critical_section::with(|cs| LINE.replace(cs, Some(line)));
    for irq in
        [pac::Interrupt::IO_IRQ_BANK0, pac::Interrupt::TIMER0_IRQ_0, pac::Interrupt::UART0_IRQ]
    {
        // SAFETY: the handlers are there, and what they share is behind critical sections.
        unsafe { NVIC::unmask(irq) };
    }
    let settings = Settings::dhcp(FALLBACK);
    let (clock, typed) = (&CLOCK, || UART.typed());
    let board = Board { clock, device, hardware, rtc, store, seed, wait, typed };
    let Err(_) = board.run(&start, &settings);
    stop("too few sockets")
}

/// The chip's own number, as a locally administered address; a drawn one if the ROM does not tell.
fn hardware(seed: &[u8; 32]) -> EthernetAddress {
    let number = match hal::rom_data::sys_info_api::chip_info() {
        Ok(Some(chip)) => chip.wafer_id.to_le_bytes(),
        _ => [seed[0], seed[1], seed[2], seed[3]],
    };
    let [a, b, c, d] = number;
    EthernetAddress([0x02, 0x23, a, b, c, d])
}

/// An interrupt wakes the processor even while it is kept from its handler: none is missed
/// between the look, or the alarm, and the sleep.
fn wait(pause: Span) {
    critical_section::with(|_| {
        timer::set_alarm(pause);
        if !ARRIVAL.is_noted() {
            cortex_m::asm::wfi();
        }
    });
}

/// Starts again, which does no harm to what is stored.
fn stop(reason: &str) -> ! {
    defmt::error!("{=str}", reason);
    cortex_m::peripheral::SCB::sys_reset()
}

#[interrupt]
fn IO_IRQ_BANK0() {
    ARRIVAL.note(CLOCK.mono());
    critical_section::with(|cs| {
        if let Some(line) = LINE.borrow_ref_mut(cs).as_mut() {
            line.clear_interrupt(Interrupt::EdgeLow);
        }
    });
}

#[interrupt]
fn TIMER0_IRQ_0() {
    timer::silence_alarm();
}

#[interrupt]
fn UART0_IRQ() {
    UART.silence();
}

#[exception]
unsafe fn HardFault(_: &cortex_m_rt::ExceptionFrame) -> ! {
    stop("hard fault")
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    stop("panic")
}
