//! The configuration of `chimed`: a TOML file and what it includes, or OpenNTPD's `ntpd.conf`
//! (`openntpd`), and what the command line says otherwise ([`Overrides`]); checked whole before
//! anything starts, and held in the core's units. Every value has its default here or in
//! [`truechimer_core::config`]; an empty file is a configuration without servers.

mod address;
mod constraint;
mod effective;
mod error;
mod include;
mod log;
mod openntpd;
mod overrides;
mod serve;
mod servers;
mod tables;
#[cfg(test)]
mod tests;
mod timestamps;
mod values;

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use truechimer_core::config::{
    Config as EngineConfig, Counter, DisciplineMode, LeapMode, PeerConfig, SelectOptions,
};
use truechimer_core::units::{FreqOffset, Span};

pub use address::{AddressError, ServerAddress};
pub use effective::Detail;
pub use error::ConfigError;
pub use overrides::{Origin, Overrides};
pub use serve::{DEFAULT_WORKERS, RANGES, Serve};
pub use timestamps::ALL_INTERFACES;

/// The port of NTP (RFC 5905 §7.2, PORT).
pub const NTP_PORT: u16 = 123;
/// Where the control socket is unless the file says otherwise.
pub const DEFAULT_CONTROL: &str = if cfg!(target_os = "linux") {
    "/run/chimed/chimed.sock"
} else {
    "/var/run/chimed/chimed.sock"
};
/// Whom the engines become unless the file says otherwise, as OpenNTPD's.
pub const DEFAULT_USER: &str = "_ntp";
/// The folder of what is kept unless the file says otherwise.
pub const DEFAULT_STATE: &str =
    if cfg!(target_os = "linux") { "/var/lib/chimed" } else { "/var/db/chimed" };
/// How many addresses of a pool are used unless the file says otherwise, as ntpd and chrony do.
pub const DEFAULT_POOL_COUNT: u8 = 4;
/// The most addresses of one pool.
pub const MAX_POOL_COUNT: u8 = 16;
/// The stratum of `[local]` unless the file says otherwise, as chrony's `local`.
pub const DEFAULT_LOCAL_STRATUM: u8 = 10;

/// Peers that there is room for.
pub const MAX_PEERS: usize = 64;

/// A configuration, and what its file says that has no equivalent here.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// What is to be done.
    pub config: Config,
    /// What of the file is left out and why, each with its place.
    pub warnings: Vec<String>,
}

/// What the configuration file says.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Which clock is disciplined.
    pub clock: ClockKind,
    /// What takes offsets away.
    pub discipline: DisciplineMode,
    /// Who makes leap seconds.
    pub leap: LeapMode,
    /// The file of the leap seconds that are known, if one is to be heeded.
    pub leap_list: Option<PathBuf>,
    /// The folder of what is kept for the next start, if anything is.
    pub state: Option<PathBuf>,
    /// The file in which Linux shows the clock that runs without power, if it is to be heeded.
    pub rtc: Option<PathBuf>,
    /// The path of the control socket, if there is to be one.
    pub control: Option<PathBuf>,
    /// The group whose members may ask there; `None` for that of chimed itself.
    pub control_group: Option<String>,
    /// Whom the engines become if they may; `None` to stay who chimed was started as.
    pub user: Option<String>,
    /// A correction that may be a step is one if it is greater than this: 1 ns to 10^9 s.
    pub step_threshold: Span,
    /// So many corrections, the first ones, may be steps; all if `None`.
    pub step_limit: Option<u32>,
    /// A greater offset than this is not corrected without the operator's word: 1 ns to 10^9 s.
    pub panic_threshold: Option<Span>,
    /// The fastest slew, on top of the frequency: 1 to 100,000 ppm.
    pub max_slew: FreqOffset,
    /// How many packets accuracy is worth: 0.1 to 16, of which 1 is usual.
    pub packets: f64,
    /// The clock is not set until so many servers agree: 1 to as many as may be used.
    pub min_sources: u8,
    /// The servers to ask, no two of the same address and port.
    pub servers: Vec<Server>,
    /// The pools to ask, no two of the same address and port.
    pub pools: Vec<Pool>,
    /// The HTTPS servers that bound what NTP may claim until the clock is trusted, no two alike, at
    /// most 16.
    pub constraints: Vec<crate::constraint::Source>,
    /// Where to serve time, no two alike.
    pub listen: Vec<Listen>,
    /// How it is served there.
    pub serve: Serve,
    /// The interfaces that are to stamp packets, or [`ALL_INTERFACES`].
    pub hardware: Vec<String>,
    /// The error that the software clock starts with; zero for the kernel's.
    pub software_clock: SoftwareClock,
    /// The stratum to claim for the local clock while there is no better source, 1 to 15.
    pub local_stratum: Option<u8>,
    /// Where messages go, and which.
    pub log: crate::log::Options,
}

