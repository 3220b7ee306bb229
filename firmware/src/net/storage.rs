//! Memory for the sockets.

use smoltcp::socket::udp;
use truechimer_core::wire::Header;

use super::LISTENERS;
use super::dhcp::Message;
use super::names::Question;

/// A longer datagram is dropped when it comes: no packet that is used or answered is.
const LONGEST: usize = 1024;

/// The buffers of all sockets, for the caller to place; a `static` will do. A socket holds one
/// datagram each way, as frames are polled in one at a time.
#[derive(Debug)]
pub struct Buffers<const PEERS: usize> {
    pub(super) peers: [Buffer; PEERS],
    pub(super) listeners: [Buffer; LISTENERS],
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
pub(super) struct Buffer {
    received_meta: [udp::PacketMetadata; 1],
    received: [u8; LONGEST],
    sent_meta: [udp::PacketMetadata; 1],
    sent: [u8; Header::LEN],
}

impl Buffer {
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
