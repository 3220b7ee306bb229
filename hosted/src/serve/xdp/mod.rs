//! Answers in the driver's path: the kernel hands a packet to a program of ours before it makes
//! anything of it (XDP), and what the [program] answers costs no socket, no system call and no
//! thread.
//!
//! ```text
//!              attached at the start, with the privilege that there is then
//! packet ──► program ──► answered, from where it came
//!               │  ▲
//!               │  └── shared memory: what is served, as the core's server says it, each second
//!               └────► sockets: whatever is not plain, or all of it if nothing was written lately
//! ```
//!
//! A program belongs to whoever has it open: when the daemon ends, however it does, it is gone.

mod assembler;
mod memory;
mod program;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, OwnedFd};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;
use truechimer_core::event::Level;
use truechimer_core::server::{Answer, Counters};
use truechimer_core::units::{Instant, NtpTimestamp, Span, WallTime};
use truechimer_core::wire::LeapIndicator;

use self::memory::{Count, RATE_BITS, Shared, Slot};
use super::{Done, Line, Published, Responder, ServedClock, responder};
use crate::clock::both;
use crate::config::{Config, Listen, Serve};
use crate::log::Log;
use crate::sys::bpf::{self, Place};

/// How long what is served is true. That of the root dispersion is its greatest meanwhile.
const LIFE: Span = Span::from_secs(2);
/// How often it is told.
const INTERVAL: Span = Span::from_secs(1);
/// A leap second that is this near is the sockets' affair.
const LEAP: i64 = 10;
const SECS_PER_DAY: i64 = 86_400;

/// Programs at interfaces.
#[derive(Debug)]
pub struct Xdp {
    shared: Shared,
    /// They are gone when these are closed.
    _links: Vec<OwnedFd>,
    /// Says what is served. It has no tables: nobody is remembered.
    responder: Box<Responder>,
    interleaved: bool,
    /// When what was told last.
    told: Option<(Instant, Published)>,
}

impl Xdp {
    /// Has programs answer at the interfaces that are configured. Where that cannot be, a log says
    /// why, and the sockets answer.
    pub fn attach(config: &Config, seed: [u8; 32], log: &Log) -> Option<Self> {
        let names = &config.serve.xdp;
        if names.is_empty() {
            return None;
        }
        let failed = |name: &str, error: io::Error| {
            let text = format_args!("cannot answer in the driver of {name}: {error}");
            log.message(Level::Error, &text);
        };
        let shared = Shared::new().map_err(|error| failed(&names.join(", "), error.into())).ok()?;
        let mut links = Vec::new();
        for name in names {
            match attach(&shared, name, &config.listen) {
                Ok((link, place)) => {
                    let text = match place {
                        Place::Driver => format!("a program in the driver of {name} answers"),
                        Place::Generic => format!(
                            "a program behind the driver of {name} answers: there is no place \
                             for it in the driver"
                        ),
                    };
                    log.message(Level::Info, &text);
                    links.push(link);
                }
                Err(error) => failed(name, error),
            }
        }
        let mut xdp = Self {
            shared,
            _links: links,
            responder: Box::new(super::idle(seed)),
            interleaved: false,
            told: None,
        };
        xdp.configure(&config.serve, seed);
        Some(xdp)
    }

    /// From the next time on that it is told, this is served.
    pub fn configure(&mut self, serve: &Serve, seed: [u8; 32]) {
        self.interleaved = serve.policy.interleaved;
        let mut serve = serve.clone();
        serve.policy.interleaved = false;
        *self.responder = responder(&serve, seed);
        self.told = None;
    }

    /// Tells what is served from now on, if that is new or it was told some time ago.
    pub fn publish(&mut self, published: &Published) {
        let (mono, real) = both();
        let is_new = self.told.is_none_or(|(at, told)| {
            let what = |Published { system, clock, steps }: &Published| {
                (system.leap, system.stratum, system.reference, gain(clock), *steps)
            };
            mono - at >= INTERVAL || what(&told) != what(published)
        });
        if !is_new {
            return;
        }
        self.told = Some((mono, *published));
        let slot = slot(&mut self.responder, published, mono, real, self.interleaved);
        self.shared.write(&slot);
    }

