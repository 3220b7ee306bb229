//! What is known of the clock before and after its sources speak, and what of it is to be kept.

use super::Engine;
use crate::holdover::{KnownFrequency, Quality, State, TimeStatus};
use crate::io::Output;
use crate::units::{Now, WallTime};

impl<const PEERS: usize, const KINDS: usize, const EXTRAS: bool> Engine<PEERS, KINDS, EXTRAS> {
    /// How good the clock is before the first source has spoken: [`Boot::quality`](crate::holdover::Boot::quality).
    pub const fn set_boot(&mut self, quality: Quality) {
        self.boot = quality;
    }

    /// Where the clock's time comes from, and how its greatest error grows. What it returns can be
    /// asked later without the engine, until the clock is changed.
    #[must_use]
    pub fn quality(&self, now: Now) -> Quality {
        if self.discipline.is_doubtful_at(now) {
            return Quality::UNKNOWN;
        }
        let offset = self.discipline.offset(now.wall);
        let bound = offset.and_then(|offset| self.sync.error_bound(now.mono, offset));
        let Some((bound, drift)) = bound.zip(self.sync.drift()) else { return self.boot };
        let is_answered = self.peers.iter().any(|one| one.peer.trust.is_valid());
        let status = match (is_answered, self.sync.is_synced()) {
            (false, _) => TimeStatus::Holdover,
            (true, true) => TimeStatus::Synced,
            (true, false) => TimeStatus::Unsynced,
        };
        Quality { status, at: now.mono, bound: Some(bound), drift }
    }

    /// What is to be kept for the next start, at the end of this life; `None` while the clock is not
    /// known to be right.
    #[must_use]
    pub fn state(&self, now: Now) -> Option<State> {
        let (floor, known) = self.worth_keeping(now)?;
        Some(self.keep.last(floor, known))
    }

    /// Has kept what is worth it, if it is time to.
    pub(super) fn persist(&mut self, now: Now) {
        let Some((floor, known)) = self.worth_keeping(now) else { return };
        if let Some(state) = self.keep.update(now.mono, floor, known) {
            self.push(Output::Persist(state));
        }
    }

    /// The earliest that it can be, and the frequency, if the sources answer for both and nobody else
    /// has changed the clock since they did.
    fn worth_keeping(&self, now: Now) -> Option<(WallTime, KnownFrequency)> {
        let quality = self.quality(now);
        let is_right = quality.status == TimeStatus::Synced
            && self.discipline.is_controlling()
            && !self.discipline.is_held();
        let bound = quality.bound.filter(|_| is_right)?;
        let deviation = self.sync.skew()?.as_ratio();
        let frequency = self.discipline.frequency();
        Some((now.wall + -bound, KnownFrequency { frequency, deviation }))
    }
}
