//! Where the record is kept: two pages of flash, or of any memory that is like it.
//!
//! Decides where the next record goes. Records follow one another in a page until it is full; then
//! the other page is erased and they go on there, so the one written last is always whole,
//! whatever power does meanwhile, and a page is erased only once for many records.

use core::fmt;

use crc::{CRC_32_ISO_HDLC, Crc, NoTable};
use embedded_storage::nor_flash::NorFlash;
use truechimer_core::hal::Store;
use truechimer_core::holdover::Record;

/// What a record takes: its number, itself, a check sum, and what is left over for memories that are
/// written 32 octets at a time.
const SLOT: usize = 96;
const SUM: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);
const ERASED: u8 = 0xFF;
/// Octets that the sum is of.
const SUMMED: usize = 4 + Record::LEN;
const PAGES: u32 = 2;

/// Where there is nothing to keep a record.
#[derive(Debug, Clone, Copy)]
pub enum NoStore {}

impl Store for NoStore {
    type Error = core::convert::Infallible;

    fn load(&mut self) -> nb::Result<Option<Record>, Self::Error> {
        match *self {}
    }

    fn save(&mut self, _: &Record) -> nb::Result<(), Self::Error> {
        match *self {}
    }
}

/// Two pages of a flash memory as a [`Store`].
#[derive(Debug)]
pub struct TwoPages<F> {
    flash: F,
    /// Where the first begins.
    offset: u32,
    /// The last record's number, and the place after it; `None` before the memory was looked at.
    last: Option<(u32, Place)>,
}

/// A place for a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    page: u32,
    slot: u32,
}

/// The offset of the two pages is not where a page begins, or they are not in the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misplaced;

impl fmt::Display for Misplaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the pages of the store are not two of the memory's")
    }
}

impl core::error::Error for Misplaced {}

impl<F: NorFlash> TwoPages<F> {
    const PAGE: u32 = F::ERASE_SIZE as u32;
    const SLOTS: u32 = Self::PAGE / SLOT as u32;

    /// The two pages of `flash` from `offset` on.
    ///
    /// # Errors
    /// There are no such pages.
    pub fn new(flash: F, offset: u32) -> Result<Self, Misplaced> {
        const {
            assert!(F::ERASE_SIZE >= SLOT, "a record must fit into a page");
            assert!(SLOT.is_multiple_of(F::WRITE_SIZE), "a record must be written in whole words");
        }
        let end = u64::from(offset) + u64::from(PAGES * Self::PAGE);
        if !offset.is_multiple_of(Self::PAGE) || end > flash.capacity() as u64 {
            return Err(Misplaced);
        }
        Ok(Self { flash, offset, last: None })
    }

    fn address(&self, place: Place) -> u32 {
        self.offset + place.page * Self::PAGE + place.slot * SLOT as u32
    }

    /// Looks at all records, and returns the last one's number, the place after it and the record.
    fn look(&mut self) -> Result<(u32, Place, Option<Record>), F::Error> {
        let mut found = (0, Place { page: 0, slot: 0 }, None);
        for page in 0..PAGES {
            let mut newest = None;
            let mut free = 0;
            for slot in 0..Self::SLOTS {
                let mut octets = [0; SLOT];
                self.flash.read(self.address(Place { page, slot }), &mut octets)?;
                if octets.iter().any(|octet| *octet != ERASED) {
                    free = slot + 1;
                }
                newest = parse(&octets).or(newest);
            }
            if let Some((number, record)) = newest
                && (found.2.is_none() || number > found.0)
            {
                found = (number, Place { page, slot: free }, Some(record));
            }
        }
        Ok(found)
    }
}

impl<F: NorFlash> Store for TwoPages<F> {
    type Error = F::Error;

    fn load(&mut self) -> nb::Result<Option<Record>, F::Error> {
        let (number, place, record) = self.look().map_err(nb::Error::Other)?;
        // Where nothing was found there may be damage.
        let place = if record.is_some() { place } else { Place { slot: Self::SLOTS, ..place } };
        self.last = Some((number, place));
        Ok(record)
    }

    fn save(&mut self, record: &Record) -> nb::Result<(), F::Error> {
        if self.last.is_none() {
            self.load()?;
        }
        let Some((number, mut place)) = self.last else { return Err(nb::Error::WouldBlock) };
        if place.slot >= Self::SLOTS {
            place = Place { page: (place.page + 1) % PAGES, slot: 0 };
            let start = self.address(place);
            self.flash.erase(start, start + Self::PAGE).map_err(nb::Error::Other)?;
        }
        let number = number + 1;
        // If this fails the place is spent all the same.
        self.last = Some((number, Place { slot: place.slot + 1, ..place }));
        self.flash.write(self.address(place), &emit(number, record)).map_err(nb::Error::Other)
    }
}

fn emit(number: u32, record: &Record) -> [u8; SLOT] {
    let mut octets = [ERASED; SLOT];
    let sum = {
        let content = number.to_le_bytes().into_iter().chain(record.emit());
        octets.iter_mut().zip(content).for_each(|(to, from)| *to = from);
        SUM.checksum(octets.get(..SUMMED).unwrap_or_default())
    };
    let rest = octets.iter_mut().skip(SUMMED);
    rest.zip(sum.to_le_bytes()).for_each(|(to, from)| *to = from);
    octets
}

