//! What a DHCP server says (RFC 2131), the servers of time among it (RFC 2132 §8.3).

use core::net::Ipv4Addr;

use heapless::Vec;
use smoltcp::iface::{Interface, SocketHandle, SocketSet};
use smoltcp::socket::dhcpv4::{Event, Socket};
use smoltcp::wire::{IpAddress, Ipv4Address};

use super::addressing::set_ipv4;

/// Servers of time that are taken from a lease.
const SERVERS: usize = 4;
/// A longer message is taken without servers of time: one that every host takes fits (RFC 2131 §2).
const MESSAGE: usize = 548;

const SUBNET_MASK: u8 = 1;
const ROUTER: u8 = 3;
const DOMAIN_NAME_SERVER: u8 = 6;
const NTP_SERVERS: u8 = 42;

/// Addresses of servers of time.
pub type TimeServers = Vec<Ipv4Addr, SERVERS>;

/// Memory for the message that came last.
#[derive(Debug)]
pub(super) struct Message([u8; MESSAGE]);

impl Message {
    pub(super) const EMPTY: Self = Self([0; MESSAGE]);
}

/// What became of the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lease {
    Granted { resolver: Option<IpAddress>, servers: TimeServers, new_address: NewAddress },
    Lost,
}

/// Whether a lease is of another address than the interface had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NewAddress(pub(crate) bool);

/// The client's socket.
pub(super) fn socket(message: &mut Message) -> Socket<'_> {
    let mut socket = Socket::new();
    socket.set_parameter_request_list(&[SUBNET_MASK, ROUTER, DOMAIN_NAME_SERVER, NTP_SERVERS]);
    socket.set_receive_packet_buffer(&mut message.0);
    socket
}

/// Asks anew, as when the cable was plugged into another network.
pub(super) fn restart(handle: SocketHandle, sockets: &mut SocketSet<'_>) {
    sockets.get_mut::<Socket>(handle).reset();
}

/// Addresses the interface as the server says, once it has said something new.
pub(super) fn poll(
    handle: SocketHandle,
    sockets: &mut SocketSet<'_>,
    interface: &mut Interface,
) -> Option<Lease> {
    let (address, router, lease) = match sockets.get_mut::<Socket>(handle).poll()? {
        Event::Deconfigured => (None, None, Lease::Lost),
        Event::Configured(config) => {
            let mut servers = TimeServers::new();
            if let Some(packet) = &config.packet {
                let options = packet.options().filter(|option| option.kind == NTP_SERVERS);
                for address in options.flat_map(|option| option.data.chunks_exact(4)) {
                    let address = <[u8; 4]>::try_from(address).map(Ipv4Address::from);
                    if let Some(address) = address.ok().filter(|address| is_usable(*address)) {
                        // More than there is room for are not asked.
                        let _ = servers.push(address);
                    }
                }
            }
            let new_address = NewAddress(interface.ipv4_addr() != Some(config.address.address()));
            let resolver = config.dns_servers.first().map(|address| (*address).into());
            (Some(config.address), config.router, Lease::Granted { resolver, servers, new_address })
        }
    };
    set_ipv4(interface, address, router);
    Some(lease)
}

fn is_usable(address: Ipv4Addr) -> bool {
    !(address.is_unspecified() || address.is_broadcast() || address.is_multicast())
}
