//! The sockets that time is served on, as the configuration wants them: by the engine's thread, or
//! by workers, each of which has one of its own at every address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
#[cfg(target_os = "linux")]
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::socket::{SockaddrStorage, bind, setsockopt, sockopt};
use truechimer_core::event::Event;
use truechimer_core::hal::Channel;

use super::{Sockets, Stamping, datagram_socket, message};
use crate::config::Listen;
#[cfg(target_os = "linux")]
use crate::sys::batch::never_fragment;

/// What may wait for a worker, octets.
const WORKER_BUFFER: usize = 1 << 20;

/// A socket that the engine's thread serves on.
#[derive(Debug)]
pub(super) struct Listener {
    /// Where it was to be bound.
    pub(super) address: SocketAddr,
    pub(super) socket: UdpSocket,
}

/// Sockets at one address, one for each worker.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) address: SocketAddr,
    sockets: Vec<Arc<UdpSocket>>,
}

const ALL: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];

impl Sockets {
    /// Serves time there and nowhere else from now on, by so many workers, or by this thread if
    /// there are none. Sockets that are open already stay so, unless the number of workers is
    /// another one; what could not be bound before is tried again. Returns what could not be bound,
    /// and why.
    ///
    /// Workers have ended before: where they served others can only then.
    pub fn set_listening(&mut self, wanted: &[Listen], workers: usize) -> Vec<(SocketAddr, Errno)> {
        let wanted: Vec<SocketAddr> = wanted
            .iter()
            .flat_map(|listen| {
                let addresses =
                    listen.address.as_ref().map_or(ALL.as_slice(), std::slice::from_ref);
                addresses.iter().map(|ip| SocketAddr::new(*ip, listen.port))
            })
            .collect();
        self.listeners.retain(|listener| workers == 0 && wanted.contains(&listener.address));
        self.shared
            .retain(|shared| shared.sockets.len() == workers && wanted.contains(&shared.address));
        // Their places have changed; poll(2) tells again what waits.
        self.ready.retain(|channel| !matches!(channel, Channel::Listener(_)));
        let open = |address| self.open(address, workers).err().map(|error| (address, error));
        wanted.into_iter().filter_map(open).collect()
    }

    /// The sockets of each worker; none if there is nowhere to serve.
    #[must_use]
    pub fn of_workers(&self) -> Vec<Vec<Arc<UdpSocket>>> {
        let workers = self.shared.first().map_or(0, |shared| shared.sockets.len());
        let of = |worker| {
            let sockets = self.shared.iter().filter_map(|shared| shared.sockets.get(worker));
            sockets.cloned().collect()
        };
        (0..workers).map(of).collect()
    }

    fn open(&mut self, address: SocketAddr, workers: usize) -> Result<(), Errno> {
        let own = self.listeners.iter().map(|listener| listener.address);
        if own.chain(self.shared.iter().map(|shared| shared.address)).any(|at| at == address) {
            return Ok(());
        }
        match self.bind(address, workers) {
            // A host without IPv6 still has every address.
            Err(Errno::EAFNOSUPPORT) if ALL.contains(&address.ip()) => Ok(()),
            outcome => outcome,
        }
    }

    fn bind(&mut self, address: SocketAddr, workers: usize) -> Result<(), Errno> {
        // Also where workers serve nobody else may, with whom it could be shared too.
        let socket = bound(address, Sharing::No, &mut self.failures)?;
        if workers == 0 {
            self.listeners.push(Listener { address, socket });
            return Ok(());
        }
        drop(socket);
        let shared = |_| bound(address, Sharing::Yes, &mut self.failures).map(Arc::new);
        let sockets = (0..workers).map(shared).collect::<Result<_, _>>()?;
        self.shared.push(Shared { address, sockets });
        Ok(())
    }
}

/// Whether a socket is one of several that are bound to the same address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    No,
    Yes,
}

fn bound(
    address: SocketAddr,
    sharing: Sharing,
    failures: &mut Vec<Event<'static>>,
) -> Result<UdpSocket, Errno> {
    let socket = datagram_socket(address, failures)?;
    Stamping::of_arrivals(&socket);
    if sharing == Sharing::Yes {
        setsockopt(&socket, sockopt::ReusePort, &true)?;
        // As much of it as the system allows.
        let _ = setsockopt(&socket, sockopt::RcvBuf, &WORKER_BUFFER);
        #[cfg(target_os = "linux")]
        let _ = address.is_ipv4().then(|| never_fragment(socket.as_fd()));
    }
    if address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    if address.ip().is_unspecified() {
        let _ = message::enable_local(&socket, address);
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    Ok(socket)
}