fn parse(octets: &[u8; SLOT]) -> Option<(u32, Record)> {
    let (summed, rest) = octets.split_at_checked(SUMMED)?;
    let sum = u32::from_le_bytes(*rest.first_chunk()?);
    if SUM.checksum(summed) != sum {
        return None;
    }
    let (number, record) = summed.split_first_chunk()?;
    let record = Record::parse(record.first_chunk()?).ok()?;
    Some((u32::from_le_bytes(*number), record))
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::RefCell;
    use embedded_storage::nor_flash::{ErrorType, NorFlashError, NorFlashErrorKind, ReadNorFlash};
    use proptest::prelude::*;
    use std::rc::Rc;
    use std::vec::Vec;
    use truechimer_core::holdover::State;
    use truechimer_core::units::WallTime;

    const PAGE: usize = 512;

    /// Three pages, written in words of 4 octets; power fails after so many more operations.
    #[derive(Debug, Clone)]
    struct Flash {
        octets: Rc<RefCell<Vec<u8>>>,
        power: Rc<RefCell<usize>>,
        erased: Rc<RefCell<[u32; 3]>>,
    }

    #[derive(Debug, PartialEq, Eq)]
    struct PowerFailed;

    impl NorFlashError for PowerFailed {
        fn kind(&self) -> NorFlashErrorKind {
            NorFlashErrorKind::Other
        }
    }

    impl ErrorType for Flash {
        type Error = PowerFailed;
    }

    impl Flash {
        fn new() -> Self {
            let octets = Rc::new(RefCell::new(std::vec![0; 3 * PAGE]));
            Self { octets, power: Rc::new(RefCell::new(usize::MAX)), erased: Rc::default() }
        }

        /// Does as much of it, in words, as power lasts for.
        fn work(&self, words: usize, word: impl Fn(usize, &mut [u8])) -> Result<(), PowerFailed> {
            for number in 0..words {
                let mut power = self.power.borrow_mut();
                *power = power.checked_sub(1).ok_or(PowerFailed)?;
                word(number, &mut self.octets.borrow_mut());
            }
            Ok(())
        }
    }

    impl ReadNorFlash for Flash {
        const READ_SIZE: usize = 1;
        fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), PowerFailed> {
            bytes.copy_from_slice(&self.octets.borrow()[offset as usize..][..bytes.len()]);
            Ok(())
        }
        fn capacity(&self) -> usize {
            3 * PAGE
        }
    }

    impl NorFlash for Flash {
        const WRITE_SIZE: usize = 4;
        const ERASE_SIZE: usize = PAGE;
        fn erase(&mut self, from: u32, to: u32) -> Result<(), PowerFailed> {
            assert!(from.is_multiple_of(PAGE as u32) && to.is_multiple_of(PAGE as u32));
            self.erased.borrow_mut()[from as usize / PAGE] += 1;
            self.work((to - from) as usize / 4, |word, all| {
                all[from as usize + 4 * word..][..4].fill(ERASED);
            })
        }
        fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), PowerFailed> {
            self.work(bytes.len() / 4, |word, all| {
                let place = &mut all[offset as usize + 4 * word..][..4];
                assert!(place.iter().all(|octet| *octet == ERASED), "written twice");
                place.copy_from_slice(&bytes[4 * word..][..4]);
            })
        }
    }

    fn record(secs: i64) -> Record {
        let floor = Some(WallTime::from_unix(secs, 0));
        Record { state: State { frequency: None, floor }, rtc: None }
    }

    fn load(flash: &Flash) -> Option<Record> {
        TwoPages::new(flash.clone(), 512).unwrap().load().unwrap()
    }

    #[test]
    fn what_was_saved_last_is_loaded() {
        let flash = Flash::new();
        assert_eq!(load(&flash), None);
        let mut store = TwoPages::new(flash.clone(), 512).unwrap();
        for secs in 0..100 {
            assert_eq!(store.save(&record(secs)), Ok(()));
            assert_eq!(load(&flash), Some(record(secs)));
        }
        // Five records to a page.
        assert_eq!(*flash.erased.borrow(), [0, 10, 10]);
        assert!(flash.octets.borrow()[..PAGE].iter().all(|octet| *octet == 0), "another's page");
        // Another life goes on behind the last.
        let mut store = TwoPages::new(flash.clone(), 512).unwrap();
        assert_eq!(store.save(&record(100)), Ok(()));
        assert_eq!((load(&flash), *flash.erased.borrow()), (Some(record(100)), [0, 10, 11]));
    }

    #[test]
    fn pages_are_where_pages_are() {
        for offset in [1, 256, 1024, 1536, u32::MAX - 511] {
            assert_eq!(TwoPages::new(Flash::new(), offset).err(), Some(Misplaced), "{offset}");
        }
    }

    #[test]
    fn a_number_alone_is_no_record() {
        let mut octets = emit(7, &record(1));
        assert_eq!(parse(&octets), Some((7, record(1))));
        octets[20] ^= 1;
        assert_eq!(parse(&octets), None);
        assert_eq!(parse(&[ERASED; SLOT]), None);
    }

    proptest! {
        // Whenever power fails, the record before or the new one is loaded, and the next is saved.
        #[test]
        fn power_may_fail_at_any_moment(saved in 1i64..20, power in 0usize..180) {
            let flash = Flash::new();
            let mut store = TwoPages::new(flash.clone(), 512).unwrap();
            for secs in 0..saved {
                prop_assert_eq!(store.save(&record(secs)), Ok(()));
            }
            *flash.power.borrow_mut() = power;
            let failed = store.save(&record(saved)).is_err();
            *flash.power.borrow_mut() = usize::MAX;
            let loaded = load(&flash);
            let before = failed && loaded == Some(record(saved - 1));
            prop_assert!(before || loaded == Some(record(saved)), "{:?}", loaded);
            let mut store = TwoPages::new(flash.clone(), 512).unwrap();
            prop_assert_eq!(store.save(&record(saved + 1)), Ok(()));
            prop_assert_eq!(load(&flash), Some(record(saved + 1)));
        }
    }
}
