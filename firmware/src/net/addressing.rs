//! Where a host has its addresses from.

use smoltcp::iface::{self, Interface};
use smoltcp::phy::Device;
use smoltcp::time::Instant as NetInstant;
#[cfg(feature = "ipv6")]
use smoltcp::wire::Ipv6Cidr;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, Ipv4Address, Ipv4Cidr};

/// Where link-local addresses are (RFC 4291 §2.5.6).
#[cfg(feature = "ipv6")]
const LINK_LOCAL: Ipv6Cidr =
    Ipv6Cidr::new(core::net::Ipv6Addr::new(0xFE80, 0, 0, 0, 0, 0, 0, 0), 64);

/// How a host is addressed.
#[derive(Debug, Clone, Copy)]
pub struct Addressing {
    /// On the link.
    pub hardware: HardwareAddress,
    /// The Internet's first.
    pub ipv4: Ipv4,
    /// Whether it makes itself IPv6 addresses of what routers advertise (RFC 4862). Only on
    /// Ethernet, and under the feature `ipv6`.
    pub slaac: bool,
    /// Who looks names up, unless DHCP says.
    pub resolver: Option<IpAddress>,
}

/// Where an IPv4 address is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ipv4 {
    /// There is none, or it is given to [`Stack::interface`](super::Stack::interface).
    None,
    /// It is this one.
    Static {
        /// With the length of the prefix that is on the link.
        address: Ipv4Cidr,
        /// Who forwards to the rest of the world.
        router: Option<Ipv4Address>,
    },
    /// DHCP (RFC 2131). Only on Ethernet.
    Dhcp,
}

impl Addressing {
    /// The interface as it is before anybody was asked; `seed` is of what it draws at random.
    pub(super) fn interface<D: Device + ?Sized>(&self, device: &mut D, seed: u64) -> Interface {
        let mut config = iface::Config::new(self.hardware);
        config.random_seed = seed;
        #[cfg(feature = "ipv6")]
        {
            config.slaac = self.slaac;
        }
        let mut interface = Interface::new(config, device, NetInstant::ZERO);
        #[cfg(feature = "ipv6")]
        if self.slaac
            && let Some(local) = Ipv6Cidr::from_link_prefix(&LINK_LOCAL, self.hardware)
        {
            // There is room for the first ones.
            interface.update_ip_addrs(|ours| {
                let _ = ours.push(local.into());
            });
        }
        if let Ipv4::Static { address, router } = self.ipv4 {
            set_ipv4(&mut interface, Some(address), router);
        }
        interface
    }
}

/// Gives the interface this IPv4 address and default route in place of any other.
pub(super) fn set_ipv4(
    interface: &mut Interface,
    address: Option<Ipv4Cidr>,
    router: Option<Ipv4Address>,
) {
    interface.update_ip_addrs(|ours| {
        #[allow(irrefutable_let_patterns, reason = "there may be one family")]
        ours.retain(|one| !matches!(one, IpCidr::Ipv4(_)));
        if let Some(address) = address {
            // The place of the one before, or one of the first.
            let _ = ours.push(address.into());
        }
    });
    match router {
        Some(router) => drop(interface.routes_mut().add_default_ipv4_route(router)),
        None => drop(interface.routes_mut().remove_default_ipv4_route()),
    }
}
