//! Who compares the real-time clock with the system clock while that is right, and sets it.

use embedded_time::Clock;
use truechimer_core::hal::Rtc;
use truechimer_core::holdover::{Compared, Quality, RtcModel, TimeStatus};
use truechimer_core::units::{Instant, Now, Span};

use crate::clock::SystemClock;

/// Between two comparisons: the rate is learnt from those that are days apart.
const INTERVAL: Span = Span::from_secs(1_024);
/// How long before the edge of a second the search for it begins.
const AHEAD: Span = Span::from_millis(100);
/// One that shows no edge for so long is left alone until later.
const PATIENCE: Span = Span::from_millis(1_500);
/// How far off it may be after it was set, until it is compared: a setting may keep its edges.
const SET_ERROR: Span = Span::from_secs(1);

/// Keeps the real-time clock.
#[derive(Debug)]
pub(crate) struct Keeper<R> {
    pub(super) rtc: R,
    model: RtcModel,
    due: Option<Instant>,
    task: Task,
    /// It was set and has not been compared since.
    is_fresh: bool,
}

/// What is due.
#[derive(Debug, Clone, Copy)]
enum Task {
    Compare,
    /// In the midst of it, since then.
    Search(Instant),
    Set,
}

/// What is worth storing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct News(pub(crate) bool);

impl<R: Rtc> Keeper<R> {
    /// Of a real-time clock of which this is known.
    pub(crate) fn new(rtc: R, known: Option<Compared>) -> Self {
        let model = RtcModel::new(rtc.spec(), known);
        Self { rtc, model, due: None, task: Task::Compare, is_fresh: false }
    }

    /// What is known of it.
    pub(crate) const fn known(&self) -> Option<Compared> {
        self.model.known()
    }

    /// When [`keep`](Self::keep) has something to do.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Does what is due, for the first time as soon as the clock is synchronised.
    ///
    /// # Errors
    /// The device's; it is tried again later.
    pub(crate) fn keep<C: Clock<T: Into<u64>>>(
        &mut self,
        quality: &Quality,
        clock: &SystemClock<C>,
    ) -> Result<News, R::Error> {
        let bound = quality.bound.filter(|_| quality.status == TimeStatus::Synced);
        let Some(bound) = bound else {
            self.due = None;
            return Ok(News(false));
        };
        let now = clock.now();
        if now.mono < *self.due.get_or_insert(now.mono) {
            return Ok(News(false));
        }
        let done = match self.task {
            Task::Compare => {
                self.task = Task::Search(now.mono);
                self.compare(now.mono, bound, clock)
            }
            Task::Search(since) => self.compare(since, bound, clock),
            Task::Set => self.set(bound, now),
        };
        if done.is_err() {
            self.pause(now.mono, INTERVAL);
        }
        done
    }

    fn compare<C: Clock<T: Into<u64>>>(
        &mut self,
        since: Instant,
        bound: Span,
        clock: &SystemClock<C>,
    ) -> Result<News, R::Error> {
        let read = self.rtc.read();
        let now = clock.now();
        let reading = match read {
            Ok(reading) => reading,
            Err(nb::Error::WouldBlock) if now.mono - since > PATIENCE => {
                self.pause(now.mono, INTERVAL);
                return Ok(News(false));
            }
            Err(nb::Error::WouldBlock) => {
                self.due =
                    Some(now.mono + Span::from_nanos(self.rtc.spec().resolution.as_nanos() / 4));
                return Ok(News(false));
            }
            Err(nb::Error::Other(error)) => return Err(error),
        };
        let was_known = self.model.known().is_some();
        self.model.compare(now.wall, bound, reading);
        let is_fresh = core::mem::take(&mut self.is_fresh);
        if is_fresh {
            // Its rate is learnt from here on, and not from the setting, which nobody saw.
            self.model = RtcModel::new(self.rtc.spec(), self.model.known());
        }
        self.pause(now.mono, INTERVAL - AHEAD);
        // One that does not take what it is set to is not set, and stored, again and again.
        if !is_fresh && self.model.is_to_be_set(now.wall) {
            self.task = Task::Set;
            self.due = Some(now.mono);
        }
        Ok(News(!was_known || is_fresh))
    }

    fn set(&mut self, bound: Span, now: Now) -> Result<News, R::Error> {
        match self.rtc.set(now.wall) {
            Ok(()) => {
                self.model.set(now.wall, bound + SET_ERROR, now.wall);
                // Compared at once.
                self.is_fresh = true;
                self.task = Task::Compare;
                self.due = Some(now.mono);
                Ok(News(true))
            }
            Err(nb::Error::WouldBlock) => {
                // It wants the beginning of a second.
                let rest = Span::from_secs(1) - Span::from_nanos(now.wall.subsec_nanos().into());
                self.due = Some(now.mono + rest);
                Ok(News(false))
            }
            Err(nb::Error::Other(error)) => Err(error),
        }
    }

    fn pause(&mut self, now: Instant, pause: Span) {
        self.task = Task::Compare;
        self.due = Some(now + pause);
    }
}
