//! What a worker does with what arrives.

use std::io::Read;
use std::net::UdpSocket;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use truechimer_core::server::{Answer, Histogram, Response};
use truechimer_core::units::{Instant, Now, Span, WallTime};

use super::departing::Departing;
use super::published::{Published, ServedClock, WORDS};
use super::seqlock::Reader;
use super::{Report, Responder, report};
use crate::clock::{both, wall};
use crate::sys::batch::{BATCH, Batch, enable_stamps};

/// A datagram that seems to be older than this has a stamp that is not believed.
const OLDEST: Span = Span::from_secs(10);
/// As has one from further in the future.
const FUTURE: Span = Span::from_millis(1);
/// How often the server is told of the time: leap seconds are smeared by it, and orphans wait.
const UPDATE: Span = Span::from_secs(1);
/// `CLOCK_REALTIME` and `CLOCK_MONOTONIC` are slewed alike, so that between them nothing but a step
/// is greater than this, which is for being interrupted between reading them.
const STEP: Span = Span::from_micros(100);
/// A worker of one socket that is as busy as this waits for the next datagram in receiving, which
/// takes a call less than poll(2) does. After as long any looks whether something is asked of it.
const LINGER: Span = Span::from_millis(20);
/// How much longer sending may seem to take with each batch: what interrupts it is no part of it,
/// so that the least counts, lately.
const LENGTHENING: i64 = 1_024;
/// Of fewer answers the call itself takes most of the time.
const MANY: usize = 8;

/// A socket, and the answers that left it if the kernel tells when.
type Place<'a> = (&'a UdpSocket, Option<Departing>);

pub(super) struct Worker {
    pub(super) responder: Responder,
    pub(super) published: Reader<WORDS>,
    pub(super) sockets: Vec<Arc<UdpSocket>>,
    /// An octet asks for a report, the end ends the worker.
    pub(super) asked: UnixStream,
    pub(super) reports: SyncSender<Report>,
}

impl Worker {
    /// Serves until the other end of `asked` is closed; what it did.
    pub(super) fn run(self) -> Report {
        let Self { responder, published, sockets, asked, reports } = self;
        let mut serving = Serving::new(responder, published);
        let departing = |socket: &Arc<UdpSocket>| {
            let interleaved = enable_stamps(socket.as_fd()).is_ok();
            interleaved.then(Departing::new)
        };
        let departing = sockets.iter().map(departing).collect::<Vec<_>>();
        let mut places: Vec<_> = sockets.iter().map(|socket| &**socket).zip(departing).collect();
        if let [socket] = &*sockets {
            let wait = TimeVal::nanoseconds(LINGER.as_nanos());
            serving.alone = setsockopt(socket, sockopt::ReceiveTimeout, &wait).is_ok();
        }
        let descriptors = sockets.iter().map(AsFd::as_fd).chain([asked.as_fd()]);
        let mut descriptors: Vec<_> =
            descriptors.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        // No allocation from here on but for a report.
        loop {
            match poll(&mut descriptors, PollTimeout::NONE) {
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(_) => return serving.report(),
            }
            let ready =
                |polled: Option<&PollFd<'_>>| polled.is_some_and(|fd| fd.any() != Some(false));
            serving.serve(&mut places, |place| ready(descriptors.get(place)));
            if ready(descriptors.last()) {
                if !matches!((&asked).read(&mut [0]), Ok(1)) {
                    return serving.report();
                }
                // If nobody waits for it any more there is still room for the next one.
                let _ = reports.try_send(serving.report());
            }
        }
    }
}

/// A worker's server and its clock.
struct Serving {
    responder: Responder,
    /// There is one socket, which can be waited for.
    alone: bool,
    source: Reader<WORDS>,
    published: Option<Published>,
    /// When the server was told last.
    updated: Option<Instant>,
    /// `CLOCK_MONOTONIC` and `CLOCK_REALTIME` as they were read last.
    host: Option<(Instant, WallTime)>,
    batch: Batch,
    /// The answers of a batch and when they were asked for; none for a control message's.
    answers: Vec<Option<(Response, WallTime)>>,
    /// How long it takes at least to send one of many answers, lately.
    sending: Span,
    latency: Histogram,
}

