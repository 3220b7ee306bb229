//! The status page: HTML without a script or anything from elsewhere. All text is escaped, whoever
//! wrote it.

use std::time::{Duration, Instant};

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::Told;
use super::history::{History, Values};
use super::plot::{Curve, plot};
use crate::clock::realtime;
use crate::control::{ClientError, Peer};
use crate::table::{self, HEADINGS, seconds};

/// What [`seconds`] shows at least.
const NANOSECOND: f64 = 1e-9;
const STYLE: &str = include_str!("page.css");

pub(super) fn draw(
    told: Result<&Told, &ClientError>,
    history: &History,
    interval: Duration,
) -> String {
    let now = Instant::now();
    let state = match told {
        Ok(told) if told.status.synced => "synced",
        Ok(_) => "unsynced",
        Err(_) => "not reached",
    };
    let body = html! {
        h1 { "chimed " span class={ "state " (state) } { (state) } }
        @match told {
            Err(error) => p.why { (error) },
            Ok(told) => (peers(&told.peers)),
        }
        (plots(history, now))
        @if let Ok(told) = told {
            table.rows {
                @for (name, value) in table::status(&told.status) {
                    tr { th scope="row" { (name) } td { (value) } }
                }
            }
        }
        footer { (realtime().to_string()) " · " a href="/metrics" { "metrics" } }
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="refresh" content=(interval.as_secs().max(1));
                title { "chimed: " (state) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    };
    page.into_string()
}

fn peers(peers: &[Peer]) -> Markup {
    html! {
        div.wide {
            table {
                thead { tr {
                    @for heading in HEADINGS.iter().chain(&["jitter", "dropped", "why"]) {
                        th scope="col" { (heading) }
                    }
                } }
                tbody {
                    @for peer in peers {
                        tr class=[peer.valid.then_some("valid")] {
                            @for cell in table::cells(peer) { td { (cell) } }
                            td { (seconds(peer.deviation)) }
                            td { (table::rejected(peer)) }
                            td { (table::reason(peer)) }
                        }
                    }
                }
            }
        }
    }
}

fn plots(history: &History, now: Instant) -> Markup {
    let length = history.length(now);
    let curve =
        |name, value: fn(&Values) -> Option<f64>| Curve { name, points: history.of(now, value) };
    let errors = [
        curve("guaranteed", |values| values.error_bound),
        curve("likely", |values| values.likely_error),
    ];
    let (offset, frequency) = (
        [curve("offset", |values| values.offset)],
        [curve("frequency", |values| Some(values.frequency))],
    );
    let time = |title, curves: &[Curve]| {
        plot(title, length, curves, NANOSECOND, |value| seconds(Some(value)))
    };
    html! {
        (time("offset", &offset))
        (time("error", &errors))
        (plot("frequency", length, &frequency, 1e-3, |value| format!("{value:+.3} ppm")))
    }
}
