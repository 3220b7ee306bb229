//! What the agent asks of the guest's kernel and of the emulator.

pub mod cable;

use std::arch::asm;
use std::ffi::CStr;
use std::io;
use std::mem::zeroed;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use libc::{CLOCK_MONOTONIC, CLOCK_REALTIME, clockid_t, timespec};
use truechimer_tests::guest::{DEBUG_PORT, EXIT_PORT};
use truechimer_tests::timex::fields::RawTimex;

const SECOND: i64 = 1_000_000_000;

/// Allows this process to use ports.
pub fn use_ports() -> io::Result<()> {
    // SAFETY: takes no pointer.
    done(unsafe { libc::iopl(3) })
}

/// Ends the guest.
pub fn exit(code: u8) {
    // SAFETY: the port of QEMU's isa-debug-exit; without it nothing happens.
    unsafe { asm!("out dx, al", in("dx") EXIT_PORT, in("al") code) };
}

/// Mounts one of the kernel's own file systems.
pub fn mount(kind: &CStr, place: &CStr) -> io::Result<()> {
    let (kind, place) = (kind.as_ptr(), place.as_ptr());
    // SAFETY: strings that end with NUL, and no options.
    done(unsafe { libc::mount(kind, place, kind, 0, ptr::null()) })
}

/// Mounts an empty disk that has little room, or again one that is or is not read-only.
pub fn mount_disk(place: &CStr, read_only: Option<bool>) -> io::Result<()> {
    let flags = match read_only {
        None => 0,
        Some(false) => libc::MS_REMOUNT,
        Some(true) => libc::MS_REMOUNT | libc::MS_RDONLY,
    };
    let (kind, options) = (c"tmpfs".as_ptr(), c"size=64k".as_ptr());
    // SAFETY: strings that end with NUL, also the options.
    done(unsafe { libc::mount(kind, place.as_ptr(), kind, flags, options.cast()) })
}

/// Unmounts what is there.
pub fn unmount(place: &CStr) -> io::Result<()> {
    // SAFETY: a string that ends with NUL.
    done(unsafe { libc::umount2(place.as_ptr(), libc::MNT_DETACH) })
}

/// Makes 127.0.0.1 there.
pub fn start_loopback() -> io::Result<()> {
    start_interface("lo")
}

/// An interface takes part, with the address that it has.
pub fn start_interface(name: &str) -> io::Result<()> {
    let mut request = request(name);
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    interface(libc::SIOCSIFFLAGS, &mut request)
}

/// A request about an interface, to be filled in.
pub fn request(name: &str) -> libc::ifreq {
    // SAFETY: all fields are integers or arrays of them.
    let mut request: libc::ifreq = unsafe { zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    request
}

/// Asks for something of an interface.
pub fn interface(number: libc::Ioctl, request: &mut libc::ifreq) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // SAFETY: a valid pointer to what these requests take.
    done(unsafe { libc::ioctl(socket.as_raw_fd(), number, &raw mut *request) })
}

/// From now on this thread runs before all others, and is not woken late on purpose.
pub fn hurry() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: a valid pointer to what is only read.
    done(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) })
}

/// Asks a process to end.
pub fn terminate(process: u32) -> Result<()> {
    signal(process, libc::SIGTERM)
}

/// Ends a process.
pub fn kill(process: u32) -> Result<()> {
    signal(process, libc::SIGKILL)
}

fn signal(process: u32, signal: libc::c_int) -> Result<()> {
    // SAFETY: takes no pointer.
    Ok(done(unsafe { libc::kill(process.try_into()?, signal) })?)
}

/// Sets CLOCK_REALTIME to so many nanoseconds since 1970.
pub fn set_clock(nanos: i64) -> io::Result<()> {
    let time = timespec { tv_sec: nanos / SECOND, tv_nsec: nanos % SECOND };
    // SAFETY: a valid pointer to what is only read.
    done(unsafe { libc::clock_settime(CLOCK_REALTIME, &raw const time) })
}

fn done(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A reading of a clock, ns.
pub fn clock(clock: clockid_t) -> i64 {
    // SAFETY: all fields are integers.
    let mut time: timespec = unsafe { zeroed() };
    // SAFETY: a valid pointer, of the type that it wants.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec * SECOND + time.tv_nsec
}

/// Sleeps by CLOCK_MONOTONIC.
pub fn sleep(nanos: i64) {
    let time = timespec { tv_sec: nanos / SECOND, tv_nsec: nanos % SECOND };
    // SAFETY: a valid pointer to what is only read; nothing interrupts.
    unsafe { libc::clock_nanosleep(CLOCK_MONOTONIC, 0, &raw const time, ptr::null_mut()) };
}

/// The call as the kernel has it: what it returns, or the error number, negative.
pub fn adjtimex(request: RawTimex) -> Result<(i64, RawTimex)> {
    // SAFETY: all fields are integers.
    let mut timex: libc::timex = unsafe { zeroed() };
    timex.modes = u32::try_from(request.modes)?;
    timex.offset = request.offset;
    timex.freq = request.freq;
    timex.maxerror = request.maxerror;
    timex.esterror = request.esterror;
    timex.status = i32::try_from(request.status)?;
    timex.constant = request.constant;
    timex.time.tv_sec = request.sec;
    timex.time.tv_usec = request.subsec;
    timex.tick = request.tick;
    // SAFETY: the call takes a pointer to this structure, which is valid.
    let result = unsafe { libc::syscall(libc::SYS_adjtimex, &raw mut timex) };
    let result = match result {
        -1 => -i64::from(io::Error::last_os_error().raw_os_error().unwrap_or(0)),
        state => state,
    };
    let answer = RawTimex {
        modes: timex.modes.into(),
        offset: timex.offset,
        freq: timex.freq,
        maxerror: timex.maxerror,
        esterror: timex.esterror,
        status: timex.status.into(),
        constant: timex.constant,
        precision: timex.precision,
        tolerance: timex.tolerance,
        sec: timex.time.tv_sec,
        subsec: timex.time.tv_usec,
        tick: timex.tick,
        ppsfreq: timex.ppsfreq,
        jitter: timex.jitter,
        shift: timex.shift.into(),
        stabil: timex.stabil,
        jitcnt: timex.jitcnt,
        calcnt: timex.calcnt,
        errcnt: timex.errcnt,
        stbcnt: timex.stbcnt,
        tai: timex.tai.into(),
    };
    Ok((result, answer))
}

/// Writes a line to the host.
pub fn write_line(line: &str) {
    static WRITING: Mutex<()> = Mutex::new(());
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    for byte in line.bytes().chain([b'\n']) {
        // SAFETY: the port of QEMU's isa-debugcon, which takes each byte at once.
        unsafe { asm!("out dx, al", in("dx") DEBUG_PORT, in("al") byte) };
    }
}
