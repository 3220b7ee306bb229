//! `chimectl bench`: loads an NTP server from many source ports, in a closed or an open loop, and
//! tells what came of it. It changes nothing and needs no privilege.
//!
//! All is on one thread and in batches, so that it costs less than what it measures: requests and
//! answers go through [`sys::batch`]. Latency is from just before a batch is sent to the
//! kernel's stamp of the answer's arrival, so that this program's own delay in receiving does not
//! count.

mod options;
mod report;
mod source;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use truechimer_core::units::Span;
use truechimer_core::wire::Header;

use self::source::Source;
use crate::clock::{realtime, wall};
use crate::entropy::Urandom;
use crate::net::Stamping;
use crate::sys;
use crate::sys::batch::{BATCH, Batch};

pub use self::options::{LIMITS, Load, LoadError, Options};
use self::report::Tally;
pub use self::report::{Percentiles, Report};

/// What is due in an open loop is sent together once in such a time.
const TICK: Duration = Duration::from_micros(100);
/// How often lost requests are looked for, and progress is told.
const LOOK: Duration = Duration::from_millis(50);
/// Addresses of loopback that nobody else is likely to use begin after this one.
const LOOPBACK: u32 = Ipv4Addr::new(127, 1, 0, 0).to_bits();

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// Its name could not be looked up.
    #[error("cannot resolve {0}: {1}")]
    Resolve(String, io::Error),
    /// The name has no address.
    #[error("{0} has no address")]
    NoAddress(String),
    /// It must not be loaded so.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A socket could not be had.
    #[error("cannot open {0} sockets to {1}: {2}")]
    Socket(u32, SocketAddr, io::Error),
    /// No unpredictable bits.
    #[error("cannot read /dev/urandom: {0}")]
    Entropy(io::Error),
    /// Waiting failed.
    #[error("poll failed: {0}")]
    Poll(Errno),
}

/// A load that goes on.
struct Bench {
    load: Load,
    timeout: Duration,
    sources: Vec<Source>,
    /// The source that is next to send, in an open loop.
    next: usize,
    random: u64,
    tally: Tally,
    batch: Batch,
}

/// Loads the first address of a server until the time is over or a signal asks to end. `progress`
/// is told now and then for how long it has gone on and how many answers there were.
///
/// # Errors
/// Nothing could be measured. Answers that fail to come are part of the report.
pub fn run(
    options: &Options,
    mut progress: impl FnMut(Duration, u64),
) -> Result<Report, BenchError> {
    let name = options.server.to_string();
    let addresses = options.server.resolve();
    let addresses = addresses.map_err(|error| BenchError::Resolve(name.clone(), error))?;
    let &server = addresses.first().ok_or(BenchError::NoAddress(name))?;
    let load = options.load(server)?;
    let mut bench = Bench::open(options, server, load)?;
    let (start, cpu) = (Instant::now(), cpu());
    bench.load_for(options.seconds, start, &mut progress)?;
    let lasted = start.elapsed();
    bench.drain(&mut progress, start)?;
    let cpu = self::cpu().saturating_sub(cpu);
    Ok(bench.tally.report(server, load, bench.sources.len() as u32, lasted, cpu))
}

impl Bench {
    fn open(options: &Options, server: SocketAddr, load: Load) -> Result<Self, BenchError> {
        let sockets = match load {
            Load::Closed(outstanding) => options.sockets.min(outstanding),
            Load::Open(_) => options.sockets,
        };
        let sources = (0..sockets).map(|number| {
            let places = match load {
                Load::Closed(outstanding) => {
                    outstanding / sockets + u32::from(number < outstanding % sockets)
                }
                // Twice what is lost in a time-out when nothing is answered.
                Load::Open(rate) => {
                    let lost = f64::from(rate) * options.timeout.as_secs_f64();
                    (2.0 * lost / f64::from(sockets)) as u32 + BATCH as u32
                }
            };
            let own = options.addresses.then_some(number);
            Ok(Source::new(socket(server, own)?, places, options.interleaved))
        });
        let sources: io::Result<Vec<_>> = sources.collect();
        let [a, b, c, d, e, f, g, h, ..] =
            Urandom::open().and_then(|mut urandom| urandom.seed()).map_err(BenchError::Entropy)?;
        Ok(Self {
            load,
            timeout: options.timeout,
            sources: sources.map_err(|error| BenchError::Socket(sockets, server, error))?,
            next: 0,
            random: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            tally: Tally::new(),
            batch: Batch::default(),
        })
    }

