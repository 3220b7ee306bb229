//! From what the peers say to what the clock is told, and what it answered.

use heapless::Vec;

use super::constraint::Constraint;
use super::roster::slot;
use super::{Associate, Engine};
use crate::clock::{ClockCommand, ClockReply};
use crate::config::MAX_DISTANCE;
use crate::event::Event;
use crate::peer::{Peer, PeerId};
use crate::select::{Candidate, Standing};
use crate::units::{FreqOffset, Now, WallTime};

/// Answers of one peer after which the clock is corrected at leisure (`ALGORITHM` §7).
const SETTLED_AFTER: u64 = 8;

impl<const PEERS: usize, const KINDS: usize, const EXTRAS: bool> Engine<PEERS, KINDS, EXTRAS> {
    /// Asks all valid peers, of which one has a new sample, what the time is, and sets the clock by
    /// what they agree on.
    // Its stack is not needed while its caller does other things.
    #[inline(never)]
    pub(super) fn steer(&mut self, now: Now, sampled: PeerId, local: WallTime) {
        let time = self.discipline.free_run(local);
        let mut candidates: Vec<Candidate, PEERS> = Vec::new();
        for associate in &mut self.peers {
            associate.standing = Standing::Waiting;
            if associate.unconfirmed {
                continue;
            }
            let slot = slot::<PEERS>(associate.id);
            if let Ok(candidate) = candidate(&associate.peer, slot, time) {
                // There is a place for every peer.
                let _ = candidates.push(candidate);
            }
        }
        if EXTRAS {
            self.sort_out_orphans(&mut candidates);
        }
        // The first correction may be a step, and who answers first is not therefore right.
        let waiting = |one: &Associate<KINDS>| {
            one.peer.is_undecided() || one.unconfirmed && one.peer.is_expected_to_answer()
        };
        if self.discipline.is_unsettled() && self.peers.iter().any(waiting) {
            return;
        }
        let consensus = self.selection.update(slot::<PEERS>(sampled), time, &candidates);
        for associate in &mut self.peers {
            let slot = slot::<PEERS>(associate.id);
            if candidates.iter().any(|candidate| candidate.index == slot) {
                associate.standing = self.selection.standing(slot);
                associate.peer.poll.set_share(self.selection.share(slot));
            }
        }
        if let Some(Associate { peer, standing, .. }) = self.associate_mut(sampled)
            && peer.trust.is_valid()
        {
            let standing = candidate(peer, 0, time).err().unwrap_or(*standing);
            peer.judge(!EXTRAS || is_of_use(standing), now.mono);
        }
        let Some(consensus) = consensus else { return };
        self.count_announcements();
        let followed = |one: &&Associate<KINDS>| slot::<PEERS>(one.id) == consensus.selected.index;
        let Some(Associate { peer, .. }) = self.peers.iter().find(followed) else { return };
        let before = self.discipline.frequency();
        let interval = peer.poll.interval();
        let settled = self.peers.iter().any(|one| one.peer.counters.used >= SETTLED_AFTER);
        self.sync.follow(now, &consensus, peer);
        let was_held = self.discipline.is_held();
        let command = self.discipline.steer(now, &consensus, time, interval, settled);
        match (was_held, self.discipline.is_held()) {
            (false, true) => {
                let offset = self.discipline.offset(now.wall).unwrap_or_default();
                self.event(Event::ClockHeld { offset });
            }
            (true, false) => self.event(Event::ClockReleased),
            _ => {}
        }
        match command {
            Some(ClockCommand::Adjust { frequency, .. }) => {
                let offset = self.discipline.offset(now.wall).unwrap_or_default();
                self.event(Event::AdjustingClock { offset });
                if frequency != before {
                    self.event(Event::AdjustingFrequency { from: before, to: frequency });
                }
            }
            Some(ClockCommand::Lock { .. }) if !EXTRAS => {}
            Some(ClockCommand::Lock { offset, .. }) => self.event(Event::AdjustingClock { offset }),
            Some(_) => {}
            None => self.update_sync(now),
        }
        if let Some(command) = command {
            self.command(command);
        }
    }

