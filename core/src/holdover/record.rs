//! What a host keeps between two lives, and its form in a firmware's memory.

use core::fmt;

use super::{Compared, KnownFrequency};
use crate::config::MAX_FREQUENCY;
use crate::units::{FreqOffset, Span, WallTime};

/// What the engine wants kept.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct State {
    /// What is known of the frequency.
    pub frequency: Option<KnownFrequency>,
    /// The last time that was known to be right: it is later now.
    pub floor: Option<WallTime>,
}

/// All that is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Record {
    /// Of the clock.
    pub state: State,
    /// Of the real-time clock.
    pub rtc: Option<Compared>,
}

/// Octets that are no record: of another version, or damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Corrupt;

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the record is damaged or of another version")
    }
}

impl core::error::Error for Corrupt {}

const VERSION: u8 = 1;
const HAS_FREQUENCY: u8 = 1;
const HAS_FLOOR: u8 = 2;
const HAS_RTC: u8 = 4;
const NANOS_PER_SEC: u32 = 1_000_000_000;

impl Record {
    /// Octets of a record.
    pub const LEN: usize = 74;

    /// The octets of a record. What finds out that they are damaged is the store's.
    #[must_use]
    pub fn emit(&self) -> [u8; Self::LEN] {
        let mut writer = Writer { bytes: [0; Self::LEN], place: 0 };
        let State { frequency, floor } = self.state;
        let flag = |is: bool, flag: u8| if is { flag } else { 0 };
        writer.put(&[
            VERSION,
            flag(frequency.is_some(), HAS_FREQUENCY)
                | flag(floor.is_some(), HAS_FLOOR)
                | flag(self.rtc.is_some(), HAS_RTC),
        ]);
        let frequency = frequency.unwrap_or(KnownFrequency::about(FreqOffset::ZERO));
        writer.rate(frequency.frequency);
        writer.put(&frequency.deviation.to_be_bytes());
        writer.time(floor.unwrap_or_default());
        let rtc = self.rtc.unwrap_or(Compared {
            at: WallTime::UNIX_EPOCH,
            ahead: Span::ZERO,
            error: Span::ZERO,
            rate: FreqOffset::ZERO,
            rate_error: FreqOffset::ZERO,
        });
        writer.time(rtc.at);
        writer.put(&rtc.ahead.as_nanos().to_be_bytes());
        writer.put(&rtc.error.as_nanos().to_be_bytes());
        writer.rate(rtc.rate);
        writer.rate(rtc.rate_error);
        writer.bytes
    }

    /// The record that the octets are of.
    ///
    /// # Errors
    /// They are of none.
    pub fn parse(bytes: &[u8; Self::LEN]) -> Result<Self, Corrupt> {
        let mut reader = Reader(bytes);
        let [version, flags] = reader.take()?;
        if version != VERSION || flags > (HAS_FREQUENCY | HAS_FLOOR | HAS_RTC) {
            return Err(Corrupt);
        }
        let frequency = reader.rate()?;
        let deviation = f64::from_be_bytes(reader.take()?);
        // A frequency without doubt would never be corrected.
        if !(deviation > 0.0 && deviation < 1.0) {
            return Err(Corrupt);
        }
        let floor = reader.time()?;
        let rtc = Compared {
            at: reader.time()?,
            ahead: Span::from_nanos(i64::from_be_bytes(reader.take()?)),
            error: Span::from_nanos(i64::from_be_bytes(reader.take()?)),
            rate: reader.rate()?,
            rate_error: reader.rate()?,
        };
        if rtc.error.is_negative() || rtc.rate_error < FreqOffset::ZERO {
            return Err(Corrupt);
        }
        let has = |flag| flags & flag != 0;
        let frequency = KnownFrequency { frequency, deviation };
        Ok(Self {
            state: State {
                frequency: has(HAS_FREQUENCY).then_some(frequency),
                floor: has(HAS_FLOOR).then_some(floor),
            },
            rtc: has(HAS_RTC).then_some(rtc),
        })
    }
}

struct Writer {
    bytes: [u8; Record::LEN],
    place: usize,
}

