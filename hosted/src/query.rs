//! `chimed query`: asks servers once and tells what they said. It changes nothing.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::time::{Duration, Instant as HostInstant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};
use truechimer_core::config::NOT_BEFORE;
use truechimer_core::hal::{Channel, DatagramSocket, RawStamp};
use truechimer_core::units::{Instant, NtpTimestamp, Span, WallTime};
use truechimer_core::wire::{Header, Packet};
use truechimer_core::{Exchange, PeerId, Query, Reject, authentic, usable};

use crate::clock::{precision, realtime};
use crate::config::{AddressError, NTP_PORT, Server, ServerAddress};
use crate::entropy::Urandom;
use crate::net::{SocketError, Sockets};

/// A server to ask: `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Target {
    address: ServerAddress,
    port: u16,
}

/// Why a text is not a [`Target`].
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The host is not one.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The port is not one.
    #[error("port {0} is not allowed: 1 to 65535 are")]
    Port(String),
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        match bare.parse() {
            Ok(address) => Ok(Self { address, port: NTP_PORT }),
            Err(AddressError::Port { address, port, .. }) => {
                let number = port.parse().ok().filter(|&port| port != 0);
                let port = number.ok_or(TargetError::Port(port))?;
                Ok(Self { address: address.parse()?, port })
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl TryFrom<String> for Target {
    type Error = TargetError;

    fn try_from(text: String) -> Result<Self, TargetError> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            ServerAddress::Ip(ip @ IpAddr::V6(_)) => write!(f, "[{ip}]:{}", self.port),
            ServerAddress::Ip(ip) => write!(f, "{ip}:{}", self.port),
            zoned @ ServerAddress::Zoned(..) => write!(f, "[{zoned}]:{}", self.port),
            ServerAddress::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl Target {
    /// It as a server that is asked as usual.
    #[must_use]
    pub fn server(&self) -> Server {
        Server::new(self.address.clone(), self.port)
    }

    pub(crate) fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        match &self.address {
            ServerAddress::Ip(ip) => Ok(vec![SocketAddr::new(*ip, self.port)]),
            name => Ok((name.to_string().as_str(), self.port).to_socket_addrs()?.collect()),
        }
    }
}

/// Why a server's answer is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// Its name could not be looked up.
    #[error("cannot resolve the name: {0}")]
    Resolve(io::Error),
    /// The query could not be sent.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The name has no address.
    #[error("the name has no address")]
    NoAddress,
    /// Nobody listens there, or there is no way.
    #[error("{0}")]
    Refused(io::Error),
    /// Nothing came in time.
    #[error("no answer within {0} s")]
    Timeout(f64),
    /// What came is of no use.
    #[error("answer rejected: {0}")]
    Rejected(Reject),
}

/// What a server said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// Its address.
    pub address: SocketAddr,
    /// By how much the host's clock is behind it.
    pub offset: Span,
    /// How far off that may be, if the server is honest.
    pub error: Span,
    /// The round trip.
    pub delay: Span,
    /// The rest.
    pub header: Header,
}

impl Reading {
    fn new(address: SocketAddr, header: Header, exchange: &Exchange) -> Self {
        let delay = exchange.delay();
        Self {
            address,
            offset: exchange.offset(),
            error: (delay.max(Span::ZERO) + header.root_delay.to_span()).half()
                + header.root_dispersion.to_span()
                + Span::from_log2_secs(header.precision.min(0))
                + Span::from_log2_secs(precision()),
            delay,
            header,
        }
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Header { stratum, leap, reference_id, .. } = self.header;
        write!(
            f,
            "{:+.6} ± {:.6} s  delay {:.6} s  stratum {stratum}  leap {}  reference {}",
            self.offset,
            self.error,
            self.delay,
            crate::daemon::leap_name(leap),
            reference_id.display(stratum)
        )
    }
}

struct Pending {
    address: SocketAddr,
    query: Query,
}

