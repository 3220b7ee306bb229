//! Names looked up, one at a time.
//!
//! Decides what is asked for: the addresses of the family that is there, IPv4 first.

use core::net::IpAddr;

use heapless::{Deque, Vec};
use smoltcp::iface::{Interface, SocketHandle, SocketSet};
use smoltcp::socket::dns::{DnsQuery, GetQueryResultError, QueryHandle, Socket};
use smoltcp::wire::{DnsQueryType, IpAddress};
use truechimer_core::PeerId;

use super::family;

/// Addresses that are taken of a name.
const ADDRESSES: usize = 4;

/// Addresses of a name; none if there are none, or nobody answers.
pub type Addresses = Vec<IpAddr, ADDRESSES>;

/// Memory for what is asked.
pub(super) type Question = [Option<DnsQuery>; 1];

/// The lookups that were ordered.
pub(super) struct Names<const PEERS: usize> {
    handle: SocketHandle,
    waiting: Deque<(PeerId, &'static str), PEERS>,
    current: Option<Lookup>,
}

struct Lookup {
    peer: PeerId,
    name: &'static str,
    query: QueryHandle,
    kind: DnsQueryType,
    found: Addresses,
}

impl<const PEERS: usize> Names<PEERS> {
    pub(super) const fn new(handle: SocketHandle) -> Self {
        Self { handle, waiting: Deque::new(), current: None }
    }

    /// Asks `resolver` from now on.
    pub(super) fn ask_at(&self, sockets: &mut SocketSet<'_>, resolver: Option<IpAddress>) {
        sockets.get_mut::<Socket>(self.handle).update_servers(resolver.as_slice());
    }

    /// Orders a lookup, unless it is ordered already.
    pub(super) fn look_up(&mut self, peer: PeerId, name: &'static str) {
        let known = self.waiting.iter().any(|(waiting, _)| *waiting == peer);
        if !known && self.current.as_ref().is_none_or(|current| current.peer != peer) {
            // There is a place for each peer; one that left is dropped for a newer.
            if self.waiting.is_full() {
                self.waiting.pop_front();
            }
            let _ = self.waiting.push_back((peer, name));
        }
    }

    /// Whether an answer is waited for.
    pub(super) const fn is_asking(&self) -> bool {
        self.current.is_some()
    }

    /// Goes on with what was ordered, and returns what was found.
    pub(super) fn poll(
        &mut self,
        sockets: &mut SocketSet<'_>,
        interface: &mut Interface,
    ) -> Option<(PeerId, Addresses)> {
        let socket = sockets.get_mut::<Socket>(self.handle);
        let Some(Lookup { peer, name, query, kind, mut found }) = self.current.take() else {
            let (peer, name) = self.waiting.pop_front()?;
            let kind = family::first_kind(interface);
            return self.ask(socket, interface, peer, name, kind, Addresses::new());
        };
        match socket.get_query_result(query) {
            Err(GetQueryResultError::Pending) => {
                self.current = Some(Lookup { peer, name, query, kind, found });
                return None;
            }
            Err(GetQueryResultError::Failed) => {}
            Ok(addresses) => {
                for address in addresses {
                    let _ = found.push(address.into());
                }
            }
        }
        match family::next_kind(kind, interface) {
            Some(next) => self.ask(socket, interface, peer, name, next, found),
            None => Some((peer, found)),
        }
    }

    fn ask(
        &mut self,
        socket: &mut Socket<'_>,
        interface: &mut Interface,
        peer: PeerId,
        name: &'static str,
        kind: DnsQueryType,
        found: Addresses,
    ) -> Option<(PeerId, Addresses)> {
        match socket.start_query(interface.context(), name, kind) {
            Ok(query) => {
                self.current = Some(Lookup { peer, name, query, kind, found });
                None
            }
            // It is no name.
            Err(_) => Some((peer, found)),
        }
    }
}