impl Writer {
    fn put(&mut self, bytes: &[u8]) {
        for (to, from) in self.bytes.iter_mut().skip(self.place).zip(bytes) {
            *to = *from;
        }
        self.place += bytes.len();
    }

    fn rate(&mut self, rate: FreqOffset) {
        self.put(&rate.as_ppm().to_be_bytes());
    }

    fn time(&mut self, time: WallTime) {
        self.put(&time.unix_secs().to_be_bytes());
        self.put(&time.subsec_nanos().to_be_bytes());
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Corrupt> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Corrupt)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn rate(&mut self) -> Result<FreqOffset, Corrupt> {
        let ppm = f64::from_be_bytes(self.take()?);
        let is_possible = ppm.abs() <= MAX_FREQUENCY.as_ppm();
        if is_possible { Ok(FreqOffset::from_ppm_f64(ppm)) } else { Err(Corrupt) }
    }

    fn time(&mut self) -> Result<WallTime, Corrupt> {
        let (secs, nanos) = (i64::from_be_bytes(self.take()?), u32::from_be_bytes(self.take()?));
        if nanos < NANOS_PER_SEC { Ok(WallTime::from_unix(secs, nanos)) } else { Err(Corrupt) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn full() -> Record {
        let frequency = FreqOffset::from_ppm_f64(-12.5);
        Record {
            state: State {
                frequency: Some(KnownFrequency { frequency, deviation: 2e-7 }),
                floor: Some(WallTime::from_unix(1_900_000_000, 7)),
            },
            rtc: Some(Compared {
                at: WallTime::from_unix(1_900_000_001, 999_999_999),
                ahead: Span::from_millis(-750),
                error: Span::from_micros(3),
                rate: FreqOffset::from_ppm(20),
                rate_error: FreqOffset::from_ppm_f64(0.5),
            }),
        }
    }

    #[test]
    fn octets_are_as_they_were() {
        let bytes = full().emit();
        assert_eq!(bytes[..2], [1, 7]);
        assert_eq!(bytes[2..10], (-12.5f64).to_be_bytes());
        assert_eq!(bytes[10..18], 2e-7f64.to_be_bytes());
        assert_eq!(bytes[18..30], [0, 0, 0, 0, 0x71, 0x3f, 0xb3, 0, 0, 0, 0, 7]);
        assert_eq!(bytes[42..50], (-750_000_000i64).to_be_bytes());
        assert_eq!(Record::parse(&bytes), Ok(full()));
    }

    #[test]
    fn what_is_not_known_is_not_invented() {
        let State { frequency, floor } = full().state;
        let rtc = full().rtc;
        for record in [
            Record::default(),
            Record { state: State { frequency, floor: None }, rtc: None },
            Record { state: State { frequency: None, floor }, rtc: None },
            Record { state: State::default(), rtc },
        ] {
            assert_eq!(Record::parse(&record.emit()), Ok(record));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let nonsense: [(usize, &[u8]); 8] = [
            (0, &[2]),
            (1, &[8]),
            (2, &f64::NAN.to_be_bytes()),
            (2, &200_000.0f64.to_be_bytes()),
            (10, &0.0f64.to_be_bytes()),
            (26, &1_000_000_000u32.to_be_bytes()),
            (50, &(-1i64).to_be_bytes()),
            (66, &(-1.0f64).to_be_bytes()),
        ];
        for (place, octets) in nonsense {
            let mut bytes = full().emit();
            bytes[place..place + octets.len()].copy_from_slice(octets);
            assert_eq!(Record::parse(&bytes), Err(Corrupt), "{place}");
        }
    }

    proptest! {
        // What was read is what is written, whatever the memory held.
        #[test]
        fn any_octets_are_a_record_or_none(bytes in prop::array::uniform32(any::<u8>())) {
            let mut all = full().emit();
            all[2..34].copy_from_slice(&bytes);
            if let Ok(record) = Record::parse(&all) {
                prop_assert_eq!(Record::parse(&record.emit()), Ok(record));
            }
        }
    }
}
