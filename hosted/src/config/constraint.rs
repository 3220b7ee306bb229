//! `[[constraint]]`: HTTPS servers that bound what NTP may claim.

use serde::Deserialize;
use toml::{Spanned, Value};

use super::ConfigError;
use super::effective::Row;
use super::error::Source as File;
use crate::constraint::{MAX_ADDRESSES, MAX_SOURCES, Source, Url};

type Result<T> = std::result::Result<T, ConfigError>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct ConstraintTable {
    url: Spanned<String>,
    #[serde(default)]
    addresses: Vec<Spanned<String>>,
    #[serde(default)]
    all: bool,
    ca: Option<String>,
}

impl File {
    pub(super) fn constraints(&self, tables: Vec<ConstraintTable>) -> Result<Vec<Source>> {
        let mut sources: Vec<Source> = Vec::new();
        for table in tables {
            let source = self.constraint(&table)?;
            let problem = if sources.len() == MAX_SOURCES {
                format!("one [[constraint]] too many: {MAX_SOURCES} are allowed")
            } else if sources.iter().any(|other| other.is_at(&source)) {
                format!(
                    "url = \"{}\" with these addresses is in an earlier [[constraint]]: once is allowed",
                    source.url
                )
            } else {
                sources.push(source);
                continue;
            };
            return Err(self.error(table.url.span(), problem));
        }
        Ok(sources)
    }

    fn constraint(&self, table: &ConstraintTable) -> Result<Source> {
        let url: Url = table
            .url
            .get_ref()
            .parse()
            .map_err(|error| self.error(table.url.span(), format_args!("url = {error}")))?;
        let mut addresses = Vec::new();
        for address in &table.addresses {
            let text = address.get_ref();
            let ip = text.parse().map_err(|_| {
                let message =
                    format!("{text:?} is not an IP address: one without a port is allowed");
                self.error(address.span(), message)
            })?;
            if addresses.len() == MAX_ADDRESSES {
                let message = format!("one address too many: {MAX_ADDRESSES} are allowed");
                return Err(self.error(address.span(), message));
            }
            addresses.push(ip);
        }
        Ok(Source { url, addresses, all: table.all, ca: table.ca.as_ref().map(Into::into) })
    }
}

impl Source {
    pub(super) fn is_at(&self, other: &Self) -> bool {
        (&self.url, &self.addresses) == (&other.url, &other.addresses)
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        let Self { url, addresses, all, ca } = self;
        let mut rows = vec![("url", url.to_string().into())];
        if !addresses.is_empty() {
            let addresses: Vec<Value> = addresses.iter().map(|ip| ip.to_string().into()).collect();
            rows.push(("addresses", addresses.into()));
        }
        rows.push(("all", (*all).into()));
        let ca = ca.as_ref().map(|ca| ca.to_string_lossy().into_owned());
        rows.extend(ca.map(|ca| ("ca", ca.into())));
        rows
    }
}
