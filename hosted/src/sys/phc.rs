//! What a network card can stamp, and its clock (PTP hardware clock): ioctl(2) as in
//! linux/ethtool.h, linux/net_tstamp.h and linux/ptp_clock.h.

use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{Ioctl, hwtstamp_config, ptp_clock_time};
use nix::errno::Errno;
use truechimer_core::units::WallTime;

use super::fault::{Call, fault};

/// `ETHTOOL_GET_TS_INFO` of linux/ethtool.h.
const GET_TS_INFO: u32 = 0x41;
/// How often a clock is read at a time, as chrony does; the kernel allows 25.
const SAMPLES: usize = 10;

/// What an interface can: `struct ethtool_ts_info`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StampInfo {
    pub(crate) command: u32,
    /// `SOF_TIMESTAMPING_*`.
    pub(crate) flags: u32,
    /// The number of its clock, or less than 0.
    pub(crate) clock: i32,
    /// A bit for each of `HWTSTAMP_TX_*`.
    pub(crate) departures: u32,
    pub(crate) reserved: [u32; 3],
    /// A bit for each of `HWTSTAMP_FILTER_*`.
    pub(crate) arrivals: u32,
    pub(crate) more_reserved: [u32; 3],
}

/// What the system's clock showed before, a card's then, and the system's after.
pub(crate) type Sample = [WallTime; 3];

/// Asks for what an interface can; `socket` is any of the internet's.
///
/// # Errors
/// [`Errno::ENODEV`] if there is no such interface.
pub(crate) fn info(socket: BorrowedFd<'_>, interface: &str) -> Result<StampInfo, Errno> {
    fault(Call::HardwareInfo)?;
    let mut info = StampInfo { command: GET_TS_INFO, ..StampInfo::default() };
    of_interface(socket, interface, libc::SIOCETHTOOL as Ioctl, (&raw mut info).cast())?;
    Ok(info)
}

/// What an interface stamps.
///
/// # Errors
/// It does not tell.
pub(crate) fn stamps(socket: BorrowedFd<'_>, interface: &str) -> Result<hwtstamp_config, Errno> {
    let mut config = hwtstamp_config { flags: 0, tx_type: 0, rx_filter: 0 };
    of_interface(socket, interface, libc::SIOCGHWTSTAMP as Ioctl, (&raw mut config).cast())?;
    Ok(config)
}

/// Has an interface stamp what leaves, and what arrives as `HWTSTAMP_FILTER_*` says, for all
/// programs of the host; says what it stamps then.
///
/// # Errors
/// It does not, or this process may not ask for it.
pub(crate) fn set_stamps(
    socket: BorrowedFd<'_>,
    interface: &str,
    rx_filter: libc::c_int,
) -> Result<hwtstamp_config, Errno> {
    fault(Call::HardwareStamps)?;
    let tx_type = libc::HWTSTAMP_TX_ON as libc::c_int;
    let mut config = hwtstamp_config { flags: 0, tx_type, rx_filter };
    of_interface(socket, interface, libc::SIOCSHWTSTAMP as Ioctl, (&raw mut config).cast())?;
    Ok(config)
}

/// Reads a card's clock several times, between readings of the system's: at once where the card can
/// (the three times are of the same moment then), or else in turn.
///
/// # Errors
/// It is not such a clock, or the card is gone.
pub(crate) fn read(clock: BorrowedFd<'_>) -> Result<Vec<Sample>, Errno> {
    fault(Call::ReadPhc)?;
    read_precisely(clock).or_else(|_| read_extended(clock)).or_else(|_| read_in_turn(clock))
}

const NEVER: ptp_clock_time = ptp_clock_time { sec: 0, nsec: 0, reserved: 0 };

fn read_precisely(clock: BorrowedFd<'_>) -> Result<Vec<Sample>, Errno> {
    let mut offset = libc::ptp_sys_offset_precise {
        device: NEVER,
        sys_realtime: NEVER,
        sys_monoraw: NEVER,
        rsv: [0; 4],
    };
    // SAFETY: the request writes such a structure, of which its number holds the size.
    let done =
        unsafe { libc::ioctl(clock.as_raw_fd(), libc::PTP_SYS_OFFSET_PRECISE, &raw mut offset) };
    Errno::result(done)?;
    Ok(vec![[offset.sys_realtime, offset.device, offset.sys_realtime].map(time)])
}

fn read_extended(clock: BorrowedFd<'_>) -> Result<Vec<Sample>, Errno> {
    let mut offset = libc::ptp_sys_offset_extended {
        n_samples: SAMPLES as libc::c_uint,
        clockid: libc::CLOCK_REALTIME,
        rsv: [0; 2],
        ts: [[NEVER; 3]; libc::PTP_MAX_SAMPLES as usize],
    };
    // SAFETY: as above.
    let done =
        unsafe { libc::ioctl(clock.as_raw_fd(), libc::PTP_SYS_OFFSET_EXTENDED, &raw mut offset) };
    Errno::result(done)?;
    Ok(offset.ts.iter().take(SAMPLES).map(|sample| sample.map(time)).collect())
}

/// For drivers that do not read the system's clock themselves.
fn read_in_turn(clock: BorrowedFd<'_>) -> Result<Vec<Sample>, Errno> {
    let mut offset = libc::ptp_sys_offset {
        n_samples: SAMPLES as libc::c_uint,
        rsv: [0; 3],
        ts: [NEVER; 2 * libc::PTP_MAX_SAMPLES as usize + 1],
    };
    // SAFETY: as above.
    let done = unsafe { libc::ioctl(clock.as_raw_fd(), libc::PTP_SYS_OFFSET, &raw mut offset) };
    Errno::result(done)?;
    let samples = offset.ts.windows(3).step_by(2).take(SAMPLES);
    let samples = samples.filter_map(|three| <[_; 3]>::try_from(three).ok());
    Ok(samples.map(|three| three.map(time)).collect())
}

/// What each of the requests that read a clock comes to on what is no clock.
#[cfg(test)]
pub(crate) fn refusals(file: BorrowedFd<'_>) -> [Errno; 3] {
    [read_precisely(file), read_extended(file), read_in_turn(file)].map(Result::unwrap_err)
}

const fn time(time: ptp_clock_time) -> WallTime {
    WallTime::from_unix(time.sec, time.nsec)
}

fn of_interface(
    socket: BorrowedFd<'_>,
    interface: &str,
    request: Ioctl,
    argument: *mut libc::c_char,
) -> Result<(), Errno> {
    let mut ifr_name = [0; libc::IFNAMSIZ];
    // The last octet stays 0.
    if interface.len() >= ifr_name.len() {
        return Err(Errno::ENODEV);
    }
    for (to, from) in ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    let ifr_ifru = libc::__c_anonymous_ifr_ifru { ifru_data: argument };
    let mut wanted = libc::ifreq { ifr_name, ifr_ifru };
    // SAFETY: the callers give a structure of the request's own, which lives until it has returned.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), request, &raw mut wanted) };
    Errno::result(done).map(drop)
}
