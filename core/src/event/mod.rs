//! The one table of log messages: what happened, the text and levels it has, and its arguments.
//!
//! Operators search logs for these texts, so each is an interface, pinned to
//! `tests/vectors/log-messages.md`. [`Display`](fmt::Display) and, under the feature `defmt`,
//! `defmt::Format` come from the same literal. Nothing is written anywhere here: the engine raises
//! an event, a shell decides where it goes.

mod level;
mod limit;
mod log;
#[cfg(test)]
mod tests;

pub use level::{Level, Profile};
pub use limit::{ENGINE_KINDS, Limiter};
pub use log::{Line, Log, MAX_TEXT};

use core::fmt;
use core::net::IpAddr;

use crate::units::{FreqOffset, Span, WallTime};
use crate::wire::KissCode;

/// The smallest slew, either way, that is worth more than debug (the log reference).
const LARGE_SLEW: Span = Span::from_millis(32);
/// The smallest change of the frequency, either way, that is worth more than debug, in ppm (the
/// log reference).
const LARGE_FREQUENCY_CHANGE: f64 = 0.05;

/// A row reads: when, variant, level, text, arguments of the text.
///
/// The level is the appliance's; one behind a slash is that of the Unix profile where it differs:
/// critical where the process ends, warning for a failed system call, error if a process cannot
/// go on without it. Where the condition behind an `if` does not hold the level is debug.
macro_rules! events {
    (
        $(#[$attribute:meta])*
        pub enum Event<$life:lifetime> {
            $(
                $(#[doc = $when:literal])+
                $variant:ident $({ $($field:ident: $kind:ty),+ })? =>
                    $appliance:ident $(/ $unix:ident)? $(if $loud:expr)?,
                    $text:literal $(, $argument:expr)*;
            )+
        }
    ) => {
        $(#[$attribute])*
        pub enum Event<$life> {
            $(
                $(#[doc = $when])+
                #[doc = concat!("\n\n`", $text, "`")]
                $variant $({ $($field: $kind),+ })?,
            )+
        }

        impl Event<'_> {
            #[cfg(test)]
            const VARIANTS: usize = [$($text),+].len();

            /// What it is called here, for logs that take fields beside the text.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant $({ $($field: _),+ })? => stringify!($variant),)+
                }
            }

            /// The level under `profile`.
            #[must_use]
            #[expect(unused_variables, reason = "few levels depend on the arguments")]
            pub fn level(&self, profile: Profile) -> Level {
                match *self {
                    $(
                        Self::$variant $({ $($field),+ })? => match profile {
                            $(_ if !$loud => Level::Debug,)?
                            Profile::Appliance => Level::$appliance,
                            Profile::Unix => events!(@unix $appliance $($unix)?),
                        },
                    )+
                }
            }
        }

        impl fmt::Display for Event<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {
                    $(Self::$variant $({ $($field),+ })? => write!(f, $text $(, $argument)*),)+
                }
            }
        }

        /// The arguments go out as numbers, and are put together by the reader of the log: as they
        /// are displayed, so that a firmware's log reads as a host's.
        #[cfg(feature = "defmt")]
        impl defmt::Format for Event<'_> {
            fn format(&self, f: defmt::Formatter<'_>) {
                match *self {
                    $(
                        Self::$variant $({ $($field),+ })? =>
                            defmt::write!(f, $text $(, $argument)*),
                    )+
                }
            }
        }
    };
    (@unix $appliance:ident) => { Level::$appliance };
    (@unix $appliance:ident $unix:ident) => { Level::$unix };
}

