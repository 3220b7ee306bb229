//! What the processes say to one another.

use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use truechimer_core::clock::{ClockError, ClockStatus, LeapPlan};
use truechimer_core::event::Event;
use truechimer_core::hal::AdjustableClock;
use truechimer_core::holdover::{KnownFrequency, State};
use truechimer_core::units::{FreqOffset, Instant, Span, WallTime};
use truechimer_core::wire::LeapIndicator;

use super::codec::Message;
use crate::clock::KernelClock;
use crate::constraint::{self, Addresses};
use crate::leap::List;
use crate::phc::Interface;
use crate::resolver::{Answer, MAX_ANSWERED, MAX_REASON, Question};
use crate::sandbox::{Protection, User};
use crate::service::Notice;
use crate::state::Started;

/// From the ntp engine to the parent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToParent {
    /// Open the kernel's clock; [`ToNtp::Opened`] answers.
    Open {
        /// See too whether it may be changed.
        control: bool,
    },
    /// Do this to the clock; [`ToNtp::Done`] answers.
    Clock(Command),
    /// Read the configuration; [`ToNtp::Configuration`] answers.
    Read,
    /// It is ready to run, with a control socket or without. [`ToNtp::Run`] answers.
    Ready {
        /// Whether there is a socket to be removed at the end.
        control: bool,
        /// What it can do no more.
        protections: Vec<Protection>,
    },
    /// For the service manager.
    Notice(Notice),
    /// For the next start, and what the clock shows now, as in [`Kept::floor`].
    Keep(Kept, (i64, u32)),
    /// Have HTTPS servers asked for the time, unless they are being asked;
    /// [`ToNtp::Constrained`] answers.
    Constrain,
    /// Read the list of leap seconds; [`ToNtp::LeapSeconds`] answers.
    LeapSeconds,
    /// Log this, with its severity as syslog has it.
    Log(u8, String),
}

/// From the parent to the ntp engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToNtp {
    /// The first message.
    Start(Box<Start>),
    /// All processes are ready; by their names, what they can do no more.
    Run(Vec<(String, Vec<Protection>)>),
    /// The clock's rate, in ppm, and whether it may be changed.
    Opened(Result<Opened, Refused>),
    /// What the clock did.
    Done(Done),
    /// The configuration as TOML, with warnings, or what is wrong with it.
    Configuration(Result<Configuration, String>),
    /// Somebody wants the configuration to be read again: ask for it.
    Reload,
    /// End.
    Stop,
    /// What HTTPS servers say.
    Constrained(constraint::Answer),
    /// The list of leap seconds, if there is one, or what is wrong with it.
    LeapSeconds(Result<Option<List>, String>),
}

/// From the parent to the dns engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToHelper {
    /// The first message: what of the configuration concerns it, as TOML, and whom it becomes.
    Start(String, Option<User>),
    /// There will be no more questions.
    Stop,
    /// A name to look up.
    HostDns(Box<Question>),
}

/// Its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FromHelper {
    /// It takes questions, and this it can do no more.
    Ready(Vec<Protection>),
    /// What became of a name.
    HostDns(Box<Found>),
}

/// From the parent to the process that asks HTTPS servers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToConstraint {
    /// The first message, as [`ToHelper::Start`].
    Start(String, Option<User>),
    /// Ask each of the servers, which are at these addresses.
    Query(Vec<Addresses>),
}

/// Its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FromConstraint {
    /// As [`FromHelper::Ready`].
    Ready(Vec<Protection>),
    /// What they said.
    Result(constraint::Answer),
}

/// From the ntp engine to the dns engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToDns {
    /// A name to look up.
    HostDns(Question),
}

/// From the dns engine to the ntp engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FromDns {
    /// What became of it.
    HostDns(Found),
}

/// An [`Answer`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    id: u16,
    outcome: Result<heapless::Vec<Place, MAX_ANSWERED>, heapless::String<MAX_REASON>>,
}

/// A socket address with all its parts; serde knows it without the scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    ip: IpAddr,
    port: u16,
    scope: u32,
}

impl From<SocketAddr> for Place {
    fn from(address: SocketAddr) -> Self {
        let scope = match address {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(v6) => v6.scope_id(),
        };
        Self { ip: address.ip(), port: address.port(), scope }
    }
}

impl From<Place> for SocketAddr {
    fn from(Place { ip, port, scope }: Place) -> Self {
        match ip {
            IpAddr::V4(v4) => SocketAddrV4::new(v4, port).into(),
            IpAddr::V6(v6) => SocketAddrV6::new(v6, port, 0, scope).into(),
        }
    }
}

impl From<Answer> for Found {
    fn from(Answer { id, outcome }: Answer) -> Self {
        Self { id, outcome: outcome.map(|found| found.into_iter().map(Place::from).collect()) }
    }
}

