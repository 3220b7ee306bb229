//! The bus of the real-time clock: two open-drain lines (Arm's SBCon, DAI 0524 table 4-4), by which
//! the program itself clocks out the bits of I2C (NXP UM10204), as the only controller.

use embedded_hal::i2c::{ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation};
use truechimer_boards::register::Registers;

// SAFETY: it is there, and has these registers.
const LINES: Registers = unsafe { Registers::at(0x4120_6000) };

/// Read: the lines as they are. Written ones let a line go.
const STATE: usize = 0x0;
/// Written ones pull a line down.
const PULL: usize = 0x4;
const SCL: u32 = 1;
const SDA: u32 = 1 << 1;
/// A quarter of a bit at 100 kHz, in cycles of 32 MHz.
const QUARTER: u32 = 80;
/// For how many of them a slow device may hold the clock.
const STRETCH: usize = 1_000;

pub struct Bus;

impl Bus {
    fn let_go(lines: u32) {
        LINES.write(STATE, lines);
        cortex_m::asm::delay(QUARTER);
    }

    fn pull(lines: u32) {
        LINES.write(PULL, lines);
        cortex_m::asm::delay(QUARTER);
    }

    /// Lets the clock rise, and waits until it has.
    fn rise() -> Result<(), ErrorKind> {
        Self::let_go(SCL);
        let is_up = || LINES.read(STATE) & SCL != 0;
        let rose = (0..STRETCH).any(|_| {
            is_up() || {
                cortex_m::asm::delay(QUARTER);
                false
            }
        });
        rose.then_some(()).ok_or(ErrorKind::Bus)
    }

    fn start() -> Result<(), ErrorKind> {
        Self::let_go(SDA);
        Self::rise()?;
        Self::pull(SDA);
        Self::pull(SCL);
        Ok(())
    }

    fn stop() -> Result<(), ErrorKind> {
        Self::pull(SDA);
        Self::rise()?;
        Self::let_go(SDA);
        Ok(())
    }

    /// Writes a bit and returns it as it was on the line: a device can pull that down.
    fn bit(bit: bool) -> Result<bool, ErrorKind> {
        if bit {
            Self::let_go(SDA)
        } else {
            Self::pull(SDA)
        }
        Self::rise()?;
        let seen = LINES.read(STATE) & SDA != 0;
        Self::pull(SCL);
        Ok(seen)
    }

    fn write(octet: u8, source: NoAcknowledgeSource) -> Result<(), ErrorKind> {
        for place in (0..8).rev() {
            Self::bit(octet >> place & 1 == 1)?;
        }
        let refused = Self::bit(true)?;
        if refused { Err(ErrorKind::NoAcknowledge(source)) } else { Ok(()) }
    }

    fn read(is_last: bool) -> Result<u8, ErrorKind> {
        let mut octet = 0;
        for _ in 0..8 {
            octet = octet << 1 | u8::from(Self::bit(true)?);
        }
        Self::bit(is_last)?;
        Ok(octet)
    }

    fn carry_out(address: u8, operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
        let mut before = None;
        for place in 0..operations.len() {
            let reads_on = matches!(operations.get(place + 1), Some(Operation::Read(_)));
            let Some(operation) = operations.get_mut(place) else { break };
            let reads = matches!(operation, Operation::Read(_));
            if before.replace(reads) != Some(reads) {
                Self::start()?;
                Self::write(address << 1 | u8::from(reads), NoAcknowledgeSource::Address)?;
            }
            match operation {
                Operation::Write(octets) => octets
                    .iter()
                    .try_for_each(|octet| Self::write(*octet, NoAcknowledgeSource::Data))?,
                Operation::Read(octets) => {
                    let last = octets.len().saturating_sub(1);
                    for (number, octet) in octets.iter_mut().enumerate() {
                        *octet = Self::read(number == last && !reads_on)?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl ErrorType for Bus {
    type Error = ErrorKind;
}

impl I2c for Bus {
    fn transaction(
        &mut self,
        address: u8,
        operations: &mut [Operation<'_>],
    ) -> Result<(), ErrorKind> {
        let result = Self::carry_out(address, operations);
        let stopped = Self::stop();
        result.and(stopped)
    }
}
