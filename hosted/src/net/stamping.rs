//! How the kernel stamps what arrives at a socket and what leaves it, by the best of the options that
//! it knows.
//!
//! Stamps of network cards are asked for if there is one that stamps ([`phc`](crate::phc)); the kernel's
//! come with them.

use std::fmt;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use truechimer_core::units::WallTime;

use crate::phc::CardStamp;
use crate::sys::fault::{Call, fault};

#[cfg(target_os = "linux")]
pub(super) use self::departures::departure;

/// What the kernel stamps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Stamping {
    /// Arrivals and departures, to the nanosecond.
    #[cfg(target_os = "linux")]
    Timestamping,
    /// Arrivals, to the nanosecond.
    #[cfg(target_os = "linux")]
    Timestampns,
    /// Arrivals, to the microsecond.
    Timestamp,
    /// Nothing: the clock is read beside the call.
    #[default]
    Nothing,
}

impl Stamping {
    /// Of what arrives.
    pub(crate) fn of_arrivals(socket: &impl AsFd) -> Self {
        #[cfg(target_os = "linux")]
        if set(Call::Timestampns, || setsockopt(socket, sockopt::ReceiveTimestampns, &true)) {
            return Self::Timestampns;
        }
        if set(Call::Timestamp, || setsockopt(socket, sockopt::ReceiveTimestamp, &true)) {
            return Self::Timestamp;
        }
        Self::Nothing
    }

    /// Of what leaves too, if the kernel can; and by cards.
    pub(super) fn of_both(socket: &impl AsFd, with_cards: bool) -> Self {
        #[cfg(target_os = "linux")]
        for with_cards in [with_cards, false] {
            if set(Call::Timestamping, || departures::enable(socket, with_cards)) {
                return Self::Timestamping;
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = with_cards;
        Self::of_arrivals(socket)
    }

    /// Whether departures are stamped.
    pub(super) fn has_departures(self) -> bool {
        #[cfg(target_os = "linux")]
        return self == Self::Timestamping;
        #[cfg(not(target_os = "linux"))]
        false
    }
}

/// The option's name.
impl fmt::Display for Stamping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            #[cfg(target_os = "linux")]
            Self::Timestamping => "SO_TIMESTAMPING",
            #[cfg(target_os = "linux")]
            Self::Timestampns => "SO_TIMESTAMPNS",
            Self::Timestamp => "SO_TIMESTAMP",
            Self::Nothing => "none",
        })
    }
}

fn set(call: Call, option: impl FnOnce() -> Result<(), Errno>) -> bool {
    fault(call).and_then(|()| option()).is_ok()
}

/// When something left.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Told {
    /// As the kernel says.
    pub(super) kernel: Option<WallTime>,
    /// As a card says.
    pub(super) card: Option<CardStamp>,
}

#[cfg(target_os = "linux")]
mod departures {
    use std::io::IoSliceMut;
    use std::os::fd::{AsFd, AsRawFd};

    use nix::cmsg_space;
    use nix::errno::Errno;
    use nix::sys::socket::{
        ControlMessageOwned, MsgFlags, TimestampingFlag, Timestamps, getsockopt, recvmsg,
        setsockopt, sockopt,
    };
    use nix::sys::time::TimeValLike;

    use super::super::of_card::OfCard;
    use super::Told;
    use crate::clock::wall;
    use crate::sys::fault::{Call, fault};

    /// What may wait in the queue of errors of a socket that sends one datagram.
    const WAITING: usize = 4;

    /// A simulator of sockets may take any option for set.
    pub(super) fn enable(socket: &impl AsFd, with_cards: bool) -> Result<(), Errno> {
        let kernel = TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE
            | TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE
            | TimestampingFlag::SOF_TIMESTAMPING_TX_SOFTWARE;
        let wanted = match with_cards {
            true => kernel | of_cards(),
            false => kernel | TimestampingFlag::SOF_TIMESTAMPING_OPT_TSONLY,
        };
        setsockopt(socket, sockopt::Timestamping, &wanted)?;
        let set = getsockopt(socket, sockopt::Timestamping)?;
        if set.contains(wanted) { Ok(()) } else { Err(Errno::ENOPROTOOPT) }
    }

    /// The interface is told of what arrives, and of what left where that comes back whole; its stamp
    /// comes beside the kernel's.
    fn of_cards() -> TimestampingFlag {
        TimestampingFlag::SOF_TIMESTAMPING_RAW_HARDWARE
            | TimestampingFlag::SOF_TIMESTAMPING_RX_HARDWARE
            | TimestampingFlag::SOF_TIMESTAMPING_TX_HARDWARE
            | TimestampingFlag::from_bits_retain(
                libc::SOF_TIMESTAMPING_OPT_CMSG
                    | libc::SOF_TIMESTAMPING_OPT_PKTINFO
                    | libc::SOF_TIMESTAMPING_OPT_TX_SWHW,
            )
    }

    /// When what was sent last left, if the kernel has told: its queue of errors, which keeps poll(2)
    /// awake, is empty then.
    pub(in super::super) fn departure(socket: &impl AsFd) -> Told {
        let mut all = Told::default();
        if fault(Call::Departure).is_err() {
            return all;
        }
        for _ in 0..WAITING {
            let mut bytes = [0];
            let mut control = cmsg_space!(
                Timestamps,
                (libc::sock_extended_err, libc::sockaddr_in6),
                libc::in_pktinfo,
                libc::in6_pktinfo
            );
            let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
            let mut parts = [IoSliceMut::new(&mut bytes)];
            let socket = socket.as_fd().as_raw_fd();
            let Ok(told) = recvmsg::<()>(socket, &mut parts, Some(&mut control), flags) else {
                break;
            };
            let mut card = OfCard::default();
            for message in told.cmsgs().into_iter().flatten() {
                card.heed(&message);
                if let ControlMessageOwned::ScmTimestampsns(stamps) = message
                    && stamps.system.num_nanoseconds() != 0
                {
                    all.kernel = Some(wall(stamps.system));
                }
            }
            all.card = card.stamp().or(all.card);
        }
        all
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn departure(_: &impl AsFd) -> Told {
    Told::default()
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
