//! The Ethernet controller W5500 (WIZnet, datasheet 1.1.0) behind an SPI bus, as a device of raw
//! frames: its TCP/IP is not used.
//!
//! Decides how frames go in and out of its memory, and which of them a stamp is of. Frames come
//! stamped by the interrupt of its line INTn ([`Arrival::note`]), and leave stamped just before it
//! is told to send. A failure of the bus loses the frame; none is mended.

#[cfg(test)]
mod tests;

use core::cell::Cell;
use core::fmt;

use critical_section::Mutex;
use embedded_hal::spi::{Operation, SpiDevice};
use embedded_time::Clock;
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium, PacketMeta};
use smoltcp::time::Instant as NetInstant;
use smoltcp::wire::EthernetAddress;
use truechimer_core::units::Instant;

use super::Driver;
use crate::clock::SystemClock;

/// A block of addresses, in the control octet's bits 7 to 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    Common = 0,
    Socket = 1 << 3,
    Transmit = 2 << 3,
    Receive = 3 << 3,
}
const WRITE: u8 = 1 << 2;

/// Common registers.
const MR: u16 = 0x00;
const RESET: u8 = 1 << 7;
const SHAR: u16 = 0x09;
const SIMR: u16 = 0x18;
const PHYCFGR: u16 = 0x2E;
const LINK: u8 = 1;
const VERSIONR: u16 = 0x39;
const VERSION: u8 = 4;

/// Those of a socket.
const SN_MR: u16 = 0x00;
const MACRAW: u8 = 4;
const SN_CR: u16 = 0x01;
const OPEN: u8 = 0x01;
const SEND: u8 = 0x20;
const RECV: u8 = 0x40;
const SN_IR: u16 = 0x02;
const RECEIVED: u8 = 1 << 2;
const SN_SR: u16 = 0x03;
const SOCK_MACRAW: u8 = 0x42;
const SN_RXBUF_SIZE: u16 = 0x1E;
const SN_TXBUF_SIZE: u16 = 0x1F;
const SN_TX_FSR: u16 = 0x20;
const SN_TX_WR: u16 = 0x24;
const SN_RX_RSR: u16 = 0x26;
const SN_RX_RD: u16 = 0x28;
const SN_IMR: u16 = 0x2C;

const SOCKETS: u8 = 8;
/// All of the memory, KiB.
const MEMORY: u8 = 16;
/// The longest frame, without its check sequence.
const FRAME: usize = 1514;
/// Before a frame in the memory: its length with this.
const HEAD: usize = 2;
/// How often a register is looked at for what is to come at once.
const LOOKS: usize = 1_000;

/// When the line INTn fell, shared with the interrupt.
pub struct Arrival(Mutex<Cell<Option<Instant>>>);

impl Arrival {
    /// It has not fallen.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(Cell::new(None)))
    }

    /// What the interrupt of the line calls.
    pub fn note(&self, now: Instant) {
        critical_section::with(|cs| self.0.borrow(cs).set(Some(now)));
    }

    /// Whether it has fallen and nobody has looked since.
    #[must_use]
    pub fn is_noted(&self) -> bool {
        critical_section::with(|cs| self.0.borrow(cs).get()).is_some()
    }

    fn take(&self) -> Option<Instant> {
        critical_section::with(|cs| self.0.borrow(cs).take())
    }
}

impl Default for Arrival {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Arrival").field(&self.is_noted()).finish()
    }
}

/// Why it does not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum StartError<E> {
    /// The bus fails.
    Bus(E),
    /// What answers is no W5500, or nothing does: the version that was read.
    Version(u8),
    /// It does not do as it is told.
    Stuck,
}

impl<E: fmt::Display> fmt::Display for StartError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bus(error) => write!(f, "the W5500's bus: {error}"),
            Self::Version(version) => write!(f, "a W5500 has version {VERSION}, not {version}"),
            Self::Stuck => f.write_str("the W5500 does not do as it is told"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for StartError<E> {}

/// The controller. To be polled while its line INTn is low, or at intervals if that is not wired.
pub struct W5500<'a, B, C> {
    chip: Chip<B>,
    clock: &'a SystemClock<C>,
    line: &'a Arrival,
    received: [u8; FRAME],
    sent: [u8; FRAME],
    arrived: Option<Instant>,
    departed: Option<(u32, Instant)>,
}

