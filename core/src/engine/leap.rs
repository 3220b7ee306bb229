//! Leap seconds: from what the sources announce to what the clock is told.

use super::Engine;
use crate::clock::{ClockCommand, LeapList};
use crate::event::Event;
use crate::select::Standing;
use crate::units::{Now, Span};
use crate::wire::LeapIndicator;

impl<const PEERS: usize, const KINDS: usize, const EXTRAS: bool> Engine<PEERS, KINDS, EXTRAS> {
    /// What a list of leap seconds says, in place of what the sources announce until it expires; `None`
    /// without one. To be called again after a leap second, with the next.
    pub const fn set_leap_list(&mut self, list: Option<LeapList>) {
        self.discipline.leaps.set_list(list);
    }

    /// What more than half of the sources that are followed announce.
    pub(super) fn count_announcements(&mut self) {
        let followed = self
            .peers
            .iter()
            .filter(|one| matches!(one.standing, Standing::Selected | Standing::Combined));
        let (mut all, mut adding, mut deleting) = (0, 0, 0);
        for remote in followed.filter_map(|one| one.peer.remote.as_ref()) {
            all += 1;
            match remote.header.leap {
                LeapIndicator::AddSecond => adding += 1,
                LeapIndicator::DeleteSecond => deleting += 1,
                LeapIndicator::NoWarning | LeapIndicator::Alarm => {}
            }
        }
        self.discipline.leaps.set_announced(match (2 * adding > all, 2 * deleting > all) {
            (true, _) => LeapIndicator::AddSecond,
            (_, true) => LeapIndicator::DeleteSecond,
            _ => LeapIndicator::NoWarning,
        });
    }

    /// Tells the clock what is new, while it is right.
    pub(super) fn update_leap(&mut self, now: Now) {
        if self.sync.is_synced() && self.discipline.is_controlling() {
            let plan = self.discipline.leaps.update(now);
            if let Some(plan) = plan {
                self.command(ClockCommand::Leap(plan));
            }
        }
    }

    /// The moment of a leap second has come. What the clock did by itself has been noticed already.
    pub(super) fn leap_due(&mut self, now: Now) {
        let is_for_the_books = self.discipline.leaps.is_for_the_books(now.wall);
        if let Some(by) = is_for_the_books.then(|| self.made_leap()).flatten()
            && let Some(command) = self.discipline.make_leap(now, by)
        {
            self.event(Event::AdjustingClock { offset: by });
            self.command(command);
        }
        self.update_leap(now);
    }

    /// A leap second was made; says by how much time went on. What was asked before is of no use.
    pub(super) fn made_leap(&mut self) -> Option<Span> {
        let leap = self.discipline.leaps.make()?;
        for associate in &mut self.peers {
            associate.peer.handle_step();
        }
        self.event(Event::LeapSecond { deleted: leap.deleted });
        Some(leap.by())
    }
}
