//! A datagram and what the kernel says beside it: when it arrived, and to which address.

use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg,
};
#[cfg(target_os = "linux")]
use nix::sys::socket::{Timestamps, setsockopt, sockopt};
use nix::sys::time::{TimeSpec, TimeVal, TimeValLike};
use truechimer_core::event::Event;
use truechimer_core::hal::RawStamp;

#[cfg(target_os = "linux")]
use super::of_card::{FrameInfo, OfCard};
use crate::clock::wall;
use crate::phc::CardStamp;
use crate::sys::fault::{Call, fault};

/// The address that a datagram was sent to, as a socket needs to know that is bound to all.
#[derive(Debug, Clone, Copy)]
pub(super) enum Local {
    #[cfg(target_os = "linux")]
    V4(libc::in_pktinfo),
    #[cfg(target_os = "linux")]
    V6(libc::in6_pktinfo),
}

/// Asks the kernel to tell it.
#[cfg(target_os = "linux")]
pub(super) fn enable_local(socket: &impl AsFd, address: SocketAddr) -> Result<(), Errno> {
    match address {
        SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4PacketInfo, &true),
        SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn enable_local(_: &impl AsFd, _: SocketAddr) -> Result<(), Errno> {
    Err(Errno::ENOPROTOOPT)
}

/// Sends at once or not at all: to the peer of a connected socket, or `to` somebody from `local`.
pub(super) fn send(
    socket: &UdpSocket,
    datagram: &[u8],
    to: Option<SocketAddr>,
    local: Option<Local>,
) -> Result<usize, Errno> {
    fault(Call::Sendmsg)?;
    let to = to.map(SockaddrStorage::from);
    let send = |control: &[ControlMessage<'_>]| {
        let parts = [IoSlice::new(datagram)];
        sendmsg(socket.as_raw_fd(), &parts, control, MsgFlags::MSG_DONTWAIT, to.as_ref())
    };
    match local {
        None => send(&[]),
        // The routing table chooses the interface; the address is the one that was asked.
        #[cfg(target_os = "linux")]
        Some(Local::V4(info)) => send(&[ControlMessage::Ipv4PacketInfo(&libc::in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: info.ipi_addr,
            ..info
        })]),
        #[cfg(target_os = "linux")]
        Some(Local::V6(info)) => send(&[ControlMessage::Ipv6PacketInfo(&info)]),
    }
}

/// A datagram in the buffer.
pub(super) struct Message {
    pub(super) len: usize,
    pub(super) from: SocketAddr,
    pub(super) stamp: RawStamp,
    /// What a card says of it.
    pub(super) card: Option<CardStamp>,
    pub(super) local: Option<Local>,
    /// It was cut off, or what the kernel says beside it.
    pub(super) defect: Option<Event<'static>>,
}

/// Receives, with room for what the kernel says beside the datagram.
#[derive(Debug)]
pub(super) struct Receiver {
    control: Vec<u8>,
}

impl Default for Receiver {
    fn default() -> Self {
        #[cfg(target_os = "linux")]
        let control =
            cmsg_space!(Timestamps, TimeVal, libc::in_pktinfo, libc::in6_pktinfo, FrameInfo);
        #[cfg(not(target_os = "linux"))]
        let control = cmsg_space!(TimeSpec, TimeVal);
        Self { control }
    }
}

impl Receiver {
    /// One with too little room for what the kernel says.
    #[cfg(test)]
    pub(super) fn with_room(octets: usize) -> Self {
        Self { control: Vec::with_capacity(octets) }
    }

    /// The next datagram; the error is the socket's.
    pub(super) fn receive(
        &mut self,
        socket: &UdpSocket,
        buffer: &mut [u8],
    ) -> Result<Message, Errno> {
        fault(Call::Recvmsg)?;
        let mut buffers = [IoSliceMut::new(buffer)];
        let received = recvmsg::<SockaddrStorage>(
            socket.as_raw_fd(),
            &mut buffers,
            Some(&mut self.control),
            MsgFlags::MSG_DONTWAIT,
        )?;
        let from = received.address.as_ref().and_then(socket_address).ok_or(Errno::EAGAIN)?;
        let (address, error) = (from.ip(), Errno::EMSGSIZE.desc());
        let defect = if received.flags.contains(MsgFlags::MSG_TRUNC) {
            Some(Event::RecvmsgPacket { address, error })
        } else if received.flags.contains(MsgFlags::MSG_CTRUNC) {
            Some(Event::RecvmsgControlData { address, error })
        } else {
            None
        };
        let len = received.bytes;
        let (stamp, card, local) = (RawStamp::Unknown, None, None);
        let mut message = Message { len, from, stamp, card, local, defect };
        #[cfg(target_os = "linux")]
        let mut card = OfCard::default();
        for control in received.cmsgs().into_iter().flatten() {
            #[cfg(target_os = "linux")]
            card.heed(&control);
            match control {
                #[cfg(target_os = "linux")]
                ControlMessageOwned::ScmTimestampsns(Timestamps { system: time, .. })
                | ControlMessageOwned::ScmTimestampns(time) => {
                    message.stamp = RawStamp::Kernel(wall(time));
                }
                ControlMessageOwned::ScmTimestamp(time) => {
                    let time = TimeSpec::microseconds(time.num_microseconds());
                    message.stamp = RawStamp::Kernel(wall(time));
                }
                #[cfg(target_os = "linux")]
                ControlMessageOwned::Ipv4PacketInfo(info) => message.local = Some(Local::V4(info)),
                #[cfg(target_os = "linux")]
                ControlMessageOwned::Ipv6PacketInfo(info) => message.local = Some(Local::V6(info)),
                _ => {}
            }
        }
        #[cfg(target_os = "linux")]
        {
            message.card = card.stamp();
        }
        Ok(message)
    }
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddrV4::from(*v4).into());
    }
    address.as_sockaddr_in6().map(|v6| SocketAddrV6::from(*v6).into())
}
