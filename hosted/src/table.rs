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

fn name(peer: &Peer) -> String {
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