impl From<Found> for Answer {
    fn from(Found { id, outcome }: Found) -> Self {
        Self { id, outcome: outcome.map(|found| found.into_iter().map(Into::into).collect()) }
    }
}

impl Message for ToParent {
    const NAMES: &'static [&'static str] = &[
        "IMSG_OPEN",
        "IMSG_ADJTIME",
        "IMSG_READ",
        "IMSG_READY",
        "IMSG_NOTICE",
        "IMSG_ADJFREQ",
        "IMSG_CONSTRAINT_QUERY",
        "IMSG_LEAP_SECONDS",
        "IMSG_LOG",
    ];
}

impl Message for ToNtp {
    const NAMES: &'static [&'static str] = &[
        "IMSG_START",
        "IMSG_RUN",
        "IMSG_OPENED",
        "IMSG_ADJTIMED",
        "IMSG_CONFIGURATION",
        "IMSG_RELOAD",
        "IMSG_STOP",
        "IMSG_CONSTRAINT_RESULT",
        "IMSG_LEAP_SECONDS",
    ];
}

impl Message for ToHelper {
    const NAMES: &'static [&'static str] = &["IMSG_START", "IMSG_STOP", "IMSG_CONSTRAINT_DNS"];
}

impl Message for FromHelper {
    const NAMES: &'static [&'static str] = &["IMSG_READY", "IMSG_CONSTRAINT_DNS"];
}

impl Message for ToConstraint {
    const NAMES: &'static [&'static str] = &["IMSG_START", "IMSG_CONSTRAINT_QUERY"];
}

impl Message for FromConstraint {
    const NAMES: &'static [&'static str] = &["IMSG_READY", "IMSG_CONSTRAINT_RESULT"];
}

impl Message for ToDns {
    const NAMES: &'static [&'static str] = &["IMSG_HOST_DNS"];
}

impl Message for FromDns {
    const NAMES: &'static [&'static str] = &["IMSG_HOST_DNS"];
}

/// What the ntp engine begins with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// What to do.
    pub configuration: Configuration,
    /// Whom it becomes.
    pub user: Option<User>,
    /// Whether a service manager wants to be told.
    pub notify: bool,
    /// How often it wants to be told that the engine lives.
    pub beat: Option<Duration>,
    /// What was kept at the end of the last life.
    pub kept: Kept,
    /// What the clock says that runs without power.
    pub rtc: Option<Rtc>,
    /// The interfaces that stamp packets; their clocks come with the message.
    pub hardware: Vec<Interface>,
}

/// What is kept from one start to the next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The clock's frequency in ppm, and the standard deviation of that as a ratio.
    pub frequency: Option<(f64, f64)>,
    /// The last time that was known to be right, seconds and nanoseconds since 1970.
    pub floor: Option<(i64, u32)>,
}

/// As [`Started`], the time as in [`Kept::floor`] and the rest in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of `Started`")]
pub struct Rtc {
    pub time: (i64, u32),
    pub bound: Option<i64>,
    pub at: u64,
}

impl From<Started> for Rtc {
    fn from(Started { time, bound, at }: Started) -> Self {
        let time = (time.unix_secs(), time.subsec_nanos());
        Self { time, bound: bound.map(Span::as_nanos), at: at.as_nanos() }
    }
}

impl From<Rtc> for Started {
    fn from(Rtc { time: (secs, nanos), bound, at }: Rtc) -> Self {
        let time = WallTime::from_unix(secs, nanos);
        Self { time, bound: bound.map(Span::from_nanos), at: Instant::from_nanos(at) }
    }
}

impl From<State> for Kept {
    fn from(State { frequency, floor }: State) -> Self {
        Self {
            frequency: frequency.map(|known| (known.frequency.as_ppm(), known.deviation)),
            floor: floor.map(|floor| (floor.unix_secs(), floor.subsec_nanos())),
        }
    }
}

impl From<Kept> for State {
    fn from(Kept { frequency, floor }: Kept) -> Self {
        Self {
            frequency: frequency.map(|(ppm, deviation)| KnownFrequency {
                frequency: FreqOffset::from_ppm_f64(ppm),
                deviation,
            }),
            floor: floor.map(|(secs, nanos)| WallTime::from_unix(secs, nanos)),
        }
    }
}

/// A configuration that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// As TOML, without an `include`.
    pub toml: String,
    /// What was left out of it, and why.
    pub warnings: Vec<String>,
}

/// What the clock was found to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    /// In ppm.
    pub rate: f64,
    /// Whether it had been synchronised.
    pub synced: bool,
    /// Whether it may be changed.
    pub controlled: Result<(), Refused>,
    /// What failed meanwhile.
    pub failures: Vec<Failure>,
}

/// What is to be done to the clock. Rates are in ppm, times in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of `AdjustableClock`'s methods")]
pub enum Command {
    Step(i64),
    Adjust { frequency: f64, slew: f64 },
    Lock { frequency: Option<f64>, offset: i64, poll: i8 },
    Status { synced: bool, max_error: i64, estimated_error: i64 },
    Leap { leap: Leap, tai: Option<i32> },
}

