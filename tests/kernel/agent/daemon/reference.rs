//! The truth, and the servers that tell it or do not.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use libc::CLOCK_MONOTONIC_RAW;
use truechimer_tests::fake::{Query, Reply};
use truechimer_tests::guest::scenario::{FIRST_PORT, Leap, Scenario, Server};

use crate::sys::{self, clock, sleep};

const SECOND: i64 = 1_000_000_000;
/// Seconds from 1900 to 1970.
const NTP_TO_UNIX: i64 = 2_208_988_800;

/// True time, by a counter that gains on it.
#[derive(Debug, Clone)]
pub struct Reference(Arc<Mutex<Line>>);

#[derive(Debug, Clone, Copy)]
struct Line {
    /// True time at the beginning, ns since 1970.
    start: i64,
    /// Of the counter, and of true time since the beginning, when the frequency was set.
    counter: i64,
    elapsed: i64,
    /// By how much less than the counter it advances.
    slower: f64,
    leap: Option<Leap>,
}

impl Line {
    fn elapsed(&self) -> i64 {
        let counted = clock(CLOCK_MONOTONIC_RAW) - self.counter;
        self.elapsed + counted - (counted as f64 * self.slower) as i64
    }

    fn set_frequency(&mut self, ppm: f64) {
        self.elapsed = self.elapsed();
        self.counter = clock(CLOCK_MONOTONIC_RAW);
        self.slower = ppm * 1e-6 / (1.0 + ppm * 1e-6);
    }
}

impl Reference {
    /// It begins now.
    pub fn new(scenario: &Scenario) -> Self {
        let counter = clock(CLOCK_MONOTONIC_RAW);
        let (start, leap) = (scenario.start * SECOND, scenario.leap);
        let mut line = Line { start, counter, elapsed: 0, slower: 0.0, leap };
        line.set_frequency(scenario.frequency);
        Self(Arc::new(Mutex::new(line)))
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The counter gains so much from now on, ppm.
    pub fn set_frequency(&self, ppm: f64) {
        self.line().set_frequency(ppm);
    }

    /// So long ago it began, ns.
    pub fn elapsed(&self) -> i64 {
        self.line().elapsed()
    }

    /// True time, ns since 1970 as POSIX counts.
    pub fn now(&self) -> i64 {
        let line = self.line();
        let time = line.start + line.elapsed();
        match line.leap {
            Some(Leap { end, deleted: false }) if time >= end * SECOND => time - SECOND,
            Some(Leap { end, deleted: true }) if time >= (end - 1) * SECOND => time + SECOND,
            _ => time,
        }
    }

    /// What is announced at present, as in a header.
    fn leap(&self) -> u8 {
        let now = self.now();
        match self.line().leap {
            Some(Leap { end, .. }) if now >= (end - 1) * SECOND => 0,
            Some(Leap { deleted, .. }) => 1 + u8::from(deleted),
            None => 0,
        }
    }

    /// Sleeps until so long after it began, s.
    pub fn sleep_until(&self, at: f64) {
        // What sleeps runs by the disciplined clock, which may be fast.
        loop {
            let left = (at * 1e9) as i64 - self.elapsed();
            match left {
                ..=0 => return,
                1..=1_000_000 => sleep(left),
                _ => sleep(left / 8 * 7),
            }
        }
    }
}

type State = Arc<Mutex<Vec<(Reference, Server)>>>;

/// Servers that answer by what is the truth at present.
#[derive(Default)]
pub struct Servers {
    state: State,
    running: usize,
}

impl Servers {
    /// From now on there are these.
    pub fn set(&mut self, reference: &Reference, servers: &[Server]) -> Result<()> {
        *lock(&self.state) = servers.iter().map(|server| (reference.clone(), *server)).collect();
        for place in self.running..servers.len() {
            let port = FIRST_PORT + u16::try_from(place)?;
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).context("no server")?;
            let answer = self.answers(place);
            thread::spawn(move || serve(&socket, answer));
            self.running = place + 1;
        }
        Ok(())
    }

    /// What the one of a place answers, when it has travelled both ways.
    pub fn answers(&self, place: usize) -> impl FnMut(&Query) -> Option<Vec<u8>> + use<> {
        let state = Arc::clone(&self.state);
        let mut noise = Noise(place as u64 + 1);
        move |query| {
            let (reference, how) = lock(&state).get(place).cloned()?;
            if !how.answers {
                return None;
            }
            sleep(way(how, &mut noise));
            let stamp = stamp(reference.now() + (how.ahead * 1e9) as i64);
            let reply = Reply {
                leap: if how.announces { reference.leap() } else { 0 },
                version: 4,
                mode: 4,
                stratum: 1,
                reference_id: *b"TRUE",
                origin: query.stamp(),
                receive: stamp,
                transmit: stamp,
            };
            sleep(way(how, &mut noise));
            Some(reply.emit())
        }
    }

    /// One of them answers otherwise from now on.
    pub fn change(&self, place: usize, how: Server) -> Result<()> {
        lock(&self.state).get_mut(place).with_context(|| format!("no server {place}"))?.1 = how;
        Ok(())
    }
}

fn lock(state: &State) -> MutexGuard<'_, Vec<(Reference, Server)>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(socket: &UdpSocket, mut answer: impl FnMut(&Query) -> Option<Vec<u8>>) {
    // It is there when a datagram comes, as if it were on a machine of its own.
    let _ = sys::hurry();
    loop {
        let Ok((query, from)) = receive(socket) else { continue };
        if let Some(reply) = answer(&query) {
            // Who asked may have gone.
            let _ = socket.send_to(&reply, from);
        }
    }
}

fn receive(socket: &UdpSocket) -> io::Result<(Query, SocketAddr)> {
    let mut buffer = [0; 2048];
    let (length, from) = socket.recv_from(&mut buffer)?;
    let bytes = buffer.get(..length).unwrap_or_default().to_vec();
    Ok((Query { received: 0, bytes }, from))
}

/// How long a datagram travels, ns.
fn way(how: Server, noise: &mut Noise) -> i64 {
    ((how.delay - how.queueing * noise.next().ln()) * 1e9) as i64
}

fn stamp(nanos: i64) -> u64 {
    let (secs, nanos) = (nanos.div_euclid(SECOND), nanos.rem_euclid(SECOND));
    let secs = (secs + NTP_TO_UNIX).cast_unsigned();
    (secs << 32) | ((nanos.cast_unsigned() << 32) / SECOND.cast_unsigned())
}

/// The same numbers in each run (splitmix64).
struct Noise(u64);

impl Noise {
    /// Above 0, up to 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((mixed ^ (mixed >> 31)) >> 11) + 1) as f64 / (1u64 << 53) as f64
    }
}
