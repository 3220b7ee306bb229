//! Leap seconds: whether one is coming, and who makes it.
//!
//! A list of leap seconds that has not expired decides alone. Without one it is the majority of the
//! sources that are followed, and they are believed only at the end of June and December, when all
//! leap seconds so far were (as chrony does): a false one has two days a year to do harm.
//!
//! With [`LeapMode::Step`] the clock makes it by its own state machine. Free-running time is what it
//! shows corrected for its rate, so it goes back with the clock as the sources' time does, and no
//! estimate is disturbed.

use core::fmt;

use crate::config::LeapMode;
use crate::server::LeapSecond;
use crate::timex::Status;
use crate::units::{Instant, Now, Span, WallTime};
use crate::wire::LeapIndicator;

/// The clock is told of a leap second so long before: it makes it at the end of a day.
const DAY: Span = Span::from_secs(86_400);
const SECOND: Span = Span::from_secs(1);
/// A kernel makes it at a tick, up to 10 ms after the second has begun.
const LATE: Span = Span::from_millis(20);

/// What a list of leap seconds says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeapList {
    /// The next one, if one is known of.
    pub next: Option<LeapSecond>,
    /// TAI − UTC until then, s.
    pub tai: i32,
    /// From then on there may be others.
    pub expires: WallTime,
}

/// Who knows whether a leap second is coming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LeapSource {
    /// A list that has not expired.
    List,
    /// The majority of the sources that are followed.
    Sources,
}

impl fmt::Display for LeapSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::List => "list",
            Self::Sources => "sources",
        })
    }
}

/// What the clock is to do at the end of the day, and what TAI is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LeapPlan {
    /// Whether a second is added or deleted, or neither.
    pub leap: LeapIndicator,
    /// TAI − UTC, s; `None` to leave it as it is.
    pub tai: Option<i32>,
}

impl LeapPlan {
    /// The status word that tells a clock so, whose status is `now`.
    #[must_use]
    pub fn status(&self, mut now: Status) -> Status {
        now.set(Status::INS, self.leap == LeapIndicator::AddSecond);
        now.set(Status::DEL, self.leap == LeapIndicator::DeleteSecond);
        now
    }
}

/// The leap second that is coming, and what the clock was told of it.
#[derive(Debug)]
pub struct Leaps<const EXTRAS: bool> {
    mode: LeapMode,
    list: Option<LeapList>,
    /// What the majority announces.
    announced: LeapIndicator,
    next: Option<LeapSecond>,
    /// The end of the last one that was made.
    made: Option<WallTime>,
    told: Option<LeapPlan>,
    /// When to look at `next` again.
    due: Instant,
}

impl<const EXTRAS: bool> Leaps<EXTRAS> {
    pub const fn new(mode: LeapMode) -> Self {
        let announced = LeapIndicator::NoWarning;
        Self {
            mode,
            list: None,
            announced,
            next: None,
            made: None,
            told: None,
            due: Instant::NEVER,
        }
    }

    const fn mode(&self) -> LeapMode {
        if EXTRAS { self.mode } else { LeapMode::Step }
    }

    pub const fn set_mode(&mut self, mode: LeapMode) {
        self.mode = mode;
    }

    pub const fn set_list(&mut self, list: Option<LeapList>) {
        self.list = list;
    }

    /// The majority of the sources that are followed announces this.
    pub const fn set_announced(&mut self, leap: LeapIndicator) {
        self.announced = leap;
    }

    /// The list, if it is of any use.
    fn list(&self, time: WallTime) -> Option<&LeapList> {
        self.list.as_ref().filter(|list| EXTRAS && time < list.expires)
    }

    /// Who is asked.
    pub fn source(&self, time: WallTime) -> LeapSource {
        if self.list(time).is_some() { LeapSource::List } else { LeapSource::Sources }
    }

    /// The next one, whenever it is.
    fn foreseen(&self, time: WallTime) -> Option<LeapSecond> {
        let foreseen = match self.list(time) {
            Some(list) => list.next,
            None => LeapSecond::announced(self.announced, time).filter(LeapSecond::is_usual),
        };
        foreseen.filter(|leap| leap.end > time && self.made != Some(leap.end))
    }

