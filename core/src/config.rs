//! What an operator may choose, and the numbers that are policy.

use core::net::SocketAddr;

use crate::holdover::UNKNOWN_FREQUENCY;
use crate::units::{FreqOffset, Span, WallTime};

/// The least poll exponent: 2^-4 s, for a quiet local network.
pub const MIN_POLL_LIMIT: i8 = -4;
/// The greatest poll exponent: 2^17 s (36 hours), RFC 5905's MAXPOLL.
pub const MAX_POLL_LIMIT: i8 = 17;
/// Default least poll exponent: 64 s, RFC 5905's MINPOLL as ntpd and chrony use it.
pub const DEFAULT_MIN_POLL: i8 = 6;
/// Default greatest poll exponent: 1024 s, as ntpd and chrony use it.
pub const DEFAULT_MAX_POLL: i8 = 10;

/// The first unsynchronised stratum (RFC 5905 §7.2, MAXSTRAT).
pub const MAX_STRATUM: u8 = 16;
/// How fast an undisciplined clock may drift, 15 ppm (RFC 5905 §7.2, PHI).
pub const DRIFT_TOLERANCE: FreqOffset = FreqOffset::from_ppm(15);
/// How fast a clock may drift whose frequency is known with this standard deviation, a plain ratio:
/// by the tolerance and three of it.
pub(crate) fn drift_bound(frequency_deviation: f64) -> FreqOffset {
    DRIFT_TOLERANCE + FreqOffset::from_ratio(3.0 * frequency_deviation)
}

/// A root distance from which on a server is of no use (RFC 5905 §7.2, MAXDISP).
pub const MAX_DISPERSION: Span = Span::from_secs(16);
/// A root distance beyond which this clock no longer calls itself synchronised. DEVIATION:
/// RFC 5905's MAXDIST is 1 s; ntpd and this use 1.5 s, which bridges a day without any server.
pub const MAX_DISTANCE: Span = Span::from_millis(1_500);

/// No clock is believed to be further off its nominal rate: ten per cent, what a kernel's tick
/// can make up for.
pub const MAX_FREQUENCY: FreqOffset = FreqOffset::from_ppm(100_000);

/// The earliest date that may be "now": era stamps unfold around the later of this and the local
/// clock, so that a clock that woke in 1970 still reads its servers right until 2094.
pub const NOT_BEFORE: WallTime = WallTime::from_unix(1_767_225_600, 0); // 2026-01-01

/// What an operator wants selection to make of a peer, as chrony and ntpd name it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SelectOptions {
    /// While it is a truechimer the clock is set by it and others that are preferred alone.
    pub prefer: bool,
    /// While one that is trusted is usable, the truth is sought among those alone, and who
    /// disagrees with them is a falseticker.
    pub trust: bool,
    /// It is measured and shown but never used. Then the other two mean nothing.
    pub noselect: bool,
}

/// How a peer is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerConfig {
    /// Where it is; `None` while only its name is known, which the shell resolves.
    pub address: Option<SocketAddr>,
    /// Least poll interval as a power of two seconds.
    pub min_poll: i8,
    /// Greatest poll interval as a power of two seconds.
    pub max_poll: i8,
    /// Whether to start with a burst of queries 2 s apart.
    pub iburst: bool,
    /// Whether it came from a pool.
    pub pool: bool,
    /// What selection is to make of it.
    pub select: SelectOptions,
}

impl Default for PeerConfig {
    fn default() -> Self {
        Self {
            address: None,
            min_poll: DEFAULT_MIN_POLL,
            max_poll: DEFAULT_MAX_POLL,
            iburst: true,
            pool: false,
            select: SelectOptions::default(),
        }
    }
}

/// How the engine behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Config {
    /// Whether the clock may be changed; without it the engine only watches.
    pub control: bool,
    /// A correction that may be a step is one if it is greater than this, either way.
    pub step_threshold: Span,
    /// So many corrections, the first ones, may be steps; all if `None`. Unless it is none at all,
    /// one more may be after somebody else moved the clock.
    pub step_limit: Option<u32>,
    /// An offset greater than this, in a clock that had been corrected, is not corrected without
    /// the operator's word (ntpd's panic threshold); never if `None`.
    pub panic_threshold: Option<Span>,
    /// The fastest slew either way, on top of the frequency.
    pub max_slew: FreqOffset,
    /// How many packets accuracy is worth: 1 is about as many as ntpd or chrony would send, 2 buys
    /// a seventh less error with half as many more.
    pub packets: f64,
    /// The clock is not set until so many sources agree; 0 counts as 1.
    pub min_sources: u8,
    /// The frequency that the clock runs at when the engine starts.
    pub frequency: FreqOffset,
    /// The standard deviation of that from the frequency at which the clock is right, a plain ratio
    /// (1e-6 is 1 ppm): 100 ppm unless it was [kept](crate::holdover::KnownFrequency).
    pub frequency_deviation: f64,
    /// The stratum to claim for the local clock while there is nothing better, 1 to 15; others
    /// count as the nearest of these.
    pub local_stratum: Option<u8>,
    /// The stratum as which this host serves in [orphan mode](crate::server::Orphan). Who serves at that
    /// or beyond it is an orphan too: of those the one of the least address is followed, if it is
    /// less than this host's, and while there is no other source.
    pub orphan_stratum: Option<u8>,
    /// Whether no server is believed before [`Input::Constrained`](crate::io::Input::Constrained), nor
    /// one that is further from it than two minutes, until the clock has been right.
    pub constrained: bool,
    /// How finely the local clock can be read, as a power of two seconds.
    pub precision: i8,
    /// What [`Now::mono`](crate::units::Now::mono) is to the clock.
    pub counter: Counter,
    /// Who takes offsets away.
    pub discipline: DisciplineMode,
    /// Who makes leap seconds.
    pub leap: LeapMode,
}

/// What becomes of a leap second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LeapMode {
    /// The clock is told of it and makes it by itself at the very moment, as a kernel does.
    #[default]
    Step,
    /// The clock goes on, and is slewed until it is right.
    Slew,
    /// Nothing is known of leap seconds: the sources jump, and what they say then is corrected as any
    /// offset.
    Ignore,
}

/// What takes offsets away once the clock is about right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DisciplineMode {
    /// The engine: it sets the frequency to what the sources say of it, and slews.
    #[default]
    Native,
    /// The clock's own phase- and frequency-locked loop, the kernel's, which is told offsets and
    /// finds the frequency by itself, as ntpd has it. Steps, the first corrections, and offsets
    /// beyond 0.5 s remain the engine's.
    Kernel,
}

/// What the monotonic counter is to the disciplined clock. By it is seen whether somebody else
/// moved the clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Counter {
    /// The clock is made of it, and runs faster by what it was told: a software clock's counter.
    #[default]
    Raw,
    /// It runs as the clock does, slews included, and only a step parts them: `CLOCK_MONOTONIC`.
    Slewed,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            control: true,
            step_threshold: Span::from_millis(100),
            step_limit: Some(1),
            panic_threshold: Some(Span::from_secs(1_000)), // RFC 5905 §7.2, PANICT
            max_slew: FreqOffset::from_ppm(500),           // as adjtime(2)
            packets: 1.0,
            min_sources: 1,
            frequency: FreqOffset::ZERO,
            frequency_deviation: UNKNOWN_FREQUENCY,
            local_stratum: None,
            orphan_stratum: None,
            constrained: false,
            precision: -20,
            counter: Counter::Raw,
            discipline: DisciplineMode::Native,
            leap: LeapMode::Step,
        }
    }
}