/// Which clock is disciplined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ClockKind {
    /// The kernel's, by `ntp_adjtime`.
    #[default]
    Kernel,
    /// One in this process, which nothing else sees.
    Software,
}

/// One NTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its IP address or name.
    pub address: ServerAddress,
    /// Its port, never 0.
    pub port: u16,
    /// Least poll interval as a power of two seconds, -4 to 17.
    pub min_poll: i8,
    /// Greatest poll interval as a power of two seconds, `min_poll` to 17.
    pub max_poll: i8,
    /// Whether to start with a burst of queries.
    pub iburst: bool,
    /// What selection is to make of it; neither of the others with `noselect`.
    pub select: SelectOptions,
}

/// The servers that one name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// The name, and how each of them is asked.
    pub server: Server,
    /// How many of the addresses to use at most, 1 to 16.
    pub count: u8,
}

/// Where to serve time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// The address to bind to; `None` for every one, IPv4 and IPv6.
    pub address: Option<IpAddr>,
    /// The port, never 0.
    pub port: u16,
}

/// The error that the software clock starts with. Positive values are ahead and fast.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SoftwareClock {
    /// How far it is ahead of the host's clock, ±9·10^9 s.
    pub offset: Span,
    /// How much faster it is than the host's clock, ±100,000 ppm.
    pub frequency: FreqOffset,
}

impl Default for Config {
    fn default() -> Self {
        let engine = EngineConfig::default();
        Self {
            clock: ClockKind::default(),
            discipline: engine.discipline,
            leap: engine.leap,
            leap_list: Some(crate::leap::DEFAULT.into()),
            state: Self::default_state(ClockKind::Kernel),
            rtc: Some(crate::state::rtc::DEFAULT.into()),
            control: Some(DEFAULT_CONTROL.into()),
            control_group: None,
            user: Some(DEFAULT_USER.to_owned()),
            step_threshold: engine.step_threshold,
            step_limit: engine.step_limit,
            panic_threshold: engine.panic_threshold,
            max_slew: engine.max_slew,
            packets: engine.packets,
            min_sources: engine.min_sources,
            servers: Vec::new(),
            pools: Vec::new(),
            constraints: Vec::new(),
            listen: Vec::new(),
            serve: Serve::default(),
            hardware: Vec::new(),
            software_clock: SoftwareClock::default(),
            local_stratum: engine.local_stratum,
            log: crate::log::Options::default(),
        }
    }
}

impl Config {
    /// Whether programs in drivers answer where `other` has them answer.
    #[must_use]
    pub fn has_same_xdp(&self, other: &Self) -> bool {
        let xdp = &self.serve.xdp;
        *xdp == other.serve.xdp && (xdp.is_empty() || self.listen == other.listen)
    }

