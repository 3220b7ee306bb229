//! All that a daemon tells, in Prometheus' text format, version 0.0.4. What is not known is left
//! out. Peers that cannot be told apart (members of a pool without an address) are told once.

use std::collections::BTreeSet;
use std::fmt::{Display, Write};

use super::Told;
use crate::control::{Peer, Serving, Status};

/// Of one ppm.
const PPM: f64 = 1e-6;

type Row<T> = (&'static str, &'static str, fn(&T) -> Option<f64>);

const CLOCK: [Row<Status>; 14] = [
    ("synced", "Whether the clock is synchronised to a source.", |s| flag(s.synced)),
    ("controlled", "Whether the clock is disciplined, or only watched.", |s| flag(s.controlled)),
    ("held", "Whether the clock is held, beyond the panic threshold.", |s| flag(s.held)),
    ("stratum", "What clients are told, 16 without synchronisation.", |s| Some(s.stratum.into())),
    ("offset_seconds", "By how much the clock is behind its sources.", |s| s.offset),
    ("error_bound_seconds", "The greatest error if most sources are honest.", |s| s.error_bound),
    ("likely_error_seconds", "What the error is hardly greater than.", |s| s.likely_error),
    ("frequency_ratio", "The rate at which the clock is kept.", |s| Some(s.frequency * PPM)),
    ("skew_ratio", "The standard deviation of that rate.", |s| s.skew.map(|skew| skew * PPM)),
    ("age_seconds", "Since the clock was last compared with what it follows.", |s| s.age),
    ("root_delay_seconds", "Round trip to the primary source.", |s| Some(s.root_delay)),
    ("root_dispersion_seconds", "Greatest error on that way but for half of it.", |s| {
        Some(s.root_dispersion)
    }),
    ("tai_offset_seconds", "TAI - UTC by the list of leap seconds.", |s| s.tai.map(f64::from)),
    ("host_error_seconds", "How far a software clock is ahead of the host's.", |s| s.clock_error),
];

const PEER: [Row<Peer>; 10] = [
    ("valid", "Whether it is trusted.", |p| flag(p.valid)),
    ("trust", "The trust level, 0 to 10.", |p| Some(p.trust.into())),
    ("reach", "The last eight queries as bits, the newest the lowest.", |p| Some(p.reach.into())),
    ("stratum", "As its last usable reply said.", |p| p.stratum.map(f64::from)),
    ("offset_seconds", "By how much the clock is behind it.", |p| p.offset),
    ("delay_seconds", "The least round trip lately.", |p| p.delay),
    ("jitter_seconds", "Standard deviation of the offset.", |p| p.deviation),
    ("root_distance_seconds", "Distance to the primary source.", |p| p.root_distance),
    ("poll_interval_seconds", "Between two queries.", |p| Some(p.interval)),
    ("next_query_seconds", "Until the next query.", |p| Some(p.next_query)),
];

type Count = (&'static str, &'static str, fn(&Peer) -> u64);

const PEER_COUNTS: [Count; 3] = [
    ("sent", "Queries that left.", |p| p.sent),
    ("used", "Replies that were used.", |p| p.used),
    ("hardware_refused", "Stamps of a card that the kernel did not bear out.", |p| {
        p.hardware_refused
    }),
];

#[expect(clippy::unnecessary_wraps, reason = "as a row has it")]
fn flag(flag: bool) -> Option<f64> {
    Some(f64::from(u8::from(flag)))
}

