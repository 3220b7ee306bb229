//! Where an HTTPS server is, and what it is asked for.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::config::{AddressError, ServerAddress};

const SCHEME: &str = "https://";
/// The port of HTTPS (RFC 9110 §4.2.2).
const PORT: u16 = 443;
/// The longest path; nothing that is asked for its date has a longer one.
const MAX_PATH: usize = 1_024;

/// `https://HOST[:PORT][/PATH]`; OpenNTPD takes a bare host too.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Url {
    host: ServerAddress,
    port: u16,
    path: String,
}

/// Why a text is not a [`Url`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the URL of an HTTPS server: https://HOST[:PORT][/PATH] is allowed, or a host"
)]
pub struct UrlError(String);

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let wrong = || UrlError(text.to_owned());
        let rest = text.strip_prefix(SCHEME).unwrap_or(text);
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if path.len() > MAX_PATH
            || !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
        {
            return Err(wrong());
        }
        let bare = authority.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let (host, port) = match bare.unwrap_or(authority).parse() {
            Ok(host) => (host, PORT),
            Err(AddressError::Port { address, port, .. }) => {
                let port = port.parse().ok().filter(|&port| port != 0).ok_or_else(wrong)?;
                (address.parse().map_err(|_| wrong())?, port)
            }
            Err(_) => return Err(wrong()),
        };
        if let ServerAddress::Zoned(..) = host {
            return Err(wrong());
        }
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self { host, port, path: path.to_owned() })
    }
}

impl TryFrom<String> for Url {
    type Error = UrlError;

    fn try_from(text: String) -> Result<Self, UrlError> {
        text.parse()
    }
}

impl From<Url> for String {
    fn from(url: Url) -> Self {
        url.to_string()
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}{}", self.authority(), self.path)
    }
}

impl Url {
    /// Its host, and its port if it is not the usual one, as a request names them.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = match &self.host {
            ServerAddress::Ip(ip @ IpAddr::V6(_)) => format!("[{ip}]"),
            host => host.to_string(),
        };
        if self.port == PORT { host } else { format!("{host}:{}", self.port) }
    }

    /// Whom the certificate is to name.
    #[must_use]
    pub const fn host(&self) -> &ServerAddress {
        &self.host
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// What is asked for there.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn urls() {
        for (text, whole) in [
            ("https://www.example.org", "https://www.example.org/"),
            ("https://WWW.example.org:8443/a?b=c", "https://www.example.org:8443/a?b=c"),
            ("www.example.org", "https://www.example.org/"),
            ("9.9.9.9", "https://9.9.9.9/"),
            ("https://[2620:fe::fe]:443/", "https://[2620:fe::fe]/"),
            ("2620:fe::fe", "https://[2620:fe::fe]/"),
        ] {
            let url: Url = text.parse().unwrap();
            assert_eq!(url.to_string(), whole);
            assert_eq!(whole.parse(), Ok(url));
        }
        let long = format!("https://a/{}", "b".repeat(MAX_PATH));
        for text in [
            "",
            "http://www.example.org",
            "https://",
            "https:///a",
            "https://a:0",
            "https://a:b",
            "https://u@a",
            "https://a/b c",
            "https://a/b\r\nc",
            "https://a/#b",
            "fe80::1%eth0",
            &long,
        ] {
            assert_eq!(text.parse::<Url>(), Err(UrlError(text.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn what_is_one_has_no_spaces(text in r"(https://)?[a-z0-9:\[\].%/ ]{0,20}|.*") {
            if let Ok(url) = text.parse::<Url>() {
                prop_assert!(url.to_string().bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
}
