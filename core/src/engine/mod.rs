//! The coordinator: takes inputs to the part that decides on them and queues what comes of it.

mod constraint;
mod holdover;
mod jump;
mod leap;
mod names;
mod orphans;
mod report;
mod roster;
mod snapshot;
mod steer;
mod sync;
#[cfg(test)]
mod tests;

use core::net::SocketAddr;

use chacha20::ChaCha8Rng;
use chacha20::rand_core::SeedableRng;
use heapless::{Deque, Vec};

use self::constraint::Constraint;
use self::names::Left;
use self::report::Report;
use self::roster::slot;
use self::sync::Sync;
use crate::clock::{ClockCommand, ClockError, ClockReply};
use crate::config::Config;
use crate::discipline::Discipline;
use crate::estimate::{ALL_KINDS, Verdict};
use crate::event::{Event, NotSyncedReason};
use crate::holdover::{Keep, KnownFrequency, Quality};
use crate::io::{Input, Output, Request, Stamp};
use crate::peer::{Bound, Change, Due, Peer, PeerId, Received, Reject, Terms};
use crate::select::{Selection, Standing};
use crate::system::SystemState;
use crate::units::{Instant, Now, Span};

pub use roster::TooManyPeers;
pub use snapshot::{PeerSnapshot, Snapshot};

/// What one input may bring about at most.
pub const MAX_OUTPUTS: usize = 8;
/// What stays queued if it is not taken.
const QUEUE: usize = 2 * MAX_OUTPUTS;
/// First queries of different peers are this far apart.
const STAGGER: Span = Span::from_millis(100);

/// An NTP client and the state of the clock that it disciplines, for up to `PEERS` peers.
///
/// Of each peer, `KINDS` kinds of noise are reckoned with ([`Estimator`](crate::Estimator)).
///
/// `EXTRAS` are what only a daemon needs. Its operator may ask for members of pools, orphan mode, a
/// constraint, the clock's own loop, lists of leap seconds, leap seconds that are slewed or ignored;
/// he has requests, and wants to know of dropped datagrams ([`Output::Rejected`]). Its clock is in
/// another process and may fail, answer late or not at all, or has gone on while the host slept.
/// Without them an image is smaller, their settings and inputs have no effect, and the clock is to answer
/// each command.
///
/// It never reads a clock or sends anything: [`handle`](Self::handle) takes what happened and
/// returns what is to be done.
#[derive(Debug)]
pub struct Engine<const PEERS: usize, const KINDS: usize = ALL_KINDS, const EXTRAS: bool = true> {
    peers: Vec<Associate<KINDS>, PEERS>,
    /// So many peers were removed, modulo what ids can tell apart.
    generation: u16,
    selection: Selection<PEERS>,
    left: Left,
    constraint: Constraint,
    discipline: Discipline<EXTRAS>,
    sync: Sync,
    /// How good the clock was at the start, before any source.
    boot: Quality,
    frequency_deviation: f64,
    keep: Keep,
    report: Report,
    precision: Span,
    packets: f64,
    orphan_stratum: Option<u8>,
    rng: ChaCha8Rng,
    outputs: Deque<Output, QUEUE>,
}

#[derive(Debug)]
struct Associate<const KINDS: usize> {
    id: PeerId,
    peer: Peer<KINDS>,
    /// What the last selection made of it, if it was a candidate.
    standing: Standing,
    sent: Stamp,
    received: Stamp,
    /// What it said before somebody else moved the clock has not been confirmed since.
    unconfirmed: bool,
}

/// What is to be done, in order. What is not taken stays queued for the next time.
#[derive(Debug)]
#[must_use = "queries and clock commands are among the outputs"]
pub struct Outputs<'a>(&'a mut Deque<Output, QUEUE>);

impl Iterator for Outputs<'_> {
    type Item = Output;

    #[inline(never)]
    fn next(&mut self) -> Option<Output> {
        self.0.pop_front()
    }
}

impl<const PEERS: usize, const KINDS: usize, const EXTRAS: bool> Engine<PEERS, KINDS, EXTRAS> {
    /// An engine without peers. `seed` must be unpredictable to whoever can send datagrams here.
    #[must_use]
    #[inline(never)]
    pub fn new(config: &Config, now: Now, seed: [u8; 32]) -> Self {
        let (frequency, deviation) = (config.frequency, config.frequency_deviation);
        Self {
            peers: Vec::new(),
            generation: 0,
            selection: Selection::new(config.min_sources),
            left: Left::default(),
            constraint: Constraint::new(config.constrained, now.mono),
            discipline: Discipline::new(config, now),
            sync: Sync::new(config),
            boot: Quality::UNKNOWN,
            frequency_deviation: deviation,
            keep: Keep::new(KnownFrequency { frequency, deviation }),
            report: Report::default(),
            precision: Span::from_log2_secs(config.precision),
            packets: config.packets,
            orphan_stratum: config.orphan_stratum,
            rng: ChaCha8Rng::from_seed(seed),
            outputs: Deque::new(),
        }
    }

