//! The ntp engine's way to its parent: what it asks for, and what it is told.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use truechimer_core::clock::ClockError;
use truechimer_core::event::Event;
use truechimer_core::holdover;
use truechimer_core::units::WallTime;

use super::channel::{Channel, ChannelError};
use super::codec::Message;
use super::message::{Command, Configuration, Done, Opened, Start, ToNtp, ToParent};
use crate::constraint::Answer;
use crate::leap::List;
use crate::sandbox::Protection;
use crate::service::Notice;

/// The ntp engine's end of its pair. What fails there ends the process, when
/// [`order`](Self::order) is asked for next.
#[derive(Debug)]
pub struct Link {
    channel: Channel<ToParent, ToNtp>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What came while an answer was waited for.
    orders: VecDeque<Order>,
    lost: Option<Event<'static>>,
}

/// What the parent wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Order {
    /// Read the configuration again.
    Reload,
    /// End.
    End,
    /// Heed what HTTPS servers say.
    Constrain(Answer),
}

/// The parent has ended, or does not answer as it should.
const NO_PARENT: &str = "the parent process does not answer";

impl Link {
    pub(crate) fn new(channel: Channel<ToParent, ToNtp>) -> Self {
        Self { channel, state: Mutex::default() }
    }

    /// What it begins with, which is the first message, and what is open.
    pub(super) fn start(&self) -> Option<(Start, Vec<OwnedFd>)> {
        match self.channel.receive_with_descriptors() {
            Ok((ToNtp::Start(start), descriptors)) => Some((*start, descriptors)),
            _ => None,
        }
    }

    /// Says that all is open and confined, and waits for the others. They are confined as it says.
    pub(super) fn ready(
        &self,
        control: bool,
        protections: Vec<Protection>,
    ) -> Option<Vec<(String, Vec<Protection>)>> {
        self.ask(&ToParent::Ready { control, protections }, |message| match message {
            ToNtp::Run(protections) => Ok(protections),
            other => Err(other),
        })
    }

    /// For the service manager. One that is not told in time only misses the news.
    pub fn notify(&self, notice: Notice) {
        self.tell(&ToParent::Notice(notice));
    }

    /// Has it kept for the next start, now that the clock shows `now`.
    pub fn keep(&self, state: &holdover::State, now: WallTime) {
        let now = (now.unix_secs(), now.subsec_nanos());
        self.tell(&ToParent::Keep((*state).into(), now));
    }

    /// Has a line logged, with its severity as syslog has it. Says whether it is on its way.
    pub(crate) fn log(&self, severity: u8, text: &str) -> bool {
        self.tell(&ToParent::Log(severity, text.to_owned()))
    }

    /// Has HTTPS servers asked for the time; [`Order::Constrain`] comes of it.
    pub fn constrain(&self) {
        self.tell(&ToParent::Constrain);
    }

