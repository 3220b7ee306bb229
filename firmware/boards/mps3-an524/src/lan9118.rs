//! The Ethernet controller, a LAN9118 (Microchip DS00002266) behind its FIFOs.
//!
//! Frames are stamped in the interrupt when they have come, and before the last word of one that
//! leaves is written: the controller has it from then on.

use core::cell::RefCell;

use critical_section::{CriticalSection, Mutex};
use embedded_time::Clock;
use heapless::Deque;
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium, PacketMeta};
use smoltcp::wire::EthernetAddress;
use static_cell::ConstStaticCell;
use truechimer_boards::register::Registers;
use truechimer_core::units::Instant;
use truechimer_firmware::clock::SystemClock;
use truechimer_firmware::net::Driver;

// SAFETY: it is there, and has the registers below.
const LAN: Registers = unsafe { Registers::at(0x4140_0000) };

const RX_DATA: usize = 0x00;
const TX_DATA: usize = 0x20;
const RX_STATUS: usize = 0x40;
const TX_STATUS: usize = 0x48;
const IRQ_CFG: usize = 0x54;
const INT_STS: usize = 0x58;
const INT_EN: usize = 0x5C;
const BYTE_TEST: usize = 0x64;
const FIFO_INT: usize = 0x68;
const TX_CFG: usize = 0x70;
const HW_CFG: usize = 0x74;
const RX_FIFO_INF: usize = 0x7C;
const TX_FIFO_INF: usize = 0x80;
const MAC_CSR_CMD: usize = 0xA4;
const MAC_CSR_DATA: usize = 0xA8;

/// What BYTE_TEST reads.
const TEST_PATTERN: u32 = 0x8765_4321;
const SOFT_RESET: u32 = 1;
/// Must be one, and 5 KiB for what is to leave.
const HW_CFG_INIT: u32 = 0x0015_0000;
const TX_ON: u32 = 2;
/// Push-pull, active high, on.
const IRQ_CFG_INIT: u32 = 0x111;
/// More frames wait than FIFO_INT has in its lowest octet.
const RX_STATUS_LEVEL: u32 = 1 << 3;
const RX_ERROR: u32 = 1 << 15;
const FIRST_AND_LAST: u32 = 1 << 13 | 1 << 12;

/// Registers of the MAC, behind MAC_CSR_CMD.
const MAC_CR: u32 = 1;
const ADDRH: u32 = 2;
const ADDRL: u32 = 3;
const MII_ACC: u32 = 6;
const MII_DATA: u32 = 7;
/// Full duplex, all multicast, both ways on.
const MAC_CR_INIT: u32 = 1 << 20 | 1 << 19 | 1 << 3 | 1 << 2;
const CSR_BUSY: u32 = 1 << 31;
const CSR_READ: u32 = 1 << 30;
const MII_BUSY: u32 = 1;
/// The transceiver inside, and its basic status: the link is bit 2.
const PHY: u32 = 1 << 11;
const BSR: u32 = 1 << 6;
const LINK: u32 = 1 << 2;

/// The longest frame, without its check sequence: Ethernet's; or, where there is only IPv4, one of a
/// DHCP message that every host takes (RFC 2131 §2), behind headers of 82 octets at most.
const FRAME: usize = if cfg!(feature = "ipv6") { 1514 } else { 658 };
const CHECK_SEQUENCE: usize = 4;
/// Arrivals that are remembered; of more that wait the time is unknown.
const ARRIVALS: usize = 8;

/// When the frames came that wait in the controller, the first first.
static ARRIVED: Mutex<RefCell<Deque<Instant, ARRIVALS>>> = Mutex::new(RefCell::new(Deque::new()));

/// The one that came last, and one that leaves.
static FRAMES: ConstStaticCell<[[u8; FRAME]; 2]> = ConstStaticCell::new([[0; FRAME]; 2]);

/// There is no controller, or it does not answer.
#[derive(Debug, defmt::Format)]
pub struct NotFound;

pub struct Lan9118<C: 'static> {
    clock: &'static SystemClock<C>,
    received: &'static mut [u8; FRAME],
    sent: &'static mut [u8; FRAME],
    arrived: Option<Instant>,
    departed: Option<(u32, Instant)>,
}

impl<C: Clock<T: Into<u64>>> Lan9118<C> {
    /// Starts the controller as `address`, with frames stamped by `clock`. Its interrupt is to
    /// call [`interrupt`].
    pub fn start(
        address: EthernetAddress,
        clock: &'static SystemClock<C>,
    ) -> Result<Self, NotFound> {
        until(|| LAN.read(BYTE_TEST) == TEST_PATTERN)?;
        LAN.write(HW_CFG, SOFT_RESET);
        until(|| LAN.read(HW_CFG) & SOFT_RESET == 0)?;
        LAN.write(HW_CFG, HW_CFG_INIT);
        let [a, b, c, d, e, f] = address.0;
        write_mac(ADDRL, u32::from_le_bytes([a, b, c, d]))?;
        write_mac(ADDRH, u32::from_le_bytes([e, f, 0, 0]))?;
        LAN.write(TX_CFG, TX_ON);
        write_mac(MAC_CR, MAC_CR_INIT)?;
        LAN.write(FIFO_INT, 0);
        LAN.write(INT_STS, u32::MAX);
        LAN.write(IRQ_CFG, IRQ_CFG_INIT);
        LAN.write(INT_EN, RX_STATUS_LEVEL);
        let [received, sent] = FRAMES.take();
        Ok(Self { clock, received, sent, arrived: None, departed: None })
    }

