//! A peer's last query: the socket that it was sent on, and when it left.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{SockaddrStorage, connect};
use truechimer_core::event::Event;
use truechimer_core::hal::RawStamp;
use truechimer_core::units::WallTime;

use super::message::Message;
use super::stamping::{self, Stamping, Told};
use super::{datagram_socket, message};
use crate::clock::realtime;
use crate::phc::Hardware;

/// A peer's last query.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) socket: UdpSocket,
    pub(super) stamping: Stamping,
    /// When it was sent by the system's clock, while the kernel has yet to tell when it left.
    pub(super) sent: Option<WallTime>,
    /// When it left as the kernel told, while a card may have yet to tell.
    pub(super) left: Option<WallTime>,
    /// So many stamps of cards were not believed, those of the queries before included.
    pub(super) disbelieved: u64,
    pub(super) served_at: Option<IpAddr>,
}

impl Asked {
    /// When the query left, if that is told now.
    /// What the kernel tells that is not between the sending and now is by a clock that was stepped
    /// meanwhile.
    pub(super) fn departed(&mut self, hardware: &mut Hardware) -> Option<RawStamp> {
        self.heed(stamping::departure(&self.socket), hardware)
    }

    fn heed(&mut self, told: Told, hardware: &mut Hardware) -> Option<RawStamp> {
        let mut stamp = None;
        if let Some(left) = told.kernel
            && let Some(sent) = self.sent.take()
            && (sent..=realtime()).contains(&left)
        {
            self.left = Some(left).filter(|_| hardware.is_there());
            stamp = Some(RawStamp::Kernel(left));
        }
        let Some(card) = told.card else { return stamp };
        // Not every driver has the kernel stamp too.
        let Some(left) = self.left.take().or(self.sent.take()) else { return stamp };
        match hardware.departure(&card, left) {
            Some(left) => Some(RawStamp::Hardware(left)),
            None => {
                self.disbelieved += 1;
                stamp
            }
        }
    }

    /// When what has come arrived.
    pub(super) fn arrived(&mut self, message: &Message, hardware: &mut Hardware) -> RawStamp {
        let (Some(card), RawStamp::Kernel(kernel)) = (&message.card, message.stamp) else {
            return message.stamp;
        };
        match hardware.arrival(card, kernel) {
            Some(time) => RawStamp::Hardware(time),
            None => {
                self.disbelieved += 1;
                message.stamp
            }
        }
    }
}

/// A socket connected to `to` from a random port, which the kernel picks.
pub(super) fn query_socket(
    to: SocketAddr,
    with_cards: bool,
    failures: &mut Vec<Event<'static>>,
) -> Result<(UdpSocket, Stamping), Errno> {
    let socket = datagram_socket(to, failures)?;
    let stamping = Stamping::of_both(&socket, with_cards);
    if with_cards {
        // It tells whose card it was.
        let _ = message::enable_local(&socket, to);
    }
    connect(socket.as_raw_fd(), &SockaddrStorage::from(to))?;
    Ok((socket, stamping))
}

#[cfg(test)]
mod tests;
