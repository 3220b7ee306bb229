//! A value of plain words that one thread writes and others read without waiting.
//!
//! The words are atomics, so that a reader that comes in between reads no garbage that would be
//! undefined, only a mixture, which the sequence number gives away (Boehm, *Can seqlocks get along
//! with programming language memory models?*, MSPC 2012). Such a reader goes on with what it has.

use std::sync::Arc;

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering, fence};

#[derive(Debug)]
struct Shared<const WORDS: usize> {
    /// Odd while the words are written.
    sequence: AtomicU64,
    words: [AtomicU64; WORDS],
}

/// The end that writes.
#[derive(Debug)]
pub(super) struct Writer<const WORDS: usize>(Arc<Shared<WORDS>>);

/// An end that reads.
#[derive(Debug, Clone)]
pub(super) struct Reader<const WORDS: usize> {
    shared: Arc<Shared<WORDS>>,
    /// The sequence number of what was read last; odd before.
    seen: u64,
}

/// Both ends of one that holds `words`.
pub(super) fn seqlock<const WORDS: usize>(words: [u64; WORDS]) -> (Writer<WORDS>, Reader<WORDS>) {
    let words = words.map(AtomicU64::new);
    let shared = Arc::new(Shared { sequence: AtomicU64::new(0), words });
    (Writer(shared.clone()), Reader { shared, seen: 1 })
}

impl<const WORDS: usize> Writer<WORDS> {
    pub(super) fn write(&mut self, words: [u64; WORDS]) {
        let Shared { sequence, words: places } = &*self.0;
        let number = sequence.load(Ordering::Relaxed);
        sequence.store(number.wrapping_add(1), Ordering::Relaxed);
        // Whoever sees one of the words sees the odd number.
        fence(Ordering::Release);
        for (place, word) in places.iter().zip(words) {
            place.store(word, Ordering::Relaxed);
        }
        sequence.store(number.wrapping_add(2), Ordering::Release);
    }
}

impl<const WORDS: usize> Reader<WORDS> {
    /// What was written since this was called last; none also while it is being written.
    pub(super) fn read(&mut self) -> Option<[u64; WORDS]> {
        let Shared { sequence, words } = &*self.shared;
        let number = sequence.load(Ordering::Acquire);
        if number == self.seen || number & 1 == 1 {
            return None;
        }
        let read = std::array::from_fn(|place| words[place].load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        if sequence.load(Ordering::Relaxed) != number {
            return None;
        }
        self.seen = number;
        Some(read)
    }
}

/// `RUSTFLAGS='--cfg loom' cargo test -p truechimer --lib model::`: every order of two threads'
/// loads and stores that the memory model allows.
#[cfg(all(test, loom))]
mod model {
    use super::*;

    #[test]
    fn no_reader_sees_a_mixture() {
        loom::model(|| {
            let (mut writer, mut reader) = seqlock([0, 0]);
            let thread = loom::thread::spawn(move || {
                for number in [1, 2] {
                    writer.write([number, number]);
                }
            });
            let first = reader.read().map(|[one, other]| {
                assert_eq!(one, other);
                one
            });
            thread.join().unwrap();
            let last = reader.read().map(|[one, _]| one).or(first);
            assert_eq!(last, Some(2));
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn each_value_is_read_once() {
        let (mut writer, mut reader) = seqlock([7]);
        let mut other = reader.clone();
        assert_eq!((reader.read(), reader.read()), (Some([7]), None));
        writer.write([8]);
        writer.write([9]);
        assert_eq!((reader.read(), reader.read(), other.read()), (Some([9]), None, Some([9])));
    }

    #[test]
    fn no_reader_sees_a_mixture() {
        const LAST: u64 = 200_000;
        let (mut writer, reader) = seqlock([0; 14]);
        thread::scope(|scope| {
            for mut reader in [reader.clone(), reader] {
                scope.spawn(move || {
                    let mut last = 0;
                    while last < LAST {
                        if let Some(words) = reader.read() {
                            assert!(words.iter().all(|word| *word == words[0]), "{words:?}");
                            assert!(words[0] >= last);
                            last = words[0];
                        }
                    }
                });
            }
            (1..=LAST).for_each(|number| writer.write([number; 14]));
        });
    }
}