    fn load_for(
        &mut self,
        length: Duration,
        start: Instant,
        progress: &mut impl FnMut(Duration, u64),
    ) -> Result<(), BenchError> {
        let mut looked = start;
        let mut due = 0;
        while start.elapsed() < length && !sys::termination_requested() {
            match self.load {
                Load::Closed(_) => self.fill(),
                Load::Open(rate) => {
                    let total = (start.elapsed().as_secs_f64() * f64::from(rate)) as u64;
                    self.send_due(total - due);
                    due = total;
                }
            }
            let wait = match self.load {
                Load::Closed(_) => LOOK,
                // The next one is due then.
                Load::Open(rate) => {
                    let next = Duration::from_secs_f64((due + 1) as f64 / f64::from(rate));
                    (start + next.max(start.elapsed() + TICK)).duration_since(Instant::now())
                }
            };
            let left = length.saturating_sub(start.elapsed());
            self.receive(wait.min(LOOK).min(left))?;
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                self.expire();
                progress(start.elapsed(), self.tally.answered);
            }
        }
        Ok(())
    }

    /// Waits for what is on its way.
    fn drain(
        &mut self,
        progress: &mut impl FnMut(Duration, u64),
        start: Instant,
    ) -> Result<(), BenchError> {
        let end = Instant::now() + self.timeout + LOOK;
        while self.tally.done() < self.tally.sent
            && Instant::now() < end
            && !sys::termination_requested()
        {
            self.receive(LOOK)?;
            self.expire();
            progress(start.elapsed(), self.tally.answered);
        }
        self.tally.lost += self.tally.sent - self.tally.done();
        Ok(())
    }

    fn fill(&mut self) {
        for place in 0..self.sources.len() {
            while let room @ 1.. = self.sources[place].room() {
                if self.send(place, room) == 0 {
                    break;
                }
            }
        }
    }

    /// Spreads what is due over the sources.
    fn send_due(&mut self, mut due: u64) {
        let most = due.div_ceil(self.sources.len() as u64).max(1);
        for _ in 0..self.sources.len() {
            if due == 0 {
                return;
            }
            let sent = self.send(self.next, most.min(due) as usize);
            self.next = (self.next + 1) % self.sources.len();
            due -= sent as u64;
        }
        self.tally.held_back += due;
    }

    /// Sends up to `count` requests of one source.
    fn send(&mut self, place: usize, count: usize) -> usize {
        let source = &mut self.sources[place];
        let mut requests = [[0; Header::LEN]; BATCH];
        let mut made = 0;
        let now = realtime();
        while made < count.min(BATCH) {
            self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let Some(request) = source.request(scramble(self.random), now) else { break };
            self.batch.queue(&request);
            requests[made] = request;
            made += 1;
        }
        if made == 0 {
            return 0;
        }
        let (sent, failure) = self.batch.send(source.socket.as_fd());
        self.tally.refused += u64::from(failure.is_some_and(|error| error != Errno::EAGAIN));
        for (place, request) in requests[..made].iter().enumerate() {
            if sent >> place & 1 == 0 {
                source.take_back(request);
            }
        }
        let left = sent.count_ones();
        self.tally.sent += u64::from(left);
        left as usize
    }

    fn receive(&mut self, longest: Duration) -> Result<(), BenchError> {
        for place in wait(&self.sources, longest).map_err(BenchError::Poll)? {
            let source = &mut self.sources[place];
            let mut count = BATCH;
            while count == BATCH {
                count = self.batch.receive(source.socket.as_fd()).unwrap_or_else(|error| {
                    self.tally.refused += u64::from(error != Errno::EAGAIN);
                    0
                });
                for datagram in (0..count).filter_map(|place| self.batch.datagram(place)) {
                    let arrived = datagram.stamp.map_or_else(realtime, wall);
                    let judgement = source.judge(datagram.bytes, arrived);
                    self.tally.count(&judgement);
                }
            }
        }
        Ok(())
    }

    fn expire(&mut self) {
        let since = realtime() + -span(self.timeout);
        self.tally.lost += self.sources.iter_mut().map(|source| source.expire(since)).sum::<u64>();
    }
}

/// Those that have something, waiting until there is one.
fn wait(sources: &[Source], longest: Duration) -> Result<Vec<usize>, Errno> {
    let descriptors = sources.iter().map(|source| source.socket.as_fd());
    let mut descriptors: Vec<_> =
        descriptors.map(|socket| PollFd::new(socket, PollFlags::POLLIN)).collect();
    match wait_on(&mut descriptors, longest) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(error) => return Err(error),
    }
    let ready = descriptors.iter().enumerate().filter(|(_, polled)| polled.any() == Some(true));
    Ok(ready.map(|(place, _)| place).collect())
}

#[cfg(any(target_os = "linux", target_os = "freebsd"))]
fn wait_on(descriptors: &mut [PollFd<'_>], longest: Duration) -> Result<i32, Errno> {
    nix::poll::ppoll(descriptors, Some(longest.into()), None)
}

/// To the millisecond, and not at all below that: an open loop is then in bursts.
#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
fn wait_on(descriptors: &mut [PollFd<'_>], longest: Duration) -> Result<i32, Errno> {
    let longest = nix::poll::PollTimeout::try_from(longest).unwrap_or(nix::poll::PollTimeout::MAX);
    nix::poll::poll(descriptors, longest)
}

/// A socket to the server, from loopback's address of that number if it has one.
fn socket(server: SocketAddr, number: Option<u32>) -> io::Result<UdpSocket> {
    let own = match (number, server) {
        (Some(number), _) => IpAddr::V4(Ipv4Addr::from_bits(LOOPBACK + 1 + number)),
        (None, SocketAddr::V4(_)) => Ipv4Addr::UNSPECIFIED.into(),
        (None, SocketAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((own, 0))?;
    // Without stamps latency has this program's own delay in it.
    Stamping::of_arrivals(&socket);
    socket.connect(server)?;
    Ok(socket)
}

/// SplitMix64's finish.
const fn scramble(state: u64) -> u64 {
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn span(duration: Duration) -> Span {
    Span::from_nanos(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}

/// What this process has taken so far.
fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF);
    let nanos =
        usage.map_or(0, |usage| (usage.user_time() + usage.system_time()).num_nanoseconds());
    Duration::from_nanos(nanos.unsigned_abs())
}
