//! The loop that firmware, the single-process daemon and tests share: it pumps one engine over
//! the [`hal`](crate::hal) traits. A datagram may bring about an event each: what becomes of those
//! is the shell's matter, and a [`Limiter`](crate::event::Limiter) keeps a flood out of its log.

mod responder;

use core::net::SocketAddr;

use crate::clock::{ClockCommand, ClockError, ClockReply};
use crate::engine::Engine;
use crate::estimate::ALL_KINDS;
use crate::event::Event;
use crate::hal::{AdjustableClock, Channel, DatagramSocket, RawStamp, Received};
use crate::io::{Input, Output};
use crate::peer::PeerId;
use crate::server::Refusal;
use crate::wire::{Header, ReferenceId};

pub use self::responder::{Nobody, Responder};

/// Datagrams taken in one turn, so that a flood does not hold up the timers.
const BATCH: usize = 32;

/// Turns after a step in which queries of others are not answered: what was waiting then is taken
/// in the first or, if the shell had not looked yet, in the second.
const STALE_TURNS: u8 = 2;

/// An engine and a [`Server`](crate::server::Server), or [`Nobody`], bound to sockets and a clock.
#[derive(Debug)]
pub struct Node<
    E,
    S,
    C,
    V,
    const PEERS: usize,
    const KINDS: usize = ALL_KINDS,
    const EXTRAS: bool = true,
> {
    /// Decides: an [`Engine`], or a reference to one, which is large.
    pub engine: E,
    /// Answers others.
    pub server: V,
    /// Sends and receives.
    pub socket: S,
    /// Is read, and disciplined.
    pub clock: C,
    /// The server has not been told of what the engine did since.
    outdated: bool,
    /// Steps of the clock.
    steps: u32,
    /// The clock was stepped, and what has arrived but not been read may be stamped by the old
    /// time.
    stale_turns: u8,
}

impl<E, S, C, V, const PEERS: usize, const KINDS: usize, const EXTRAS: bool>
    Node<E, S, C, V, PEERS, KINDS, EXTRAS>
