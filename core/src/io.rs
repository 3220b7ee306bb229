//! What goes into the engine and what comes out of it.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use crate::clock::{ClockCommand, ClockReply};
use crate::event::Event;
use crate::holdover::State;
use crate::peer::{PeerId, Reject};
use crate::units::{Span, WallTime};
use crate::wire::{Header, ReferenceId};

/// How a time of arrival or departure was taken, the best first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum StampSource {
    /// By the network hardware.
    Hardware,
    /// By the kernel or the driver's interrupt handler.
    Kernel,
    /// By reading the clock beside the call.
    #[default]
    User,
}

/// A time of arrival or departure by the disciplined clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Stamp {
    /// When it was.
    pub time: WallTime,
    /// How that is known.
    pub source: StampSource,
}

/// Something that happened to the engine.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Input<'a> {
    /// [`next_deadline`](crate::Engine::next_deadline) has passed.
    Timeout,
    /// A datagram arrived on the socket of a peer's query.
    Datagram {
        /// Whose query's socket.
        peer: PeerId,
        /// Where it says it is from.
        from: SocketAddr,
        /// When it arrived.
        received: Stamp,
        /// What it holds.
        bytes: &'a [u8],
    },
    /// The last query left, at this time.
    Sent {
        /// To whom.
        peer: PeerId,
        /// When.
        at: Stamp,
        /// What a server that follows this host names as its reference, if time is served there.
        own_id: Option<ReferenceId>,
    },
    /// The last query could not be sent.
    SendFailed {
        /// To whom.
        peer: PeerId,
    },
    /// The addresses of a peer's name; none if there are none yet.
    Resolved {
        /// Whose name.
        peer: PeerId,
        /// In the order in which to try them.
        addresses: &'a [SocketAddr],
    },
    /// It is about this time by others than the NTP servers.
    Constrained {
        /// Now.
        time: WallTime,
    },
    /// What a clock command did.
    Clock(ClockReply),
    /// What the operator wants; [`Output::Operator`] answers.
    Operator(Request),
}

/// What an operator may want of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Request {
    /// Believe the offset for which the clock is held, and step by it.
    Accept,
    /// Step by what the clock is behind, whatever the policy of steps.
    Step,
}

/// Why the operator's wish is not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Refusal {
    /// There is nothing to accept.
    NotHeld,
    /// The clock is only watched.
    NotControlled,
    /// A command is with the clock already.
    Busy,
    /// No source has said how far the clock is off, or it was moved since.
    NoOffset,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotHeld => "the clock is not held: there is nothing to accept",
            Self::NotControlled => "the clock is only watched",
            Self::Busy => "the clock has not answered the last command yet",
            Self::NoOffset => "it is not known how far the clock is off",
        })
    }
}

impl core::error::Error for Refusal {}

/// Something for the shell to do.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Output {
    /// Send a query from a fresh socket and close the one of the peer's query before, then tell
    /// [`Input::Sent`] or [`Input::SendFailed`].
    Transmit {
        /// Whose query.
        peer: PeerId,
        /// Where to.
        to: SocketAddr,
        /// What.
        bytes: [u8; Header::LEN],
    },
    /// Carry out a command and tell [`Input::Clock`].
    Clock(ClockCommand),
    /// Look up a peer's name and tell [`Input::Resolved`].
    Resolve(PeerId),
    /// Keep this for the next start; at most once an hour, but for the first frequency.
    Persist(State),
    /// Find out by others than the NTP servers about what time it is, and tell [`Input::Constrained`];
    /// if they do not say, nothing.
    Constrain,
    /// Log this.
    Event(Event<'static>),
    /// Log [`Event::BadPeer`]; the shell knows the name.
    BadPeer {
        /// Which.
        peer: PeerId,
        /// Its address, if it is resolved.
        address: Option<IpAddr>,
        /// Whether it came from a pool.
        pool: bool,
    },
    /// What became of [`Input::Operator`]: the step that was ordered.
    Operator(Result<Span, Refusal>),
    /// A peer's datagram was dropped; it has been counted.
    Rejected {
        /// Whose.
        peer: PeerId,
        /// Why.
        reason: Reject,
    },
}
