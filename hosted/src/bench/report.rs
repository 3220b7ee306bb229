//! What came of a load.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use truechimer_core::Reject;
use truechimer_core::units::Span;

use super::Load;
use super::source::Judgement;

/// Counts while it goes on.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) sent: u64,
    pub(super) lost: u64,
    pub(super) held_back: u64,
    pub(super) refused: u64,
    pub(super) answered: u64,
    interleaved: u64,
    rejected: [u64; Reject::KINDS],
    invalid: u64,
    latency: Histogram<u64>,
    transit: Histogram<u64>,
    after_arrival: u64,
}

/// What came of it. Durations are in microseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The server's address.
    pub server: SocketAddr,
    /// Requests on their way at a time, in a closed loop.
    pub outstanding: Option<u32>,
    /// Requests in a second that were asked for, in an open loop.
    pub rate: Option<u32>,
    /// Source ports.
    pub sockets: u32,
    /// For how long requests were sent, s.
    pub seconds: f64,
    /// Requests that were sent.
    pub sent: u64,
    /// Requests of an open loop that were due but not sent, for want of time or room.
    pub held_back: u64,
    /// Requests with a valid answer.
    pub answered: u64,
    /// Valid answers in a second.
    pub answers_per_second: f64,
    /// Share of the requests that had no answer in time.
    pub loss: f64,
    /// Share of the valid answers that were interleaved (RFC 9769).
    pub interleaved: f64,
    /// Datagrams that were no valid answers, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// How often the host or the network said that nobody is there.
    pub refused: u64,
    /// From sending a request to the kernel's stamp of its answer.
    pub latency_us: Percentiles,
    /// Between the server's transmit stamp and the kernel's stamp of the arrival of the answer that
    /// it is of: with one clock at both ends an upper bound of the stamp's error, unless the stamp
    /// is the later one; then the error is greater.
    pub transmit_to_arrival_us: Percentiles,
    /// Share of the valid answers whose transmit stamp is later than their arrival.
    pub after_arrival: f64,
    /// Processor time that this program took for each request that it sent.
    pub own_cpu_us: f64,
}

/// Of what took so long or less.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Percentiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            sent: 0,
            lost: 0,
            held_back: 0,
            refused: 0,
            answered: 0,
            interleaved: 0,
            rejected: [0; Reject::KINDS],
            invalid: 0,
            latency: histogram(),
            transit: histogram(),
            after_arrival: 0,
        }
    }

    pub(super) fn count(&mut self, judgement: &Judgement) {
        match judgement {
            Judgement::Valid { latency, interleaved, transit } => {
                self.answered += 1;
                self.interleaved += u64::from(*interleaved);
                self.latency.saturating_record(nanos(*latency));
                self.transit.saturating_record(nanos(transit.abs()));
                self.after_arrival += u64::from(transit.is_negative());
            }
            Judgement::Invalid(reason) => {
                self.invalid += 1;
                self.rejected[reason.index()] += 1;
            }
            Judgement::Stray(reason) => self.rejected[reason.index()] += 1,
        }
    }

    /// Requests that have come to their end.
    pub(super) const fn done(&self) -> u64 {
        self.answered + self.invalid + self.lost
    }

    pub(super) fn report(
        &self,
        server: SocketAddr,
        load: Load,
        sockets: u32,
        lasted: Duration,
        cpu: Duration,
    ) -> Report {
        let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        let (outstanding, rate) = match load {
            Load::Closed(outstanding) => (Some(outstanding), None),
            Load::Open(rate) => (None, Some(rate)),
        };
        let rejected = Reject::NAMES.into_iter().zip(self.rejected);
        Report {
            server,
            outstanding,
            rate,
            sockets,
            seconds: lasted.as_secs_f64(),
            sent: self.sent,
            held_back: self.held_back,
            answered: self.answered,
            answers_per_second: self.answered as f64 / lasted.as_secs_f64(),
            loss: share(self.lost, self.sent),
            interleaved: share(self.interleaved, self.answered),
            rejected: rejected.filter(|(_, count)| *count > 0).collect(),
            refused: self.refused,
            latency_us: percentiles(&self.latency),
            transmit_to_arrival_us: percentiles(&self.transit),
            after_arrival: share(self.after_arrival, self.answered),
            own_cpu_us: cpu.as_secs_f64() * 1e6 / self.sent.max(1) as f64,
        }
    }
}

impl Report {
    /// For people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        let mut row = |name: &str, value: String| text += &format!("{name:<20} {value}\n");
        row("server", self.server.to_string());
        let load = match (self.outstanding, self.rate) {
            (Some(outstanding), _) => format!("closed loop of {outstanding} requests"),
            (None, rate) => format!("open loop of {} requests/s", rate.unwrap_or_default()),
        };
        row("load", format!("{load} from {} ports for {:.1} s", self.sockets, self.seconds));
        row("requests", self.sent.to_string());
        if self.held_back > 0 {
            row("held back", format!("{}: this program could not send them", self.held_back));
        }
        row("answers", format!("{}, {:.0} in a second", self.answered, self.answers_per_second));
        row("lost", format!("{:.4} %", self.loss * 100.0));
        row("interleaved", format!("{:.2} % of the answers", self.interleaved * 100.0));
        for (reason, count) in &self.rejected {
            row("rejected", format!("{count} {reason}"));
        }
        if self.refused > 0 {
            row("refused", format!("{} times: nobody listens there", self.refused));
        }
        for (name, Percentiles { p50, p90, p99, max }) in
            [("latency", self.latency_us), ("transmit to arrival", self.transmit_to_arrival_us)]
        {
            if self.answered > 0 {
                let most = format!("99 % {p99:.1} us  max {max:.1} us");
                row(name, format!("50 % {p50:.1} us  90 % {p90:.1} us  {most}"));
            }
        }
        row("own processor time", format!("{:.2} us a request", self.own_cpu_us));
        text
    }
}

/// Of nanoseconds up to a minute, to three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(60_000_000_000, 3).expect("three digits are allowed")
}

fn nanos(span: Span) -> u64 {
    span.as_nanos().max(0).unsigned_abs()
}

fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    let micros = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
    Percentiles { p50: micros(0.5), p90: micros(0.9), p99: micros(0.99), max: micros(1.0) }
}
