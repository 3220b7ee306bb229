//! OpenNTPD's `ntpd.conf` as it stands (ntpd.conf(5) of OpenBSD 7).
//!
//! | there | here |
//! |---|---|
//! | `server HOST` | `[[server]]` |
//! | `servers HOST` | `[[pool]]` of up to eight, which is what the names of the NTP pool have |
//! | `trusted` | `trust = true` |
//! | `listen on ADDRESS` | `[[listen]]` |
//! | `constraint from URL` | `[[constraint]]` |
//! | `constraints from URL` | the same, with `all = true` |
//!
//! The rest has no equivalent: it is checked, named in a warning and left out. That is `weight`,
//! `rtable`, `sensor`, `query from`, a name to `listen on`, and what is there twice. Words, quotes,
//! comments and continued lines are as OpenNTPD's own parser has them.

mod words;

use std::fmt::Display;
use std::net::IpAddr;
use std::ops::{Range, RangeInclusive};

use truechimer_core::config::SelectOptions;

use self::words::{Word, statements};
use super::error::Source as File;
use super::{
    AddressError, Config, ConfigError, Listen, Loaded, NTP_PORT, Pool, Server, ServerAddress,
};
use crate::constraint::{MAX_ADDRESSES, MAX_SOURCES, Source, Url, UrlError};

/// The addresses of a name of the NTP pool: four of each family.
const POOL_COUNT: u8 = 8;
const WEIGHT: RangeInclusive<i64> = 1..=10;
/// `RT_TABLEID_MAX`.
const RTABLE: RangeInclusive<i64> = 0..=255;
/// Microseconds.
const CORRECTION: RangeInclusive<i64> = -127_000_000..=127_000_000;
const STRATUM: RangeInclusive<i64> = 1..=15;
const REFID: RangeInclusive<usize> = 1..=4;

const STATEMENTS: &str = "listen on, query from, server, servers, sensor, constraint from and \
                          constraints from are allowed";

type Result<T> = std::result::Result<T, ConfigError>;

/// What is configured, and what was left out of it.
pub(super) fn parse(source: &File) -> Result<Loaded> {
    let mut reader = Reader { source, config: Config::default(), warnings: Vec::new() };
    for words in statements(source)? {
        let end = words.last().map_or(0, |word| word.span.end);
        reader.statement(Line { source, words: words.into_iter().peekable(), end })?;
    }
    Ok(Loaded { config: reader.config, warnings: reader.warnings })
}

/// What is left of a statement.
struct Line<'a> {
    source: &'a File,
    words: std::iter::Peekable<std::vec::IntoIter<Word>>,
    end: usize,
}

impl Line<'_> {
    /// The next word, which is `expected`.
    fn next(&mut self, expected: &str) -> Result<Word> {
        let end = self.end;
        self.words.next().ok_or_else(|| {
            self.source.error(end..end, format_args!("the line ends: {expected} is missing"))
        })
    }

    fn keyword(&mut self, keyword: &str) -> Result<()> {
        let word = self.next(keyword)?;
        if word.is(keyword) {
            return Ok(());
        }
        Err(self.source.error(word.span.clone(), format_args!("{word} is not {keyword}")))
    }

    /// An option's value.
    fn number(&mut self, option: &str, allowed: RangeInclusive<i64>) -> Result<i64> {
        let word = self.next("a number")?;
        match word.text.parse() {
            Ok(number) if !word.quoted && allowed.contains(&number) => Ok(number),
            _ => Err(self.source.error(
                word.span.clone(),
                format_args!(
                    "{option} {word} is not allowed: {} to {} are",
                    allowed.start(),
                    allowed.end()
                ),
            )),
        }
    }
}

struct Reader<'a> {
    source: &'a File,
    config: Config,
    warnings: Vec<String>,
}

