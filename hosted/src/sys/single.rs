//! What other systems have in place of Linux' batches: one call for each datagram of a connected
//! socket, as far as `chimectl bench` needs it.

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};
use nix::sys::time::TimeSpec;

/// Datagrams taken or sent at a time.
pub const BATCH: usize = 64;
/// What fills this was cut off.
const DATAGRAM: usize = 1_024;

/// Datagrams that arrived, and others that are to be sent.
#[derive(Debug, Default)]
pub struct Batch {
    received: Vec<Vec<u8>>,
    queued: Vec<Vec<u8>>,
}

/// A datagram of a [`Batch`].
#[derive(Debug)]
pub struct Datagram<'a> {
    /// What it holds.
    pub bytes: &'a [u8],
    /// When the kernel received it, which is not known.
    pub stamp: Option<TimeSpec>,
}

impl Batch {
    /// Takes up to [`BATCH`] datagrams that have arrived, and forgets the ones before; says how
    /// many there are.
    ///
    /// # Errors
    /// [`Errno::EAGAIN`] if there is none; another is what the socket had to tell.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> Result<usize, Errno> {
        self.received.clear();
        while self.received.len() < BATCH {
            let mut bytes = vec![0; DATAGRAM];
            match recv(socket.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
                Ok(len) => bytes.truncate(len),
                Err(error) if self.received.is_empty() => return Err(error),
                Err(_) => break,
            }
            self.received.push(bytes);
        }
        Ok(self.received.len())
    }

    /// One of the datagrams that were received last.
    #[must_use]
    pub fn datagram(&self, place: usize) -> Option<Datagram<'_>> {
        let bytes = self.received.get(place)?;
        Some(Datagram { bytes, stamp: None })
    }

    /// Puts a datagram for the peer of a connected socket behind those that are to be sent; false if
    /// there is no room.
    pub fn queue(&mut self, bytes: &[u8]) -> bool {
        let room = self.queued.len() < BATCH;
        if room {
            self.queued.push(bytes.to_vec());
        }
        room
    }

    /// Sends what is to be sent, or drops what cannot be at once; says which were sent, the first
    /// in the lowest bit, and the first error.
    pub fn send(&mut self, socket: BorrowedFd<'_>) -> (u64, Option<Errno>) {
        let (mut sent, mut failure) = (0, None);
        for (place, bytes) in self.queued.drain(..).enumerate() {
            match send(socket.as_raw_fd(), &bytes, MsgFlags::MSG_DONTWAIT) {
                Ok(_) => sent |= 1 << place,
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        (sent, failure)
    }
}