    /// How long there is until it should be told again.
    #[must_use]
    pub fn left(&self) -> Span {
        let passed = self.told.map(|(at, _)| both().0 - at);
        passed.map_or(Span::ZERO, |passed| INTERVAL - passed)
    }

    /// What was done so far.
    #[must_use]
    pub fn done(&self) -> Done {
        let count = |which| self.shared.count(which);
        let (three, four) = (count(Count::Version3), count(Count::Version4));
        let mut counters = Counters { received: three + four, ..Counters::default() };
        counters.answered = counters.received;
        (counters.versions[3], counters.versions[4]) = (three, four);
        let passed = [Count::Other, Count::Interleaved, Count::Unready].map(count);
        Done { counters, passed }
    }
}

/// What holds of a clock that shows so much now.
fn slot(
    responder: &mut Responder,
    published: &Published,
    mono: Instant,
    real: WallTime,
    interleaved: bool,
) -> Slot {
    let Published { system, clock, .. } = published;
    let now = clock.at(mono, real);
    responder.update(system, now);
    let mut request = [0; 48];
    request[0] = 0x23;
    let asker = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let answer = responder.handle(&request, asker, now.wall, now.mono + LIFE);
    // Who does not answer at its end does not by then.
    let Ok(Answer::Time(response)) = answer else { return Slot::default() };
    let answer = response.emit(now.wall);
    let [flags, stratum, ..] = answer;
    let left = SECS_PER_DAY - now.wall.unix_secs().rem_euclid(SECS_PER_DAY);
    let quiet = flags >> 6 == LeapIndicator::NoWarning as u8 || left > LEAP;
    if stratum == 0 || flags >> 6 == LeapIndicator::Alarm as u8 || !quiet {
        return Slot::default();
    }
    let mut template: [[u8; 8]; 3] = Default::default();
    for (word, octets) in template.iter_mut().zip(answer.as_chunks().0) {
        *word = *octets;
    }
    template[0][0] &= 0xc0;
    let gain = gain(clock).as_nanos() as f64 / Line::LENGTH.as_nanos() as f64;
    Slot {
        life: LIFE.as_nanos().unsigned_abs(),
        since: mono.as_nanos(),
        stamp: NtpTimestamp::from_wall(now.wall).to_bits(),
        // 2^32 in a second.
        rate: (2f64.powi(32 + RATE_BITS) / 1e9 * (1.0 + gain)).round() as u64,
        template: template.map(u64::from_ne_bytes),
        interleaved: interleaved.into(),
    }
}

/// What the clock gains on `CLOCK_MONOTONIC` in a [`Line::LENGTH`].
fn gain(clock: &ServedClock) -> Span {
    match clock {
        // It is slewed alike.
        ServedClock::Kernel => Span::ZERO,
        ServedClock::Software(line) => line.wall_gain,
    }
}

fn attach(shared: &Shared, name: &str, listen: &[Listen]) -> io::Result<(OwnedFd, Place)> {
    let interface = if_nametoindex(name)?;
    let addresses = served(name, listen)?;
    if addresses.is_empty() {
        return Err(io::Error::other("time is served at none of its addresses"));
    }
    let program = program::program(shared, &addresses);
    let program = program.ok_or_else(|| io::Error::other("it has too many addresses"))?;
    let program = bpf::load(&program)?;
    let link = |place| bpf::attach(program.as_fd(), interface, place).map(|link| (link, place));
    Ok(link(Place::Driver).or_else(|_| link(Place::Generic))?)
}

/// The addresses that the interface has where time is served, and the ports.
fn served(name: &str, listen: &[Listen]) -> io::Result<Vec<(IpAddr, u16)>> {
    let mut served = Vec::new();
    for one in getifaddrs()?.filter(|one| one.interface_name == name) {
        let Some(address) = one.address else { continue };
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        let v6 = || address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip()));
        let Some(address) = v4.or_else(v6) else { continue };
        let asked = listen.iter().filter(|listen| covers(listen, address));
        served.extend(asked.map(|listen| (address, listen.port)));
    }
    Ok(served)
}

/// As the system does: one of zeros is every one of its kind.
fn covers(listen: &Listen, address: IpAddr) -> bool {
    listen.address.is_none_or(|at| match at.is_unspecified() {
        true => at.is_ipv4() == address.is_ipv4(),
        false => at == address,
    })
}
