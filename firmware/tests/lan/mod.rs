//! A network as a host sees it from its end of the cable: whom it asks, and what is answered. It is
//! put together frame by frame, so that it can also misbehave.

mod frame;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::Duration;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr,
    EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv6Packet, Icmpv6Repr, IpProtocol,
    Ipv4Packet, Ipv6Packet, NdiscNeighborFlags, NdiscPrefixInfoFlags, NdiscPrefixInformation,
    NdiscRepr, NdiscRouterFlags, UdpPacket,
};

/// Whoever answers: the router, the servers behind it.
pub const HARDWARE: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 0xFE]);
/// The router and DHCP server.
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);
/// Who looks names up.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);
/// What is leased.
pub const LEASED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 99);
const ROUTER_V6: Ipv6Addr = Ipv6Addr::new(0xFE80, 0, 0, 0, 0, 0, 0, 0xFE);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 0, 0, 1);
/// What the router advertises, a prefix of 64 bits.
pub const PREFIX: Ipv6Addr = Ipv6Addr::new(0x2001, 0xDB8, 0, 1, 0, 0, 0, 0);

/// What there is.
#[derive(Debug, Clone, Default)]
pub struct Lan {
    /// For how many seconds addresses are leased; nobody leases any if `None`.
    pub lease: Option<u32>,
    /// Servers of time that the lease names.
    pub time_servers: Vec<Ipv4Addr>,
    /// Names and their addresses; for others there is none.
    pub names: BTreeMap<String, Vec<IpAddr>>,
    /// Whether a router advertises a prefix.
    pub advertises: bool,
    /// Leases granted, renewals among them.
    pub granted: u32,
    /// Names asked for.
    pub asked: Vec<String>,
}

/// A datagram that somebody else is to answer.
#[derive(Debug, Clone)]
pub struct Datagram {
    /// Who sent it.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// What is in it.
    pub bytes: Vec<u8>,
    /// The hardware address of who sent it.
    pub hardware: EthernetAddress,
}

impl Datagram {
    /// The frame that answers it.
    #[must_use]
    pub fn reply(&self, bytes: &[u8]) -> Vec<u8> {
        frame::udp(self.to, self.from, self.hardware, bytes)
    }
}

/// What becomes of a frame.
#[derive(Debug)]
pub enum Outcome {
    /// These come back.
    Frames(Vec<Vec<u8>>),
    /// It carries this, to a server.
    Datagram(Datagram),
}

impl Lan {
    /// Takes a frame that the host sent.
    pub fn take(&mut self, bytes: &[u8]) -> Outcome {
        let Ok(frame) = EthernetFrame::new_checked(bytes) else { return Outcome::Frames(vec![]) };
        let answer = match frame.ethertype() {
            EthernetProtocol::Arp => arp(frame.payload()),
            EthernetProtocol::Ipv4 => return self.take_v4(frame.src_addr(), frame.payload()),
            EthernetProtocol::Ipv6 => return self.take_v6(frame.src_addr(), frame.payload()),
            _ => None,
        };
        Outcome::Frames(answer.into_iter().collect())
    }

    fn take_v4(&mut self, hardware: EthernetAddress, packet: &[u8]) -> Outcome {
        let datagram = Ipv4Packet::new_checked(packet).ok().and_then(|packet| {
            let (from, to) = (packet.src_addr(), packet.dst_addr());
            let udp = (packet.next_header() == IpProtocol::Udp).then(|| packet.payload())?;
            datagram(hardware, from.into(), to.into(), udp)
        });
        datagram.map_or(Outcome::Frames(vec![]), |datagram| self.take_datagram(datagram))
    }

    fn take_v6(&mut self, hardware: EthernetAddress, packet: &[u8]) -> Outcome {
        let Ok(packet) = Ipv6Packet::new_checked(packet) else { return Outcome::Frames(vec![]) };
        let (from, to) = (packet.src_addr(), packet.dst_addr());
        if packet.next_header() == IpProtocol::Icmpv6 {
            return Outcome::Frames(self.icmpv6(hardware, from, to, packet.payload()));
        }
        let udp = Some(packet.payload()).filter(|_| packet.next_header() == IpProtocol::Udp);
        let datagram = udp.and_then(|udp| datagram(hardware, from.into(), to.into(), udp));
        datagram.map_or(Outcome::Frames(vec![]), |datagram| self.take_datagram(datagram))
    }

    fn take_datagram(&mut self, datagram: Datagram) -> Outcome {
        let answer = match datagram.to.port() {
            67 => self.dhcp(&datagram),
            53 => self.dns(&datagram),
            _ => return Outcome::Datagram(datagram),
        };
        Outcome::Frames(answer.into_iter().collect())
    }