/// Asks all `targets` at the same time, each once; the answers are in their order.
///
/// # Errors
/// There are no random bits to be had. What fails with one server is its own answer.
pub fn query(
    targets: &[Target],
    timeout: Duration,
) -> io::Result<Vec<Result<Reading, QueryError>>> {
    let mut urandom = Urandom::open()?;
    let mut sockets = Sockets::new();
    let mut answers: HashMap<usize, Result<Reading, QueryError>> = HashMap::new();
    let mut pending: HashMap<usize, Pending> = HashMap::new();
    for (place, target) in targets.iter().enumerate() {
        let [a, b, c, d, e, f, g, h, ..] = urandom.seed()?;
        let random = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        match send(&mut sockets, place, target, random) {
            Ok(sent) => drop(pending.insert(place, sent)),
            Err(error) => drop(answers.insert(place, Err(error))),
        }
    }
    let deadline = HostInstant::now() + timeout;
    while !pending.is_empty() {
        let left = deadline.saturating_duration_since(HostInstant::now());
        if left.is_zero() {
            break;
        }
        wait(&mut sockets, left);
        pending.retain(|&place, _| match sockets.error(PeerId(place as u16)) {
            Some(error) => {
                answers.insert(place, Err(QueryError::Refused(error)));
                false
            }
            None => true,
        });
        let mut buffer = [0; 1_024];
        while let Ok(received) = sockets.receive(&mut buffer) {
            let Channel::Peer(PeerId(place)) = received.channel else { continue };
            let place = usize::from(place);
            while let Some((PeerId(place), stamp)) = sockets.departed() {
                if let Some(sent) = pending.get_mut(&usize::from(place)) {
                    sent.query.transmitted = time(stamp);
                }
            }
            let Some(sent) = pending.get(&place) else { continue };
            let at = time(received.stamp);
            if let Some(answer) = judge(sent, at, &buffer[..received.len]) {
                pending.remove(&place);
                answers.insert(place, answer);
            }
        }
    }
    let unanswered = || Err(QueryError::Timeout(timeout.as_secs_f64()));
    Ok((0..targets.len()).map(|place| answers.remove(&place).unwrap_or_else(unanswered)).collect())
}

fn send(
    sockets: &mut Sockets,
    place: usize,
    target: &Target,
    random: u64,
) -> Result<Pending, QueryError> {
    let mut query = Query::new(random, WallTime::UNIX_EPOCH, Instant::default());
    let mut outcome = Err(QueryError::NoAddress);
    for address in target.resolve().map_err(QueryError::Resolve)? {
        match sockets.query(PeerId(place as u16), address, &query.to_bytes()) {
            Ok(stamp) => {
                query.transmitted = time(stamp);
                return Ok(Pending { address, query });
            }
            Err(nb::Error::WouldBlock) => outcome = Err(SocketError::Send(Errno::EAGAIN).into()),
            Err(nb::Error::Other(error)) => outcome = Err(error.into()),
        }
    }
    outcome
}

/// By the system's clock.
fn time(stamp: RawStamp) -> WallTime {
    match stamp {
        RawStamp::Kernel(time) | RawStamp::System(time) => time,
        _ => realtime(),
    }
}

fn wait(sockets: &mut Sockets, left: Duration) {
    let (channels, mut descriptors): (Vec<_>, Vec<_>) = sockets
        .descriptors()
        .map(|(channel, descriptor)| (channel, PollFd::new(descriptor, PollFlags::POLLIN)))
        .unzip();
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
    // Interrupted or not, what is there is received.
    let _ = poll(&mut descriptors, timeout);
    drop(descriptors);
    for channel in channels {
        sockets.set_ready(channel);
    }
}

/// What a datagram answers; `None` if anybody could have sent it.
fn judge(sent: &Pending, at: WallTime, bytes: &[u8]) -> Option<Result<Reading, QueryError>> {
    let header = Packet::parse(bytes).ok()?.header();
    authentic(&header, Some(&sent.query), NtpTimestamp::ZERO).ok()?;
    let pivot = at.max(NOT_BEFORE);
    let precision = Span::from_log2_secs(precision());
    Some(match usable(&header, sent.query.transmitted, at, pivot, precision) {
        Ok(exchange) => Ok(Reading::new(sent.address, header, &exchange)),
        Err(reason) => Err(QueryError::Rejected(reason)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_have_ports_or_not() {
        for (text, shown) in [
            ("ntp.example", "ntp.example:123"),
            ("ntp.example:1123", "ntp.example:1123"),
            ("192.0.2.1:5", "192.0.2.1:5"),
            ("::1", "[::1]:123"),
            ("[::1]", "[::1]:123"),
            ("[2001:db8::1]:99", "[2001:db8::1]:99"),
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), shown);
        }
        for text in ["", "a:0", "a:65536", "a b", "[::1]x"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }

    #[test]
    fn nobody_home_is_told_at_once() {
        let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let target: Target = closed.to_string().parse().unwrap();
        let answers = query(&[target], Duration::from_secs(60)).unwrap();
        assert!(matches!(answers[..], [Err(QueryError::Refused(_))]), "{answers:?}");
    }
}
