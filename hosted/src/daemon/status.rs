//! What the control socket tells of a daemon.

use std::collections::BTreeMap;
use std::time::Duration;

use truechimer_core::config::{DisciplineMode, MAX_STRATUM, SelectOptions};
use truechimer_core::io::StampSource;
use truechimer_core::server::{Counters, Refusal};
use truechimer_core::units::{FreqOffset, Now, Span, WallTime};
use truechimer_core::wire::LeapIndicator;
use truechimer_core::{PeerSnapshot, Reject};

use super::DaemonNode;
use super::resolve::Names;
use crate::clock::HostClock;
use crate::control::{Peer, Status};

/// A daemon, seen from the control socket.
pub(super) struct Reporter<'a> {
    pub(super) node: &'a DaemonNode,
    pub(super) names: &'a Names,
    pub(super) floor: Option<WallTime>,
    pub(super) protections: &'a BTreeMap<String, Vec<String>>,
    pub(super) polls: u64,
    pub(super) uptime: Duration,
}

impl Reporter<'_> {
    pub(super) fn peers(&self, now: Now) -> Vec<Peer> {
        let snapshot = self.node.engine.snapshot(now);
        snapshot.peers().map(|peer| self.peer(&peer, now)).collect()
    }

    pub(super) fn status(&self, served: &Counters, now: Now) -> Status {
        let snapshot = self.node.engine.snapshot(now);
        let system = &snapshot.system;
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            synced: snapshot.synced,
            time_status: snapshot.quality.status.name().into(),
            floor: self.floor.map(|floor| floor.to_string()),
            clock: match self.node.clock {
                HostClock::Kernel(_) | HostClock::Remote(_) => "kernel".into(),
                HostClock::Software(_) => "software".into(),
            },
            discipline: match snapshot.discipline {
                DisciplineMode::Native => "native".into(),
                DisciplineMode::Kernel => "kernel".into(),
            },
            controlled: snapshot.controlled,
            held: snapshot.held,
            stratum: system.stratum,
            // Without synchronisation it is a kiss code, as in stratum 0.
            reference: system.reference.id().display(system.stratum % MAX_STRATUM).to_string(),
            leap: leap_name(system.leap).into(),
            leap_source: snapshot.leap_source.to_string(),
            tai: snapshot.tai,
            offset: snapshot.offset.map(Span::as_secs_f64),
            frequency: snapshot.frequency.as_ppm(),
            skew: snapshot.skew.map(FreqOffset::as_ppm),
            age: snapshot.skew.map(|_| (now.mono - system.updated).as_secs_f64()),
            error_bound: snapshot.error_bound.map(Span::as_secs_f64),
            likely_error: snapshot.likely_error.map(Span::as_secs_f64),
            root_delay: system.root_delay.as_secs_f64(),
            root_dispersion: system.root_dispersion_at(now.mono).as_secs_f64(),
            clock_error: self.node.clock.error().map(Span::as_secs_f64),
            peers_valid: snapshot.peers().filter(|peer| peer.valid).count(),
            peers: snapshot.peers().len(),
            listening: self.node.socket.listening().map(|address| address.to_string()).collect(),
            requests: served.received,
            answers: served.answered,
            refused: counts(&Refusal::NAMES, &served.refused),
            protections: self.protections.clone(),
            polls: self.polls,
            uptime: self.uptime.as_secs_f64(),
        }
    }

    fn peer(&self, peer: &PeerSnapshot, now: Now) -> Peer {
        let header = peer.remote.as_ref().map(|remote| &remote.header);
        let estimate = peer.estimate.as_ref();
        let distance = peer.remote.zip(peer.estimate);
        Peer {
            name: self.names.name(peer.id).into(),
            address: peer.address.map(|address| address.ip().to_string()),
            port: peer.address.map(|address| address.port()),
            pool: self.names.is_pool(peer.id),
            standing: peer.standing.to_string(),
            options: options(peer.options),
            valid: peer.valid,
            trust: peer.trust,
            reach: peer.reach,
            stratum: header.map(|header| header.stratum),
            reference: header.map(|header| header.reference_id.display(header.stratum).to_string()),
            offset: self.node.engine.peer_offset(peer, now).map(Span::as_secs_f64),
            delay: estimate.map(|estimate| estimate.delay.as_secs_f64()),
            deviation: estimate.map(|estimate| estimate.offset_deviation),
            root_distance: distance.map(|(remote, estimate)| {
                remote.root_distance(estimate.delay, now.mono).as_secs_f64()
            }),
            interval: peer.interval.as_secs_f64(),
            next_query: (peer.next_query - now.mono).as_secs_f64(),
            stamps: stamp_name(peer.received.source).into(),
            transmit_stamps: stamp_name(peer.sent.source).into(),
            stamps_by: self.node.socket.stamping(peer.id).to_string(),
            hardware_refused: self.node.socket.disbelieved(peer.id),
            sent: peer.counters.sent,
            used: peer.counters.used,
            rejected: counts(&Reject::NAMES, &peer.counters.rejected),
        }
    }
}

const fn stamp_name(source: StampSource) -> &'static str {
    match source {
        StampSource::Hardware => "hardware",
        StampSource::Kernel => "kernel",
        _ => "user",
    }
}

/// As the configuration has them.
fn options(options: SelectOptions) -> Vec<String> {
    let SelectOptions { prefer, trust, noselect } = options;
    let all = [("prefer", prefer), ("trust", trust), ("noselect", noselect)];
    all.iter().filter(|(_, set)| *set).map(|(name, _)| (*name).to_owned()).collect()
}

pub(super) fn counts(names: &[&str], counts: &[u64]) -> BTreeMap<String, u64> {
    let named = names.iter().zip(counts).filter(|&(_, &count)| count > 0);
    named.map(|(&name, &count)| (name.to_owned(), count)).collect()
}

/// A leap indicator in words.
pub(crate) const fn leap_name(leap: LeapIndicator) -> &'static str {
    match leap {
        LeapIndicator::NoWarning => "none",
        LeapIndicator::AddSecond => "add second",
        LeapIndicator::DeleteSecond => "delete second",
        LeapIndicator::Alarm => "unsynchronised",
    }
}