impl Reader<'_> {
    fn warn(&mut self, span: Range<usize>, message: impl Display) {
        let place = self.source.place(span);
        self.warnings.push(format!("{place}: {message}"));
    }

    fn statement(&mut self, mut line: Line<'_>) -> Result<()> {
        let first = line.next("a keyword")?;
        let from = first.span.start;
        match first.text.as_str() {
            _ if first.quoted => return Err(self.unknown(&first)),
            "listen" => self.listen(&mut line)?,
            "server" | "servers" => self.server(&first, &mut line)?,
            "query" => {
                line.keyword("from")?;
                let address = line.next("an IP address")?;
                self.ip(&address)?;
                let message = "the system picks the address that queries leave from";
                self.warn(
                    from..address.span.end,
                    format_args!("query from {address} is ignored: {message}"),
                );
            }
            "sensor" => self.sensor(from, &mut line)?,
            "constraint" | "constraints" => {
                line.keyword("from")?;
                self.constraint(&first, &mut line)?;
            }
            _ => return Err(self.unknown(&first)),
        }
        match line.words.next() {
            None => Ok(()),
            Some(word) => {
                let message = format!("{word} is one word too many after {first}");
                Err(self.source.error(word.span, message))
            }
        }
    }

    fn constraint(&mut self, keyword: &Word, line: &mut Line<'_>) -> Result<()> {
        let word = line.next("a URL")?;
        let url: Url = word
            .text
            .parse()
            .map_err(|error: UrlError| self.source.error(word.span.clone(), error.to_string()))?;
        let mut addresses = Vec::new();
        for address in line.words.by_ref() {
            let ip = self.ip(&address)?;
            if addresses.len() == MAX_ADDRESSES {
                let message = format!("{address} is one too many: {MAX_ADDRESSES} are allowed");
                return Err(self.source.error(address.span, message));
            }
            addresses.push(ip);
        }
        let source = Source { url, addresses, all: keyword.is("constraints"), ca: None };
        let sources = &mut self.config.constraints;
        if sources.iter().any(|other| other.is_at(&source)) {
            self.warn(word.span.clone(), format_args!("{keyword} from {word} is there already"));
        } else if sources.len() == MAX_SOURCES {
            let message = format!("{keyword} from {word} is ignored: {MAX_SOURCES} are allowed");
            self.warn(word.span.clone(), message);
        } else {
            sources.push(source);
        }
        Ok(())
    }

    fn unknown(&self, word: &Word) -> ConfigError {
        self.source.error(word.span.clone(), format_args!("{word} is unknown: {STATEMENTS}"))
    }

    fn ip(&self, word: &Word) -> Result<IpAddr> {
        word.text.parse().map_err(|_| {
            let message = format!("{word} is not an IP address: one without a port is allowed");
            self.source.error(word.span.clone(), message)
        })
    }

    fn listen(&mut self, line: &mut Line<'_>) -> Result<()> {
        line.keyword("on")?;
        let word = line.next("an IP address or *")?;
        if line.words.next_if(|word| word.is("rtable")).is_some() {
            let table = line.number("rtable", RTABLE)?;
            let message = format!("rtable {table} is ignored: the routing table is this process's");
            self.warn(word.span.clone(), message);
        }
        let address = match word.text.as_str() {
            "*" => None,
            text if matches!(text.parse(), Ok(ServerAddress::Name(_))) => {
                let message =
                    format!("listen on {word} is ignored: only an IP address or * is served");
                self.warn(word.span, message);
                return Ok(());
            }
            _ => Some(self.ip(&word)?),
        };
        let listen = Listen { address, port: NTP_PORT };
        if self.config.listen.contains(&listen) {
            self.warn(word.span.clone(), format_args!("listen on {word} is there already"));
        } else {
            self.config.listen.push(listen);
        }
        Ok(())
    }

    fn server(&mut self, keyword: &Word, line: &mut Line<'_>) -> Result<()> {
        let word = line.next("a host")?;
        let address: ServerAddress = word.text.parse().map_err(|error| {
            let message = match error {
                AddressError::Port { read, address, .. } => {
                    format!("{read:?} has a port, and ntpd.conf has none: {address:?} is allowed")
                }
                error => error.to_string(),
            };
            self.source.error(word.span.clone(), message)
        })?;
        let mut select = SelectOptions::default();
        while let Some(option) = line.words.next() {
            match option.text.as_str() {
                "trusted" if !option.quoted => select.trust = true,
                "weight" if !option.quoted => self.weight(&option, line)?,
                _ => {
                    let message = format!("{option} is unknown: weight and trusted are allowed");
                    return Err(self.source.error(option.span, message));
                }
            }
        }
        // An address stands for itself.
        let is_pool = keyword.is("servers") && matches!(address, ServerAddress::Name(_));
        let server = Server { select, ..Server::new(address, NTP_PORT) };
        let (servers, pools) = (&mut self.config.servers, &mut self.config.pools);
        let known = if is_pool {
            pools.iter().any(|pool| pool.server.is_at(&server))
        } else {
            servers.iter().any(|other| other.is_at(&server))
        };
        if known {
            self.warn(word.span.clone(), format_args!("{keyword} {word} is there already"));
        } else if is_pool {
            pools.push(Pool { server, count: POOL_COUNT });
        } else {
            servers.push(server);
        }
        Ok(())
    }

    fn weight(&mut self, option: &Word, line: &mut Line<'_>) -> Result<()> {
        let weight = line.number("weight", WEIGHT)?;
        if weight != 1 {
            let message = "sources are weighted by how good they are, see `prefer`";
            self.warn(option.span.clone(), format_args!("weight {weight} is ignored: {message}"));
        }
        Ok(())
    }

    fn sensor(&mut self, from: usize, line: &mut Line<'_>) -> Result<()> {
        let device = line.next("a device")?;
        while let Some(option) = line.words.next() {
            match option.text.as_str() {
                "trusted" => {}
                "weight" => drop(line.number("weight", WEIGHT)?),
                "correction" => drop(line.number("correction", CORRECTION)?),
                "stratum" => drop(line.number("stratum", STRATUM)?),
                "refid" => {
                    let refid = line.next("a reference id")?;
                    if !REFID.contains(&refid.text.len()) {
                        let message =
                            format!("refid {refid} is not allowed: 1 to 4 characters are");
                        return Err(self.source.error(refid.span, message));
                    }
                }
                _ => {
                    let message = format!(
                        "{option} is unknown: correction, refid, stratum, weight and trusted are \
                         allowed"
                    );
                    return Err(self.source.error(option.span, message));
                }
            }
        }
        let message = format!("sensor {device} is ignored: there are no sensors of the time here");
        self.warn(from..device.span.end, message);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
