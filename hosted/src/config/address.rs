//! How an operator names a server.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// The longest host name in characters (RFC 1123 §2.1 asks for 255 octets, which on the wire of
/// DNS hold 253 characters).
const MAX_NAME: usize = 253;
/// The longest name of an interface (Linux' IFNAMSIZ without the final zero; no system has more).
const MAX_ZONE: usize = 15;
/// The longest part between two dots (RFC 1035 §2.3.4).
const MAX_LABEL: usize = 63;

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ServerAddress {
    /// Its IP address.
    Ip(IpAddr),
    /// Its link-local address and the zone, an interface's name or number (RFC 4007 §11), for the
    /// resolver: the interface may come later.
    Zoned(Ipv6Addr, String),
    /// Its host name (RFC 1123 §2.1) in lower case, for the resolver.
    Name(String),
}

/// Why a text does not name a server. It displays the text and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// A port follows the address.
    #[error("{read:?} has a port inside: address = {address:?} and port = {port} are allowed")]
    Port {
        /// The whole text.
        read: String,
        /// What stands before the port, without brackets.
        address: String,
        /// The digits after the colon.
        port: String,
    },
    /// What follows the % is no zone, or does not belong there.
    #[error(
        "{0:?} has a zone that is not allowed: the name or number of an interface, 1 to {MAX_ZONE} \
         characters, behind a link-local address (fe80::/10) is"
    )]
    Zone(String),
    /// It is neither an IP address nor a host name.
    #[error(
        "{0:?} is neither an IP address nor a host name: letters, digits and inner hyphens are \
         allowed, 1 to {MAX_LABEL} between dots, {MAX_NAME} in all, not only digits \
         after the last dot"
    )]
    Name(String),
}

impl FromStr for ServerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Ok(ip) = text.parse() {
            return Ok(Self::Ip(ip));
        }
        if is_host_name(text) {
            return Ok(Self::Name(text.to_ascii_lowercase()));
        }
        if let Some((address, zone)) = text.split_once('%')
            && let Ok(address) = address.parse::<Ipv6Addr>()
            && !zone.contains(']')
        {
            let is_allowed = address.is_unicast_link_local() && is_zone(zone);
            let zoned = is_allowed.then(|| Self::Zoned(address, zone.to_owned()));
            return zoned.ok_or_else(|| AddressError::Zone(text.to_owned()));
        }
        match text.rsplit_once(':') {
            Some((host, port))
                if is_number(port) && (!host.contains(':') || host.ends_with(']')) =>
            {
                Err(AddressError::Port {
                    read: text.to_owned(),
                    address: host.trim_matches(['[', ']']).to_owned(),
                    port: port.to_owned(),
                })
            }
            _ => Err(AddressError::Name(text.to_owned())),
        }
    }
}

/// Letters, digits and inner hyphens between dots, of which one may end the name; the last part
/// is not a number, which is what tells a name from a mistyped IPv4 address (RFC 1123 §2.1).
fn is_host_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    name.len() <= MAX_NAME
        && name.split('.').all(is_label)
        && !name.rsplit('.').next().is_some_and(is_number)
}

fn is_label(label: &str) -> bool {
    (1..=MAX_LABEL).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// What interfaces may be called, without what would end the address elsewhere.
fn is_zone(zone: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && !b"/%:[]".contains(&byte);
    (1..=MAX_ZONE).contains(&zone.len()) && zone.bytes().all(is_allowed)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_and_addresses() {
        let label = "a".repeat(63);
        let longest = [label.as_str(), &label, &label, &label[..61]].join(".");
        for good in ["localhost", "a-1.example", "4.pool.example.", "1and1.example", &longest] {
            assert_eq!(good.parse(), Ok(ServerAddress::Name(good.to_owned())));
        }
        assert_eq!("NTP.Example".parse(), Ok(ServerAddress::Name("ntp.example".to_owned())));
        for ip in ["192.0.2.1", "::1", "2001:db8::5"] {
            assert_eq!(ip.parse(), Ok(ServerAddress::Ip(ip.parse().unwrap())));
        }
        for (text, ip) in [("fe80::1%eth0", "fe80::1"), ("FE80:0::2%3", "fe80::2")] {
            let zone = text.split_once('%').unwrap().1.to_owned();
            assert_eq!(text.parse(), Ok(ServerAddress::Zoned(ip.parse().unwrap(), zone)));
        }
        for bad in ["fe80::1%", "2001:db8::1%eth0", "fe80::1%sixteen-letters-", "fe80::1%a/b"] {
            assert_eq!(bad.parse::<ServerAddress>(), Err(AddressError::Zone(bad.to_owned())));
        }
        let (too_long, long_label) = (format!("{longest}a"), format!("{label}a.example"));
        let bad = [
            "",
            ".",
            "a..b",
            ".a",
            "-a.b",
            "a-.b",
            "a_b",
            "a b",
            "é.example",
            "192.0.2.300",
            "1.2",
            "[::1]",
            "::g",
            "a.b%eth0",
            "*",
            "a:b",
            ":::1:",
            &too_long,
            &long_label,
        ];
        for bad in bad {
            assert_eq!(bad.parse::<ServerAddress>(), Err(AddressError::Name(bad.to_owned())));
        }
    }

    #[test]
    fn a_port_is_recognised() {
        for (text, host) in [
            ("a.b:123", "a.b"),
            ("192.0.2.1:123", "192.0.2.1"),
            ("[::1]:123", "::1"),
            ("[fe80::1%eth0]:123", "fe80::1%eth0"),
        ] {
            let error = AddressError::Port {
                read: text.to_owned(),
                address: host.to_owned(),
                port: "123".to_owned(),
            };
            assert_eq!(text.parse::<ServerAddress>(), Err(error));
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in r"[a1.:%\[\]-]{0,12}|.*") {
            let _ = text.parse::<ServerAddress>();
        }
    }
}
