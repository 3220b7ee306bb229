//! Memory for the sockets.

use smoltcp::socket::udp;
use truechimer_core::wire::Header;

use super::LISTENERS;
use super::dhcp::Message;
use super::names::Question;

/// Longer datagrams are dropped when they come: no reply that is used is as long, ...
const REPLY: usize = 128;
/// ... nor a query of the time.
const QUERY: usize = 256;

/// The buffers of all sockets, for the caller to place; a `static` will do. A socket holds one
/// datagram each way, as frames are polled in one at a time.
#[derive(Debug)]
pub struct Buffers<const PEERS: usize> {
    pub(super) peers: [Buffer<REPLY>; PEERS],
    pub(super) listeners: [Buffer<QUERY>; LISTENERS],
    pub(super) lease: Message,
    pub(super) question: Question,
}

impl<const PEERS: usize> Buffers<PEERS> {
    /// Empty ones.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            peers: [Buffer::EMPTY; PEERS],
            listeners: [Buffer::EMPTY; LISTENERS],
            lease: Message::EMPTY,
            question: [None],
        }
    }
}

impl<const PEERS: usize> Default for Buffers<PEERS> {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Debug)]
pub(super) struct Buffer<const LONGEST: usize> {
    received_meta: [udp::PacketMetadata; 1],
    received: [u8; LONGEST],
    sent_meta: [udp::PacketMetadata; 1],
    sent: [u8; Header::LEN],
}

impl<const LONGEST: usize> Buffer<LONGEST> {
    const EMPTY: Self = Self {
        received_meta: [udp::PacketMetadata::EMPTY],
        received: [0; LONGEST],
        sent_meta: [udp::PacketMetadata::EMPTY],
        sent: [0; Header::LEN],
    };

    /// A closed socket over this memory.
    pub(super) fn socket(&mut self) -> udp::Socket<'_> {
        let received = udp::PacketBuffer::new(&mut self.received_meta[..], &mut self.received[..]);
        let sent = udp::PacketBuffer::new(&mut self.sent_meta[..], &mut self.sent[..]);
        udp::Socket::new(received, sent)
    }
}