    /// Reads the file at `path`, by its name an `ntpd.conf` (`*.conf`) or else TOML.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is not UTF-8, or as [`parse`](Self::parse).
    pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
        if path.extension().is_some_and(|extension| extension == "conf") {
            return Self::load_openntpd(path);
        }
        let (text, name) = read(path)?;
        Ok(Loaded { config: Self::parse(&text, &name)?, warnings: Vec::new() })
    }

    /// Reads OpenNTPD's `ntpd.conf`, whatever it is called.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is not UTF-8, or at the first thing that OpenNTPD would not
    /// understand.
    pub fn load_openntpd(path: &Path) -> Result<Loaded, ConfigError> {
        let (text, name) = read(path)?;
        Self::parse_openntpd(&text, &name)
    }

    /// Reads the text of OpenNTPD's `ntpd.conf`; `name` is its path.
    ///
    /// # Errors
    ///
    /// At the first thing that OpenNTPD would not understand.
    pub fn parse_openntpd(text: &str, name: &str) -> Result<Loaded, ConfigError> {
        openntpd::parse(&error::Source::new(text, name))
    }

    /// Reads the text of a file and what that includes; `name` is its path.
    ///
    /// # Errors
    ///
    /// At the first thing that is not TOML, has the wrong type, is unknown, out of range or
    /// contradicts another; if a file that is included cannot be read.
    pub fn parse(text: &str, name: &str) -> Result<Self, ConfigError> {
        tables::parse(&include::gather(error::Source::new(text, name))?)
    }

    /// Reads what [`to_toml`](Self::to_toml) made in another process; no file is looked at.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse).
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        tables::parse(&error::Source::new(text, "configuration of the parent"))
    }

    /// Where a clock's state is kept unless something else is said: what is learnt of a clock in this
    /// process is of no use to the next.
    #[must_use]
    pub fn default_state(clock: ClockKind) -> Option<PathBuf> {
        (clock == ClockKind::Kernel).then(|| DEFAULT_STATE.into())
    }

    /// How many peers there are to be: a place for each server and each member of a pool.
    #[must_use]
    pub fn peers(&self) -> usize {
        let members = self.pools.iter().map(|pool| usize::from(pool.count));
        self.servers.len() + members.sum::<usize>()
    }

    /// The configuration of an engine whose clock runs at `frequency`.
    #[must_use]
    pub fn engine_config(&self, frequency: FreqOffset) -> EngineConfig {
        EngineConfig {
            step_threshold: self.step_threshold,
            step_limit: self.step_limit,
            panic_threshold: self.panic_threshold,
            counter: match self.clock {
                ClockKind::Kernel => Counter::Slewed,
                ClockKind::Software => Counter::Raw,
            },
            max_slew: self.max_slew,
            packets: self.packets,
            min_sources: self.min_sources,
            frequency,
            constrained: !self.constraints.is_empty(),
            discipline: self.discipline,
            leap: self.leap,
            local_stratum: self.local_stratum,
            orphan_stratum: self.serve.policy.orphan.map(|orphan| orphan.stratum),
            ..EngineConfig::default()
        }
    }
}

fn read(path: &Path) -> Result<(String, String), ConfigError> {
    let name = path.display().to_string();
    match fs::read_to_string(path) {
        Ok(text) => Ok((text, name)),
        Err(reason) => Err(ConfigError::Unreadable { name, reason }),
    }
}

impl Server {
    /// One that is asked as usual.
    #[must_use]
    pub fn new(address: ServerAddress, port: u16) -> Self {
        let PeerConfig { min_poll, max_poll, iburst, select, .. } = PeerConfig::default();
        Self { address, port, min_poll, max_poll, iburst, select }
    }

    fn is_at(&self, other: &Self) -> bool {
        (&self.address, self.port) == (&other.address, other.port)
    }

    /// How the engine asks it; without an address where the resolver is to say it.
    #[must_use]
    pub fn peer_config(&self) -> PeerConfig {
        PeerConfig {
            address: match self.address {
                ServerAddress::Ip(ip) => Some(SocketAddr::new(ip, self.port)),
                ServerAddress::Zoned(..) | ServerAddress::Name(_) => None,
            },
            min_poll: self.min_poll,
            max_poll: self.max_poll,
            iburst: self.iburst,
            pool: false,
            select: self.select,
        }
    }
}

impl Pool {
    /// How the engine asks each of its servers.
    #[must_use]
    pub fn peer_config(&self) -> PeerConfig {
        PeerConfig { pool: true, ..self.server.peer_config() }
    }
}