/// A leap second at the end of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Leap {
    /// There is none.
    None,
    /// The day has a second more.
    Add,
    /// The day has a second less.
    Delete,
}

impl From<LeapIndicator> for Leap {
    fn from(leap: LeapIndicator) -> Self {
        match leap {
            LeapIndicator::AddSecond => Self::Add,
            LeapIndicator::DeleteSecond => Self::Delete,
            LeapIndicator::NoWarning | LeapIndicator::Alarm => Self::None,
        }
    }
}

impl From<Leap> for LeapIndicator {
    fn from(leap: Leap) -> Self {
        match leap {
            Leap::None => Self::NoWarning,
            Leap::Add => Self::AddSecond,
            Leap::Delete => Self::DeleteSecond,
        }
    }
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// The step in nanoseconds or the rate in ppm that it really was, or why not.
    pub outcome: Result<Did, Refused>,
    /// The rate that the clock had been given and another that it was found at, ppm.
    pub found: Option<(f64, f64)>,
    /// What failed meanwhile.
    pub failures: Vec<Failure>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Did {
    /// A step by so many nanoseconds.
    Stepped(i64),
    /// The clock runs at this rate, ppm.
    Runs(f64),
    /// The status was taken.
    Told,
}

/// Why a clock did not do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refused {
    /// [`ClockError::NotPermitted`].
    NotPermitted,
    /// [`ClockError::Unsupported`].
    Unsupported,
    /// [`ClockError::Os`].
    Os(i32),
    /// [`ClockError::NoReply`].
    NoReply,
}

/// A failed call that is to be logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// Reading the clock's rate.
    Read,
    /// Setting it.
    Set,
    /// Setting it for the first time.
    ResetRate,
    /// Ending a slew of somebody else.
    ResetSlew,
}

impl From<ClockError> for Refused {
    fn from(error: ClockError) -> Self {
        match error {
            ClockError::NotPermitted => Self::NotPermitted,
            ClockError::Unsupported => Self::Unsupported,
            ClockError::Os(number) => Self::Os(number),
            _ => Self::NoReply,
        }
    }
}

impl From<Refused> for ClockError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotPermitted => Self::NotPermitted,
            Refused::Unsupported => Self::Unsupported,
            Refused::Os(number) => Self::Os(number),
            Refused::NoReply => Self::NoReply,
        }
    }
}

impl Failure {
    /// Those of the kernel's clock.
    const ALL: [Self; 4] = [Self::Read, Self::Set, Self::ResetRate, Self::ResetSlew];

    /// As it is logged.
    #[must_use]
    pub const fn event(self) -> Event<'static> {
        match self {
            Self::Read => Event::NtpAdjtime1Failed,
            Self::Set => Event::NtpAdjtime2Failed,
            Self::ResetRate => Event::ResetAdjfreqFailed,
            Self::ResetSlew => Event::ResetAdjtimeFailed,
        }
    }

    /// What failed of a clock since it was last asked.
    pub(super) fn take(clock: &mut KernelClock) -> Vec<Self> {
        let failures = clock.take_failures().into_iter();
        failures
            .filter_map(|event| Self::ALL.into_iter().find(|failure| failure.event() == event))
            .collect()
    }
}

impl Command {
    /// Does it to a clock.
    pub(super) fn carry_out(self, clock: &mut KernelClock) -> Done {
        let runs = |rate: FreqOffset| Did::Runs(rate.as_ppm());
        let outcome = match self {
            Self::Step(by) => {
                clock.step(Span::from_nanos(by)).map(|by| Did::Stepped(by.as_nanos()))
            }
            Self::Adjust { frequency, slew } => {
                let [frequency, slew] = [frequency, slew].map(FreqOffset::from_ppm_f64);
                clock.adjust(frequency, slew).map(runs)
            }
            Self::Lock { frequency, offset, poll } => {
                let frequency = frequency.map(FreqOffset::from_ppm_f64);
                clock.lock(frequency, Span::from_nanos(offset), poll).map(runs)
            }
            Self::Status { synced, max_error, estimated_error } => {
                let [max_error, estimated_error] =
                    [max_error, estimated_error].map(Span::from_nanos);
                let status = ClockStatus { synced, max_error, estimated_error };
                clock.set_status(&status).map(|()| Did::Told)
            }
            Self::Leap { leap, tai } => {
                clock.set_leap(&LeapPlan { leap: leap.into(), tai }).map(|()| Did::Told)
            }
        };
        let found = clock.take_found().map(|(had, found)| (had.as_ppm(), found.as_ppm()));
        Done { outcome: outcome.map_err(Into::into), found, failures: Failure::take(clock) }
    }
}

impl From<Refused> for Done {
    fn from(refused: Refused) -> Self {
        Self { outcome: Err(refused), found: None, failures: Vec::new() }
    }
}