    fn icmpv6(
        &self,
        hardware: EthernetAddress,
        from: Ipv6Addr,
        to: Ipv6Addr,
        packet: &[u8],
    ) -> Vec<Vec<u8>> {
        let Ok(packet) = Icmpv6Packet::new_checked(packet) else { return vec![] };
        let parsed = Icmpv6Repr::parse(&from, &to, &packet, &ChecksumCapabilities::default());
        match parsed {
            Ok(Icmpv6Repr::Ndisc(NdiscRepr::NeighborSolicit { target_addr, .. })) => {
                let advert = NdiscRepr::NeighborAdvert {
                    flags: NdiscNeighborFlags::SOLICITED | NdiscNeighborFlags::OVERRIDE,
                    target_addr,
                    lladdr: Some(HARDWARE.into()),
                };
                vec![frame::ndisc(target_addr, from, hardware, advert)]
            }
            Ok(Icmpv6Repr::Ndisc(NdiscRepr::RouterSolicit { .. })) if self.advertises => {
                let advert = NdiscRepr::RouterAdvert {
                    hop_limit: 64,
                    flags: NdiscRouterFlags::empty(),
                    router_lifetime: Duration::from_secs(9_000),
                    reachable_time: Duration::ZERO,
                    retrans_time: Duration::ZERO,
                    lladdr: Some(HARDWARE.into()),
                    mtu: None,
                    prefix_info: Some(NdiscPrefixInformation {
                        prefix_len: 64,
                        flags: NdiscPrefixInfoFlags::ON_LINK | NdiscPrefixInfoFlags::ADDRCONF,
                        valid_lifetime: Duration::from_secs(90_000),
                        preferred_lifetime: Duration::from_secs(90_000),
                        prefix: PREFIX,
                    }),
                };
                let everybody = EthernetAddress([0x33, 0x33, 0, 0, 0, 1]);
                vec![frame::ndisc(ROUTER_V6, ALL_NODES, everybody, advert)]
            }
            _ => vec![],
        }
    }

    fn dhcp(&mut self, question: &Datagram) -> Option<Vec<u8>> {
        let lease = self.lease?;
        let packet = DhcpPacket::new_checked(&question.bytes[..]).ok()?;
        let asked = DhcpRepr::parse(&packet).ok()?;
        let message_type = match asked.message_type {
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            DhcpMessageType::Request => DhcpMessageType::Ack,
            _ => return None,
        };
        self.granted += u32::from(message_type == DhcpMessageType::Ack);
        let servers: Vec<u8> = self.time_servers.iter().flat_map(Ipv4Addr::octets).collect();
        let option = [DhcpOption { kind: 42, data: &servers }];
        let answer = DhcpRepr {
            message_type,
            your_ip: LEASED,
            server_ip: ROUTER,
            server_identifier: Some(ROUTER),
            router: Some(ROUTER),
            subnet_mask: Some(Ipv4Addr::new(255, 255, 255, 0)),
            dns_servers: Some([RESOLVER].into_iter().collect()),
            lease_duration: Some(lease),
            renew_duration: None,
            rebind_duration: None,
            parameter_request_list: None,
            max_size: None,
            client_identifier: None,
            requested_ip: None,
            additional_options: if servers.is_empty() { &[] } else { &option },
            ..asked
        };
        let mut bytes = vec![0; answer.buffer_len()];
        answer.emit(&mut DhcpPacket::new_unchecked(&mut bytes[..])).ok()?;
        let everybody = SocketAddr::new(Ipv4Addr::BROADCAST.into(), 68);
        let from = SocketAddr::new(ROUTER.into(), 67);
        Some(frame::udp(from, everybody, EthernetAddress::BROADCAST, &bytes))
    }

    /// RFC 1035 §4.1.
    fn dns(&mut self, question: &Datagram) -> Option<Vec<u8>> {
        let bytes = &question.bytes;
        let mut name = String::new();
        let mut place = 12;
        while let Some(&len @ 1..) = bytes.get(place) {
            let label = bytes.get(place + 1..)?.get(..len.into())?;
            name += &format!("{}.", String::from_utf8_lossy(label));
            place += 1 + usize::from(len);
        }
        let name = name.trim_end_matches('.').to_owned();
        let kind = *bytes.get(place + 2)?;
        let addresses = self.names.get(&name).into_iter().flatten();
        let records: Vec<Vec<u8>> = addresses
            .filter_map(|address| match (address, kind) {
                (IpAddr::V4(address), 1) => Some(address.octets().to_vec()),
                (IpAddr::V6(address), 28) => Some(address.octets().to_vec()),
                _ => None,
            })
            .collect();
        self.asked.push(name);
        // An answer, with recursion; the question; then records that point back to its name.
        let mut answer = bytes.get(..2)?.to_vec();
        answer.extend([0x81, 0x80, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
        answer.extend(bytes.get(12..place + 5)?);
        for record in records {
            answer.extend([0xC0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, record.len() as u8]);
            answer.extend(record);
        }
        Some(question.reply(&answer))
    }
}

fn arp(packet: &[u8]) -> Option<Vec<u8>> {
    let asked = ArpRepr::parse(&ArpPacket::new_checked(packet).ok()?).ok()?;
    let ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr,
        source_protocol_addr,
        target_protocol_addr,
        ..
    } = asked
    else {
        return None;
    };
    Some(frame::arp(ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: HARDWARE,
        source_protocol_addr: target_protocol_addr,
        target_hardware_addr: source_hardware_addr,
        target_protocol_addr: source_protocol_addr,
    }))
}

fn datagram(
    hardware: EthernetAddress,
    from: IpAddr,
    to: IpAddr,
    packet: &[u8],
) -> Option<Datagram> {
    let packet = UdpPacket::new_checked(packet).ok()?;
    Some(Datagram {
        from: SocketAddr::new(from, packet.src_port()),
        to: SocketAddr::new(to, packet.dst_port()),
        bytes: packet.payload().to_vec(),
        hardware,
    })
}
