//! Waiting for what comes next: on poll(2), and not past the next deadline.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use truechimer_core::event::Event;
use truechimer_core::hal::{AdjustableClock, Channel};
use truechimer_core::units::Span;

use super::{Daemon, DaemonError};
use crate::control::Control;
use crate::sys::fault::{Call, fault};

/// A signal that comes between looking for it and poll(2) is noticed after this at the latest.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(10);

impl Daemon {
    /// Waits; true if somebody wants something of the control socket.
    pub(super) fn wait(&mut self, longest: Duration) -> Result<bool, DaemonError> {
        let timeout = self.timeout(longest);
        let channels: Vec<(Channel, BorrowedFd<'_>)> = self.node.socket.descriptors().collect();
        let sockets =
            channels.iter().map(|(_, descriptor)| PollFd::new(*descriptor, PollFlags::POLLIN));
        let control = self.control.iter().flat_map(Control::descriptors);
        // All are asked in any case.
        let wakers =
            [self.lookups.descriptor(), self.constraint.descriptor(), self.superior.descriptor()];
        let wakers = wakers.into_iter().flatten();
        let wakers = wakers.map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN));
        let mut descriptors: Vec<PollFd<'_>> = sockets.chain(wakers).collect();
        let others = descriptors.len();
        descriptors.extend(control);
        self.polls += 1;
        // As late as can be: a signal that came before does not interrupt what follows.
        let timeout = if self.superior.is_due() { PollTimeout::ZERO } else { timeout };
        match fault(Call::Poll).and_then(|()| poll(&mut descriptors, timeout)) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(false),
            Err(error) => {
                self.log.event(&Event::PollError);
                return Err(DaemonError::Poll(error));
            }
        }
        let has_events = |polled: &PollFd<'_>| polled.any().unwrap_or(true);
        let asked = descriptors[others..].iter().any(has_events);
        let ready: Vec<Channel> = channels
            .iter()
            .zip(&descriptors)
            .filter(|(_, polled)| has_events(polled))
            .map(|((channel, _), _)| *channel)
            .collect();
        for channel in ready {
            self.node.socket.set_ready(channel);
        }
        Ok(asked)
    }

    /// Until the next deadline, rounded up to whole milliseconds so as not to wake too early.
    fn timeout(&self, longest: Duration) -> PollTimeout {
        let now = self.node.clock.now().mono;
        let longest = Span::from_nanos(i64::try_from(longest.as_nanos()).unwrap_or(i64::MAX));
        let deadlines = [self.node.engine.next_deadline(), self.log.deadline()];
        let next = deadlines.into_iter().flatten().min();
        let left = next.map_or(longest, |deadline| deadline - now);
        let left = self.serving.left().map_or(left, |until| until.min(left));
        let nanos = left.min(longest).max(Span::ZERO).as_nanos().unsigned_abs();
        PollTimeout::try_from(nanos.div_ceil(1_000_000)).unwrap_or(PollTimeout::MAX)
    }
}
