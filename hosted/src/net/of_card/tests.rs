use std::io::IoSliceMut;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::cmsg_space;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{MsgFlags, UnknownCmsg, recvmsg};
use nix::sys::time::TimeSpec;

use super::super::message::enable_local;
use super::super::stamping::Stamping;
use super::*;

fn stamps(system: i64, hw_raw: i64) -> ControlMessageOwned {
    let [system, hw_trans, hw_raw] = [system, 0, hw_raw].map(TimeSpec::nanoseconds);
    ControlMessageOwned::ScmTimestampsns(Timestamps { system, hw_trans, hw_raw })
}

fn packet(index: i32) -> ControlMessageOwned {
    let none = libc::in_addr { s_addr: 0 };
    ControlMessageOwned::Ipv4PacketInfo(libc::in_pktinfo {
        ipi_ifindex: index,
        ipi_spec_dst: none,
        ipi_addr: none,
    })
}

#[cfg(target_env = "gnu")] // others' header has more fields
fn frame(octets: &[u8]) -> ControlMessageOwned {
    let cmsg_header = libc::cmsghdr {
        cmsg_len: 16 + octets.len(),
        cmsg_level: libc::SOL_SOCKET,
        cmsg_type: libc::SCM_TIMESTAMPING_PKTINFO,
    };
    ControlMessageOwned::Unknown(UnknownCmsg { cmsg_header, data_bytes: octets.to_vec() })
}

fn collected(messages: &[ControlMessageOwned]) -> Option<(u32, i64, u32)> {
    let mut card = OfCard::default();
    messages.iter().for_each(|message| card.heed(message));
    let CardStamp { interface, time, octets } = card.stamp()?;
    Some((interface, (time - WallTime::UNIX_EPOCH).as_nanos(), octets))
}

#[cfg(target_env = "gnu")]
#[test]
fn the_real_interface_counts_in_any_order() {
    let words = |index: u32| [index, 90, 0, 0].map(u32::to_ne_bytes).concat();
    let all = [stamps(1_000, 2_000), packet(7), frame(&words(3))];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        assert_eq!(collected(&order.map(|place: usize| all[place].clone())), Some((3, 2_000, 90)));
    }
    // As without CONFIG_NET_RX_BUSY_POLL.
    let all = [stamps(1_000, 2_000), packet(7), frame(&words(0))];
    assert_eq!(collected(&all), Some((7, 2_000, 90)));
    assert_eq!(collected(&[stamps(0, 2_000), frame(&words(3)[..5])]), None, "cut off");
}

#[test]
fn nothing_is_made_up() {
    assert_eq!(collected(&[stamps(1_000, 2_000), packet(7)]), Some((7, 2_000, 0)));
    assert_eq!(collected(&[stamps(1_000, 0), packet(7)]), None, "the kernel's alone");
    assert_eq!(collected(&[stamps(1_000, 2_000)]), None, "of nobody");
    // Of one datagram that left the kernel tells twice.
    let both = [stamps(1_000, 0), packet(7), stamps(0, 2_000), packet(7)];
    assert_eq!(collected(&both), Some((7, 2_000, 0)));
}

/// Nothing is stamped on loopback but by the kernel; a card's stamp would come beside that.
#[test]
fn the_kernel_tells_the_interface_of_what_left() {
    for local in ["127.0.0.1:0", "[::1]:0"] {
        let server = UdpSocket::bind(local).unwrap();
        let to: SocketAddr = server.local_addr().unwrap();
        let socket = UdpSocket::bind(local).unwrap();
        assert_eq!(Stamping::of_both(&socket, true), Stamping::Timestamping);
        enable_local(&socket, to).unwrap();
        socket.send_to(&[0; 48], to).unwrap();
        let mut control = cmsg_space!([u8; 256]);
        let (mut bytes, flags) = ([0], MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let told =
            recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags).unwrap();
        let mut messages: Vec<_> = told.cmsgs().unwrap().collect();
        assert_eq!(collected(&messages), None);
        messages.push(stamps(0, 2_000));
        assert_eq!(collected(&messages), Some((if_nametoindex("lo").unwrap(), 2_000, 0)), "{to}");
    }
}
