//! Many datagrams with one system call: recvmmsg(2) and sendmmsg(2) of Linux.
//!
//! nix has both, but its `sendmmsg` says the same beside each datagram, where answers leave from the
//! addresses that were asked.

mod control;
mod messages;
mod options;
#[cfg(test)]
mod tests;

use std::fmt;
use std::mem::size_of;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use libc::{cmsghdr, sockaddr_storage};
use nix::errno::Errno;
use nix::sys::time::TimeSpec;

use self::control::{each_control, in_room, put};
use self::messages::{Messages, address};
pub use self::options::{enable_stamps, never_fragment};

/// Datagrams taken or sent by one call.
pub const BATCH: usize = 64;
/// What fills this was cut off.
const DATAGRAM: usize = 1_024;
/// The longest answer: a control message's.
const ANSWER: usize = 480;
/// Room for two forms of a stamp, an address and what the queue of errors says beside.
const CONTROL: usize = 256;
/// Datagrams that arrived, and answers to them.
pub struct Batch {
    received: Messages<DATAGRAM>,
    answers: Messages<ANSWER>,
    queued: usize,
}

// SAFETY: what its pointers point to it owns, and nobody else has any.
unsafe impl Send for Batch {}

/// A datagram of a [`Batch`].
#[derive(Debug)]
pub struct Datagram<'a> {
    /// What it holds; nothing if it was longer than there is room.
    pub bytes: &'a [u8],
    /// Who says to have sent it.
    pub from: IpAddr,
    /// When the kernel received it, by `CLOCK_REALTIME`.
    pub stamp: Option<TimeSpec>,
}

impl Default for Batch {
    fn default() -> Self {
        Self { received: Messages::new(), answers: Messages::new(), queued: 0 }
    }
}

