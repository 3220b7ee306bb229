//! The sockets that time is served on, as the configuration wants them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{SockaddrStorage, bind, setsockopt, sockopt};
use truechimer_core::event::Event;
use truechimer_core::hal::Channel;

use super::{Sockets, datagram_socket, message};
use crate::config::Listen;

/// A socket that time is served on.
#[derive(Debug)]
pub(super) struct Listener {
    /// Where it was to be bound.
    pub(super) address: SocketAddr,
    pub(super) socket: UdpSocket,
}

const ALL: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];

impl Sockets {
    /// Serves time there and nowhere else from now on. Sockets that are open already stay so; what
    /// could not be bound before is tried again. Returns what could not be bound, and why.
    pub fn set_listening(&mut self, wanted: &[Listen]) -> Vec<(SocketAddr, Errno)> {
        let wanted: Vec<SocketAddr> = wanted
            .iter()
            .flat_map(|listen| {
                let addresses =
                    listen.address.as_ref().map_or(ALL.as_slice(), std::slice::from_ref);
                addresses.iter().map(|ip| SocketAddr::new(*ip, listen.port))
            })
            .collect();
        self.listeners.retain(|listener| wanted.contains(&listener.address));
        // Their places have changed; poll(2) tells again what waits.
        self.ready.retain(|channel| !matches!(channel, Channel::Listener(_)));
        wanted
            .into_iter()
            .filter_map(|address| self.open(address).err().map(|error| (address, error)))
            .collect()
    }

    fn open(&mut self, address: SocketAddr) -> Result<(), Errno> {
        if self.listeners.iter().any(|listener| listener.address == address) {
            return Ok(());
        }
        match bound(address, &mut self.failures) {
            Ok(socket) => {
                self.listeners.push(Listener { address, socket });
                Ok(())
            }
            // A host without IPv6 still has every address.
            Err(Errno::EAFNOSUPPORT) if ALL.contains(&address.ip()) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn bound(address: SocketAddr, failures: &mut Vec<Event<'static>>) -> Result<UdpSocket, Errno> {
    let socket = datagram_socket(address, failures)?;
    if address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    if address.ip().is_unspecified() {
        let _ = message::enable_local(&socket, address);
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    Ok(socket)
}