events! {
/// Something that the log tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are the arguments that the text names")]
pub enum Event<'a> {
    // Operation

    /// A peer was judged untrustworthy. `pool` tells a member of a pool; no address means that the
    /// name is not resolved.
    BadPeer { name: &'a str, address: Option<IpAddr>, pool: bool } => Warning,
        "bad peer {}{} ({})", if pool { "from pool " } else { "" }, name, Resolved(address);
    /// First line of a log that had to drop earlier ones.
    LogTrimmed => Info, "== OLDER \"ntp\" LOG MESSAGES WERE TRIMMED ==";
    /// The function has started.
    EngineReady => Info, "ntp engine ready";
    /// The function has stopped.
    Terminating => Info, "Terminating";
    /// A slew began.
    AdjustingClock { offset: Span } => Info if offset.abs() >= LARGE_SLEW,
        "adjusting local clock by {}s", offset;
    /// The frequency was changed.
    AdjustingFrequency { from: FreqOffset, to: FreqOffset } => Info if is_large_change(from, to),
        "adjusting clock frequency by {} to {}ppm", Precise(from), Precise(to);
    /// The clock was stepped by `offset` and now reads `date`.
    ClockSet { date: WallTime, offset: Span } => Info,
        "set local clock to {} (offset {}s)", date, offset;
    /// Queries to a peer are suspended for the time `next`.
    NotSynced { address: IpAddr, reason: NotSyncedReason, next: Span } => Info,
        "reply from {}: not synced ({}), next query {}s", address, reason, next.as_secs_rounded();
    /// The round-trip delay of a reply came out negative; the next query goes out after `next`.
    NegativeDelay { address: IpAddr, delay: Span, next: Span } => Info,
        "reply from {}: negative delay {}s, next query {}s", address, delay, next.as_secs_rounded();
    /// Enough good replies: the peer is trusted.
    PeerValid { address: IpAddr } => Info, "peer {} now valid", address;
    /// No reply for a number of queries: the peer is no longer trusted.
    PeerInvalid { address: IpAddr } => Info, "peer {} now invalid", address;
    /// The clock became synchronised.
    ClockSynced => Info, "clock is now synced";
    /// The clock became unsynchronised.
    ClockUnsynced => Info, "clock is now unsynced";
    /// So many of all configured peers are trusted.
    PeersValid { valid: u16, all: u16 } => Debug, "{} out of {} peers valid", valid, all;
    /// The ntp engine ended.
    EngineExiting => Debug, "ntp engine exiting";

    // Operation, beside the reference

    /// Somebody else moved the clock.
    ClockJumped { offset: Span } => Warning, "local clock jumped by {}s", offset;
    /// The sources claim an offset beyond the panic threshold.
    ClockHeld { offset: Span } => Warning / Error,
        "local clock held: offset {}s is beyond the panic threshold", offset;
    /// They no longer do, or the operator has accepted it.
    ClockReleased => Info, "local clock no longer held";
    /// A leap second has passed.
    LeapSecond { deleted: bool } => Info,
        "leap second {}", if deleted { "deleted" } else { "inserted" };
    /// Somebody else changed the frequency, of which nothing is left.
    FrequencyChanged { from: FreqOffset, to: FreqOffset } => Warning,
        "clock frequency was changed by another from {} to {}ppm",
        Precise(from), Precise(to);
    /// So many messages of one kind were held back by a [`Limiter`].
    MessagesSuppressed { count: u64, name: &'static str } => Warning,
        "{} messages suppressed: {}", count, name;

    // Processes and pipes

    /// The parent could not write to the ntp engine, which has died.
    PipeWriteToChild => Debug / Error, "pipe write error (to child)";
    /// The ntp engine could not write to the parent or to its control channel.
    PipeWriteToParent => Debug / Error, "pipe write error (to parent)";
    /// A write to the name-resolution process failed.
    PipeWriteToDnsEngine => Debug / Error, "pipe write error (to dns engine)";
    /// The name-resolution process could not answer the ntp engine.
    PipeWriteToNtpEngine => Debug / Error, "pipe write error (to ntp engine)";
    /// The ntp engine closed its pipe to the parent.
    MainPipeClosed => Debug, "dispatch_imsg in main: pipe closed";
    /// The ntp engine was to receive from a pipe already closed.
    NtpEnginePipeClosed => Debug, "ntp_dispatch_imsg in ntp engine: pipe closed";
    /// The name-resolution process was to receive from a pipe already closed.
    DnsEnginePipeClosed => Debug, "dns_dispatch_imsg in dns engine: pipe closed";
    /// A child process ended.
    LostChildExited { process: &'a str } => Debug, "Lost child: {} exited", process;
    /// A child process was ended by a signal.
    LostChildSignalled { process: &'a str, signal: i32, name: &'a str } => Debug,
        "Lost child: {} terminated; signal {} ({})", process, signal, name;
    /// A malformed message came from another process.
    InvalidMessage { message: &'a str } => Debug, "invalid {} received", message;
    /// No peer fits the addresses that came from name resolution.
    HostDnsInvalidPeer => Debug, "IMSG_HOST_DNS with invalid peerID";
    /// Name resolution completed for a peer that already has an address.
    HostDnsAddressKnown => Debug, "IMSG_HOST_DNS but addr != NULL!";
    /// The priority of the name-resolution process could not be set.
    SetPriorityFailed => Debug / Warning, "could not set priority";
    /// poll(2) failed in a main loop; the process ends.
    PollError => Debug / Error, "poll error";

    // Clock

    /// Reading the present frequency failed.
    NtpAdjtime1Failed => Debug / Warning, "ntp_adjtime (1) failed";
    /// Changing the frequency failed.
    NtpAdjtime2Failed => Debug / Warning, "ntp_adjtime (2) failed";
    /// Setting a slew failed; follows [`AdjustingClock`](Self::AdjustingClock).
    AdjtimeFailed => Debug / Warning, "adjtime failed";
    /// Setting the frequency failed.
    AdjfreqFailed => Debug / Warning, "adjfreq failed";
    /// There was no drift file and the frequency could not be initialised.
    AdjfreqResetFailed => Debug / Warning, "adjfreq reset failed";
    /// Resetting a slew in progress failed.
    ResetAdjtimeFailed => Debug / Warning, "reset adjtime failed";
    /// Resetting the frequency failed.
    ResetAdjfreqFailed => Debug / Warning, "reset adjfreq failed";
    /// Reading the frequency failed.
    ReadAdjfreqFailed => Debug / Warning, "read adjfreq failed";
    /// The clock could not be read.
    Gettimeofday => Debug / Warning, "gettimeofday";
    /// The clock could not be set.
    Settimeofday => Debug / Warning, "settimeofday";
    /// The drift file could not be opened.
    CannotOpenDrift { path: &'a str } => Debug / Warning, "can't open {}", path;
    /// The drift file could not be read.
    CannotReadDrift { path: &'a str, error: &'a str } => Debug / Warning,
        "can't read {}: {}", path, error;
    /// The drift file could not be written.
    CannotWriteDrift { path: &'a str, error: &'a str } => Debug / Warning,
        "can't write {}: {}", path, error;

    // Network. The calls succeed that receive a packet with something wrong about it.

    /// A datagram is shorter than the 48 octets of an NTP message, or otherwise not well-formed.
    MalformedPacket { address: IpAddr } => Debug, "malformed packet received from {}", address;
    /// recvmsg(2) failed.
    Recvmsg { address: IpAddr, error: &'a str } => Debug / Warning, "recvmsg {} {}", address, error;
    /// The datagram was longer than the buffer (`MSG_TRUNC`).
    RecvmsgPacket { address: IpAddr, error: &'a str } => Debug,
        "recvmsg packet {} {}", address, error;
    /// The ancillary data was truncated (`MSG_CTRUNC`).
    RecvmsgControlData { address: IpAddr, error: &'a str } => Debug,
        "recvmsg control data {} {}", address, error;
    /// The receive timestamp in the ancillary data was malformed.
    RecvmsgControlFormat { address: IpAddr, error: &'a str } => Debug,
        "recvmsg control format {} {}", address, error;
    /// Setting the type of service failed.
    SetsockoptLowdelay => Debug / Warning, "setsockopt IPTOS_LOWDELAY";
    /// The socket for a query could not be created.
    ClientQuerySocket => Debug / Warning, "client_query socket";
    /// Sending failed.
    Sendto => Debug / Warning, "sendto";
    /// A datagram from the address caused an error in recvfrom(2).
    Recvfrom { address: IpAddr } => Debug / Warning, "recvfrom {}", address;
    /// A listen address could not be bound.
    BindFailed { address: IpAddr } => Debug / Warning, "bind on {} failed, skipping", address;
    /// Fewer octets were sent than were to be sent.
    ShortSend { sent: usize, full: usize } => Debug,
        "ntp_sendmsg: only {} of {} bytes sent", sent, full;

    // Control socket

    /// The control socket could not be created.
    ControlInitSocket => Debug / Warning, "control_init: socket";
    /// An old socket at the path could not be unlinked.
    ControlInitUnlink { path: &'a str } => Debug / Warning, "control_init: unlink {}", path;
    /// The control socket could not be bound.
    ControlInitBind { path: &'a str } => Debug / Warning, "control_init: bind: {}", path;
    /// The mode of the control socket could not be set.
    ControlInitChmod => Debug / Warning, "control_init: chmod";
    /// listen(2) failed.
    ControlListen => Debug / Warning, "control_listen: listen";
    /// accept(2) failed.
    ControlAccept => Debug / Warning, "control_accept: accept";
    /// There is no room for another connection.
    ControlAcceptCalloc => Debug, "control_accept: calloc";
    /// The connection to close is unknown.
    ControlCloseNotFound { fd: i32 } => Debug, "control_close: fd {}: not found", fd;
    /// A message came for an unknown connection.
    ControlDispatchNotFound { fd: i32 } => Debug, "control_dispatch_msg: fd {}: not found", fd;

    // Capacity

    /// The peer table is full.
    CannotResizePeers { old: usize, new: usize } => Debug,
        "could not resize idx2peer from {} -> {} entries", old, new;
    /// The table of polled descriptors is full.
    CannotResizePfd { old: usize, new: usize } => Debug,
        "could not resize pfd from {} -> {} entries", old, new;

    // Fatal: the process ends, with a non-zero status

    /// No socket for a query.
    FatalClientQuerySocket => Debug / Critical, "fatal: client_query socket";
    /// connect(2) failed.
    FatalClientQueryConnect => Debug / Critical, "fatal: client_query connect";
    /// Receive timestamps could not be enabled.
    FatalSetsockoptTimestamp => Debug / Critical, "fatal: setsockopt SO_TIMESTAMP";
    /// An unrecoverable error in recvmsg(2).
    FatalRecvmsg => Debug / Critical, "fatal: recvmsg";
    /// There is no room for a peer.
    FatalClientPeerInit => Debug / Critical, "fatal: client_peer_init calloc";
    /// A server address is of an unsupported family.
    FatalServerFamily => Debug / Critical, "fatal: king bula sez: wrong AF in client_addr_init";
    /// A listen address is of an unsupported family.
    FatalListenFamily => Debug / Critical, "fatal: king bula sez: af borked";
    /// setsid(2) failed.
    FatalSetsid => Debug / Critical, "fatal: setsid";
    /// The entry of the service `ntp` could not be had.
    FatalGetservbyname => Debug / Critical, "fatal: getservbyname";
    /// There is no channel to the name-resolution process.
    FatalSocketpair => Debug / Critical, "fatal: socketpair";
    /// An abnormal end.
    FatalExiting => Debug / Critical, "fatal: exiting";
    /// setgroups(2), setresgid(2) or setresuid(2) failed.
    FatalDropPrivileges => Debug / Critical, "fatal: can't drop privileges";
    /// There is no memory for the channel to the name-resolution process.
    FatalMalloc => Debug / Critical, "fatal: malloc";
    /// fork(2) failed.
    FatalFork => Debug / Critical, "fatal: cannot fork";
    /// A socket could not be created.
    FatalSocket => Debug / Critical, "fatal: socket";
    /// An unrecoverable error in recvfrom(2).
    FatalRecvfrom => Debug / Critical, "fatal: recvfrom";
}
}

impl Event<'_> {
    /// Whom it is about.
    #[must_use]
    pub const fn address(&self) -> Option<IpAddr> {
        match *self {
            Self::BadPeer { address, .. } => address,
            Self::NotSynced { address, .. }
            | Self::NegativeDelay { address, .. }
            | Self::PeerValid { address }
            | Self::PeerInvalid { address }
            | Self::MalformedPacket { address }
            | Self::Recvmsg { address, .. }
            | Self::RecvmsgPacket { address, .. }
            | Self::RecvmsgControlData { address, .. }
            | Self::RecvmsgControlFormat { address, .. }
            | Self::Recvfrom { address }
            | Self::BindFailed { address } => Some(address),
            _ => None,
        }
    }
}

/// Why a reply does not count as one of a synchronised server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotSyncedReason {
    /// A Kiss-o'-Death.
    Kiss(KissCode),
    /// The leap indicator says that the server is not synchronised.
    Alarm,
    /// A stratum from which no time is taken.
    Stratum(u8),
}

impl fmt::Display for NotSyncedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kiss(code) => write!(f, "KoD {code}"),
            Self::Alarm => f.write_str("alarm"),
            Self::Stratum(stratum) => write!(f, "stratum {stratum}"),
        }
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for NotSyncedReason {
    fn format(&self, f: defmt::Formatter<'_>) {
        match self {
            Self::Kiss(code) => defmt::write!(f, "KoD {}", code),
            Self::Alarm => defmt::write!(f, "alarm"),
            Self::Stratum(stratum) => defmt::write!(f, "stratum {}", stratum),
        }
    }
}

/// A frequency to six decimals.
struct Precise(FreqOffset);

impl fmt::Display for Precise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.0)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Precise {
    fn format(&self, f: defmt::Formatter<'_>) {
        self.0.format(f);
    }
}

/// An address, or that a name has none yet.
struct Resolved(Option<IpAddr>);

impl fmt::Display for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("not resolved"),
        }
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Resolved {
    fn format(&self, f: defmt::Formatter<'_>) {
        match self.0 {
            Some(address) => defmt::write!(f, "{}", address),
            None => defmt::write!(f, "not resolved"),
        }
    }
}

fn is_large_change(from: FreqOffset, to: FreqOffset) -> bool {
    (to - from).abs() >= FreqOffset::from_ppm_f64(LARGE_FREQUENCY_CHANGE)
}