    /// When [`Input::Timeout`] is due next. One due timer is handled at a time: repeat while this
    /// is not in the future.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let constraint = if EXTRAS { self.constraint.deadline() } else { Instant::NEVER };
        let others = constraint
            .min(self.discipline.deadline())
            .min(self.discipline.leaps.deadline())
            .min(self.sync.deadline())
            .min(self.sync.tell_deadline())
            .min(self.report.deadline());
        let peers = self.peers.iter().map(|associate| associate.peer.deadline());
        Some(peers.fold(others, Instant::min)).filter(|deadline| *deadline < Instant::NEVER)
    }

    /// Takes an input in and returns what is to be done, at most `MAX_OUTPUTS` more than was
    /// left over.
    ///
    /// While fewer places than that are free, time-outs are not handled and datagrams are dropped:
    /// the shell must take the outputs.
    pub fn handle(&mut self, now: Now, input: Input<'_>) -> Outputs<'_> {
        let has_room = QUEUE - self.outputs.len() >= MAX_OUTPUTS;
        if has_room {
            let reply = if let Input::Clock(reply) = &input { Some(reply) } else { None };
            self.watch_clock(now, reply);
        }
        match input {
            Input::Timeout if has_room => self.handle_timeout(now),
            Input::Timeout => {}
            Input::Datagram { peer, from, received, bytes } => {
                let busy = if !has_room {
                    Some(Reject::Busy)
                } else if self.discipline.is_changing(now.mono) {
                    Some(Reject::Stepping)
                } else {
                    None
                };
                self.handle_datagram(now, peer, from, received, bytes, busy);
            }
            Input::Sent { peer, at, own_id } => {
                if let Some(associate) = self.associate_mut(peer) {
                    associate.sent = at;
                    associate.peer.handle_sent(at.time, own_id);
                }
            }
            Input::SendFailed { peer } => {
                let change = self.peer_mut(peer).and_then(|peer| peer.handle_send_failed(now.mono));
                self.peer_changed(now, peer, change);
                self.take_address(now, peer);
            }
            Input::Resolved { peer, addresses } => self.handle_resolved(now, peer, addresses),
            Input::Constrained { time } if EXTRAS => self.handle_constrained(now, time),
            Input::Clock(reply) => self.handle_clock(now, &reply),
            Input::Operator(request) if EXTRAS => self.handle_operator(now, request),
            Input::Constrained { .. } | Input::Operator(_) => {}
        }
        self.outputs()
    }

    /// What is still to be done.
    pub fn outputs(&mut self) -> Outputs<'_> {
        Outputs(&mut self.outputs)
    }

    /// The state that a server tells its clients.
    #[must_use]
    pub fn system(&self, now: Now) -> SystemState {
        let doubtful = self.discipline.is_doubtful_at(now);
        let leap = self.discipline.leaps.indicator(now.wall);
        let offset = self.discipline.offset(now.wall).unwrap_or_default();
        self.sync.system(now, offset, doubtful, leap)
    }

    fn associate(&self, id: PeerId) -> Option<&Associate<KINDS>> {
        self.peers.iter().find(|associate| associate.id == id)
    }

    fn associate_mut(&mut self, id: PeerId) -> Option<&mut Associate<KINDS>> {
        find(&mut self.peers, id)
    }

    fn peer_mut(&mut self, id: PeerId) -> Option<&mut Peer<KINDS>> {
        self.associate_mut(id).map(|associate| &mut associate.peer)
    }

    fn push(&mut self, output: Output) {
        // A call adds at most MAX_OUTPUTS, for which there is room unless clock replies and the
        // like come without outputs being taken; then what is lost is what nobody looked at.
        let _ = self.outputs.push_back(output);
    }

    fn event(&mut self, event: Event<'static>) {
        self.push(Output::Event(event));
    }

    fn command(&mut self, command: ClockCommand) {
        self.push(Output::Clock(command));
    }

    fn handle_timeout(&mut self, now: Now) {
        if EXTRAS && let Some(command) = self.discipline.overdue(now.mono) {
            let error = ClockError::NoReply;
            self.handle_clock(now, &ClockReply::Failed { command, error });
            self.lose_sync(now);
        } else if let Some(command) = self.discipline.handle_timeout(now) {
            self.command(command);
        } else if self.discipline.leaps.take_due(now.mono) {
            self.leap_due(now);
        } else if self.sync.handle_timeout(now.mono) {
            self.event(Event::ClockUnsynced);
            self.set_status(now);
        } else if self.sync.tell_deadline() <= now.mono {
            self.set_status(now);
        } else if EXTRAS && self.constraint.handle_timeout(now.mono, &mut self.rng) {
            self.push(Output::Constrain);
        } else if let Some(place) = self.report.next() {
            self.report_peer(place);
        } else {
            self.poll_peer(now);
        }
    }

    fn poll_peer(&mut self, now: Now) {
        let first = self.peers.iter_mut().min_by_key(|associate| associate.peer.deadline());
        let Some(&mut Associate { id, ref mut peer, .. }) = first else { return };
        if peer.deadline() > now.mono {
            return;
        }
        match peer.handle_timeout(now, self.sync.is_trusted(), &mut self.rng) {
            Due::Resolve => {
                self.push(Output::Resolve(id));
                self.report.consider(now.mono, &self.peers);
            }
            Due::Query { to, bytes } => self.push(Output::Transmit { peer: id, to, bytes }),
            Due::Lost(change) => {
                self.peer_changed(now, id, change);
                self.take_address(now, id);
            }
        }
    }

    fn handle_datagram(
        &mut self,
        now: Now,
        id: PeerId,
        from: SocketAddr,
        received: Stamp,
        bytes: &[u8],
        busy: Option<Reject>,
    ) {
        let Some(Associate { peer, .. }) = find(&mut self.peers, id) else { return };
        let outcome = match busy {
            Some(reason) => Received::Ignored(reason),
            None => {
                let bound = if EXTRAS { self.constraint.at(now.mono) } else { Bound::Open };
                let terms = Terms { precision: self.precision, bound };
                peer.handle_datagram(now, from, received.time, bytes, terms, &mut self.rng)
            }
        };
        if let Some(reason) = outcome.reject() {
            peer.count(reason);
            if EXTRAS {
                self.push(Output::Rejected { peer: id, reason });
            }
        }
        let address = from.ip();
        match outcome {
            Received::Ignored(reason) => {
                if let Reject::Malformed = reason {
                    self.event(Event::MalformedPacket { address });
                }
            }
            Received::Suspended { reason, pause: next, change } => {
                if EXTRAS && let Reject::Constraint(_) = reason {
                    self.constraint.refused(now.mono, self.peers.len());
                }
                if let Reject::NegativeDelay(delay) = reason {
                    self.event(Event::NegativeDelay { address, delay, next });
                } else if let Some(reason) = not_synced(reason) {
                    self.event(Event::NotSynced { address, reason, next });
                }
                self.peer_changed(now, id, change);
            }
            Received::Measured { exchange, change } => {
                if EXTRAS {
                    self.explain_jump(id, &exchange);
                }
                let free = self.discipline.free_running(&exchange);
                let Some(associate) = self.associate_mut(id) else { return };
                associate.received = received;
                let (verdict, confirmed) = associate.peer.learn(&free, now.mono);
                associate.unconfirmed &= verdict == Verdict::Violated;
                self.peer_changed(now, id, confirmed.or(change));
                self.steer(now, id, exchange.received);
            }
        }
    }

    /// Logs what became of a peer, and whether that calls for a report of the bad ones.
    fn peer_changed(&mut self, now: Now, id: PeerId, change: Option<Change>) {
        let Some(Associate { peer, .. }) = self.associate(id) else { return };
        let address = peer.address().map(SocketAddr::ip);
        match (change, address) {
            (Some(Change::Valid), Some(address)) => self.event(Event::PeerValid { address }),
            (Some(Change::Invalid), Some(address)) => {
                self.selection.forget(slot::<PEERS>(id));
                self.event(Event::PeerInvalid { address });
            }
            _ => {}
        }
        if change.is_some() {
            self.count_valid();
        }
        self.report.consider(now.mono, &self.peers);
    }

    fn handle_operator(&mut self, now: Now, request: Request) {
        let was_held = self.discipline.is_held();
        let outcome = self.discipline.step(now, request == Request::Accept);
        if let Ok(offset) = outcome {
            if was_held {
                self.event(Event::ClockReleased);
            }
            self.command(ClockCommand::Step(offset));
        }
        self.push(Output::Operator(outcome));
    }

    fn report_peer(&mut self, place: usize) {
        let Some(&Associate { id, ref peer, .. }) = self.peers.get(place) else { return };
        if peer.is_bad() {
            let address = peer.address().map(SocketAddr::ip);
            let pool = peer.is_pool();
            self.push(Output::BadPeer { peer: id, address, pool });
        }
    }
}

fn find<const KINDS: usize>(
    peers: &mut [Associate<KINDS>],
    id: PeerId,
) -> Option<&mut Associate<KINDS>> {
    peers.iter_mut().find(|associate| associate.id == id)
}

fn not_synced(reason: Reject) -> Option<NotSyncedReason> {
    match reason {
        Reject::Kiss(code) => Some(NotSyncedReason::Kiss(code)),
        Reject::Alarm => Some(NotSyncedReason::Alarm),
        Reject::Stratum(stratum) => Some(NotSyncedReason::Stratum(stratum)),
        _ => None,
    }
}
