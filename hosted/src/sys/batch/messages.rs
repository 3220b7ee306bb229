//! Datagrams with their headers, as recvmmsg(2) and sendmmsg(2) take them.

use std::mem::zeroed;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr::NonNull;

use libc::{iovec, mmsghdr, sockaddr_storage};

use super::{BATCH, CONTROL};

/// Aligned as `cmsghdr` has to be.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Control(pub(super) [u8; CONTROL]);

/// A datagram with all that belongs to it.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Message<const SIZE: usize> {
    pub(super) name: sockaddr_storage,
    pub(super) part: iovec,
    pub(super) control: Control,
    pub(super) bytes: [u8; SIZE],
}

/// Messages with a header each, which points into them.
pub(super) struct Messages<const SIZE: usize> {
    /// [`BATCH`] of them, which this owns; a `Box` would claim them for itself whenever it moves.
    first: NonNull<Message<SIZE>>,
    pub(super) headers: Box<[mmsghdr]>,
    /// So many of the headers state what came with a message, not how much room there is.
    pub(super) used: usize,
}

impl<const SIZE: usize> Messages<SIZE> {
    pub(super) fn new() -> Self {
        // SAFETY: all of its fields are integers or raw pointers, which may be zero.
        let empty: Message<SIZE> = unsafe { zeroed() };
        let messages = Box::leak(vec![empty; BATCH].into_boxed_slice());
        let first = NonNull::from_mut(messages).cast::<Message<SIZE>>();
        let header = |place| {
            // SAFETY: there are so many, and nobody else has them yet.
            unsafe {
                let message = first.add(place).as_ptr();
                let bytes = (&raw mut (*message).bytes).cast();
                (*message).part = iovec { iov_base: bytes, iov_len: SIZE };
                // All of its fields are integers or raw pointers, which may be zero.
                let mut header: mmsghdr = zeroed();
                header.msg_hdr.msg_name = (&raw mut (*message).name).cast();
                header.msg_hdr.msg_iov = &raw mut (*message).part;
                header.msg_hdr.msg_iovlen = 1;
                header.msg_hdr.msg_control = (&raw mut (*message).control).cast();
                header
            }
        };
        Self { first, headers: (0..BATCH).map(header).collect(), used: BATCH }
    }

    pub(super) fn get(&self, place: usize) -> Option<(&mmsghdr, &Message<SIZE>)> {
        let header = self.headers.get(place)?;
        // SAFETY: there is a message for each header, and `self` is borrowed.
        Some((header, unsafe { self.first.add(place).as_ref() }))
    }

    pub(super) fn get_mut(&mut self, place: usize) -> Option<(&mut mmsghdr, &mut Message<SIZE>)> {
        let header = self.headers.get_mut(place)?;
        // SAFETY: there is a message for each header, and `self` is borrowed exclusively.
        Some((header, unsafe { self.first.add(place).as_mut() }))
    }
}

impl<const SIZE: usize> Drop for Messages<SIZE> {
    fn drop(&mut self) {
        let messages = NonNull::slice_from_raw_parts(self.first, BATCH);
        // SAFETY: they are of a box that was leaked.
        drop(unsafe { Box::from_raw(messages.as_ptr()) });
    }
}

/// Who sent a message; none if it is from no IP address.
pub(super) fn address(name: &sockaddr_storage) -> Option<IpAddr> {
    let name: *const sockaddr_storage = name;
    match i32::from(
        // SAFETY: it is a valid structure.
        unsafe { (*name).ss_family },
    ) {
        libc::AF_INET => {
            // SAFETY: it is an address of this family, shorter than the storage.
            let address = unsafe { (*name.cast::<libc::sockaddr_in>()).sin_addr };
            Some(Ipv4Addr::from_bits(u32::from_be(address.s_addr)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let address = unsafe { (*name.cast::<libc::sockaddr_in6>()).sin6_addr };
            Some(Ipv6Addr::from(address.s6_addr).into())
        }
        _ => None,
    }
}
