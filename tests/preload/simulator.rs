//! A library for `LD_PRELOAD`: a virtual clock with libc's interface, and one NTP server that knows
//! the true time.
//!
//! Time passes only in poll(2), until what comes first: a datagram or the timeout. The clock is
//! Linux's: adjtimex(2) changes the rate of `CLOCK_MONOTONIC` and `CLOCK_REALTIME` and steps the
//! latter. Descriptors are those of /dev/null, so that closing and marking them need no
//! replacement. Kernel stamps there are none.
//!
//! `SIMULATOR=OFFSET FREQUENCY SECONDS` says how far the clock is ahead at first in seconds, how
//! fast it runs in ppm, and for how long. Then the program gets SIGTERM, and a line on standard
//! output says `simulator: ERROR QUERIES STEPS`. A fourth number is by how many seconds another
//! program steps the clock in the middle, a fifth by how many ppm it changes `freq` then.

#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::ffi::{c_int, c_long};
use std::sync::{LazyLock, Mutex, PoisonError};

use libc::{
    clockid_t, msghdr, nfds_t, pollfd, sockaddr, sockaddr_in, socklen_t, ssize_t, timespec, timex,
};

/// The true time at the beginning, s since 1970.
const EPOCH: i64 = 1_800_000_000;
/// Seconds from 1900 to 1970.
const NTP_TO_UNIX: i64 = 2_208_988_800;
/// Each way takes at least this, s.
const BASE_DELAY: f64 = 1e-3;
/// And this more in the mean, exponentially distributed, s.
const JITTER: f64 = 20e-6;
/// The length of a tick that is no adjustment, us.
const NOMINAL_TICK: c_long = 10_000;
/// The most that `freq` takes: 500 ppm in units of 2^-16 ppm.
const MAX_FREQ: c_long = 500 << 16;
const NANOS: f64 = 1e9;

/// All that the program can see.
struct World {
    /// Time that has truly passed, s.
    truth: f64,
    /// `CLOCK_MONOTONIC`, s.
    monotonic: f64,
    /// `CLOCK_REALTIME` less that and [`EPOCH`], s.
    offset: f64,
    /// The oscillator's error, as a ratio.
    frequency: f64,
    /// When it ends, s.
    end: f64,
    /// What another program does in the middle: the step in s, and the change of `freq` in ppm.
    other: Option<(f64, f64)>,
    timex: timex,
    sockets: BTreeMap<c_int, Socket>,
    queries: u32,
    steps: u32,
    /// Of the jitter.
    random: u64,
}

/// A client's socket, with the answer that is on its way.
#[derive(Default)]
struct Socket {
    peer: Option<sockaddr_in>,
    answer: Option<Answer>,
}

struct Answer {
    /// s of true time.
    arrives: f64,
    bytes: [u8; 48],
}

static WORLD: LazyLock<Mutex<World>> = LazyLock::new(|| Mutex::new(World::from_environment()));

fn with<T>(act: impl FnOnce(&mut World) -> T) -> T {
    act(&mut WORLD.lock().unwrap_or_else(PoisonError::into_inner))
}

impl World {
    fn from_environment() -> Self {
        let text = std::env::var("SIMULATOR").unwrap_or_default();
        let mut numbers = text.split(' ').map_while(|number| number.parse::<f64>().ok());
        let mut next = || numbers.next().unwrap_or_default();
        let (offset, ppm, end) = (next(), next(), next());
        let other = Some((next(), next())).filter(|what| *what != (0.0, 0.0));
        // SAFETY: timex is a C structure of integers, for which all zeros is a valid value.
        let mut timex: timex = unsafe { std::mem::zeroed() };
        timex.tick = NOMINAL_TICK;
        timex.status = libc::STA_UNSYNC;
        Self {
            truth: 0.0,
            monotonic: 0.0,
            offset,
            frequency: ppm * 1e-6,
            end,
            other,
            timex,
            sockets: BTreeMap::new(),
            queries: 0,
            steps: 0,
            random: 1,
        }
    }

    /// How much the clock advances in a true second, s.
    fn rate(&self) -> f64 {
        let tick = self.timex.tick as f64 / NOMINAL_TICK as f64;
        (1.0 + self.frequency) * (tick + self.timex.freq as f64 / 65_536e6)
    }

    fn advance_to(&mut self, truth: f64) {
        let middle = self.end / 2.0;
        if let Some((step, ppm)) = self.other.take_if(|_| truth >= middle) {
            self.advance_to(middle);
            self.offset += step;
            self.timex.freq += (ppm * 65_536.0) as c_long;
        }
        self.monotonic += (truth - self.truth).max(0.0) * self.rate();
        self.truth = self.truth.max(truth);
    }

