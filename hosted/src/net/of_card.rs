//! What the kernel says beside a datagram of the network card that it passed: when, by the card's
//! clock, and which interface that is (Documentation/networking/timestamping.rst of Linux).

use nix::sys::socket::{ControlMessageOwned, Timestamps};
use nix::sys::time::TimeValLike;
use truechimer_core::units::WallTime;

use crate::clock::wall;
use crate::phc::CardStamp;

/// `struct scm_ts_pktinfo` of linux/net_tstamp.h: the interface's number, the length of the frame
/// without its check sequence in octets, and two that are reserved.
pub(super) type FrameInfo = [u32; 4];

/// Collects it from the control messages.
#[derive(Debug, Default)]
pub(super) struct OfCard {
    time: Option<WallTime>,
    /// Of the datagram, which may be that of a bridge or a VLAN.
    interface: Option<u32>,
    /// Of the frame.
    real: Option<(u32, u32)>,
}

impl OfCard {
    pub(super) fn heed(&mut self, message: &ControlMessageOwned) {
        match message {
            ControlMessageOwned::ScmTimestampsns(Timestamps { hw_raw, .. })
                if hw_raw.num_nanoseconds() != 0 =>
            {
                self.time = Some(wall(*hw_raw));
            }
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                self.interface = Some(info.ipi_ifindex.cast_unsigned());
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                #[allow(clippy::unnecessary_cast, reason = "the type is another one with musl")]
                let index = info.ipi6_ifindex as u32;
                self.interface = Some(index);
            }
            ControlMessageOwned::Unknown(message)
                if message.cmsg_header.cmsg_level == libc::SOL_SOCKET
                    && message.cmsg_header.cmsg_type == libc::SCM_TIMESTAMPING_PKTINFO =>
            {
                let word = |place: usize| {
                    let octets = message.data_bytes.get(4 * place..)?.first_chunk()?;
                    Some(u32::from_ne_bytes(*octets))
                };
                self.real = word(0).zip(word(1));
            }
            _ => {}
        }
    }

    /// All of it, if a card stamped.
    pub(super) fn stamp(&self) -> Option<CardStamp> {
        let (index, octets) = self.real.unwrap_or_default();
        // The kernel has not always kept the number.
        let interface = Some(index).filter(|index| *index != 0).or(self.interface)?;
        Some(CardStamp { interface, time: self.time?, octets })
    }
}

#[cfg(test)]
mod tests;