/// All of a daemon, and what it served if it serves.
pub(super) fn write(Told { status, peers }: &Told, served: Option<&Serving>) -> String {
    let mut text = up(1);
    let version = labels(&[("version", &status.version)]);
    family(&mut text, "gauge", "chimed_build_info", "The daemon's version.", [(version, 1)]);
    let info = labels(&[
        ("clock", &status.clock),
        ("discipline", &status.discipline),
        ("leap", &status.leap),
        ("leap_source", &status.leap_source),
        ("reference", &status.reference),
        ("time_status", &status.time_status),
    ]);
    family(&mut text, "gauge", "chimed_clock_info", "How the clock is, in words.", [(info, 1)]);
    for (name, help, value) in CLOCK {
        let sample = value(status).map(|value| (String::new(), value));
        family(&mut text, "gauge", &format!("chimed_clock_{name}"), help, sample);
    }
    for (name, help, value) in [
        ("peers", "All peers.", status.peers as f64),
        ("peers_valid", "Trusted peers.", status.peers_valid as f64),
        ("uptime_seconds", "Since the daemon's start.", status.uptime),
    ] {
        family(&mut text, "gauge", &format!("chimed_{name}"), help, [(String::new(), value)]);
    }
    let (name, help) = ("chimed_wakeups_total", "Times that the main loop woke up.");
    family(&mut text, "counter", name, help, [(String::new(), status.polls)]);
    write_peers(&mut text, peers);
    text + &served.map(Serving::to_prometheus).unwrap_or_default()
}

/// Of a daemon that cannot be asked.
pub(super) fn down() -> String {
    up(0)
}

fn up(value: u8) -> String {
    let mut text = String::new();
    let (name, help) = ("chimed_up", "Whether the daemon could be asked.");
    family(&mut text, "gauge", name, help, [(String::new(), value)]);
    text
}

fn write_peers(text: &mut String, peers: &[Peer]) {
    let mut told = BTreeSet::new();
    let peers: Vec<_> = peers.iter().filter(|peer| told.insert(identity(peer))).collect();
    let info = peers.iter().map(|peer| {
        let reference = peer.reference.as_deref().unwrap_or_default();
        let more = [("reference", reference), ("standing", &peer.standing)];
        (with_labels(peer, &more), 1)
    });
    family(text, "gauge", "chimed_peer_info", "What becomes of a peer, and why.", info);
    for (name, help, value) in PEER {
        let samples = peers.iter().filter_map(|peer| Some((with_labels(peer, &[]), value(peer)?)));
        family(text, "gauge", &format!("chimed_peer_{name}"), help, samples);
    }
    for (name, help, value) in PEER_COUNTS {
        let samples = peers.iter().map(|peer| (with_labels(peer, &[]), value(peer)));
        family(text, "counter", &format!("chimed_peer_{name}_total"), help, samples);
    }
    let rejected = peers.iter().flat_map(|peer| {
        let counts = peer.rejected.iter();
        counts.map(|(reason, count)| (with_labels(peer, &[("reason", reason)]), count))
    });
    let (name, help) = ("chimed_peer_rejected_total", "Datagrams that were dropped.");
    family(text, "counter", name, help, rejected);
}

/// By which a peer is found again.
fn identity(peer: &Peer) -> (&str, &str, String) {
    let port = peer.port.map_or(String::new(), |port| port.to_string());
    (peer.address.as_deref().unwrap_or_default(), &peer.name, port)
}

fn with_labels(peer: &Peer, more: &[(&str, &str)]) -> String {
    let (address, name, port) = identity(peer);
    labels(&[&[("address", address), ("name", name), ("port", &port)], more].concat())
}

fn labels(labels: &[(&str, &str)]) -> String {
    let one = |(name, value): &(&str, &str)| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        format!("{name}=\"{value}\"")
    };
    format!("{{{}}}", labels.iter().map(one).collect::<Vec<_>>().join(","))
}

/// Nothing at all without a sample.
fn family<V: Display>(
    text: &mut String,
    kind: &str,
    name: &str,
    help: &str,
    samples: impl IntoIterator<Item = (String, V)>,
) {
    for (place, (labels, value)) in samples.into_iter().enumerate() {
        if place == 0 {
            // A string takes whatever is written.
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        }
        let _ = writeln!(text, "{name}{labels} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        assert_eq!(labels(&[("a", "b\"c\\d\ne"), ("f", "")]), r#"{a="b\"c\\d\ne",f=""}"#);
    }

    #[test]
    fn without_a_daemon() {
        let expected = "# HELP chimed_up Whether the daemon could be asked.\n\
                        # TYPE chimed_up gauge\nchimed_up 0\n";
        assert_eq!(down(), expected);
    }
}
