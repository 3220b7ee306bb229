//! Where messages go: standard error, syslog or the journal; and the last of them stay in memory,
//! for `chimectl log`.

mod options;
mod receiver;
mod stderr;

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use truechimer_core::event::{self, Event, Level, Limiter, Line, Profile};
use truechimer_core::units::Instant;

use self::receiver::{Format, Receiver};
use self::stderr::Stderr;
use crate::clock::{monotonic, realtime};
use crate::process::link::Link;

pub use self::options::{Destination, LogProfile, Options, Threshold};
pub use self::stderr::{name, style};

/// Lines that are kept in memory.
pub const LINES: usize = 512;
/// Where the system's log daemon takes messages.
const SYSLOG: &str = "/dev/log";
/// Where the journal does.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// The log of one thread.
#[derive(Debug)]
pub struct Log {
    profile: Profile,
    threshold: Level,
    /// Not there only in tests.
    stderr: Option<Stderr>,
    /// Who delivers what this process cannot.
    relay: Option<Arc<Link>>,
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    /// In place of standard error.
    receiver: Option<Receiver>,
    memory: Box<event::Log<LINES>>,
    limiter: Limiter,
}

impl Log {
    /// Connects to where messages are to go. What cannot be delivered there goes to standard error.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        let receiver = match options.destination {
            Destination::Stderr => None,
            Destination::Syslog => Some(Receiver::connect(SYSLOG, Format::Syslog)),
            Destination::Journald => Some(Receiver::connect(JOURNAL, Format::Journal)),
            Destination::Auto => stderr::is_journal()
                .then(|| Receiver::connect(JOURNAL, Format::Journal))
                .filter(Receiver::is_connected),
        };
        let (memory, limiter) = (Box::default(), Limiter::default());
        Self {
            profile: options.profile.into(),
            threshold: options.level.into(),
            stderr: Some(Stderr::new()),
            relay: None,
            state: RefCell::new(State { receiver, memory, limiter }),
        }
    }

    /// A receiver that was started anew cannot be found again from an empty root directory: from now on
    /// the parent passes on what it does not take.
    #[must_use]
    pub fn with_relay(self, parent: Arc<Link>) -> Self {
        Self { relay: Some(parent), ..self }
    }

    /// Logs for another process that cannot.
    pub fn relay(&self, severity: u8, text: &str) {
        let all = [Level::Critical, Level::Error, Level::Warning, Level::Info];
        let level = all.into_iter().find(|level| level.as_syslog() == severity);
        self.write(level.unwrap_or(Level::Debug), text, None);
    }

    /// Logs an event, unless there were too many of its kind.
    pub fn event(&self, event: &Event<'_>) {
        let level = event.level(self.profile);
        if level < self.threshold {
            return;
        }
        self.tell_suppressed();
        if self.state.borrow_mut().limiter.admit(event, monotonic()) {
            self.write(level, &event.to_string(), Some(event));
        }
    }

    /// Logs something that has no place in the table of events.
    pub fn message(&self, level: Level, text: &impl fmt::Display) {
        if level >= self.threshold {
            self.write(level, &text.to_string(), None);
        }
    }

    /// When [`tell_suppressed`](Self::tell_suppressed) has something to tell.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.state.borrow().limiter.deadline()
    }

    /// Logs how many messages were too many, if that is due.
    pub fn tell_suppressed(&self) {
        if self.deadline().is_some() {
            self.tell_suppressed_until(monotonic());
        }
    }

    /// Logs how many messages were too many and have not been told: it is the end.
    pub fn close(&self) {
        self.tell_suppressed_until(Instant::from_nanos(u64::MAX));
    }

    fn tell_suppressed_until(&self, time: Instant) {
        loop {
            let told = self.state.borrow_mut().limiter.tell(time);
            let Some(event) = told else { break };
            let level = event.level(self.profile);
            if level >= self.threshold {
                self.write(level, &event.to_string(), Some(&event));
            }
        }
    }

    /// The lines in memory from `number` on, and the number of the next one.
    #[must_use]
    pub fn since(&self, number: u64) -> (Vec<Line>, u64) {
        let State { memory, .. } = &*self.state.borrow();
        (memory.since(number).collect(), memory.next_number())
    }

    /// The number that the next line will have.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.state.borrow().memory.next_number()
    }

    fn write(&self, level: Level, text: &str, event: Option<&Event<'_>>) {
        let time = realtime();
        let State { receiver, memory, .. } = &mut *self.state.borrow_mut();
        memory.push(Line::new(time, level, text));
        let passes_on =
            || self.relay.as_ref().is_some_and(|parent| parent.log(level.as_syslog(), text));
        let delivered = receiver
            .as_mut()
            .is_some_and(|receiver| receiver.send(level, text, event) || passes_on());
        if !delivered || level == Level::Critical {
            self.stderr.inspect(|stderr| stderr.write(time, level, text));
        }
    }

    /// One that nobody sees.
    #[cfg(test)]
    pub(crate) fn in_memory() -> Self {
        let options = Options { level: Threshold::Debug, ..Options::default() };
        Self { stderr: None, ..Self::new(&options) }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;
    use crate::process::message::{ToNtp, ToParent};
    use crate::process::{Channel, pair};

    #[test]
    fn memory_has_what_is_shown() {
        let log = Log { threshold: Level::Critical, ..Log::in_memory() };
        log.event(&Event::EngineReady);
        log.message(Level::Error, &"not shown");
        assert_eq!(log.since(0), (Vec::new(), 0));
        log.event(&Event::FatalExiting);
        let (lines, next) = log.since(0);
        assert_eq!((lines.len(), next, log.next_number()), (1, 1, 1));
        assert_eq!((lines[0].text.as_str(), lines[0].level), ("fatal: exiting", Level::Critical));
        assert!(log.since(next).0.is_empty());
    }

    #[test]
    fn what_a_receiver_does_not_take_the_parent_passes_on() {
        let (one, other) = pair().unwrap();
        let link = Link::new(Channel::new(one).unwrap());
        let parent = Channel::<ToNtp, ToParent>::new(other).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let socket = UnixDatagram::bind(&path).unwrap();
        let log = Log::in_memory().with_relay(Arc::new(link));
        log.message(Level::Error, &"to standard error");
        log.state.borrow_mut().receiver = Some(Receiver::connect(&path, Format::Syslog));
        log.message(Level::Info, &"taken");
        assert_eq!(parent.try_receive(), Ok(None));
        drop(socket);
        log.message(Level::Warning, &"not taken");
        assert_eq!(parent.try_receive(), Ok(Some(ToParent::Log(4, "not taken".into()))));

        let theirs = Log::in_memory();
        theirs.relay(4, "not taken");
        let line = &theirs.since(0).0[0];
        assert_eq!((line.text.as_str(), line.level), ("not taken", Level::Warning));
    }

    #[test]
    fn nothing_of_a_flood_is_forgotten_at_the_end() {
        let log = Log::in_memory();
        (0..100).for_each(|_| log.event(&Event::ControlAccept));
        log.close();
        let (lines, _) = log.since(0);
        assert_eq!(lines.len(), 9);
        assert_eq!(lines[8].text, "92 messages suppressed: ControlAccept");
    }
}
