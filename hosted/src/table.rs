//! What is known of a daemon and of its peers, as people read it.

use crate::control::{Peer, Status};

/// The columns of a peer.
pub const HEADINGS: [&str; 9] =
    ["peer", "standing", "options", "st", "reach", "poll", "offset", "delay", "used/sent"];

/// How wide they are at least; those from the fourth on are aligned to the right.
pub const WIDTHS: [usize; 9] = [20, 14, 12, 3, 8, 7, 16, 13, 11];

/// What they say of one.
#[must_use]
pub fn cells(peer: &Peer) -> [String; 9] {
    [
        name(peer),
        peer.standing.clone(),
        if peer.options.is_empty() { "-".into() } else { peer.options.join(",") },
        peer.stratum.map_or("-".into(), |stratum| stratum.to_string()),
        format!("{:08b}", peer.reach),
        format!("{} s", (peer.interval * 10.0).round() / 10.0),
        seconds(peer.offset),
        seconds(peer.delay),
        format!("{}/{}", peer.used, peer.sent),
    ]
}

/// All that is known of one, by name.
#[must_use]
pub fn details(peer: &Peer) -> Vec<(&'static str, String)> {
    let known = |text: &Option<String>| text.clone().unwrap_or("-".into());
    let [_, standing, options, stratum, reach, poll, offset, delay, counts] = cells(peer);
    vec![
        ("standing", standing),
        ("trust", format!("{} of 10, {}valid", peer.trust, if peer.valid { "" } else { "in" })),
        ("options", options),
        ("stratum", stratum),
        ("reference", known(&peer.reference)),
        ("reach", reach),
        ("poll", format!("{poll}, next in {:.1} s", peer.next_query)),
        ("offset", offset),
        ("deviation", seconds(peer.deviation)),
        ("delay", delay),
        ("root distance", seconds(peer.root_distance)),
        ("sent by", format!("{} stamps", peer.transmit_stamps)),
        ("received by", format!("{} stamps", peer.stamps)),
        ("kernel stamps by", peer.stamps_by.clone()),
        ("refused of cards", format!("{} stamps", peer.hardware_refused)),
        ("used/sent", counts),
        ("dropped", rejected(peer)),
    ]
}

/// Why its standing is what it is, in words.
#[must_use]
pub fn reason(peer: &Peer) -> &str {
    match peer.standing.as_str() {
        "invalid" => "it has not answered often enough yet, or not lately",
        "unreachable" => "asked often, it has not answered",
        "denied" => "it denied access",
        "unsynchronised" => "it says that it is not synchronised, or is of the last stratum",
        "loop" => "it follows this host",
        "orphan" => "it serves without a source, for hosts of greater addresses that have none",
        "too distant" => "its root distance is too great",
        "noselect" => "it is only to be measured",
        "waiting" => "too few others have had their say yet",
        "falseticker" => "the majority contradicts it",
        "suspect" => "it jumped, or runs at another rate than the others",
        "no majority" => "its peers contradict one another",
        "not preferred" => "right, but others are preferred",
        "combined" => "right, a part of the average",
        "selected" => "right, and followed: one of the least root distance",
        _ => "",
    }
}

/// Why datagrams of one were dropped, and how many.
#[must_use]
pub fn rejected(peer: &Peer) -> String {
    let rejected = peer.rejected.iter().map(|(reason, count)| format!("{reason} {count}"));
    let rejected = rejected.collect::<Vec<_>>().join(", ");
    if rejected.is_empty() { "none".into() } else { rejected }
}

/// What it is called.
#[must_use]
pub fn name(peer: &Peer) -> String {
    let address = peer.address.as_deref().unwrap_or("not resolved");
    match (&peer.name, peer.port) {
        (name, Some(port)) if name == address => format!("{name}:{port}"),
        (name, _) => format!("{name} ({address})"),
    }
}

/// All that is known of the daemon and its clock, by name; whether the clock is right comes first.
#[must_use]
pub fn status(status: &Status) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String| rows.push((name.to_owned(), value));
    row("clock", if status.synced { "synced" } else { "unsynced" }.into());
    let watched = match status {
        Status { controlled: false, .. } => ", only watched",
        Status { held: true, .. } => ", held: see chimectl accept",
        _ => "",
    };
    let by = if status.discipline == "kernel" { ", by its own loop" } else { "" };
    row("disciplined", format!("{}{by}{watched}", status.clock));
    row("time from", time_from(status).into());
    row("last known good", status.floor.clone().unwrap_or("-".into()));
    row("peers", format!("{} of {} valid", status.peers_valid, status.peers));
    row("offset", seconds(status.offset));
    row("error bound", seconds(status.error_bound));
    row("likely error", seconds(status.likely_error));
    row("frequency", format!("{:+.3} ppm", status.frequency));
    row("stratum", status.stratum.to_string());
    row("reference", status.reference.clone());
    row("root delay", seconds(Some(status.root_delay)));
    row("root dispersion", seconds(Some(status.root_dispersion)));
    row("leap second", status.leap.clone());
    row("leap source", leap_source(status));
    if let Some(error) = status.clock_error {
        row("to host clock", seconds(Some(error)));
    }
    for (process, protections) in &status.protections {
        row(process, protections.join(", "));
    }
    if !status.listening.is_empty() {
        row("serving on", status.listening.join(", "));
        row("served", format!("{} of {} requests", status.answers, status.requests));
    }
    row("version", status.version.clone());
    rows
}

/// Where the clock's time comes from, in words.
#[must_use]
pub fn time_from(status: &Status) -> &str {
    match status.time_status.as_str() {
        "unknown" => "nowhere that is known of",
        "floor" => "the last time known to be right",
        "rtc" => "the real-time clock",
        "unsynced" => "sources that doubt it still",
        "holdover" => "sources that no longer answer",
        "synced" => "sources that answer",
        other => other,
    }
}

/// Who knows of leap seconds, and TAI.
#[must_use]
pub fn leap_source(Status { leap_source, tai, .. }: &Status) -> String {
    let tai = tai.map_or(String::new(), |tai| format!(", TAI - UTC {tai} s"));
    format!("{leap_source}{tai}")
}

/// A time in a unit that suits it.
#[must_use]
pub fn seconds(secs: Option<f64>) -> String {
    match secs {
        None => "-".into(),
        Some(secs) if secs.abs() < 0.01 => format!("{:.3} us", secs * 1e6),
        Some(secs) => format!("{secs:.6} s"),
    }
}