    /// How far the clock is ahead, s.
    fn error(&self) -> f64 {
        self.offset + (self.monotonic - self.truth)
    }

    fn delay(&mut self) -> f64 {
        // xorshift64, whose upper bits are uniform in (0, 1].
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let uniform = ((self.random >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        BASE_DELAY - JITTER * uniform.ln()
    }

    /// The server's answer to a query that leaves now.
    fn answer(&mut self, query: &[u8]) -> Option<Answer> {
        let received = self.truth + self.delay();
        let arrives = received + self.delay();
        let stamp = ntp(received).to_be_bytes();
        let mut bytes = [0; 48];
        // No leap second, the client's version, a server; stratum 1, precision 2^-24 s.
        bytes[0] = query.first()? & 0o70 | 4;
        bytes[1] = 1;
        bytes[3] = 0xe8;
        bytes[12..16].copy_from_slice(b"SIM\0");
        bytes[16..24].copy_from_slice(&ntp(received - 1.0).to_be_bytes());
        bytes[24..32].copy_from_slice(query.get(40..48)?);
        bytes[32..40].copy_from_slice(&stamp);
        bytes[40..48].copy_from_slice(&stamp);
        Some(Answer { arrives, bytes })
    }

    /// Lets time pass until a datagram arrives on one of the descriptors, or until the timeout.
    fn poll(&mut self, descriptors: &mut [pollfd], timeout: c_int) -> c_int {
        let arrival = |world: &Self, descriptor: &pollfd| {
            Some(world.sockets.get(&descriptor.fd)?.answer.as_ref()?.arrives)
        };
        let until = match timeout {
            ..0 => f64::INFINITY,
            millis => self.truth + f64::from(millis) * 1e-3 / self.rate(),
        };
        let arrivals = descriptors.iter().filter_map(|descriptor| arrival(self, descriptor));
        self.advance_to(arrivals.fold(until, f64::min).min(self.end));
        for descriptor in &mut *descriptors {
            let arrived = arrival(self, descriptor).is_some_and(|arrives| arrives <= self.truth);
            descriptor.revents = if arrived { libc::POLLIN } else { 0 };
        }
        descriptors.iter().map(|descriptor| c_int::from(descriptor.revents != 0)).sum()
    }

    fn adjust(&mut self, wanted: &mut timex) -> Result<c_int, c_int> {
        /// What is understood.
        const MODES: u32 = libc::ADJ_FREQUENCY
            | libc::ADJ_TICK
            | libc::ADJ_STATUS
            | libc::ADJ_MAXERROR
            | libc::ADJ_ESTERROR
            | libc::ADJ_SETOFFSET
            | libc::ADJ_NANO;
        let modes = wanted.modes;
        // Ends a slew of adjtime(3), of which there is none, or reads what remains of it.
        let slew = [libc::ADJ_OFFSET_SINGLESHOT, libc::ADJ_OFFSET_SS_READ].contains(&modes);
        let has = |mode| !slew && modes & mode != 0;
        if !slew && modes & !MODES != 0 {
            return Err(libc::EINVAL);
        }
        if has(libc::ADJ_TICK) {
            if (wanted.tick - NOMINAL_TICK).abs() > NOMINAL_TICK / 10 {
                return Err(libc::EINVAL);
            }
            self.timex.tick = wanted.tick;
        }
        if has(libc::ADJ_FREQUENCY) {
            self.timex.freq = wanted.freq.clamp(-MAX_FREQ, MAX_FREQ);
        }
        if has(libc::ADJ_STATUS) {
            self.timex.status = wanted.status;
        }
        if has(libc::ADJ_SETOFFSET) {
            let unit = if has(libc::ADJ_NANO) { NANOS } else { 1e6 };
            self.offset += wanted.time.tv_sec as f64 + wanted.time.tv_usec as f64 / unit;
            self.steps += 1;
        }
        *wanted = self.timex;
        let synchronised = self.timex.status & libc::STA_UNSYNC == 0;
        Ok(if synchronised { libc::TIME_OK } else { libc::TIME_ERROR })
    }
}

/// A stamp of the wire.
fn ntp(truth: f64) -> u64 {
    let seconds = (EPOCH + NTP_TO_UNIX + truth.floor() as i64) as u64;
    (seconds << 32) | (truth.fract() * 4_294_967_296.0) as u64
}

fn fail<T: From<i8>>(error: c_int) -> T {
    // SAFETY: libc returns the address of this thread's errno, which is valid.
    unsafe { *libc::__errno_location() = error };
    T::from(-1)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    let read = with(|world| match clock {
        libc::CLOCK_MONOTONIC => Some((0, world.monotonic)),
        libc::CLOCK_REALTIME => Some((EPOCH, world.monotonic + world.offset)),
        _ => None,
    });
    let Some((base, seconds)) = read else { return fail(libc::EINVAL) };
    let tv_nsec = ((seconds - seconds.floor()) * NANOS) as c_long;
    // SAFETY: the caller passes a valid pointer, as clock_gettime(2) asks.
    unsafe { *time = timespec { tv_sec: base + seconds.floor() as i64, tv_nsec } };
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn adjtimex(buffer: *mut timex) -> c_int {
    // SAFETY: the caller passes a valid pointer, as adjtimex(2) asks.
    let wanted = unsafe { &mut *buffer };
    with(|world| world.adjust(wanted)).unwrap_or_else(fail)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn poll(descriptors: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int {
    // SAFETY: the caller passes that many, as poll(2) asks, and the standard library only some.
    let descriptors = unsafe { std::slice::from_raw_parts_mut(descriptors, count as usize) };
    let (ready, ended) = with(|world| {
        let ready = world.poll(descriptors, timeout);
        let result = format!("{:.9} {} {}", world.error(), world.queries, world.steps);
        (ready, (world.truth >= world.end).then_some(result))
    });
    let Some(result) = ended else { return ready };
    println!("simulator: {result}");
    // SAFETY: raise(3) has no precondition.
    unsafe { libc::raise(libc::SIGTERM) };
    fail(libc::EINTR)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn socket(family: c_int, kind: c_int, _protocol: c_int) -> c_int {
    if (family, kind) != (libc::AF_INET, libc::SOCK_DGRAM) {
        return fail(libc::EAFNOSUPPORT);
    }
    // SAFETY: the path is a C string.
    let descriptor = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) };
    with(|world| world.sockets.insert(descriptor, Socket::default()));
    descriptor
}

/// No option is known, so that the program must do without.
#[unsafe(no_mangle)]
extern "C" fn setsockopt() -> c_int {
    fail(libc::ENOPROTOOPT)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn connect(
    descriptor: c_int,
    address: *const sockaddr,
    length: socklen_t,
) -> c_int {
    if (length as usize) < size_of::<sockaddr_in>() {
        return fail(libc::EINVAL);
    }
    // SAFETY: the caller passes `length` octets, as connect(2) asks, which are enough for one.
    let peer = unsafe { address.cast::<sockaddr_in>().read_unaligned() };
    with(|world| match world.sockets.get_mut(&descriptor) {
        Some(socket) => {
            socket.peer = Some(peer);
            0
        }
        None => fail(libc::ENOTSOCK),
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sendmsg(descriptor: c_int, message: *const msghdr, _flags: c_int) -> ssize_t {
    // SAFETY: the caller passes a valid message of one part at least, as sendmsg(2) asks.
    let datagram = unsafe {
        let part = &*(*message).msg_iov;
        std::slice::from_raw_parts(part.iov_base.cast::<u8>(), part.iov_len)
    };
    with(|world| {
        let answer = world.answer(datagram);
        world.queries += 1;
        match world.sockets.get_mut(&descriptor) {
            Some(socket) if socket.peer.is_some() => socket.answer = answer,
            _ => return fail(libc::ENOTCONN),
        }
        datagram.len() as ssize_t
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn recvmsg(descriptor: c_int, message: *mut msghdr, _flags: c_int) -> ssize_t {
    let received = with(|world| {
        let truth = world.truth;
        let socket = world.sockets.get_mut(&descriptor)?;
        let answer = socket.answer.take_if(|answer| answer.arrives <= truth)?;
        Some((socket.peer?, answer.bytes))
    });
    let Some((peer, bytes)) = received else { return fail(libc::EAGAIN) };
    // SAFETY: the caller passes a valid message with room for an address of any family and for one
    // part at least, as recvmsg(2) asks; no more is written into the part than it has room for.
    unsafe {
        let message = &mut *message;
        message.msg_name.cast::<sockaddr_in>().write_unaligned(peer);
        message.msg_namelen = size_of::<sockaddr_in>() as socklen_t;
        message.msg_controllen = 0;
        message.msg_flags = 0;
        let part = &*message.msg_iov;
        let length = bytes.len().min(part.iov_len);
        part.iov_base.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), length);
        length as ssize_t
    }
}

/// What would escape a simulator: called once, it ends the program.
macro_rules! escapes {
    ($($name:ident)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name() -> c_long {
            eprintln!("{} escapes the simulator", stringify!($name));
            std::process::abort()
        }
    )*};
}

escapes!(accept4 clock_settime fork getaddrinfo pthread_create syscall);
