//! `[[server]]` and `[[pool]]`.

use serde::Deserialize;
use toml::Spanned;
use truechimer_core::config::{MAX_POLL_LIMIT, MIN_POLL_LIMIT, PeerConfig, SelectOptions};

use super::error::Source;
use super::tables::Result;
use super::values::Number;
use super::{
    AddressError, DEFAULT_POOL_COUNT, MAX_POOL_COUNT, NTP_PORT, Pool, Server, ServerAddress,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct ServerTable {
    pub(super) address: Spanned<String>,
    port: Number<i64>,
    minpoll: Number<i64>,
    maxpoll: Number<i64>,
    iburst: Option<bool>,
    prefer: Option<Spanned<bool>>,
    trust: Option<Spanned<bool>>,
    noselect: Option<bool>,
}

/// As [`ServerTable`], which serde cannot both flatten and check for unknown keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct PoolTable {
    address: Spanned<String>,
    port: Number<i64>,
    minpoll: Number<i64>,
    maxpoll: Number<i64>,
    iburst: Option<bool>,
    prefer: Option<Spanned<bool>>,
    trust: Option<Spanned<bool>>,
    noselect: Option<bool>,
    count: Number<i64>,
}

impl Source {
    /// A poll limit that is not given makes way for the one that is.
    pub(super) fn server(&self, table: &ServerTable) -> Result<Server> {
        let (address, port) = self.address(&table.address, &table.port)?;
        let limits = MIN_POLL_LIMIT..=MAX_POLL_LIMIT;
        let least = self.in_range("minpoll", &table.minpoll, limits.clone())?;
        let greatest = self.in_range("maxpoll", &table.maxpoll, limits)?;
        let default = PeerConfig::default();
        let min_poll = least.unwrap_or(default.min_poll.min(greatest.unwrap_or(default.max_poll)));
        let max_poll = greatest.unwrap_or(default.max_poll.max(min_poll));
        if let Some(maxpoll) = &table.maxpoll
            && max_poll < min_poll
        {
            let message = format!(
                "maxpoll = {max_poll} is less than minpoll: {min_poll} to {MAX_POLL_LIMIT} are \
                 allowed"
            );
            return Err(self.error(maxpoll.span(), message));
        }
        Ok(Server {
            address,
            port,
            min_poll,
            max_poll,
            iburst: table.iburst.unwrap_or(default.iburst),
            select: self.select(table)?,
        })
    }

    /// An address may carry its port, if there is no other.
    fn address(
        &self,
        address: &Spanned<String>,
        port: &Number<i64>,
    ) -> Result<(ServerAddress, u16)> {
        let wrong =
            |error: AddressError| self.error(address.span(), format_args!("address = {error}"));
        let separate = self.in_range("port", port, 1..=u16::MAX)?;
        let text = address.get_ref().as_str();
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        match (bare.parse(), separate) {
            (Ok(address), port) => Ok((address, port.unwrap_or(NTP_PORT))),
            (Err(AddressError::Port { address: bare, port, .. }), None) => {
                let number = port.parse().ok().filter(|&port| port != 0);
                let number = number.ok_or_else(|| {
                    let message = format!(
                        "address = {text:?} has port {port}: 1 to {} are allowed",
                        u16::MAX
                    );
                    self.error(address.span(), message)
                })?;
                Ok((bare.parse().map_err(wrong)?, number))
            }
            (Err(error), _) => Err(wrong(error)),
        }
    }

    fn select(&self, table: &ServerTable) -> Result<SelectOptions> {
        let noselect = table.noselect.unwrap_or(false);
        let [prefer, trust] = [("prefer", &table.prefer), ("trust", &table.trust)].map(
            |(key, option)| match option {
                Some(set) if *set.get_ref() && noselect => Err(self.error(
                    set.span(),
                    format_args!("{key} = true contradicts noselect = true: one is allowed"),
                )),
                set => Ok(set.as_ref().is_some_and(|set| *set.get_ref())),
            },
        );
        Ok(SelectOptions { prefer: prefer?, trust: trust?, noselect })
    }

    pub(super) fn pool(&self, table: PoolTable) -> Result<(Pool, Spanned<String>)> {
        let PoolTable { address, port, minpoll, maxpoll, iburst, prefer, trust, noselect, count } =
            table;
        let table =
            ServerTable { address, port, minpoll, maxpoll, iburst, prefer, trust, noselect };
        let server = self.server(&table)?;
        let count = self.in_range("count", &count, 1..=MAX_POOL_COUNT)?;
        Ok((Pool { server, count: count.unwrap_or(DEFAULT_POOL_COUNT) }, table.address))
    }
}
