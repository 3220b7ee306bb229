//! Frames put together, with their sums.

use std::net::{Ipv6Addr, SocketAddr};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr,
    Icmpv6Packet, Icmpv6Repr, IpAddress, IpProtocol, IpRepr, NdiscRepr, UdpPacket, UdpRepr,
};

use super::HARDWARE;

/// A frame to `hardware` of which `fill` makes the payload, `len` octets.
fn frame(
    hardware: EthernetAddress,
    ethertype: EthernetProtocol,
    len: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let header = EthernetRepr { src_addr: HARDWARE, dst_addr: hardware, ethertype };
    let mut bytes = vec![0; header.buffer_len() + len];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
    header.emit(&mut frame);
    fill(frame.payload_mut());
    bytes
}

/// A packet in a frame.
fn packet(
    from: IpAddress,
    to: IpAddress,
    protocol: IpProtocol,
    hardware: EthernetAddress,
    len: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let hop_limit = if protocol == IpProtocol::Icmpv6 { 255 } else { 64 };
    let header = IpRepr::new(from, to, protocol, len, hop_limit);
    let ethertype = match header {
        IpRepr::Ipv4(_) => EthernetProtocol::Ipv4,
        IpRepr::Ipv6(_) => EthernetProtocol::Ipv6,
    };
    frame(hardware, ethertype, header.header_len() + len, |payload| {
        header.emit(&mut *payload, &ChecksumCapabilities::default());
        fill(&mut payload[header.header_len()..]);
    })
}

pub fn udp(from: SocketAddr, to: SocketAddr, hardware: EthernetAddress, bytes: &[u8]) -> Vec<u8> {
    let header = UdpRepr { src_port: from.port(), dst_port: to.port() };
    let (from, to) = (from.ip().into(), to.ip().into());
    let len = header.header_len() + bytes.len();
    packet(from, to, IpProtocol::Udp, hardware, len, |payload| {
        header.emit(
            &mut UdpPacket::new_unchecked(payload),
            &from,
            &to,
            bytes.len(),
            |payload| payload.copy_from_slice(bytes),
            &ChecksumCapabilities::default(),
        );
    })
}

pub fn ndisc(
    from: Ipv6Addr,
    to: Ipv6Addr,
    hardware: EthernetAddress,
    message: NdiscRepr<'_>,
) -> Vec<u8> {
    let message = Icmpv6Repr::Ndisc(message);
    let len = message.buffer_len();
    packet(from.into(), to.into(), IpProtocol::Icmpv6, hardware, len, |payload| {
        let mut packet = Icmpv6Packet::new_unchecked(payload);
        message.emit(&from, &to, &mut packet, &ChecksumCapabilities::default());
    })
}

pub fn arp(message: ArpRepr) -> Vec<u8> {
    let hardware = match message {
        ArpRepr::EthernetIpv4 { target_hardware_addr, .. } => target_hardware_addr,
        _ => EthernetAddress::BROADCAST,
    };
    frame(hardware, EthernetProtocol::Arp, message.buffer_len(), |payload| {
        message.emit(&mut ArpPacket::new_unchecked(payload));
    })
}
