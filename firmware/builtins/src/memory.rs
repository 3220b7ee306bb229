//! Copies, fills and comparisons, a word at a time where that is simple: Cortex-M3 and later have them
//! at any address.

use core::mem::MaybeUninit;

/// What octets are moved in, alone and by fours; they may be anything.
type Octet = MaybeUninit<u8>;
type Word = MaybeUninit<u32>;
const WORD: usize = size_of::<Word>();
/// What there are single instructions for, if it is aligned as words are.
type Pair = [Word; 2];
const PAIR: usize = size_of::<Pair>();

/// Copies `count` octets, from the first to the last.
///
/// # Safety
/// `from` is valid for reading them and `to` for writing them; `to` is not within what follows `from`.
#[inline(never)]
#[cfg_attr(all(target_arch = "arm", target_os = "none"), unsafe(export_name = "__aeabi_memcpy"))]
pub unsafe extern "C" fn copy(mut to: *mut u8, mut from: *const u8, count: usize) {
    let end = to.wrapping_add(count);
    // SAFETY: each loop stops before there is less left to be read and written than it moves at once.
    unsafe {
        if (to.addr() | from.addr()).is_multiple_of(WORD) {
            while end.addr() - to.addr() >= 2 * PAIR {
                let (source, sink) = (from.cast::<Pair>(), to.cast::<Pair>());
                let (one, other) = (source.read(), source.add(1).read());
                sink.write(one);
                sink.add(1).write(other);
                (to, from) = (to.add(2 * PAIR), from.add(2 * PAIR));
            }
        }
        while end.addr() - to.addr() >= WORD {
            to.cast::<Word>().write_unaligned(from.cast::<Word>().read_unaligned());
            (to, from) = (to.add(WORD), from.add(WORD));
        }
        while to != end {
            to.cast::<Octet>().write(from.cast::<Octet>().read());
            (to, from) = (to.add(1), from.add(1));
        }
    }
}

/// Copies `count` octets to where they may overlap.
///
/// # Safety
/// `from` is valid for reading them and `to` for writing them.
#[inline(never)]
#[cfg_attr(all(target_arch = "arm", target_os = "none"), unsafe(export_name = "__aeabi_memmove"))]
pub unsafe extern "C" fn displace(to: *mut u8, from: *const u8, count: usize) {
    // SAFETY: no octet is written before it was read: upwards it is the last one that is moved first.
    unsafe {
        if to.addr().wrapping_sub(from.addr()) >= count {
            return copy(to, from, count);
        }
        let mut left = count;
        while left > 0 {
            left -= 1;
            to.add(left).cast::<Octet>().write(from.add(left).cast::<Octet>().read());
        }
    }
}

/// Fills `count` octets with the lowest of `octet`'s.
///
/// # Safety
/// `to` is valid for writing them.
#[inline(never)]
#[cfg_attr(all(target_arch = "arm", target_os = "none"), unsafe(export_name = "__aeabi_memset"))]
pub unsafe extern "C" fn fill(mut to: *mut u8, count: usize, octet: i32) {
    let octet = octet as u8;
    // SAFETY: as in `copy`.
    unsafe {
        let (words, end) = (to.add(count & !(WORD - 1)), to.add(count));
        while to != words {
            to.cast::<u32>().write_unaligned(u32::from_ne_bytes([octet; WORD]));
            to = to.add(WORD);
        }
        while to != end {
            *to = octet;
            to = to.add(1);
        }
    }
}

/// The difference of the first of `count` octets that differ, or zero.
///
/// # Safety
/// Both are valid for reading them.
#[inline(never)]
#[cfg_attr(all(target_arch = "arm", target_os = "none"), unsafe(export_name = "memcmp"))]
pub unsafe extern "C" fn compare(one: *const u8, other: *const u8, count: usize) -> i32 {
    for place in 0..count {
        // SAFETY: the place is one of `count`.
        let (one, other) = unsafe { (*one.add(place), *other.add(place)) };
        if one != other {
            return i32::from(one) - i32::from(other);
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn octets() -> Vec<u8> {
        (0..200).map(|place| place as u8 ^ 0x5a).collect()
    }

    proptest! {
        #[test]
        fn moves_as_slices_do(to in 0usize..100, from in 0usize..100, count in 0usize..100) {
            let (mut expected, mut got) = (octets(), octets());
            expected.copy_within(from..from + count, to);
            let base = got.as_mut_ptr();
            // SAFETY: both places and what follows them are within the 200 octets.
            unsafe { displace(base.add(to), base.add(from), count) };
            prop_assert_eq!(&got, &expected);

            let mut apart = std::vec![0u8; 200];
            // SAFETY: as before, of two buffers.
            unsafe { copy(apart.as_mut_ptr().add(to), got.as_ptr().add(from), count) };
            prop_assert_eq!(&apart[to..to + count], &got[from..from + count]);
            prop_assert!(apart[..to].iter().chain(&apart[to + count..]).all(|octet| *octet == 0));
        }

        #[test]
        fn fills_no_more_than_asked(to in 0usize..100, octet: i32, count in 0usize..100) {
            let (mut expected, mut got) = (octets(), octets());
            expected[to..to + count].fill(octet as u8);
            // SAFETY: the place and what follows it are within the 200 octets.
            unsafe { fill(got.as_mut_ptr().add(to), count, octet) };
            prop_assert_eq!(got, expected);
        }

        #[test]
        fn compares_as_slices_do(one: [u8; 9], same in 0usize..=9, other: [u8; 9]) {
            let other: Vec<u8> = one[..same].iter().chain(&other[same..]).copied().collect();
            // SAFETY: both have 9 octets.
            let order = unsafe { compare(one.as_ptr(), other.as_ptr(), 9) };
            prop_assert_eq!(order.cmp(&0), one[..].cmp(&other));
        }
    }
}