impl Batch {
    /// Takes up to [`BATCH`] datagrams that have arrived, and forgets the ones before; says how
    /// many there are.
    ///
    /// # Errors
    /// [`Errno::EAGAIN`] if there is none; another is what the socket had to tell.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> Result<usize, Errno> {
        self.queued = 0;
        self.take(socket, libc::MSG_DONTWAIT)
    }

    /// As [`receive`](Self::receive), but waits until there is one, as long as the socket's own
    /// time-out lets it.
    ///
    /// # Errors
    /// [`Errno::EAGAIN`] if there was none; another is what the socket had to tell.
    pub fn wait(&mut self, socket: BorrowedFd<'_>) -> Result<usize, Errno> {
        self.queued = 0;
        self.take(socket, libc::MSG_WAITFORONE)
    }

    fn take(&mut self, socket: BorrowedFd<'_>, flags: i32) -> Result<usize, Errno> {
        let used = std::mem::replace(&mut self.received.used, BATCH);
        for header in self.received.headers.iter_mut().take(used) {
            header.msg_hdr.msg_namelen = size_of::<sockaddr_storage>() as u32;
            header.msg_hdr.msg_controllen = CONTROL as _;
        }
        // SAFETY: the headers point to memory that this owns exclusively, of the lengths that they
        // state.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.received.headers.as_mut_ptr(),
                BATCH as _,
                flags as _,
                ptr::null_mut(),
            )
        };
        let count = Errno::result(received).map(|count| usize::try_from(count).unwrap_or(BATCH));
        // Also a message that could not be taken was begun.
        self.received.used = (count.unwrap_or_default() + 1).min(BATCH);
        count
    }

    /// One of the datagrams that were received last; none if it is from no IP address.
    #[must_use]
    pub fn datagram(&self, place: usize) -> Option<Datagram<'_>> {
        let (header, message) = self.received.get(place)?;
        let whole = header.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
        let bytes = message.bytes.get(..header.msg_len as usize).filter(|_| whole);
        let mut stamp = None;
        each_control(&header.msg_hdr, |level, kind, data| {
            let kinds = [libc::SCM_TIMESTAMPNS, libc::SCM_TIMESTAMPING];
            if level == libc::SOL_SOCKET
                && kinds.contains(&kind)
                && let Some(time) = in_room::<libc::timespec>(data)
            {
                stamp = Some(TimeSpec::from_timespec(time));
            }
        });
        Some(Datagram { bytes: bytes.unwrap_or_default(), from: address(&message.name)?, stamp })
    }

    /// Puts an answer to a datagram behind those that are to be sent, to leave from the address
    /// that the datagram came to if the socket tells that; says in which place. What is longer than
    /// any answer is cut off.
    pub fn answer(&mut self, datagram: usize, bytes: &[u8]) -> Option<usize> {
        let place = self.queued;
        let (asked, asking) = self.received.get(datagram)?;
        let (header, message) = self.answers.get_mut(place)?;
        message.name = asking.name;
        header.msg_hdr.msg_namelen = asked.msg_hdr.msg_namelen;
        header.msg_hdr.msg_controllen = CONTROL as _;
        let mut used = 0;
        each_control(&asked.msg_hdr, |level, kind, data| match (level, kind) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                if let Some(info) = in_room::<libc::in_pktinfo>(data) {
                    // The routing table chooses the interface.
                    let info =
                        libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: info.ipi_addr, ..info };
                    used = put(&mut header.msg_hdr, level, kind, info);
                }
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                if let Some(info) = in_room::<libc::in6_pktinfo>(data) {
                    used = put(&mut header.msg_hdr, level, kind, info);
                }
            }
            _ => {}
        });
        header.msg_hdr.msg_controllen = used as _;
        self.queued += 1;
        self.fill(place, bytes);
        Some(place)
    }

    /// Asks the kernel to stamp when an answer leaves; [`departures`](Self::departures) tells it.
    /// Not more than once.
    pub fn stamp_departure(&mut self, place: usize) {
        let Some((header, message)) = self.answers.get_mut(place) else { return };
        #[allow(clippy::unnecessary_cast, reason = "musl has other types")]
        let used = header.msg_hdr.msg_controllen as usize;
        let wanted = libc::SOF_TIMESTAMPING_TX_SOFTWARE;
        // SAFETY: the control buffer is aligned, the space of control messages keeps it so, and
        // there is room behind the one that `answer` may have put there.
        unsafe {
            let control = message.control.0.as_mut_ptr().add(used).cast::<cmsghdr>();
            (*control).cmsg_level = libc::SOL_SOCKET;
            (*control).cmsg_type = libc::SO_TIMESTAMPING;
            (*control).cmsg_len = libc::CMSG_LEN(size_of_val(&wanted) as u32) as _;
            libc::CMSG_DATA(control).cast::<libc::c_uint>().write_unaligned(wanted);
            let space = libc::CMSG_SPACE(size_of_val(&wanted) as u32) as usize;
            header.msg_hdr.msg_controllen = (used + space) as _;
        }
    }

    /// Tells when answers left, by number: each that was [stamped](Self::stamp_departure) has the
    /// next one, from 0. What was received is forgotten.
    pub fn departures(&mut self, socket: BorrowedFd<'_>, mut each: impl FnMut(u32, TimeSpec)) {
        let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
        while let Ok(count @ 1..) = self.take(socket, flags) {
            for header in self.received.headers.iter().take(count) {
                let (mut stamp, mut number) = (None, None);
                each_control(&header.msg_hdr, |level, kind, data| match (level, kind) {
                    (libc::SOL_SOCKET, libc::SO_TIMESTAMPING) => {
                        stamp = in_room::<libc::timespec>(data);
                    }
                    (libc::IPPROTO_IP, libc::IP_RECVERR)
                    | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) => {
                        let error = in_room::<libc::sock_extended_err>(data);
                        let stamps = libc::SO_EE_ORIGIN_TIMESTAMPING;
                        number = error.filter(|e| e.ee_origin == stamps).map(|e| e.ee_data);
                    }
                    _ => {}
                });
                if let (Some(stamp), Some(number)) = (stamp, number) {
                    each(number, TimeSpec::from_timespec(stamp));
                }
            }
            if count < BATCH {
                return;
            }
        }
    }

    /// Gives an answer that is to be sent other contents.
    pub fn fill(&mut self, place: usize, bytes: &[u8]) {
        let Some((_, message)) = self.answers.get_mut(place) else { return };
        let len = bytes.len().min(ANSWER);
        if let (Some(to), Some(from)) = (message.bytes.get_mut(..len), bytes.get(..len)) {
            to.copy_from_slice(from);
        }
        message.part.iov_len = len;
    }

    /// Puts a datagram for the peer of a connected socket behind those that are to be sent; false if
    /// there is no room. What is longer than any answer is cut off.
    pub fn queue(&mut self, bytes: &[u8]) -> bool {
        let place = self.queued;
        let Some((header, _)) = self.answers.get_mut(place) else { return false };
        header.msg_hdr.msg_namelen = 0;
        header.msg_hdr.msg_controllen = 0;
        self.queued += 1;
        self.fill(place, bytes);
        true
    }

    /// Sends what is to be sent, or drops what cannot be at once; says which were sent, the first
    /// in the lowest bit, and the first error.
    pub fn send(&mut self, socket: BorrowedFd<'_>) -> (u64, Option<Errno>) {
        let (mut sent, mut place, mut failure) = (0, 0, None);
        let flags = libc::MSG_DONTWAIT as _;
        while let Some(waiting) = self.answers.headers.get_mut(place..self.queued)
            && !waiting.is_empty()
        {
            // SAFETY: the headers point to memory that this owns, of the lengths that they state.
            let count = unsafe {
                let len = waiting.len() as _;
                libc::sendmmsg(socket.as_raw_fd(), waiting.as_mut_ptr(), len, flags)
            };
            match Errno::result(count) {
                Ok(count) => {
                    let count = usize::try_from(count).unwrap_or_default().clamp(1, BATCH);
                    sent |= (u64::MAX >> (BATCH - count)) << place;
                    place += count;
                }
                // There is no room for the others either.
                Err(error @ Errno::EAGAIN) => {
                    failure = failure.or(Some(error));
                    break;
                }
                // The first of them cannot be sent.
                Err(error) => {
                    failure = failure.or(Some(error));
                    place += 1;
                }
            }
        }
        self.queued = 0;
        (sent, failure)
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("queued", &self.queued).finish_non_exhaustive()
    }
}
