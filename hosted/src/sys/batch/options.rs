//! What sockets of workers are asked for that nix has no options for.

use std::os::fd::{AsRawFd, BorrowedFd};

use libc::c_int;
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};

/// Stamps of arrivals by the kernel, and of departures, numbered and without the datagrams.
const STAMPS: libc::c_uint = libc::SOF_TIMESTAMPING_SOFTWARE
    | libc::SOF_TIMESTAMPING_RX_SOFTWARE
    | libc::SOF_TIMESTAMPING_OPT_ID
    | libc::SOF_TIMESTAMPING_OPT_TSONLY;

/// Has the kernel stamp what arrives on a socket, and lets answers be
/// [stamped](super::Batch::stamp_departure).
///
/// # Errors
/// The system does not know this.
pub fn enable_stamps(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    set(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, STAMPS.cast_signed())?;
    // One form of them is enough.
    setsockopt(&socket, sockopt::ReceiveTimestampns, &false)
}

/// Forbids to fragment what a socket of IPv4 sends, which answers are too short for. Then they need
/// no identification (RFC 6864 §4.1), to find one of which takes a twentieth of what a datagram costs.
///
/// # Errors
/// The system does not know this, or the socket is of IPv6.
pub fn never_fragment(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    set(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE)
}

fn set(socket: BorrowedFd<'_>, level: c_int, option: c_int, value: c_int) -> Result<(), Errno> {
    // SAFETY: the option is a number, which is there and of the length that is stated.
    let done = unsafe {
        let length = size_of_val(&value) as _;
        libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), length)
    };
    Errno::result(done).map(drop)
}
