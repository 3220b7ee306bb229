//! Who serves time, and what they have done.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant as HostInstant;

use nix::errno::Errno;
use truechimer_core::event::{Event, Level};
use truechimer_core::hal::AdjustableClock;
use truechimer_core::server::{Counters, Refusal};
use truechimer_core::units::Span;

use super::status::counts;
use super::{DaemonError, DaemonNode};
use crate::config::Config;
use crate::control::{ServerReport, Serving as Told, XdpReport};
use crate::entropy::Urandom;
use crate::log::Log;
use crate::net::Sockets;
use crate::serve::{self, Done, Published, Report, Workers, Xdp};

/// Binds where time is to be served. An address that cannot be had is logged; whether all could.
///
/// # Errors
/// What makes it pointless to go on.
pub(super) fn listen(
    config: &Config,
    sockets: &mut Sockets,
    log: &Log,
) -> Result<bool, DaemonError> {
    let failures = bind(config, sockets);
    for &(address, error) in &failures {
        if let Some(fatal) = fatal(error) {
            log.event(&fatal);
            return Err(DaemonError::Listen(address, error));
        }
        log.event(&Event::BindFailed { address: address.ip() });
        log.message(Level::Debug, &format_args!("cannot serve on {address}: {error}"));
    }
    Ok(failures.is_empty())
}

fn bind(config: &Config, sockets: &mut Sockets) -> Vec<(SocketAddr, Errno)> {
    sockets.set_listening(&config.listen, config.serve.workers.unwrap_or_default().into())
}

/// What makes it pointless to go on without a listener: it is not its address that is taken.
const fn fatal(error: Errno) -> Option<Event<'static>> {
    match error {
        Errno::EAFNOSUPPORT => Some(Event::FatalListenFamily),
        Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM => Some(Event::FatalSocket),
        _ => None,
    }
}

/// Opened once: in an empty root directory there is none.
static URANDOM: Mutex<Option<Urandom>> = Mutex::new(None);

pub(super) fn seed() -> Result<[u8; 32], DaemonError> {
    let mut kept = URANDOM.lock().unwrap_or_else(PoisonError::into_inner);
    let urandom = match &mut *kept {
        Some(urandom) => urandom,
        none => none.insert(Urandom::open().map_err(DaemonError::Entropy)?),
    };
    urandom.seed().map_err(DaemonError::Entropy)
}

/// The workers, if there are any, and what was done.
#[derive(Debug)]
pub(super) struct Serving {
    workers: Option<Workers>,
    /// Programs that answer before they are asked, if there are any.
    xdp: Option<Xdp>,
    /// What those did who serve no longer.
    past: Report,
    /// What all had done, and each worker, when somebody asked last.
    told: (HostInstant, Counters, Vec<Counters>),
    /// Whether time is served wherever it is to be.
    whole: bool,
}

impl Serving {
    /// Begins to serve on the sockets that were [bound](listen): `whole` if they all were.
    ///
    /// # Errors
    /// There are no unpredictable bits, no threads or no descriptors.
    pub(super) fn start(
        config: &Config,
        node: &mut DaemonNode,
        whole: bool,
        xdp: Option<Xdp>,
    ) -> Result<Self, DaemonError> {
        let told = (HostInstant::now(), Counters::default(), Vec::new());
        let mut serving = Self { workers: None, xdp, past: Report::default(), told, whole };
        serving.begin(config, node)?;
        Ok(serving)
    }

    fn begin(&mut self, config: &Config, node: &mut DaemonNode) -> Result<(), DaemonError> {
        let workers = node.socket.of_workers();
        if workers.is_empty() {
            // Whoever only asks needs no tables.
            if !config.listen.is_empty() {
                node.set_server(serve::responder(&config.serve, seed()?));
            }
            return Ok(());
        }
        let responder = |sockets| Ok((serve::responder(&config.serve, seed()?), sockets));
        let responders = workers.into_iter().map(responder).collect::<Result<Vec<_>, _>>()?;
        let workers = Workers::start(&published(node), responders);
        self.workers = Some(workers.map_err(DaemonError::Workers)?);
        Ok(())
    }

