//! Somebody else moved the clock.
//!
//! It is booked at once, so that what the sources said stays worth something, but nobody may rely
//! on the clock until they have been asked again: they alone know whether the clock was moved, or
//! time passed that the counter did not see.

use super::{Engine, STAGGER};
use crate::clock::ClockReply;
use crate::event::Event;
use crate::holdover::Quality;
use crate::peer::{Exchange, PeerId};
use crate::units::Now;

impl<const PEERS: usize, const KINDS: usize, const EXTRAS: bool> Engine<PEERS, KINDS, EXTRAS> {
    /// Looks whether the clock was moved. `reply` is the clock's, if that is what came in.
    pub(super) fn watch_clock(&mut self, now: Now, reply: Option<&ClockReply>) {
        let (jump, leapt) = self.discipline.watch(now, reply);
        if leapt {
            self.made_leap();
        }
        let Some(offset) = jump else { return };
        self.event(Event::ClockJumped { offset });
        self.boot = Quality::UNKNOWN;
        self.discipline.leaps.forget();
        let may_hurry = self.discipline.may_hurry(now.mono);
        for (place, associate) in self.peers.iter_mut().enumerate() {
            associate.peer.handle_step();
            associate.unconfirmed = true;
            if may_hurry {
                associate.peer.hurry(now.mono + STAGGER.times(place as i64));
            }
        }
        self.lose_sync(now);
    }

    /// A peer's first answer since the clock was moved tells what that was.
    pub(super) fn explain_jump(&mut self, id: PeerId, exchange: &Exchange) {
        let Some(associate) = self.associate(id) else { return };
        let peer = &associate.peer;
        let Some(estimate) = peer.estimator.estimate().filter(|_| peer.estimator.can_judge())
        else {
            return;
        };
        if !self.discipline.is_doubtful() || !associate.unconfirmed || !peer.trust.is_valid() {
            return;
        }
        let free = self.discipline.free_run(exchange.received);
        let expected = estimate.offset_at(free) + (free - exchange.received);
        if let Some(gap) =
            self.discipline.explain_jump(exchange.received, exchange.offset() - expected)
        {
            for associate in &mut self.peers {
                associate.peer.handle_gap(gap);
            }
        }
    }
}