    /// Takes the frames off the FIFO until one is good, and returns its length.
    fn take(&mut self) -> Option<usize> {
        loop {
            let (status, arrived) = critical_section::with(|cs| {
                note_arrivals(cs, self.clock);
                (waiting() > 0).then(|| {
                    let mut arrivals = ARRIVED.borrow_ref_mut(cs);
                    let arrived = arrivals.pop_front();
                    let status = LAN.read(RX_STATUS);
                    LAN.write(FIFO_INT, arrivals.len() as u32);
                    (status, arrived)
                })
            })?;
            let stored = (status >> 16 & 0x3FFF) as usize;
            for word in 0..stored.div_ceil(4) {
                let octets = LAN.read(RX_DATA).to_le_bytes();
                for (to, from) in self.received.iter_mut().skip(4 * word).zip(octets) {
                    *to = from;
                }
            }
            let len = stored.saturating_sub(CHECK_SEQUENCE);
            if status & RX_ERROR == 0 && len <= FRAME {
                self.arrived = arrived;
                return Some(len);
            }
        }
    }
}

/// What the interrupt calls.
pub fn interrupt<C: Clock<T: Into<u64>>>(clock: &SystemClock<C>) {
    critical_section::with(|cs| note_arrivals(cs, clock));
}

/// Notes the time for the frames that have come since, and asks for an interrupt when another has.
fn note_arrivals<C: Clock<T: Into<u64>>>(cs: CriticalSection<'_>, clock: &SystemClock<C>) {
    let now = clock.mono();
    let mut arrivals = ARRIVED.borrow_ref_mut(cs);
    let waiting = waiting();
    while arrivals.len() < waiting && arrivals.push_back(now).is_ok() {}
    LAN.write(FIFO_INT, waiting as u32);
    LAN.write(INT_STS, RX_STATUS_LEVEL);
}

/// Gives the controller a frame, and says when.
fn send<C: Clock<T: Into<u64>>>(frame: &[u8], clock: &SystemClock<C>) -> Instant {
    // What became of the frames before is of no interest, but has to be taken away.
    for _ in 0..LAN.read(TX_FIFO_INF) >> 16 & 0xFF {
        LAN.read(TX_STATUS);
    }
    LAN.write(TX_DATA, FIRST_AND_LAST | frame.len() as u32);
    LAN.write(TX_DATA, frame.len() as u32);
    let mut words = frame.chunks(4).map(|octets| {
        let mut word = [0; 4];
        word.iter_mut().zip(octets).for_each(|(to, from)| *to = *from);
        u32::from_le_bytes(word)
    });
    let last = words.next_back();
    words.for_each(|word| LAN.write(TX_DATA, word));
    let now = clock.mono();
    last.into_iter().for_each(|word| LAN.write(TX_DATA, word));
    now
}

/// Whether there is something to receive.
pub fn has_frames() -> bool {
    waiting() > 0
}

/// Frames in the controller.
fn waiting() -> usize {
    (LAN.read(RX_FIFO_INF) >> 16 & 0xFF) as usize
}

fn until(condition: impl Fn() -> bool) -> Result<(), NotFound> {
    (0..1_000_000).any(|_| condition()).then_some(()).ok_or(NotFound)
}

fn write_mac(register: u32, value: u32) -> Result<(), NotFound> {
    LAN.write(MAC_CSR_DATA, value);
    LAN.write(MAC_CSR_CMD, CSR_BUSY | register);
    until(|| LAN.read(MAC_CSR_CMD) & CSR_BUSY == 0)
}

fn read_mac(register: u32) -> Result<u32, NotFound> {
    LAN.write(MAC_CSR_CMD, CSR_BUSY | CSR_READ | register);
    until(|| LAN.read(MAC_CSR_CMD) & CSR_BUSY == 0)?;
    Ok(LAN.read(MAC_CSR_DATA))
}

impl<C: Clock<T: Into<u64>>> Device for Lan9118<C> {
    type RxToken<'a> = RxToken<'a>;
    type TxToken<'a> = TxToken<'a, C>;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(RxToken<'_>, TxToken<'_, C>)> {
        let len = self.take()?;
        let Self { clock, received, sent, departed, .. } = self;
        let answer = TxToken { clock, frame: sent, departed, id: 0 };
        Some((RxToken(received.get(..len)?), answer))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<TxToken<'_, C>> {
        let room = (LAN.read(TX_FIFO_INF) & 0xFFFF) as usize;
        let Self { clock, sent, departed, .. } = self;
        (room >= FRAME + 16).then_some(TxToken { clock, frame: sent, departed, id: 0 })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME;
        capabilities
    }
}

impl<C: Clock<T: Into<u64>>> Driver for Lan9118<C> {
    fn arrived(&mut self) -> Option<Instant> {
        self.arrived.take()
    }

    fn departed(&mut self) -> Option<(u32, Instant)> {
        self.departed.take()
    }

    fn has_link(&mut self) -> Option<bool> {
        let status = write_mac(MII_ACC, PHY | BSR | MII_BUSY).and_then(|()| {
            until(|| read_mac(MII_ACC).is_ok_and(|access| access & MII_BUSY == 0))?;
            read_mac(MII_DATA)
        });
        status.ok().map(|status| status & LINK != 0)
    }
}

pub struct RxToken<'a>(&'a [u8]);

impl phy::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

pub struct TxToken<'a, C: 'static> {
    clock: &'static SystemClock<C>,
    frame: &'a mut [u8; FRAME],
    departed: &'a mut Option<(u32, Instant)>,
    id: u32,
}

impl<C: Clock<T: Into<u64>>> phy::TxToken for TxToken<'_, C> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let len = len.min(FRAME);
        let (frame, _) = self.frame.split_at_mut(len);
        let result = f(frame);
        let now = send(frame, self.clock);
        if self.id != 0 {
            *self.departed = Some((self.id, now));
        }
        result
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.id = meta.id;
    }
}
