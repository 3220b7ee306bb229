//! How the kernel stamps what arrives at a socket and what leaves it, by the best of the options that
//! it knows.
//!
//! Stamps of the network hardware are not asked for: they are by a clock of its own, and to compare that
//! with the system's takes a privilege that the ntp engine does not have.

use std::fmt;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};

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

    /// Of what leaves too, if the kernel can.
    pub(super) fn of_both(socket: &impl AsFd) -> Self {
        #[cfg(target_os = "linux")]
        if set(Call::Timestamping, || departures::enable(socket)) {
            return Self::Timestamping;
        }
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
    use truechimer_core::units::WallTime;

    use crate::clock::wall;
    use crate::sys::fault::{Call, fault};

    /// What may wait in the queue of errors of a socket that sends one datagram.
    const WAITING: usize = 4;

    /// A simulator of sockets may take any option for set.
    pub(super) fn enable(socket: &impl AsFd) -> Result<(), Errno> {
        let wanted = TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE
            | TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE
            | TimestampingFlag::SOF_TIMESTAMPING_TX_SOFTWARE
            | TimestampingFlag::SOF_TIMESTAMPING_OPT_TSONLY;
        setsockopt(socket, sockopt::Timestamping, &wanted)?;
        let set = getsockopt(socket, sockopt::Timestamping)?;
        if set.contains(wanted) { Ok(()) } else { Err(Errno::ENOPROTOOPT) }
    }

    /// When what was sent last left, if the kernel has told: its queue of errors, which keeps poll(2)
    /// awake, is empty then.
    pub(in super::super) fn departure(socket: &impl AsFd) -> Option<WallTime> {
        fault(Call::Departure).ok()?;
        let mut left = None;
        for _ in 0..WAITING {
            let (mut bytes, mut control) =
                ([0], cmsg_space!(Timestamps, (libc::sock_extended_err, libc::sockaddr_in6)));
            let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
            let mut parts = [IoSliceMut::new(&mut bytes)];
            let socket = socket.as_fd().as_raw_fd();
            let Ok(told) = recvmsg::<()>(socket, &mut parts, Some(&mut control), flags) else {
                break;
            };
            for message in told.cmsgs().into_iter().flatten() {
                if let ControlMessageOwned::ScmTimestampsns(stamps) = message
                    && stamps.system.num_nanoseconds() != 0
                {
                    left = Some(wall(stamps.system));
                }
            }
        }
        left
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn departure(_: &impl AsFd) -> Option<truechimer_core::units::WallTime> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
