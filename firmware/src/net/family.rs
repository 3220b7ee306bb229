//! Addresses of the families that there are: IPv4, and IPv6 under the feature `ipv6`.

use core::net::{IpAddr, SocketAddr};

use smoltcp::iface::Interface;
use smoltcp::time::Instant;
#[cfg(feature = "ipv6")]
use smoltcp::wire::IpCidr;
use smoltcp::wire::{DnsQueryType, IpAddress, IpEndpoint};

/// The same address, if it is of such a family.
pub(super) const fn address(address: IpAddr) -> Option<IpAddress> {
    match address {
        IpAddr::V4(address) => Some(IpAddress::Ipv4(address)),
        #[cfg(feature = "ipv6")]
        IpAddr::V6(address) => Some(IpAddress::Ipv6(address)),
        #[cfg(not(feature = "ipv6"))]
        IpAddr::V6(_) => None,
    }
}

pub(super) fn endpoint(to: SocketAddr) -> Option<IpEndpoint> {
    address(to.ip()).map(|addr| IpEndpoint { addr, port: to.port() })
}

/// What a name is asked for first: IPv4 addresses, unless there is none here.
#[cfg(feature = "ipv6")]
pub(super) fn first_kind(interface: &Interface) -> DnsQueryType {
    if interface.ipv4_addr().is_some() { DnsQueryType::A } else { DnsQueryType::Aaaa }
}

/// What it is asked for after that.
#[cfg(feature = "ipv6")]
pub(super) fn next_kind(kind: DnsQueryType, interface: &Interface) -> Option<DnsQueryType> {
    let is_global = |ours: &IpCidr| match ours.address() {
        IpAddress::Ipv6(address) => !address.is_unicast_link_local(),
        IpAddress::Ipv4(_) => false,
    };
    let has_global = interface.ip_addrs().iter().any(is_global);
    (kind == DnsQueryType::A && has_global).then_some(DnsQueryType::Aaaa)
}

/// When routers advertised something new last, if ever.
#[cfg(feature = "ipv6")]
pub(super) fn advertised(interface: &Interface) -> Instant {
    interface.slaac_updated_at()
}

#[cfg(not(feature = "ipv6"))]
pub(super) const fn first_kind(_: &Interface) -> DnsQueryType {
    DnsQueryType::A
}

#[cfg(not(feature = "ipv6"))]
pub(super) const fn next_kind(_: DnsQueryType, _: &Interface) -> Option<DnsQueryType> {
    None
}

#[cfg(not(feature = "ipv6"))]
pub(super) const fn advertised(_: &Interface) -> Instant {
    Instant::ZERO
}
