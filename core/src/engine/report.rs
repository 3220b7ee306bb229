//! When the operator is told of bad peers.
//!
//! Each bad peer is named when all have become reachable or half or more are unreachable, but at
//! most once in 24 hours (the log reference). The peers are reported one at a time, so that a call
//! of the engine stays bounded.

use super::Associate;
use crate::units::{Instant, Span};

/// Between two reports (OpenNTPD's REPORT_INTERVAL).
const INTERVAL: Span = Span::from_secs(24 * 3_600);

#[derive(Debug, Default)]
pub(super) struct Report {
    last: Option<Instant>,
    /// Places yet to be reported.
    pending: core::ops::Range<usize>,
}

impl Report {
    /// Reports are due at once.
    pub(super) fn deadline(&self) -> Instant {
        if self.pending.is_empty() { Instant::NEVER } else { Instant::from_nanos(0) }
    }

    /// The next place to report, if a report is on.
    pub(super) fn next(&mut self) -> Option<usize> {
        self.pending.next()
    }

    /// The peer at this place is gone; those after it moved up.
    pub(super) fn removed(&mut self, place: usize) {
        self.pending.start -= usize::from(place < self.pending.start);
        self.pending.end -= usize::from(place < self.pending.end);
    }

    /// Starts a report if it is time for one.
    pub(super) fn consider<const KINDS: usize>(
        &mut self,
        now: Instant,
        peers: &[Associate<KINDS>],
    ) {
        if self.last.is_some_and(|last| now - last < INTERVAL) {
            return;
        }
        let (mut reachable, mut unreachable, mut bad) = (0, 0, 0);
        for Associate { peer, .. } in peers {
            reachable += usize::from(peer.trust.reach() != 0);
            unreachable += usize::from(peer.is_unreachable());
            bad += usize::from(peer.is_bad());
        }
        let called_for = reachable == peers.len() || 2 * unreachable >= peers.len();
        if called_for && bad > 0 {
            self.last = Some(now);
            self.pending = 0..peers.len();
        }
    }
}
