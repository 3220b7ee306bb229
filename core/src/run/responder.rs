//! Who answers the queries that come to a [`Node`](super::Node)'s listeners.

use core::net::SocketAddr;

use crate::engine::Engine;
use crate::hal::{AdjustableClock, DatagramSocket, Received};
use crate::server::{Answer, ClientSet, OpenServer, Refusal, Response, Server, StampSet};
use crate::units::{Now, WallTime};

/// No message that is answered is as long ...
const QUERY: usize = 1024;
/// ... nor a query for the time that has no more than 160 octets of extension fields and MAC.
const TIME_QUERY: usize = 256;
/// No reply that is used is as long: queries have no extension fields, so replies have none.
const REPLY: usize = 128;

/// A [`Server`], an [`OpenServer`], or [`Nobody`].
pub trait Responder {
    /// What holds a datagram: one that fills it was cut off and is dropped.
    type Datagram: AsRef<[u8]> + AsMut<[u8]>;
    /// An empty one.
    const EMPTY: Self::Datagram;

    /// The engine has changed, or time has passed.
    fn update<const PEERS: usize, const KINDS: usize, const EXTRAS: bool>(
        &mut self,
        engine: &Engine<PEERS, KINDS, EXTRAS>,
        now: Now,
    );

    /// Answers the datagram `bytes` that came to `listener` at `at`.
    ///
    /// # Errors
    /// Why there was no answer.
    fn respond(
        &mut self,
        listener: u16,
        received: &Received,
        at: WallTime,
        bytes: &[u8],
        clock: &impl AdjustableClock,
        socket: &mut impl DatagramSocket,
    ) -> Result<(), Refusal>;

    /// A datagram came that may be stamped by the time before a step: it is not answered.
    fn drop_stale(&mut self, bytes: &[u8]);

    /// The clock was stepped.
    fn stepped(&mut self);
}

impl<C, S, const RULES: usize> Responder for Server<C, S, RULES>
where
    C: AsRef<[ClientSet]> + AsMut<[ClientSet]>,
    S: AsMut<[StampSet]>,
{
    type Datagram = [u8; QUERY];
    const EMPTY: Self::Datagram = [0; QUERY];

    fn update<const PEERS: usize, const KINDS: usize, const EXTRAS: bool>(
        &mut self,
        engine: &Engine<PEERS, KINDS, EXTRAS>,
        now: Now,
    ) {
        Self::update(self, &engine.system(now), now);
    }

    fn respond(
        &mut self,
        listener: u16,
        received: &Received,
        at: WallTime,
        bytes: &[u8],
        clock: &impl AdjustableClock,
        socket: &mut impl DatagramSocket,
    ) -> Result<(), Refusal> {
        let (now, from) = (clock.now(), received.from);
        let answer = self.handle(bytes, from.ip(), at, now.mono)?;
        let left = match &answer {
            Answer::Time(response) => reply(response, listener, from, clock, socket).map(Some),
            Answer::Control(query) => {
                socket.reply(listener, from, &self.control(query, now)).ok().map(|()| None)
            }
        };
        if let Some(departed) = left {
            self.sent(&answer, departed);
        }
        Ok(())
    }

    fn drop_stale(&mut self, bytes: &[u8]) {
        Self::drop_stale(self, bytes);
    }

    fn stepped(&mut self) {
        Self::stepped(self);
    }
}

impl<S: AsMut<[StampSet]>> Responder for OpenServer<S> {
    type Datagram = [u8; TIME_QUERY];
    const EMPTY: Self::Datagram = [0; TIME_QUERY];

    fn update<const PEERS: usize, const KINDS: usize, const EXTRAS: bool>(
        &mut self,
        engine: &Engine<PEERS, KINDS, EXTRAS>,
        now: Now,
    ) {
        Self::update(self, &engine.system(now));
    }

    fn respond(
        &mut self,
        listener: u16,
        received: &Received,
        at: WallTime,
        bytes: &[u8],
        clock: &impl AdjustableClock,
        socket: &mut impl DatagramSocket,
    ) -> Result<(), Refusal> {
        let (now, from) = (clock.now(), received.from);
        let response = self.handle(bytes, from.ip(), at, now.mono)?;
        if let Some(leaving) = reply(&response, listener, from, clock, socket) {
            self.sent(&response, leaving);
        }
        Ok(())
    }

    fn drop_stale(&mut self, _: &[u8]) {}

    fn stepped(&mut self) {
        Self::stepped(self);
    }
}

/// Sends the time, and says when that was.
fn reply(
    response: &Response,
    listener: u16,
    to: SocketAddr,
    clock: &impl AdjustableClock,
    socket: &mut impl DatagramSocket,
) -> Option<WallTime> {
    // By when it is sent it may have arrived: what is known then is no better.
    let leaving = clock.now().wall;
    socket.reply(listener, to, &response.emit(leaving)).ok().map(|()| leaving)
}

/// Of a host that only asks: nobody is answered.
#[derive(Debug, Clone, Copy)]
pub struct Nobody;

impl Responder for Nobody {
    type Datagram = [u8; REPLY];
    const EMPTY: Self::Datagram = [0; REPLY];

    fn update<const PEERS: usize, const KINDS: usize, const EXTRAS: bool>(
        &mut self,
        _: &Engine<PEERS, KINDS, EXTRAS>,
        _: Now,
    ) {
    }

    fn respond(
        &mut self,
        _: u16,
        _: &Received,
        _: WallTime,
        _: &[u8],
        _: &impl AdjustableClock,
        _: &mut impl DatagramSocket,
    ) -> Result<(), Refusal> {
        Ok(())
    }

    fn drop_stale(&mut self, _: &[u8]) {}

    fn stepped(&mut self) {}
}