    /// The configuration, read again.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read_configuration(&self) -> Result<Configuration, String> {
        let answer = self.ask(&ToParent::Read, |message| match message {
            ToNtp::Configuration(configuration) => Ok(configuration),
            other => Err(other),
        });
        answer.unwrap_or_else(|| Err(NO_PARENT.to_owned()))
    }

    /// The list of leap seconds, if there is one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read_leap_seconds(&self) -> Result<Option<List>, String> {
        let answer = self.ask(&ToParent::LeapSeconds, |message| match message {
            ToNtp::LeapSeconds(list) => Ok(list),
            other => Err(other),
        });
        answer.unwrap_or_else(|| Err(NO_PARENT.to_owned()))
    }

    pub(crate) fn open_clock(&self, control: bool) -> Result<Opened, ClockError> {
        let answer = self.ask(&ToParent::Open { control }, |message| match message {
            ToNtp::Opened(opened) => Ok(opened),
            other => Err(other),
        });
        Ok(answer.ok_or(ClockError::NoReply)??)
    }

    pub(crate) fn adjust_clock(&self, command: Command) -> Result<Done, ClockError> {
        let answer = self.ask(&ToParent::Clock(command), |message| match message {
            ToNtp::Done(done) => Ok(done),
            other => Err(other),
        });
        answer.ok_or(ClockError::NoReply)
    }

    /// What the parent wants, if there is something.
    ///
    /// # Errors
    /// It is lost: what is to be logged.
    pub fn order(&self) -> Result<Option<Order>, Event<'static>> {
        loop {
            let mut state = self.state();
            if let Some(order) = state.orders.pop_front() {
                return Ok(Some(order));
            }
            if let Some(lost) = state.lost {
                return Err(lost);
            }
            match self.channel.try_receive() {
                Ok(None) => return Ok(None),
                Ok(Some(message)) => state.put_back(message),
                Err(error) => state.lose(error, Event::NtpEnginePipeClosed),
            }
        }
    }

    /// Whether [`order`](Self::order) has something to say without looking.
    pub fn is_due(&self) -> bool {
        let state = self.state();
        state.lost.is_some() || !state.orders.is_empty()
    }

    fn tell(&self, message: &ToParent) -> bool {
        let mut state = self.state();
        if state.lost.is_some() {
            return false;
        }
        let sent = self.channel.send(message);
        sent.inspect_err(|&error| state.lose(error, Event::PipeWriteToParent)).is_ok()
    }

    fn ask<T>(
        &self,
        question: &ToParent,
        is_answer: impl Fn(ToNtp) -> Result<T, ToNtp>,
    ) -> Option<T> {
        if !self.tell(question) {
            return None;
        }
        self.receive(is_answer)
    }

    fn receive<T>(&self, is_answer: impl Fn(ToNtp) -> Result<T, ToNtp>) -> Option<T> {
        let mut state = self.state();
        while state.lost.is_none() {
            match self.channel.receive().map(&is_answer) {
                Ok(Ok(answer)) => return Some(answer),
                Ok(Err(other)) => state.put_back(other),
                Err(error) => state.lose(error, Event::NtpEnginePipeClosed),
            }
        }
        None
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A message that is not an answer, or not the one that is waited for.
    fn put_back(&mut self, message: ToNtp) {
        match message {
            ToNtp::Reload => self.orders.push_back(Order::Reload),
            ToNtp::Stop => self.orders.push_back(Order::End),
            ToNtp::Constrained(answer) => self.orders.push_back(Order::Constrain(answer)),
            other => self.lost = Some(Event::InvalidMessage { message: other.name() }),
        }
    }

    fn lose(&mut self, error: ChannelError, closed: Event<'static>) {
        self.lost = Some(match error {
            ChannelError::Invalid(invalid) => Event::InvalidMessage { message: invalid.0 },
            _ => closed,
        });
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use nix::poll::{PollFd, PollFlags, poll};
    use truechimer_core::hal::AdjustableClock;
    use truechimer_core::units::{FreqOffset, Span};

    use super::*;
    use crate::clock::RemoteClock;
    use crate::process::channel::pair;
    use crate::process::message::{Did, Failure, Refused};

    type Parent = Channel<ToNtp, ToParent>;

    fn ends() -> (Arc<Link>, Parent) {
        let (one, other) = pair().unwrap();
        let link = Link::new(Channel::new(one).unwrap());
        (Arc::new(link), Parent::new(other).unwrap())
    }

    /// Returns when its other end is gone, which a child that another test has just forked may have.
    fn wait_for_end(link: &Link) {
        let mut ends = [PollFd::new(link.as_fd(), PollFlags::empty())];
        assert_eq!(poll(&mut ends, 10_000u16), Ok(1));
    }

    /// The clock does what it is told through both ends, and tells what went wrong.
    #[test]
    fn the_clock() {
        let (link, parent) = ends();
        let parent = thread::spawn(move || {
            let mut asked = Vec::new();
            let opened = Opened {
                rate: 12.5,
                synced: true,
                controlled: Err(Refused::Os(5)),
                failures: vec![Failure::Set],
            };
            let refused = Done::from(Refused::NotPermitted);
            let stepped = Done { outcome: Ok(Did::Stepped(7)), ..refused.clone() };
            let runs = Done {
                outcome: Ok(Did::Runs(99.5)),
                found: Some((1.0, 2.0)),
                failures: vec![Failure::Read],
            };
            for answer in [
                ToNtp::Opened(Ok(opened)),
                ToNtp::Done(stepped),
                ToNtp::Done(runs),
                ToNtp::Done(refused),
            ] {
                asked.push(parent.receive().unwrap());
                parent.send(&ToNtp::Reload).unwrap();
                parent.send(&answer).unwrap();
            }
            asked
        });
        let (mut clock, rate, controlled) = RemoteClock::open(Arc::clone(&link), true).unwrap();
        assert_eq!((rate.as_ppm(), controlled), (12.5, Err(ClockError::Os(5))));
        assert!(clock.was_synced());
        assert_eq!(clock.take_failures(), [Event::NtpAdjtime2Failed]);
        assert_eq!(clock.step(Span::from_nanos(-8)), Ok(Span::from_nanos(7)));
        let ppm = FreqOffset::from_ppm;
        assert_eq!(clock.adjust(ppm(-3), ppm(4)), Ok(FreqOffset::from_ppm_f64(99.5)));
        assert_eq!(clock.take_found(), Some((ppm(1), ppm(2))));
        assert_eq!(clock.take_failures(), [Event::NtpAdjtime1Failed]);
        let locked = clock.lock(None, Span::from_nanos(9), 6);
        assert_eq!(locked, Err(ClockError::NotPermitted));
        let asked = [
            ToParent::Open { control: true },
            ToParent::Clock(Command::Step(-8)),
            ToParent::Clock(Command::Adjust { frequency: -3.0, slew: 4.0 }),
            ToParent::Clock(Command::Lock { frequency: None, offset: 9, poll: 6 }),
        ];
        assert_eq!(parent.join().unwrap(), asked);
        // What came between is not lost, and is not waited for.
        assert!(link.is_due());
        for _ in 0..4 {
            assert_eq!(link.order(), Ok(Some(Order::Reload)));
        }
        wait_for_end(&link);
        assert_eq!(link.order(), Err(Event::NtpEnginePipeClosed), "the parent has gone");
    }

    #[test]
    fn a_parent_that_is_gone_is_told() {
        let (link, parent) = ends();
        drop(parent);
        wait_for_end(&link);
        link.notify(Notice::Alive);
        assert!(link.is_due());
        let lost = link.order().unwrap_err();
        assert_eq!(lost.to_string(), "pipe write error (to parent)");
        assert_eq!(link.read_configuration().unwrap_err(), "the parent process does not answer");

        let (link, parent) = ends();
        drop(parent);
        wait_for_end(&link);
        let lost = link.order().unwrap_err();
        assert_eq!(lost.to_string(), "ntp_dispatch_imsg in ntp engine: pipe closed");
    }

    #[test]
    fn an_answer_that_nobody_asked_for_ends_it() {
        let (link, parent) = ends();
        parent.send(&ToNtp::Stop).unwrap();
        parent.send(&ToNtp::Run(Vec::new())).unwrap();
        assert_eq!(link.order(), Ok(Some(Order::End)));
        assert_eq!(link.order(), Err(Event::InvalidMessage { message: "IMSG_RUN" }));
    }
}
