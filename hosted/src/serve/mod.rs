//! Serving time: by the engine's own thread, or by workers; and by programs in the drivers of
//! interfaces before either is asked ([`Xdp`]).
//!
//! A worker is a thread with a socket of its own at each address that time is served on; the
//! kernel distributes clients over them by their addresses and ports (`SO_REUSEPORT`). It shares
//! nothing with the others. What it serves it reads through a seqlock, and it tells what it did
//! when it is asked for it.
//!
//! ```text
//!            Published: SystemState, clock, steps
//! engine's ──────────── seqlock ───────────► worker 1 ◄──► sockets
//! thread   ────────────────┬───────────────► worker 2 ◄──► sockets
//!    ▲                     └──── Report ◄──────┘ (when asked over a pipe)
//! ```

#[cfg(target_os = "linux")]
mod departing;
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "there are no workers"))]
mod published;
#[cfg(target_os = "linux")]
mod seqlock;
#[cfg(target_os = "linux")]
mod worker;
#[cfg_attr(not(target_os = "linux"), path = "no_workers.rs")]
mod workers;
#[cfg_attr(not(target_os = "linux"), path = "no_xdp.rs")]
mod xdp;

use truechimer_core::server::{Client, ClientSet, Counters, Histogram, Server, StampSet};

pub use self::published::{Line, Published, ServedClock};
pub use self::workers::Workers;
pub use self::xdp::Xdp;
use crate::config::{RANGES, Serve};

/// What programs in drivers did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// What they answered.
    pub counters: Counters,
    /// What they passed on because it was not plain, might be of the interleaved mode, or because
    /// there was nothing to serve.
    pub passed: [u64; 3],
}

impl Done {
    /// What the reasons are called.
    pub const REASONS: [&'static str; 3] = ["other", "interleaved", "unready"];
}

/// The core's server with tables on the heap.
pub type Responder = Server<Box<[ClientSet]>, Box<[StampSet]>, RANGES>;

/// Clients that a report names.
pub const TOP: usize = 10;

/// What a server did.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What it counted.
    pub counters: Counters,
    /// From when a request was received to when its answer left.
    pub latency: Histogram,
    /// Those that asked most; none without a limit of rate.
    pub top: Vec<Client>,
}

impl Report {
    /// Adds what another worker did.
    pub fn add(&mut self, other: &Self) {
        self.counters.add(&other.counters);
        self.latency.add(&other.latency);
        for client in &other.top {
            match self.top.iter_mut().find(|known| known.address == client.address) {
                Some(known) => {
                    known.requests = known.requests.saturating_add(client.requests);
                    known.refused = known.refused.saturating_add(client.refused);
                }
                None => self.top.push(*client),
            }
        }
        self.top.sort_by_key(|client| std::cmp::Reverse(client.requests));
        self.top.truncate(TOP);
    }
}

/// A server as it is configured. `seed` is unpredictable.
#[must_use]
pub fn responder(serve: &Serve, seed: [u8; 32]) -> Responder {
    let sets = |wanted: bool, capacity: usize| match wanted {
        true => (serve.clients as usize).div_ceil(capacity),
        false => 0,
    };
    let clients = sets(serve.policy.rate.is_some(), ClientSet::CAPACITY);
    let stamps = sets(serve.policy.interleaved, StampSet::CAPACITY);
    Server::new(
        &serve.policy,
        serve.access(),
        serve.control(),
        vec![ClientSet::EMPTY; clients].into_boxed_slice(),
        vec![StampSet::EMPTY; stamps].into_boxed_slice(),
        seed,
    )
}

/// One for who serves nobody, without tables.
#[must_use]
pub fn idle(seed: [u8; 32]) -> Responder {
    let mut serve = Serve::default();
    (serve.policy.rate, serve.policy.interleaved) = (None, false);
    responder(&serve, seed)
}

/// What `responder` did.
#[must_use]
pub fn report(responder: &Responder, latency: &Histogram) -> Report {
    Report {
        counters: *responder.counters(),
        latency: *latency,
        top: responder.top::<TOP>().to_vec(),
    }
}