where
    E: core::borrow::BorrowMut<Engine<PEERS, KINDS, EXTRAS>>,
    S: DatagramSocket,
    C: AdjustableClock,
    V: Responder,
{
    /// Binds them.
    pub const fn new(engine: E, server: V, socket: S, clock: C) -> Self {
        Self { engine, server, socket, clock, outdated: true, steps: 0, stale_turns: 0 }
    }

    /// Others are answered by another server from now on.
    pub fn set_server(&mut self, server: V) {
        self.server = server;
        self.outdated = true;
    }

    /// How often the clock was stepped.
    #[must_use]
    pub const fn steps(&self) -> u32 {
        self.steps
    }

    /// Takes what has arrived, up to a limit, and does what is due. What the loop cannot do
    /// itself (events, names to look up, bad peers to report) goes to `sink`.
    ///
    /// # Errors
    /// [`nb::Error::WouldBlock`] if nothing had arrived: the next turn may wait for a datagram or
    /// for [`Engine::next_deadline`]. Another error is the socket's.
    pub fn turn(&mut self, sink: &mut impl FnMut(Output)) -> nb::Result<(), S::Error> {
        self.update_server();
        let received = self.receive(sink);
        self.fire(sink);
        received
    }

    /// Tells the engine of something that the loop does not know of.
    pub fn input(&mut self, input: Input<'_>, sink: &mut impl FnMut(Output)) {
        // What comes of it is taken from the queue by `drain`.
        let _ = self.engine.borrow_mut().handle(self.clock.now(), input);
        self.drain(sink);
    }

    fn receive(&mut self, sink: &mut impl FnMut(Output)) -> nb::Result<(), S::Error> {
        let mut buffer = V::EMPTY;
        for taken in 0..BATCH {
            let received = self.socket.receive(buffer.as_mut());
            while let Some((peer, stamp)) = self.socket.departed() {
                let input = self.sent(peer, stamp);
                self.input(input, sink);
            }
            match received {
                Ok(received) => self.dispatch(received, buffer.as_ref(), sink),
                Err(error) => {
                    self.stale_turns = self.stale_turns.saturating_sub(1);
                    return if taken > 0 { Ok(()) } else { Err(error) };
                }
            }
        }
        Ok(())
    }

    fn dispatch(&mut self, received: Received, buffer: &[u8], sink: &mut impl FnMut(Output)) {
        // What fills the buffer was cut off: nothing of it is a packet.
        let bytes = buffer.get(..received.len).filter(|bytes| bytes.len() < buffer.len());
        let bytes = bytes.unwrap_or_default();
        let stamp = self.clock.stamp(received.stamp);
        match received.channel {
            Channel::Peer(peer) => {
                let from = received.from;
                self.input(Input::Datagram { peer, from, received: stamp, bytes }, sink);
            }
            Channel::Listener(_) if self.stale_turns > 0 => self.server.drop_stale(bytes),
            Channel::Listener(listener) => {
                if self.outdated {
                    self.update_server();
                }
                let Self { server, clock, socket, .. } = self;
                let responded =
                    server.respond(listener, &received, stamp.time, bytes, clock, socket);
                if responded == Err(Refusal::Malformed) {
                    let address = received.from.ip();
                    sink(Output::Event(Event::MalformedPacket { address }));
                }
            }
        }
    }

    fn update_server(&mut self) {
        let now = self.clock.now();
        self.server.update(self.engine.borrow(), now);
        self.outdated = false;
    }

    /// Handles the timers that are due, each peer's at most twice.
    fn fire(&mut self, sink: &mut impl FnMut(Output)) {
        for done in 0..2 * PEERS + BATCH {
            let now = self.clock.now();
            let due =
                self.engine.borrow().next_deadline().is_some_and(|deadline| deadline <= now.mono);
            // Once in any case: the engine looks whether somebody else moved the clock.
            if done > 0 && !due {
                break;
            }
            let _ = self.engine.borrow_mut().handle(now, Input::Timeout);
            self.drain(sink);
        }
    }

    /// Does what the engine has ordered outside of a turn: when peers were removed.
    pub fn drain(&mut self, sink: &mut impl FnMut(Output)) {
        self.outdated = true;
        while let Some(output) = self.engine.borrow_mut().outputs().next() {
            match output {
                Output::Transmit { peer, to, ref bytes } => {
                    let input = self.transmit(peer, to, bytes);
                    let _ = self.engine.borrow_mut().handle(self.clock.now(), input);
                }
                Output::Clock(command) => {
                    let reply = self.command(command);
                    if let Some((from, to)) = self.clock.take_found() {
                        sink(Output::Event(Event::FrequencyChanged { from, to }));
                    }
                    let _ = self.engine.borrow_mut().handle(self.clock.now(), Input::Clock(reply));
                }
                _ => sink(output),
            }
        }
    }

    fn transmit(
        &mut self,
        peer: PeerId,
        to: SocketAddr,
        bytes: &[u8; Header::LEN],
    ) -> Input<'static> {
        match self.socket.query(peer, to, bytes) {
            Ok(stamp) => self.sent(peer, stamp),
            Err(_) => Input::SendFailed { peer },
        }
    }

    fn sent(&self, peer: PeerId, stamp: RawStamp) -> Input<'static> {
        let own_id = self.socket.served_at(peer).map(ReferenceId::from_addr);
        Input::Sent { peer, at: self.clock.stamp(stamp), own_id }
    }

    #[inline(never)]
    fn command(&mut self, command: ClockCommand) -> ClockReply {
        let reply = match command {
            ClockCommand::Step(by) => self.clock.step(by).map(|by| {
                self.stale_turns = STALE_TURNS;
                self.steps = self.steps.wrapping_add(1);
                self.server.stepped();
                ClockReply::Stepped { by, now: self.clock.now().wall }
            }),
            ClockCommand::Adjust { frequency, slew } => self
                .clock
                .adjust(frequency, slew)
                .map(|rate| ClockReply::Adjusted { at: self.clock.now().wall, rate }),
            // Without extras no engine asks for it.
            ClockCommand::Lock { .. } if !EXTRAS => Err(ClockError::Unsupported),
            ClockCommand::Lock { frequency, offset, poll } => {
                self.clock.lock(frequency, offset, poll).map(|frequency| ClockReply::Locked {
                    at: self.clock.now().wall,
                    offset,
                    poll,
                    frequency,
                })
            }
            ClockCommand::Status(status) => {
                self.clock.set_status(&status).map(|()| ClockReply::StatusSet)
            }
            ClockCommand::Leap(plan) => self.clock.set_leap(&plan).map(|()| ClockReply::StatusSet),
        };
        reply.unwrap_or_else(|error| ClockReply::Failed { command, error })
    }
}

#[cfg(test)]
mod tests;
