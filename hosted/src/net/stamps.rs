//! When a datagram arrived, as the kernel stamped it.

use std::io::IoSliceMut;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use nix::sys::time::{TimeSpec, TimeVal, TimeValLike};
use truechimer_core::hal::RawStamp;

use crate::clock::wall;

/// Asks the kernel to stamp what arrives: to the nanosecond, or at least to the microsecond.
pub(super) fn enable(socket: &UdpSocket) -> Result<(), Errno> {
    #[cfg(target_os = "linux")]
    if setsockopt(socket, sockopt::ReceiveTimestampns, &true).is_ok() {
        return Ok(());
    }
    setsockopt(socket, sockopt::ReceiveTimestamp, &true)
}

/// Receives, with room for what the kernel says beside the datagram.
#[derive(Debug)]
pub(super) struct Receiver {
    control: Vec<u8>,
}

impl Receiver {
    pub(super) fn new() -> Self {
        Self { control: cmsg_space!(TimeSpec, TimeVal) }
    }

    /// The next datagram's length, sender and time of arrival; `None` if there is none, or if the
    /// socket had an error to tell.
    pub(super) fn receive(
        &mut self,
        socket: &UdpSocket,
        buffer: &mut [u8],
    ) -> Option<(usize, SocketAddr, RawStamp)> {
        let mut buffers = [IoSliceMut::new(buffer)];
        let message = recvmsg::<SockaddrStorage>(
            socket.as_raw_fd(),
            &mut buffers,
            Some(&mut self.control),
            MsgFlags::MSG_DONTWAIT,
        )
        .ok()?;
        let from = message.address.as_ref().and_then(socket_address)?;
        let stamp = message.cmsgs().ok().and_then(|mut messages| messages.find_map(arrival));
        Some((message.bytes, from, stamp.unwrap_or(RawStamp::Unknown)))
    }
}

fn arrival(message: ControlMessageOwned) -> Option<RawStamp> {
    match message {
        #[cfg(target_os = "linux")]
        ControlMessageOwned::ScmTimestampns(time) => Some(RawStamp::Kernel(wall(time))),
        ControlMessageOwned::ScmTimestamp(time) => {
            Some(RawStamp::Kernel(wall(TimeSpec::microseconds(time.num_microseconds()))))
        }
        _ => None,
    }
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddrV4::from(*v4).into());
    }
    address.as_sockaddr_in6().map(|v6| SocketAddrV6::from(*v6).into())
}
