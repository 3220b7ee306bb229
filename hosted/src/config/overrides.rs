//! What the command line and the environment say otherwise than the file, each time that is read.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;

use super::{ClockKind, Config, ConfigError, Listen, Loaded, MAX_PEERS, Server, ServerAddress};
use crate::query::Target;

/// Where the configuration is unless the command line or the environment says otherwise.
pub const DEFAULT_CONFIG: &str = "/etc/chimed.toml";

/// A configuration's file and what goes before it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Origin {
    /// Configuration file: TOML, or OpenNTPD's if its name ends in .conf [default:
    /// /etc/chimed.toml, which may be missing if --server or --listen is given]
    #[arg(short = 'f', long = "config", value_name = "FILE", env = "CHIMED_CONFIG")]
    pub path: Option<PathBuf>,
    /// What the file does not decide.
    #[command(flatten)]
    pub overrides: Overrides,
}

/// What goes before the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "In place of what the file says")]
pub struct Overrides {
    /// Ask this server, and none of the file's; may be repeated
    #[arg(long = "server", value_name = "HOST[:PORT]")]
    pub servers: Vec<Target>,
    /// Serve time here, * for every address, and nowhere else; may be repeated
    #[arg(long, value_name = "ADDRESS[:PORT]")]
    pub listen: Vec<ListenAddress>,
    /// Discipline this clock
    #[arg(long, value_name = "CLOCK", env = "CHIMED_CLOCK")]
    pub clock: Option<ClockKind>,
    /// Control socket, "" for none
    #[arg(long, value_name = "PATH", env = "CHIMED_CONTROL")]
    pub control: Option<String>,
}

/// `*`, `ADDRESS`, either with `:PORT`, or `[IPV6]:PORT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenAddress(Listen);

/// Why a text is not a [`ListenAddress`].
#[derive(Debug, thiserror::Error)]
#[error("an IP address or *, and after a colon a port from 1 to 65535, are allowed")]
pub struct ListenAddressError;

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, ListenAddressError> {
        let any = |text: &str| Target::from_str(&text.replacen('*', "0.0.0.0", 1));
        let target = if text.starts_with('*') { any(text) } else { text.parse() };
        let Server { address, port, .. } = target.map_err(|_| ListenAddressError)?.server();
        let address = match address {
            ServerAddress::Ip(_) if text.starts_with('*') => None,
            ServerAddress::Ip(ip) => Some(ip),
            ServerAddress::Zoned(..) | ServerAddress::Name(_) => return Err(ListenAddressError),
        };
        Ok(Self(Listen { address, port }))
    }
}

impl Origin {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(DEFAULT_CONFIG))
    }

    /// Reads the file, and puts the overrides in place of what it says.
    ///
    /// # Errors
    /// As [`Config::load`]; if the whole makes no sense or is too much.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let Overrides { servers, listen, clock, control } = &self.overrides;
        let needless = self.path.is_none() && !(servers.is_empty() && listen.is_empty());
        let path = self.path();
        let mut loaded = match Config::load(path) {
            Err(ConfigError::Unreadable { reason, .. })
                if needless && reason.kind() == ErrorKind::NotFound =>
            {
                Loaded { config: Config::default(), warnings: Vec::new() }
            }
            outcome => outcome?,
        };
        let config = &mut loaded.config;
        if !servers.is_empty() {
            config.pools.clear();
            config.servers.clear();
            for server in servers.iter().map(Target::server) {
                if !config.servers.iter().any(|other| other.is_at(&server)) {
                    config.servers.push(server);
                }
            }
            let needed = config.min_sources;
            if needed > config.usable() {
                return Err(ConfigError::Overridden(format!(
                    "--server leaves {} where {} has minsources = {needed}",
                    config.usable(),
                    path.display()
                )));
            }
        }
        if !listen.is_empty() {
            config.listen.clear();
            for &ListenAddress(listen) in listen {
                if !config.listen.contains(&listen) {
                    config.listen.push(listen);
                }
            }
        }
        if let Some(clock) = clock {
            if config.state == Config::default_state(config.clock) {
                config.state = Config::default_state(*clock);
            }
            config.clock = *clock;
        }
        if let Some(control) = control {
            config.control = (!control.is_empty()).then(|| control.into());
        }
        if config.peers() > MAX_PEERS {
            return Err(ConfigError::TooManyPeers(config.peers()));
        }
        Ok(loaded)
    }
}

#[cfg(test)]
mod tests;