    /// Serves as `new` says in place of `old`; if that makes a difference, with empty tables of
    /// clients. Returns what could not be bound, and why.
    ///
    /// # Errors
    /// As [`start`](Self::start); nobody serves then.
    pub(super) fn change(
        &mut self,
        old: &Config,
        new: &Config,
        node: &mut DaemonNode,
    ) -> Result<Vec<(SocketAddr, Errno)>, DaemonError> {
        if self.whole && (&old.serve, &old.listen) == (&new.serve, &new.listen) {
            return Ok(Vec::new());
        }
        match self.workers.take() {
            Some(workers) => workers.end().iter().for_each(|report| self.past.add(report)),
            None => self.past.add(&own(node)),
        }
        match &mut self.xdp {
            Some(xdp) if old.has_same_xdp(new) => xdp.configure(&new.serve, seed()?),
            // There is no privilege any more by which others could be attached.
            gone => {
                let done = gone.take().map(|xdp| xdp.done());
                self.past.counters.add(&done.unwrap_or_default().counters);
            }
        }
        node.socket.forget_latency();
        node.set_server(serve::idle(seed()?));
        let failures = bind(new, &mut node.socket);
        self.whole = failures.is_empty();
        self.told.2.clear();
        self.begin(new, node)?;
        Ok(failures)
    }

    /// Tells the workers what is served from now on.
    pub(super) fn publish(&mut self, node: &DaemonNode) {
        if self.workers.is_none() && self.xdp.is_none() {
            return;
        }
        let published = published(node);
        if let Some(workers) = &mut self.workers {
            workers.publish(&published);
        }
        if let Some(xdp) = &mut self.xdp {
            xdp.publish(&published);
        }
    }

    /// How long there is until it is to be published again at the latest.
    pub(super) fn left(&self) -> Option<Span> {
        self.xdp.as_ref().map(Xdp::left)
    }

    fn done(&self) -> Option<Done> {
        self.xdp.as_ref().map(Xdp::done)
    }

    /// What was counted so far.
    pub(super) fn counters(&mut self, node: &DaemonNode) -> Counters {
        let mut sum = self.past.counters;
        self.reports(node).iter().for_each(|report| sum.add(&report.counters));
        sum.add(&self.done().unwrap_or_default().counters);
        sum
    }

    /// All that is known.
    pub(super) fn tell(&mut self, node: &DaemonNode) -> Told {
        let reports = self.reports(node);
        let mut total = self.past.clone();
        reports.iter().for_each(|report| total.add(report));
        let done = self.done();
        total.counters.add(&done.unwrap_or_default().counters);
        let now = HostInstant::now();
        let counters = reports.iter().map(|report| report.counters).collect();
        let told = (now, total.counters, counters);
        let (since, total_before, before) = std::mem::replace(&mut self.told, told);
        let seconds = (now - since).as_secs_f64();
        let before = |place: usize| before.get(place).copied().unwrap_or_default();
        let shown = if self.workers.is_some() { reports.as_slice() } else { &[] };
        let workers = shown.iter().enumerate();
        Told {
            seconds,
            workers: workers.map(|(place, one)| told_of(one, &before(place), seconds)).collect(),
            xdp: done.map(|Done { counters, passed }| XdpReport {
                answered: counters.answered,
                passed: counts(&Done::REASONS, &passed),
            }),
            total: told_of(&total, &total_before, seconds),
        }
    }

    /// One of each worker, or the engine's thread's.
    fn reports(&mut self, node: &DaemonNode) -> Vec<Report> {
        self.workers.as_mut().map_or_else(|| vec![own(node)], Workers::reports)
    }
}

/// What the engine's thread did.
fn own(node: &DaemonNode) -> Report {
    serve::report(&node.server, node.socket.latency())
}

fn published(node: &DaemonNode) -> Published {
    let system = node.engine.system(node.clock.now());
    Published { system, clock: node.clock.served(), steps: node.steps() }
}

fn told_of(report: &Report, before: &Counters, seconds: f64) -> ServerReport {
    let Report { counters, latency, top } = report;
    let per_second = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
    let versions = ["0", "1", "2", "3", "4", "5", "6", "7"];
    let quantile = |share| latency.quantile(share).map(Span::as_secs_f64);
    ServerReport {
        received: counters.received,
        answered: counters.answered,
        received_per_second: per_second(counters.received, before.received),
        answered_per_second: per_second(counters.answered, before.answered),
        interleaved: counters.interleaved,
        kisses: counters.kisses,
        refused: counts(&Refusal::NAMES, &counters.refused),
        versions: counts(&versions, &counters.versions),
        latency_median: quantile(0.5),
        latency_p99: quantile(0.99),
        latency: latency.buckets().map(|(bound, count)| (bound.as_secs_f64(), count)).collect(),
        clients: top.iter().map(Into::into).collect(),
    }
}
