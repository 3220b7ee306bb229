//! Whether a peer answers and is believed: the reach register and OpenNTPD's trust level.

/// Each usable answer raises the level by one up to here (OpenNTPD's TRUSTLEVEL_MAX).
const HIGHEST: u8 = 10;
/// From this level on the peer is valid (TRUSTLEVEL_BADPEER).
const VALID: u8 = 6;
/// A new peer's level (TRUSTLEVEL_PATHETIC): four answers make it valid.
const FIRST: u8 = 2;
/// Queries that must go unanswered in a row before the level is halved. DEVIATION: OpenNTPD halves
/// it at each, so that on a path that loses a third of the packets peers come and go all day.
pub const LOSSES: u32 = 4;

/// A peer's standing by its answers alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trust {
    level: u8,
    reach: u8,
}

/// What an answer or its absence changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The peer is trusted from now on.
    Valid,
    /// The peer is trusted no more.
    Invalid,
}

impl Trust {
    pub const NEW: Self = Self { level: FIRST, reach: 0 };

    /// The trust level, 0 to 10.
    pub const fn level(&self) -> u8 {
        self.level
    }

    /// The reach register (RFC 5905 §9.2): the last eight queries, the newest in the lowest bit.
    pub const fn reach(&self) -> u8 {
        self.reach
    }

    pub const fn is_valid(&self) -> bool {
        self.level >= VALID
    }

    /// A query left.
    pub fn asked(&mut self) {
        self.reach <<= 1;
    }

    /// A usable answer came.
    pub fn answered(&mut self) -> Option<Change> {
        self.reach |= 1;
        let was_valid = self.is_valid();
        self.level = (self.level + 1).min(HIGHEST);
        (self.is_valid() && !was_valid).then_some(Change::Valid)
    }

    /// The peer says what was expected of it by what it said before: silence in between does not
    /// matter any more.
    pub fn confirmed(&mut self) -> Option<Change> {
        let was_valid = self.is_valid();
        self.level = self.level.max(VALID);
        (!was_valid).then_some(Change::Valid)
    }

    /// The last `unanswered` queries in a row had no answer.
    pub fn lost(&mut self, unanswered: u32) -> Option<Change> {
        if unanswered < LOSSES {
            return None;
        }
        self.distrust()
    }

    /// The peer cannot be believed at present.
    pub fn distrust(&mut self) -> Option<Change> {
        let was_valid = self.is_valid();
        self.level /= 2;
        (was_valid && !self.is_valid()).then_some(Change::Invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_answers_make_it_valid_and_four_losses_invalid() {
        let mut trust = Trust::NEW;
        let changes: std::vec::Vec<_> = (0..20).map(|_| trust.answered()).collect();
        assert_eq!(changes.iter().position(Option::is_some), Some(3));
        assert_eq!(changes.iter().flatten().count(), 1);
        assert_eq!(trust.level(), 10);
        let changes: std::vec::Vec<_> = (1..=20).map(|lost| trust.lost(lost)).collect();
        assert_eq!(changes.iter().position(|change| *change == Some(Change::Invalid)), Some(3));
        assert_eq!(changes.iter().flatten().count(), 1);
        assert_eq!(trust.level(), 0);
    }

    #[test]
    fn what_it_said_before_brings_it_back_at_once() {
        let mut trust = Trust::NEW;
        assert_eq!(trust.confirmed(), Some(Change::Valid));
        assert_eq!(trust.confirmed(), None);
        for lost in 1..=8 {
            trust.lost(lost);
        }
        assert!(!trust.is_valid());
        assert_eq!((trust.confirmed(), trust.level()), (Some(Change::Valid), 6));
    }

    #[test]
    fn reach_holds_the_last_eight() {
        let mut trust = Trust::NEW;
        for answered in [true, false, true, true] {
            trust.asked();
            if answered {
                trust.answered();
            }
        }
        assert_eq!(trust.reach(), 0b1011);
        for _ in 0..8 {
            trust.asked();
        }
        assert_eq!(trust.reach(), 0);
    }
}
