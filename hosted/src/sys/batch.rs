//! Many datagrams with one system call: recvmmsg(2) and sendmmsg(2) of Linux.
//!
//! nix has both, but its `sendmmsg` says the same beside each datagram, where answers leave from the
//! addresses that were asked.

use std::fmt;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};

use libc::{cmsghdr, iovec, mmsghdr, sockaddr_storage};
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeSpec;

/// Datagrams taken or sent by one call.
pub const BATCH: usize = 64;
/// What fills this was cut off.
const DATAGRAM: usize = 1_024;
/// The longest answer: a control message's.
const ANSWER: usize = 480;
/// Room for two forms of a stamp, an address and what the queue of errors says beside.
const CONTROL: usize = 256;
/// Stamps of arrivals by the kernel, and of departures, numbered and without the datagrams.
const STAMPS: libc::c_uint = libc::SOF_TIMESTAMPING_SOFTWARE
    | libc::SOF_TIMESTAMPING_RX_SOFTWARE
    | libc::SOF_TIMESTAMPING_OPT_ID
    | libc::SOF_TIMESTAMPING_OPT_TSONLY;

/// Aligned as `cmsghdr` has to be.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// A datagram with all that belongs to it.
#[derive(Clone, Copy)]
#[repr(C)]
struct Message<const SIZE: usize> {
    name: sockaddr_storage,
    part: iovec,
    control: Control,
    bytes: [u8; SIZE],
}

/// Messages with a header each, which points into them.
struct Messages<const SIZE: usize> {
    /// [`BATCH`] of them, which this owns; a `Box` would claim them for itself whenever it moves.
    first: NonNull<Message<SIZE>>,
    headers: Box<[mmsghdr]>,
    /// So many of the headers state what came with a message, not how much room there is.
    used: usize,
}

impl<const SIZE: usize> Messages<SIZE> {
    fn new() -> Self {
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

    fn get(&self, place: usize) -> Option<(&mmsghdr, &Message<SIZE>)> {
        let header = self.headers.get(place)?;
        // SAFETY: there is a message for each header, and `self` is borrowed.
        Some((header, unsafe { self.first.add(place).as_ref() }))
    }

    fn get_mut(&mut self, place: usize) -> Option<(&mut mmsghdr, &mut Message<SIZE>)> {
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

/// Has the kernel stamp what arrives on a socket, and lets answers be
/// [stamped](Batch::stamp_departure).
///
/// # Errors
/// The system does not know this.
pub fn enable_stamps(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    let wanted = STAMPS;
    // SAFETY: the option is a number, which is there and of the length that is stated.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPING,
            (&raw const wanted).cast(),
            size_of_val(&wanted) as _,
        )
    };
    Errno::result(done)?;
    // One form of them is enough.
    setsockopt(&socket, sockopt::ReceiveTimestampns, &false)
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("queued", &self.queued).finish_non_exhaustive()
    }
}

/// What the kernel says beside a datagram, by level and type.
fn each_control(header: &libc::msghdr, mut each: impl FnMut(i32, i32, &[u8])) {
    // SAFETY: `header` is of a message of a batch: its control buffer is aligned and as long as
    // it states, and the kernel wrote whole control messages to it; the macros stay within.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(header);
        while let Some(found) = control.as_ref() {
            #[allow(clippy::unnecessary_cast, reason = "musl has other types")]
            let len = (found.cmsg_len as usize).saturating_sub(libc::CMSG_LEN(0) as usize);
            let data = std::slice::from_raw_parts(libc::CMSG_DATA(control), len);
            each(found.cmsg_level, found.cmsg_type, data);
            control = libc::CMSG_NXTHDR(header, control);
        }
    }
}

/// A structure of plain numbers, if `data` holds all of it.
fn in_room<T: Plain>(data: &[u8]) -> Option<T> {
    // SAFETY: any octets are a `T`, and there are enough.
    (data.len() >= size_of::<T>()).then(|| unsafe { data.as_ptr().cast::<T>().read_unaligned() })
}

/// Structures that any octets make.
trait Plain: Copy {}
impl Plain for libc::timespec {}
impl Plain for libc::in_pktinfo {}
impl Plain for libc::in6_pktinfo {}
impl Plain for libc::sock_extended_err {}

/// Writes a control message, the only one; says how long it is.
fn put<T: Plain>(header: &mut libc::msghdr, level: i32, kind: i32, data: T) -> usize {
    const { assert!(size_of::<T>() + 2 * size_of::<cmsghdr>() <= CONTROL) };
    // SAFETY: the control buffer is aligned and has room for it.
    unsafe {
        let control = libc::CMSG_FIRSTHDR(header);
        (*control).cmsg_level = level;
        (*control).cmsg_type = kind;
        (*control).cmsg_len = libc::CMSG_LEN(size_of::<T>() as u32) as _;
        libc::CMSG_DATA(control).cast::<T>().write_unaligned(data);
        libc::CMSG_SPACE(size_of::<T>() as u32) as usize
    }
}