impl<'a, B: SpiDevice, C: Clock<T: Into<u64>>> W5500<'a, B, C> {
    /// Resets and opens it as `address`. `spi` is in mode 0 or 3, at 33 MHz at most.
    ///
    /// # Errors
    /// It is not there, or does not answer as it should.
    pub fn start(
        spi: B,
        address: EthernetAddress,
        clock: &'a SystemClock<C>,
        line: &'a Arrival,
    ) -> Result<Self, StartError<B::Error>> {
        let mut chip = Chip(spi);
        chip.open(address)?;
        let (received, sent) = ([0; FRAME], [0; FRAME]);
        Ok(Self { chip, clock, line, received, sent, arrived: None, departed: None })
    }

    /// Takes a frame and returns its length.
    fn take(&mut self) -> Result<Option<usize>, B::Error> {
        let Self { chip, line, received, arrived, .. } = self;
        if chip.waiting()? == 0 {
            // The line rises, and falls again for the next.
            line.take();
            chip.set(Block::Socket, SN_IR, RECEIVED)?;
            // One that came in between has not made it fall.
            if chip.waiting()? == 0 {
                return Ok(None);
            }
        }
        // The line fell for the first; of those behind it nothing is known.
        *arrived = line.take();
        chip.receive(received)
    }
}

impl<B: SpiDevice, C: Clock<T: Into<u64>>> Device for W5500<'_, B, C> {
    type RxToken<'a>
        = RxToken<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = TxToken<'a, B, C>
    where
        Self: 'a;

    fn receive(&mut self, _: NetInstant) -> Option<(RxToken<'_>, TxToken<'_, B, C>)> {
        let len = self.take().ok()??;
        let Self { chip, clock, received, sent, departed, .. } = self;
        let answer = TxToken { chip, clock, frame: sent, departed, id: 0 };
        Some((RxToken(received.get(..len)?), answer))
    }

    fn transmit(&mut self, _: NetInstant) -> Option<TxToken<'_, B, C>> {
        let room = self.chip.word_twice(SN_TX_FSR).ok()?;
        let Self { chip, clock, sent, departed, .. } = self;
        let token = TxToken { chip, clock, frame: sent, departed, id: 0 };
        (usize::from(room) >= FRAME).then_some(token)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME;
        capabilities
    }
}

impl<B: SpiDevice, C: Clock<T: Into<u64>>> Driver for W5500<'_, B, C> {
    fn arrived(&mut self) -> Option<Instant> {
        self.arrived.take()
    }

    fn departed(&mut self) -> Option<(u32, Instant)> {
        self.departed.take()
    }

    fn has_link(&mut self) -> Option<bool> {
        let status = self.chip.octet(Block::Common, PHYCFGR);
        Some(status.is_ok_and(|status| status & LINK != 0))
    }
}

impl<B, C> fmt::Debug for W5500<'_, B, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("W5500").field("line", self.line).finish_non_exhaustive()
    }
}

/// A frame that has come.
#[derive(Debug)]
pub struct RxToken<'a>(&'a [u8]);

impl phy::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// Room for one that leaves.
pub struct TxToken<'a, B, C> {
    chip: &'a mut Chip<B>,
    clock: &'a SystemClock<C>,
    frame: &'a mut [u8; FRAME],
    departed: &'a mut Option<(u32, Instant)>,
    id: u32,
}

impl<B: SpiDevice, C: Clock<T: Into<u64>>> phy::TxToken for TxToken<'_, B, C> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let Self { chip, clock, frame, departed, id } = self;
        let (frame, _) = frame.split_at_mut(len.min(FRAME));
        let result = f(frame);
        if chip.fill(frame).is_ok() {
            let now = clock.mono();
            if chip.set(Block::Socket, SN_CR, SEND).is_ok() && id != 0 {
                *departed = Some((id, now));
            }
        }
        result
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.id = meta.id;
    }
}

impl<B, C> fmt::Debug for TxToken<'_, B, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TxToken").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Its registers and memory, of which socket 0 has all.
struct Chip<B>(B);

impl<B: SpiDevice> Chip<B> {
    fn open(&mut self, address: EthernetAddress) -> Result<(), StartError<B::Error>> {
        self.set(Block::Common, MR, RESET).map_err(StartError::Bus)?;
        self.until(|chip| Ok(chip.octet(Block::Common, MR)? & RESET == 0))?;
        let version = self.octet(Block::Common, VERSIONR).map_err(StartError::Bus)?;
        if version != VERSION {
            return Err(StartError::Version(version));
        }
        self.configure(address).map_err(StartError::Bus)?;
        self.until(|chip| Ok(chip.octet(Block::Socket, SN_SR)? == SOCK_MACRAW))
    }