    /// What clients are told: of the end of this month (RFC 5905 figure 9).
    pub fn indicator(&self, time: WallTime) -> LeapIndicator {
        match self.foreseen(time) {
            Some(leap) if self.mode() != LeapMode::Ignore && leap.end - time <= DAY.times(31) => {
                leap.indicator()
            }
            _ => LeapIndicator::NoWarning,
        }
    }

    /// TAI − UTC.
    pub fn tai(&self, time: WallTime) -> Option<i32> {
        self.list(time).map(|list| match list.next {
            Some(leap) if self.made == Some(leap.end) || leap.end <= time => {
                list.tai - leap.by().as_secs_rounded() as i32
            }
            _ => list.tai,
        })
    }

    /// The clock is right: what it is to be told, if that is news.
    pub fn update(&mut self, now: Now) -> Option<LeapPlan> {
        let is_on = |leap: &LeapSecond| (Span::ZERO..SECOND).contains(&(now.wall - leap.moment()));
        if self.mode() == LeapMode::Step && self.next.as_ref().is_some_and(is_on) {
            self.due = now.mono + LATE;
            return None;
        }
        let today = |leap: &LeapSecond| leap.end - now.wall <= DAY;
        self.next = self.foreseen(now.wall).filter(today);
        self.due = match &self.next {
            Some(leap) => now.mono + (leap.moment() - now.wall + LATE),
            None => Instant::NEVER,
        };
        let leap = match (self.mode(), self.next) {
            (LeapMode::Ignore, _) => return None,
            (LeapMode::Step, Some(leap)) => leap.indicator(),
            _ => LeapIndicator::NoWarning,
        };
        let plan = LeapPlan { leap, tai: self.tai(now.wall) };
        (self.told.replace(plan) != Some(plan)).then_some(plan)
    }

    /// The clock was set and forgot what it was told, or nobody knows whether it did.
    pub const fn forget(&mut self) {
        self.told = None;
    }

    /// The clock cannot make a leap second: it is slewed instead.
    pub fn give_up(&mut self) {
        if self.mode() == LeapMode::Step {
            self.mode = LeapMode::Slew;
        }
    }

    pub const fn deadline(&self) -> Instant {
        self.due
    }

    /// By how much the clock leapt of its own between `from` and the time that it would show now
    /// otherwise, if it moved by about `moved`.
    pub fn leapt(&self, from: WallTime, to: WallTime, moved: Span) -> Option<Span> {
        let leap = self.next.as_ref().filter(|_| self.mode() == LeapMode::Step)?;
        let (by, moment) = (leap.by(), leap.moment());
        let passed = from - moment < SECOND && to >= moment;
        (passed && (moved - by).abs() < SECOND.half()).then_some(by)
    }

    /// The one that was coming was made, by the clock or by the books; says which it was.
    pub fn make(&mut self) -> Option<LeapSecond> {
        self.due = Instant::NEVER;
        let leap = self.next.take()?;
        self.made = Some(leap.end);
        Some(leap)
    }

    /// Whether the books are to make it now.
    pub fn is_for_the_books(&self, time: WallTime) -> bool {
        self.mode() == LeapMode::Slew && self.next.is_some_and(|leap| time >= leap.moment())
    }

    /// Whether its time has come; looks again later if the clock was slower than expected.
    pub fn take_due(&mut self, now: Instant) -> bool {
        let is_due = self.due <= now;
        if is_due {
            self.due = Instant::NEVER;
        }
        is_due
    }
}

impl LeapSecond {
    /// When the clock does something that it never does otherwise: it begins its last second once
    /// more, or leaves it out.
    pub(crate) fn moment(&self) -> WallTime {
        if self.deleted { self.end + -SECOND } else { self.end }
    }

    /// What a clock that makes it is moved by.
    pub(crate) const fn by(&self) -> Span {
        Span::from_secs(if self.deleted { 1 } else { -1 })
    }

    /// As it is announced.
    const fn indicator(&self) -> LeapIndicator {
        if self.deleted { LeapIndicator::DeleteSecond } else { LeapIndicator::AddSecond }
    }

    /// Whether it ends June or December.
    fn is_usual(&self) -> bool {
        self.end.is_half_year()
    }
}
