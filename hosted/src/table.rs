//! What is known of peers, as people read it.

use crate::control::Peer;

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
    let rejected = peer.rejected.iter().map(|(reason, count)| format!("{reason} {count}"));
    let rejected = rejected.collect::<Vec<_>>().join(", ");
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
        ("dropped", if rejected.is_empty() { "none".into() } else { rejected }),
    ]
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

/// A time in a unit that suits it.
#[must_use]
pub fn seconds(secs: Option<f64>) -> String {
    match secs {
        None => "-".into(),
        Some(secs) if secs.abs() < 0.01 => format!("{:.3} us", secs * 1e6),
        Some(secs) => format!("{secs:.6} s"),
    }
}
