//! What a load may be, and what it must not be by accident.

use std::net::SocketAddr;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;

use crate::query::Target;

/// Requests in a second to a server elsewhere, unless it may be loaded.
const ELSEWHERE: u32 = 10;
/// Requests on their way at a time on loopback, unless something else is asked for.
const ON_LOOPBACK: u32 = 64;

/// Limits of a load: none may reach what a server is not to be loaded with by mistake.
pub const LIMITS: &str = "\
Limits:
  A server on loopback is loaded as much as you ask for, in a closed loop of 64 requests unless you
  say otherwise. One elsewhere gets 10 requests a second, and more only with --permitted: load no
  server but your own, or with its operator's consent. Broadcast and multicast addresses are never
  asked. At most 1,000,000 requests a second, 65,536 requests on their way in a closed loop, 1,024
  sockets, an hour.

Exit status: 0 if there were valid answers, 1 if there were none, 2 for a load that is not allowed.";

/// The command line of `chimectl bench`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Server to load: a name or an address (IPv6 in brackets), with a port or without
    #[arg(value_name = "HOST[:PORT]")]
    pub server: Target,
    /// Closed loop: so many requests on their way at any time, the next when one is answered
    #[arg(short, long, value_name = "COUNT", conflicts_with = "rate", value_parser = count(65_536))]
    pub outstanding: Option<u32>,
    /// Open loop: so many requests in a second, answered or not
    #[arg(short, long, value_name = "PER_SECOND", value_parser = count(1_000_000))]
    pub rate: Option<u32>,
    /// Sockets, each with a source port of its own
    #[arg(long, value_name = "COUNT", default_value_t = 16, value_parser = count(1_024))]
    pub sockets: u32,
    /// On IPv4's loopback: also an address of its own for each socket, from 127.1.0.0/16
    #[arg(long)]
    pub addresses: bool,
    /// Ask for the interleaved mode (RFC 9769), as many associations as requests on their way
    #[arg(short, long)]
    pub interleaved: bool,
    /// For how long, s
    #[arg(short = 't', long, value_name = "SECONDS", default_value = "10", value_parser = length)]
    pub seconds: Duration,
    /// When a request counts as lost, s
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = timeout)]
    pub timeout: Duration,
    /// You may load this server though it is not on loopback
    #[arg(long)]
    pub permitted: bool,
}

/// When the next request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// When one of so many is answered or lost.
    Closed(u32),
    /// So many times in a second.
    Open(u32),
}

/// A load that is refused.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Somebody else's server.
    #[error(
        "{0} is not on loopback: without --permitted it is asked at most {ELSEWHERE} times a \
         second, in an open loop (--rate)"
    )]
    NotPermitted(SocketAddr),
    /// Only one network has addresses to spare.
    #[error("{0} is not on IPv4's loopback: --addresses is not possible")]
    Addresses(SocketAddr),
    /// Not one server.
    #[error("{0} is not the address of one server")]
    NotOneServer(SocketAddr),
}

impl Options {
    /// What `server` is loaded with.
    ///
    /// # Errors
    /// It must not be.
    pub fn load(&self, server: SocketAddr) -> Result<Load, LoadError> {
        let ip = server.ip().to_canonical();
        let broadcast = matches!(ip, std::net::IpAddr::V4(v4) if v4.is_broadcast());
        if ip.is_multicast() || ip.is_unspecified() || broadcast {
            return Err(LoadError::NotOneServer(server));
        }
        if self.addresses && !(server.is_ipv4() && ip.is_loopback()) {
            return Err(LoadError::Addresses(server));
        }
        let free = ip.is_loopback() || self.permitted;
        match (self.outstanding, self.rate) {
            (_, Some(rate)) if free || rate <= ELSEWHERE => Ok(Load::Open(rate)),
            (Some(outstanding), None) if free => Ok(Load::Closed(outstanding)),
            (None, None) if ip.is_loopback() => Ok(Load::Closed(ON_LOOPBACK)),
            (None, None) => Ok(Load::Open(ELSEWHERE)),
            _ => Err(LoadError::NotPermitted(server)),
        }
    }
}

fn count(most: u64) -> RangedU64ValueParser<u32> {
    RangedU64ValueParser::new().range(1..=most)
}

fn length(text: &str) -> Result<Duration, String> {
    seconds(text, 0.1, 3_600.0)
}

fn timeout(text: &str) -> Result<Duration, String> {
    seconds(text, 0.01, 10.0)
}

fn seconds(text: &str, least: f64, most: f64) -> Result<Duration, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.map(Duration::from_secs_f64).ok_or_else(|| format!("{least} to {most} s are allowed"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn load(words: &str) -> Result<Load, LoadError> {
        let line = format!("bench {words}");
        let options = Line::parse_from(line.split_whitespace()).options;
        let address: SocketAddr = options.server.to_string().parse().unwrap();
        options.load(address)
    }

    #[test]
    fn only_loopback_is_loaded_unasked() {
        assert_eq!(load("127.0.0.1").unwrap(), Load::Closed(64));
        assert_eq!(load("::1 -o 7").unwrap(), Load::Closed(7));
        assert_eq!(load("127.9.9.9 -r 1000000").unwrap(), Load::Open(1_000_000));
        assert_eq!(load("192.0.2.1").unwrap(), Load::Open(10));
        assert_eq!(load("192.0.2.1 -r 10").unwrap(), Load::Open(10));
        assert_eq!(load("192.0.2.1 --permitted -r 11").unwrap(), Load::Open(11));
        assert_eq!(load("192.0.2.1 --permitted -o 1").unwrap(), Load::Closed(1));
        assert_eq!(load("192.0.2.1 --permitted").unwrap(), Load::Open(10));
        for words in ["192.0.2.1 -r 11", "192.0.2.1 -o 1", "[2001:db8::1]:99 -o 2"] {
            assert!(matches!(load(words), Err(LoadError::NotPermitted(_))), "{words}");
        }
        for words in ["224.0.1.1", "255.255.255.255", "0.0.0.0", "ff05::101", "::ffff:224.0.1.1"] {
            let refused = load(&format!("{words} --permitted"));
            assert!(matches!(refused, Err(LoadError::NotOneServer(_))), "{words}");
        }
        let refused = load("[::1]:123 --addresses");
        assert!(matches!(refused, Err(LoadError::Addresses(_))), "{refused:?}");
    }
}