    pub(super) fn handle_clock(&mut self, now: Now, reply: &ClockReply) {
        let before = self.discipline.frequency();
        self.discipline.handle_reply(now.mono, reply);
        match *reply {
            ClockReply::Stepped { by, now: date } => {
                self.discipline.leaps.forget();
                for associate in &mut self.peers {
                    associate.peer.handle_step();
                }
                self.event(Event::ClockSet { date, offset: by });
                self.update_sync(now);
            }
            ClockReply::Adjusted { .. } => self.update_sync(now),
            ClockReply::Locked { .. } if !EXTRAS => {}
            ClockReply::Locked { frequency, .. } => {
                if frequency != before {
                    self.event(Event::AdjustingFrequency { from: before, to: frequency });
                }
                self.update_sync(now);
            }
            ClockReply::StatusSet => {}
            ClockReply::Failed { .. } if !EXTRAS => {}
            ClockReply::Failed { command: ClockCommand::Status(_), .. } => {}
            ClockReply::Failed { command: ClockCommand::Leap(_), .. } => {
                self.discipline.leaps.give_up();
            }
            ClockReply::Failed { command, .. } => {
                match command {
                    ClockCommand::Step(_) => self.event(Event::Settimeofday),
                    // One call is for both.
                    ClockCommand::Adjust { slew, .. } => {
                        if slew != FreqOffset::ZERO {
                            self.event(Event::AdjtimeFailed);
                        }
                        self.event(Event::AdjfreqFailed);
                    }
                    ClockCommand::Lock { .. } => self.event(Event::AdjfreqFailed),
                    ClockCommand::Status(_) | ClockCommand::Leap(_) => {}
                }
                self.update_sync(now);
            }
        }
    }

    /// Compares the clock with what its sources say of it.
    fn update_sync(&mut self, now: Now) {
        let Some(offset) = self.discipline.offset(now.wall) else { return };
        let was_trusted = self.sync.is_trusted();
        match self.sync.update(now, offset, self.discipline.is_leaping()) {
            Some(true) => {
                self.event(Event::ClockSynced);
                if !was_trusted {
                    self.confirm_addresses(now);
                    self.constraint = Constraint::Lifted;
                }
            }
            Some(false) => self.event(Event::ClockUnsynced),
            None => {}
        }
        self.set_status(now);
        self.update_leap(now);
        self.persist(now);
    }

    /// It is not known any more what the clock is worth.
    pub(super) fn lose_sync(&mut self, now: Now) {
        if self.sync.lose() {
            self.event(Event::ClockUnsynced);
        }
        self.set_status(now);
    }

    pub(super) fn set_status(&mut self, now: Now) {
        let status = self.sync.tell(now);
        if self.discipline.is_controlling() {
            self.command(ClockCommand::Status(status));
        }
    }
}

/// Whether a peer that answers is worth asking, where there are others.
const fn is_of_use(standing: Standing) -> bool {
    use Standing::{Falseticker, Loop, TooDistant, Unsynchronised};
    !matches!(standing, Falseticker | Loop | TooDistant | Unsynchronised)
}

/// The claim of a peer, or why it is not to be heard.
pub(super) fn candidate<const KINDS: usize>(
    peer: &Peer<KINDS>,
    index: usize,
    time: WallTime,
) -> Result<Candidate, Standing> {
    if let Some(standing) = peer.disqualification() {
        return Err(standing);
    }
    let estimate = peer.estimator.estimate();
    let (Some(estimate), Some(remote)) = (&estimate, &peer.remote) else {
        return Err(Standing::Invalid);
    };
    let Some(distance) = peer.distance(estimate, &remote.header, time) else {
        return Err(Standing::Invalid);
    };
    let offset_deviation = estimate.deviation_at(time);
    let candidate = Candidate {
        index,
        offset: estimate.offset_at(time),
        distance,
        reach: remote.reach(estimate.delay).as_secs_f64(),
        offset_deviation,
        frequency: estimate.frequency,
        frequency_deviation: estimate.frequency_deviation,
        wander: estimate.wander,
        interval: peer.poll.interval(),
        options: peer.options,
    };
    if candidate.distance > MAX_DISTANCE {
        Err(Standing::TooDistant)
    } else if peer.options.noselect {
        Err(Standing::NoSelect)
    } else {
        Ok(candidate)
    }
}