fn address(name: &sockaddr_storage) -> Option<IpAddr> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;
    use std::time::Duration;

    #[test]
    fn answers_leave_from_where_they_were_asked() {
        let server = UdpSocket::bind("0.0.0.0:0").unwrap();
        setsockopt(&server, sockopt::Ipv4PacketInfo, &true).unwrap();
        setsockopt(&server, sockopt::ReceiveTimestampns, &true).unwrap();
        let port = server.local_addr().unwrap().port();
        let asked = ["127.0.0.1", "127.0.0.2", "127.1.2.3"];
        let clients = asked.map(|address| {
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            client.send_to(address.as_bytes(), (address, port)).unwrap();
            client
        });
        clients[0].send_to(&[1; 1_025], ("127.0.0.1", port)).unwrap();
        let mut batch = Batch::default();
        assert_eq!(batch.receive(server.as_fd()), Ok(4));
        for (place, address) in asked.iter().enumerate() {
            let datagram = batch.datagram(place).unwrap();
            assert_eq!(
                (datagram.bytes, datagram.from),
                (address.as_bytes(), [127, 0, 0, 1].into())
            );
            assert!(datagram.stamp.is_some());
            let bytes = datagram.bytes.to_vec();
            assert_eq!(batch.answer(place, &[]), Some(place));
            batch.fill(place, &bytes);
        }
        assert_eq!(batch.datagram(3).unwrap().bytes, b"", "it was cut off");
        assert_eq!(batch.send(server.as_fd()), (0b111, None));
        for (client, address) in clients.iter().zip(asked) {
            let mut bytes = [0; 32];
            let (len, from) = client.recv_from(&mut bytes).unwrap();
            assert_eq!((&bytes[..len], from.ip()), (address.as_bytes(), address.parse().unwrap()));
        }
        assert_eq!(batch.receive(server.as_fd()), Err(Errno::EAGAIN));
        assert_eq!(batch.send(server.as_fd()), (0, None), "nothing is sent twice");
    }

    #[test]
    fn a_connected_socket_sends_to_its_peer_in_order() {
        let [one, other] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        one.connect(other.local_addr().unwrap()).unwrap();
        setsockopt(&other, sockopt::ReceiveTimestampns, &true).unwrap();
        let (mut sending, mut receiving) = (Batch::default(), Batch::default());
        let before = nix::time::ClockId::CLOCK_REALTIME.now().unwrap();
        for number in 0..=BATCH as u8 {
            assert_eq!(sending.queue(&[number; 48]), usize::from(number) < BATCH);
        }
        assert_eq!(sending.send(one.as_fd()), (u64::MAX, None));
        assert_eq!(receiving.receive(other.as_fd()), Ok(BATCH));
        let mut last = before;
        for number in 0..BATCH {
            let datagram = receiving.datagram(number).unwrap();
            assert_eq!(datagram.bytes, [number as u8; 48]);
            let stamp = datagram.stamp.unwrap();
            assert!(last <= stamp, "{last} {stamp}");
            last = stamp;
        }
        assert!(last <= nix::time::ClockId::CLOCK_REALTIME.now().unwrap());
        drop(other);
        assert!(sending.queue(b"?"));
        let _ = sending.send(one.as_fd());
        assert!(sending.queue(b"?"));
        assert_eq!(sending.send(one.as_fd()), (0, Some(Errno::ECONNREFUSED)));
    }

    #[test]
    fn departures_are_told_by_their_number() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let server = UdpSocket::bind(address).unwrap();
            enable_stamps(server.as_fd()).unwrap();
            let client = UdpSocket::bind(address).unwrap();
            (0..3).for_each(|_| {
                client.send_to(b"question", server.local_addr().unwrap()).unwrap();
            });
            let mut batch = Batch::default();
            let before = nix::time::ClockId::CLOCK_REALTIME.now().unwrap();
            assert_eq!(batch.receive(server.as_fd()), Ok(3));
            (0..3).for_each(|place| assert_eq!(batch.answer(place, b"answer"), Some(place)));
            // The first is not asked for.
            [1, 2].into_iter().for_each(|place| batch.stamp_departure(place));
            assert_eq!(batch.send(server.as_fd()), (0b111, None));
            let mut departures = Vec::new();
            for _ in 0..500 {
                batch.departures(server.as_fd(), |number, at| departures.push((number, at)));
                if departures.len() == 2 {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            let after = nix::time::ClockId::CLOCK_REALTIME.now().unwrap();
            let numbers: Vec<_> = departures.iter().map(|(number, _)| *number).collect();
            assert_eq!(numbers, [0, 1], "{address}");
            assert!(departures.iter().all(|(_, at)| before <= *at && *at <= after));
        }
    }

    #[test]
    fn what_cannot_be_sent_keeps_nothing_back() {
        let server = UdpSocket::bind("[::1]:0").unwrap();
        let clients = [(); 3].map(|()| UdpSocket::bind("[::1]:0").unwrap());
        for client in &clients {
            client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            client.send_to(b"question", server.local_addr().unwrap()).unwrap();
        }
        let mut batch = Batch::default();
        assert_eq!(batch.receive(server.as_fd()), Ok(3));
        (0..3).for_each(|place| assert_eq!(batch.answer(place, b"answer"), Some(place)));
        // Nobody has port 0.
        // SAFETY: it is an address of this family, shorter than the storage.
        unsafe {
            let (_, message) = batch.answers.get_mut(1).unwrap();
            let name: *mut sockaddr_storage = &raw mut message.name;
            (*name.cast::<libc::sockaddr_in6>()).sin6_port = 0;
        }
        assert_eq!(batch.send(server.as_fd()), (0b101, Some(Errno::EINVAL)));
        for client in [&clients[0], &clients[2]] {
            let mut bytes = [0; 32];
            let len = client.recv(&mut bytes).unwrap();
            assert_eq!(&bytes[..len], b"answer");
        }
    }
}