    fn configure(&mut self, address: EthernetAddress) -> Result<(), B::Error> {
        self.write(Block::Common, SHAR, &address.0)?;
        for socket in 0..SOCKETS {
            let size = if socket == 0 { MEMORY } else { 0 };
            for register in [SN_RXBUF_SIZE, SN_TXBUF_SIZE] {
                let control = Block::Socket as u8 | socket << 5 | WRITE;
                self.transfer(register, control, Operation::Write(&[size]))?;
            }
        }
        // No filter by hardware addresses: it would keep neighbour discovery out.
        self.set(Block::Socket, SN_MR, MACRAW)?;
        self.set(Block::Socket, SN_IMR, RECEIVED)?;
        self.set(Block::Common, SIMR, 1)?;
        self.set(Block::Socket, SN_CR, OPEN)
    }

    fn until(
        &mut self,
        mut is_so: impl FnMut(&mut Self) -> Result<bool, B::Error>,
    ) -> Result<(), StartError<B::Error>> {
        for _ in 0..LOOKS {
            if is_so(self).map_err(StartError::Bus)? {
                return Ok(());
            }
        }
        Err(StartError::Stuck)
    }

    /// Octets in its memory that have come.
    fn waiting(&mut self) -> Result<usize, B::Error> {
        self.word_twice(SN_RX_RSR).map(usize::from)
    }

    /// Takes the first frame that has come and returns its length. A longer one than there are,
    /// which means that the memory is in disorder, takes all with it.
    fn receive(&mut self, frame: &mut [u8; FRAME]) -> Result<Option<usize>, B::Error> {
        let waiting = self.waiting()?;
        let place = self.word(SN_RX_RD)?;
        let mut head = [0; HEAD];
        self.read(Block::Receive, place, &mut head)?;
        let stored = usize::from(u16::from_be_bytes(head));
        let len = stored.checked_sub(HEAD).filter(|_| stored <= waiting);
        let room = len.and_then(|len| frame.get_mut(..len));
        let is_good = room.is_some();
        if let Some(room) = room {
            self.read(Block::Receive, place.wrapping_add(HEAD as u16), room)?;
        }
        let taken = if len.is_some() { stored } else { waiting };
        self.set_word(SN_RX_RD, place.wrapping_add(taken as u16))?;
        self.set(Block::Socket, SN_CR, RECV)?;
        Ok(len.filter(|_| is_good))
    }

    /// Puts a frame into its memory, to be sent.
    fn fill(&mut self, frame: &[u8]) -> Result<(), B::Error> {
        let place = self.word(SN_TX_WR)?;
        self.write(Block::Transmit, place, frame)?;
        self.set_word(SN_TX_WR, place.wrapping_add(frame.len() as u16))
    }

    fn octet(&mut self, block: Block, register: u16) -> Result<u8, B::Error> {
        let mut octet = [0];
        self.read(block, register, &mut octet)?;
        let [octet] = octet;
        Ok(octet)
    }

    fn word(&mut self, register: u16) -> Result<u16, B::Error> {
        let mut octets = [0; 2];
        self.read(Block::Socket, register, &mut octets)?;
        Ok(u16::from_be_bytes(octets))
    }

    /// One that may change between its octets: until it was the same twice, or zero for now.
    fn word_twice(&mut self, register: u16) -> Result<u16, B::Error> {
        let mut last = self.word(register)?;
        for _ in 0..LOOKS {
            let before = core::mem::replace(&mut last, self.word(register)?);
            if before == last {
                return Ok(last);
            }
        }
        Ok(0)
    }

    fn set(&mut self, block: Block, register: u16, octet: u8) -> Result<(), B::Error> {
        self.write(block, register, &[octet])
    }

    fn set_word(&mut self, register: u16, word: u16) -> Result<(), B::Error> {
        self.write(Block::Socket, register, &word.to_be_bytes())
    }

    fn read(&mut self, block: Block, place: u16, octets: &mut [u8]) -> Result<(), B::Error> {
        self.transfer(place, block as u8, Operation::Read(octets))
    }

    fn write(&mut self, block: Block, place: u16, octets: &[u8]) -> Result<(), B::Error> {
        self.transfer(place, block as u8 | WRITE, Operation::Write(octets))
    }

    fn transfer(
        &mut self,
        place: u16,
        control: u8,
        content: Operation<'_, u8>,
    ) -> Result<(), B::Error> {
        let [high, low] = place.to_be_bytes();
        self.0.transaction(&mut [Operation::Write(&[high, low, control]), content])
    }
}