/// The clocks, read together.
struct Reading {
    now: Now,
    real: WallTime,
    clock: ServedClock,
    /// By how much `CLOCK_REALTIME` was stepped since the reading before.
    step: Option<Span>,
}

impl Serving {
    fn new(responder: Responder, source: Reader<WORDS>) -> Self {
        Self {
            responder,
            alone: false,
            source,
            published: None,
            updated: None,
            host: None,
            batch: Batch::default(),
            answers: Vec::with_capacity(BATCH),
            sending: Span::ZERO,
            latency: Histogram::default(),
        }
    }

    fn report(&self) -> Report {
        report(&self.responder, &self.latency)
    }

    /// Serves on those sockets that are ready, then on all as long as much comes in, or waits for
    /// the only one; not longer than [`LINGER`].
    fn serve(&mut self, places: &mut [Place<'_>], ready: impl Fn(usize) -> bool) {
        let (before, mut step) = (self.host, None);
        let mut most = 0;
        for (number, place) in places.iter_mut().enumerate() {
            if ready(number) {
                most = self.serve_batch(place, Batch::receive, &mut step).max(most);
            }
        }
        let Some((begin, _)) = self.host else { return };
        let busy = before.is_some_and(|(before, _)| begin - before < LINGER);
        while self.host.is_some_and(|(now, _)| now - begin < LINGER) {
            if let [place] = places
                && self.alone
                && busy
                && most > 0
            {
                most = self.serve_batch(place, Batch::wait, &mut step);
            } else if most >= MANY {
                let places = places.iter_mut();
                let each = places.map(|place| self.serve_batch(place, Batch::receive, &mut step));
                most = each.max().unwrap_or_default();
            } else {
                return;
            }
        }
    }

    /// Answers what `receive` takes from a socket at once; how much that was.
    fn serve_batch(
        &mut self,
        (socket, departing): &mut Place<'_>,
        receive: impl Fn(&mut Batch, BorrowedFd<'_>) -> Result<usize, Errno>,
        step: &mut Option<Span>,
    ) -> usize {
        let Ok(count) = receive(&mut self.batch, socket.as_fd()) else {
            // It may have been a departure that was told late.
            self.depart(socket, departing.as_mut());
            return 0;
        };
        let Some(reading) = self.read() else { return 0 };
        // What has been waiting may be stamped by the clock as it was.
        *step = reading.step.or(*step);
        self.answer(count, &reading, *step);
        self.send(socket, departing.as_mut(), &reading);
        count
    }

    /// Reads the clocks and tells the server what it has to know; none before there is a clock.
    fn read(&mut self) -> Option<Reading> {
        let news = self.source.read().map(Published::from_words);
        let was = self.published;
        let is = news.or(was)?;
        self.published = Some(is);
        let (host, real) = both();
        let now = is.clock.at(host, real);
        let last = self.host.replace((host, real));
        let step = last.map(|(mono, before)| (real - before) - (host - mono));
        let step = step.filter(|step| step.abs() > STEP);
        let stepped = match is.clock {
            ServedClock::Kernel => step.is_some(),
            ServedClock::Software(_) => was.is_some_and(|was| was.steps != is.steps),
        };
        if stepped {
            self.responder.stepped();
        }
        if news.is_some() || self.updated.is_none_or(|at| now.mono - at >= UPDATE) {
            self.responder.update(&is.system, now);
            self.updated = Some(now.mono);
        }
        Some(Reading { now, real, clock: is.clock, step })
    }

    fn answer(&mut self, count: usize, reading: &Reading, step: Option<Span>) {
        for place in 0..count {
            let Some(datagram) = self.batch.datagram(place) else { continue };
            let age = datagram.stamp.map(|stamp| reading.real - wall(stamp));
            if step.is_some_and(|step| !is_after(step, age)) {
                self.responder.drop_stale(datagram.bytes);
                continue;
            }
            let age = age.filter(|age| (-FUTURE..=OLDEST).contains(age)).unwrap_or_default();
            let received = reading.now.wall + -age;
            let (from, mono) = (datagram.from, reading.now.mono);
            match self.responder.handle(datagram.bytes, from, received, mono) {
                Ok(Answer::Time(response)) => {
                    self.batch.answer(place, &[]);
                    self.answers.push(Some((response, received)));
                }
                Ok(Answer::Control(query)) => {
                    let packet = self.responder.control(&query, reading.now);
                    self.responder.sent(&Answer::Control(query), None);
                    self.batch.answer(place, &packet);
                    self.answers.push(None);
                }
                Err(_) => {}
            }
        }
    }

    /// Sends the answers; in each is when it will leave, as it took to send others.
    fn send(
        &mut self,
        socket: &UdpSocket,
        mut departing: Option<&mut Departing>,
        reading: &Reading,
    ) {
        let Ok(count @ 1..) = i64::try_from(self.answers.len()) else { return };
        // Rather too early than after it arrived: others take as long as they took at least.
        let each = self.sending.as_nanos();
        let leaves = |place: i64| Span::from_nanos(place * each);
        let begin = reading.clock.wall();
        for (place, answer) in (0..).zip(&self.answers) {
            if let Some((response, _)) = answer {
                let bytes = response.emit(begin + leaves(place));
                self.batch.fill(place as usize, &bytes);
                if departing.is_some() && response.is_interleaved() {
                    self.batch.stamp_departure(place as usize);
                }
            }
        }
        let (sent, _) = self.batch.send(socket.as_fd());
        let end = reading.clock.wall();
        if self.answers.len() >= MANY {
            self.sending = least(self.sending, (end - begin).as_nanos() / count);
        }
        let mut told = false;
        for (place, answer) in (0..).zip(self.answers.drain(..)) {
            if let Some((response, received)) = answer
                && sent >> place & 1 == 1
            {
                let departed = begin + leaves(place);
                self.latency.record(departed - received);
                self.responder.sent(&Answer::Time(response), Some(departed));
                if let Some(departing) = &mut departing
                    && response.is_interleaved()
                {
                    departing.sent(response, begin);
                    told = true;
                }
            }
        }
        if told {
            self.depart(socket, departing);
        }
    }

    /// Notes when answers really left, as far as the kernel tells it already.
    fn depart(&mut self, socket: &UdpSocket, departing: Option<&mut Departing>) {
        let Some((departing, published)) = departing.zip(self.published) else { return };
        let (mono, real) = both();
        let now = published.clock.at(mono, real);
        let Self { batch, responder, .. } = self;
        batch.departures(socket.as_fd(), |number, stamp| {
            let at = now.wall + (wall(stamp) - real);
            if let Some(response) = departing.left(number, at) {
                responder.departed(&response, at);
            }
        });
    }
}

/// The least that an answer takes, when those of a batch took so many nanoseconds each: less an
/// eighth, for not all of them take the same.
fn least(known: Span, took: i64) -> Span {
    let longer = known.as_nanos() + known.as_nanos() / LENGTHENING + 1;
    Span::from_nanos((took.max(0) * 7 / 8).min(longer))
}

/// Whether something that seems to be so old was stamped after a step.
fn is_after(step: Span, age: Option<Span>) -> bool {
    age.is_some_and(|age| (Span::ZERO..step.abs().half()).contains(&age))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch that was interrupted, even the first, makes no answer seem to leave late.
    #[test]
    fn the_least_counts() {
        let nanos = Span::from_nanos;
        assert_eq!(least(Span::ZERO, 1_000_000), nanos(1));
        let known = (0..10_000).fold(Span::ZERO, |known, _| least(known, 1_600));
        assert_eq!(known, nanos(1_400));
        assert_eq!(least(known, 1_000_000), nanos(1_402));
        assert_eq!(least(known, 800), nanos(700));
        assert_eq!(least(known, -5), Span::ZERO);
    }

    #[test]
    fn after_a_step_only_what_is_new_is_believed() {
        let millis = Span::from_millis;
        for (step, age, after) in [
            (millis(500), Some(millis(1)), true),
            (millis(500), Some(millis(501)), false),
            (millis(-500), Some(millis(1)), true),
            (millis(-500), Some(millis(-499)), false),
            (millis(500), None, false),
        ] {
            assert_eq!(is_after(step, age), after, "{step} {age:?}");
        }
    }
}
