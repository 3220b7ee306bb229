//! The ntp engine, or all of `chimed -d`: one process and one thread, on poll(2).
//!
//! The latter runs under simulators that replace libc's clock, socket and poll calls, so it uses nothing
//! else to wait: no thread, no epoll, no timer or event descriptors.

mod clock;
mod constraint;
mod control;
mod leap;
mod lookups;
mod reload;
mod resolve;
mod serving;
mod status;
mod superior;
#[cfg(test)]
mod tests;
mod wait;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant as HostInstant};

use nix::errno::Errno;
use nix::time::{ClockId, clock_gettime};
use truechimer_core::Engine;
use truechimer_core::clock::ClockError;
use truechimer_core::event::{Event, Level};
use truechimer_core::hal::AdjustableClock;
use truechimer_core::io::Output;
use truechimer_core::run::Node;
use truechimer_core::units::FreqOffset;

use crate::clock::{HostClock, precision};
use crate::config::{Config, MAX_PEERS};
use crate::control::{Control, GroupError};
use crate::log::Log;
use crate::net::Sockets;
use crate::phc::Hardware;
use crate::process::link::Order;
use crate::resolver::Resolver;
use crate::sandbox::{Protection, SandboxError};
use crate::serve::{self, Responder, Xdp};
use crate::service::{Notice, ServiceManager};
use crate::state;

use self::clock::open_clock;
use self::constraint::Constraint;
use self::control::open_control;
use self::leap::LeapSeconds;
use self::lookups::Lookups;
use self::resolve::{Entry, Names};
use self::serving::Serving;
pub(crate) use self::status::leap_name;
use self::superior::Keeper;
pub use self::superior::Superior;
use self::wait::LONGEST_WAIT;

/// Why the daemon could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The clock cannot even be read.
    #[error("cannot read the kernel's clock: {0}")]
    Clock(ClockError),
    /// No unpredictable bits.
    #[error("cannot read /dev/urandom: {0}")]
    Entropy(io::Error),
    /// Another daemon disciplines the kernel's clock.
    #[error("another chimed is running: it listens on {}", .0.display())]
    Running(PathBuf),
    /// Those who may ask are not there.
    #[error(transparent)]
    Group(GroupError),
    /// More peers than there is room for.
    #[error("{0} servers and pool members are configured; {MAX_PEERS} are allowed")]
    TooManyPeers(usize),
    /// There is no socket to serve time on, whatever the address.
    #[error("cannot open a socket for {0}: {1}")]
    Listen(SocketAddr, Errno),
    /// There are no threads or descriptors left.
    #[error("cannot start workers: {0}")]
    Workers(io::Error),
    /// It does not give up what it does not need.
    #[error(transparent)]
    Sandbox(SandboxError),
    /// poll(2) failed.
    #[error("poll failed: {0}")]
    Poll(Errno),
    /// Whoever is to say what to do is gone.
    #[error("{0}")]
    Parent(Event<'static>),
}

type Peers = Engine<MAX_PEERS>;
/// The engine's thread: what is not of the workers.
pub type DaemonNode = Node<Engine<MAX_PEERS>, Sockets, HostClock, Responder, MAX_PEERS>;

/// A running daemon. However it ends, the clock is left at its frequency, without a slew.
#[derive(Debug)]
pub struct Daemon {
    /// Some hundred thousand octets, which no caller's stack is to hold.
    node: Box<DaemonNode>,
    serving: Serving,
    names: Names,
    config: Config,
    superior: Superior,
    keeper: Keeper,
    lookups: Lookups,
    constraint: Constraint,
    leaps: LeapSeconds,
    control: Option<Control>,
    log: Log,
    /// Of each process, by its name.
    protections: BTreeMap<String, Vec<String>>,
    polls: u64,
    started: HostInstant,
}

impl Daemon {
    /// Binds the sockets and adds the peers; nobody can have it read its configuration again.
    ///
    /// # Errors
    /// As [`start_under`](Self::start_under).
    pub fn start(config: &Config, log: Log) -> Result<Self, DaemonError> {
        Self::start_under(Superior::default(), config, log, |_| Ok(()))
    }

    /// Binds the sockets and adds the peers. When all is open, and before there is another thread,
    /// `confine` gives up what is not needed from there on.
    ///
    /// # Errors
    /// What leaves nothing to run, or two daemons at one clock. A listen address or a control
    /// socket that cannot be had is logged.
    pub fn start_under(
        superior: Superior,
        config: &Config,
        log: Log,
        confine: impl FnOnce(&Log) -> Result<(), SandboxError>,
    ) -> Result<Self, DaemonError> {
        check_room(config, &log)?;
        let control = open_control(config, &log)?;
        let (mut clock, frequency, controlled) = open_clock(&superior, config, &log)?;
        let (keeper, past) = superior.keeper(config, &log);
        let trusted = clock.was_synced();
        let restored =
            controlled.then(|| state::restore(&mut clock, frequency, &past, trusted, &log));
        let mut engine_config =
            config.engine_config(restored.map_or(frequency, |begun| begun.rate));
        if let Some(deviation) = restored.and_then(|begun| begun.deviation) {
            engine_config.frequency_deviation = deviation;
        }
        engine_config.control = controlled;
        engine_config.precision = precision();
        let mut engine = Engine::new(&engine_config, clock.now(), serving::seed()?);
        if let Some(quality) = restored.and_then(|begun| begun.quality) {
            engine.set_boot(quality);
        }
        let mut names = Names::default();
        for entry in Entry::all(config) {
            let peer = engine.add_peer(clock.now(), &entry.config);
            names.add(peer.map_err(|_| DaemonError::TooManyPeers(config.peers()))?, entry);
        }

        let mut sockets = Sockets::new();
        let whole = serving::listen(config, &mut sockets, &log)?;
        let xdp = Xdp::attach(config, serving::seed()?, &log);
        if config.peers() == 0 && config.local_stratum.is_none() {
            let hint = "no server, pool or local stratum is configured: there is nothing to do";
            log.message(Level::Warning, &hint);
        }
        confine(&log).map_err(DaemonError::Sandbox)?;
        let mut node = Box::new(Node::new(engine, serve::idle(serving::seed()?), sockets, clock));
        let serving = Serving::start(config, &mut node, whole, xdp)?;
        Ok(Self {
            node,
            serving,
            names,
            config: config.clone(),
            superior,
            keeper,
            lookups: Lookups::default(),
            constraint: Constraint::default(),
            leaps: LeapSeconds::default(),
            control,
            log,
            protections: BTreeMap::new(),
            polls: 0,
            started: HostInstant::now(),
        })
    }

    /// From now on names are looked up there.
    #[must_use]
    pub fn with_resolver(mut self, resolver: Box<dyn Resolver>) -> Self {
        self.lookups = Lookups::new(resolver);
        self
    }

    /// From now on packets are stamped by network cards too.
    #[must_use]
    pub fn with_hardware(mut self, hardware: Hardware) -> Self {
        self.node.socket.set_hardware(hardware);
        self
    }

    /// How its processes are confined, by their names.
    pub fn set_protections(&mut self, protections: Vec<(String, Vec<Protection>)>) {
        let names = |active: Vec<Protection>| active.iter().map(Protection::to_string).collect();
        let named = protections.into_iter().map(|(process, active)| (process, names(active)));
        self.protections = named.collect();
    }

    /// Whether there is a control socket.
    #[must_use]
    pub const fn has_control(&self) -> bool {
        self.control.is_some()
    }

    /// Runs until its superior asks it to end, and reads the configuration again when it asks for
    /// that; keeps the service manager informed.
    ///
    /// # Errors
    /// poll(2) failed, or the superior is gone.
    pub fn run(&mut self, service: &mut ServiceManager) -> Result<(), DaemonError> {
        self.tend_leap_seconds();
        self.log.event(&Event::EngineReady);
        service.tell(Notice::Ready);
        self.run_on(service).inspect_err(|_| self.log.event(&Event::FatalExiting))?;
        service.tell(Notice::Stopping);
        self.log.close();
        self.log.event(&Event::EngineExiting);
        if matches!(self.superior, Superior::Operator(_)) {
            self.log.event(&Event::Terminating);
        }
        Ok(())
    }

    fn run_on(&mut self, service: &mut ServiceManager) -> Result<(), DaemonError> {
        loop {
            let order = self.superior.order();
            match order.inspect_err(|lost| self.log.event(lost)).map_err(DaemonError::Parent)? {
                Some(Order::End) => return Ok(()),
                Some(Order::Reload) => {
                    service.tell(Notice::Reloading(monotonic()));
                    self.reload();
                    service.tell(Notice::Ready);
                }
                Some(Order::Constrain(answer)) => self.constrain(&answer),
                None => {}
            }
            self.turn(service.longest_wait(LONGEST_WAIT))?;
            service.tend(|| self.summary());
        }
    }

    /// Does what there is to do, and waits for more, no longer than `longest`.
    ///
    /// # Errors
    /// poll(2) failed.
    pub fn turn(&mut self, longest: Duration) -> Result<(), DaemonError> {
        let mut outputs = Vec::new();
        // Receiving never fails for good: a socket's errors are its own.
        let busy = self.node.turn(&mut |output| outputs.push(output)).is_ok();
        self.take(outputs);
        self.serving.publish(&self.node);
        let failures = self.node.socket.take_failures();
        for failure in self.node.clock.take_failures().into_iter().chain(failures) {
            self.log.event(&failure);
        }
        self.log.tell_suppressed();
        self.look_up();
        self.tend_leap_seconds();
        if let Some(control) = &mut self.control {
            control.tell_followers(&self.log);
        }
        let at_once = busy || self.lookups.is_due();
        if self.wait(if at_once { Duration::ZERO } else { longest })? {
            self.serve_control();
        }
        Ok(())
    }

    /// The clock and its engine.
    #[must_use]
    pub const fn node(&self) -> &DaemonNode {
        &self.node
    }

    /// How it is, in one line.
    fn summary(&self) -> String {
        let snapshot = self.node.engine.snapshot(self.node.clock.now());
        let valid = snapshot.peers().filter(|peer| peer.valid).count();
        let state = match (snapshot.synced, snapshot.held) {
            (true, _) => format!("synced, stratum {}", snapshot.system.stratum),
            (false, true) => "unsynced, clock held: see chimectl accept".into(),
            (false, false) => "unsynced".into(),
        };
        format!("{state}; {valid} of {} peers valid", snapshot.peers().len())
    }

    fn take(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Event(event) => self.log.event(&event),
                Output::BadPeer { peer, address, pool } => {
                    let name = self.names.name(peer);
                    self.log.event(&Event::BadPeer { name, address, pool });
                }
                Output::Resolve(peer) => self.lookups.want(peer, &self.names),
                Output::Constrain => {
                    self.constraint.ask(&self.superior, &self.config, &self.log);
                }
                Output::Persist(state) => {
                    let now = self.node.clock.now().wall;
                    self.keeper.keep(&state, now, &self.log);
                }
                // Rejected datagrams are counted; the rest the loop has done.
                _ => {}
            }
        }
    }

    fn look_up(&mut self) {
        let mut outputs = Vec::new();
        self.lookups.serve(&mut self.node, &self.names, &self.log, &mut outputs);
        self.take(outputs);
        if let Some(answer) = self.constraint.answer(&self.log) {
            self.constrain(&answer);
        }
    }

    fn reload(&mut self) {
        let mut outputs = Vec::new();
        let (mut parts, _) = self.parts(&mut outputs);
        // It is logged, and nobody waits for an answer.
        let _ = parts.reload();
        self.take(outputs);
    }

    fn leave_clock(&mut self) {
        let now = self.node.clock.now();
        if let Some(state) = self.node.engine.state(now) {
            self.keeper.keep(&state, now.wall, &self.log);
        }
        let snapshot = self.node.engine.snapshot(now);
        let (controlled, frequency) = (snapshot.controlled, snapshot.frequency);
        let left = controlled.then(|| self.node.clock.adjust(frequency, FreqOffset::ZERO));
        // Of a parent that is gone has been told.
        if left.is_some_and(|left| left.is_err_and(|error| error != ClockError::NoReply)) {
            self.log.event(&Event::ResetAdjtimeFailed);
        }
    }
}

/// As systemd counts it.
fn monotonic() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.leave_clock();
    }
}

/// Whether there is room for all peers.
fn check_room(config: &Config, log: &Log) -> Result<(), DaemonError> {
    let peers = config.peers();
    if peers > MAX_PEERS {
        log.event(&Event::CannotResizePeers { old: MAX_PEERS, new: peers });
        log.event(&Event::FatalClientPeerInit);
        return Err(DaemonError::TooManyPeers(peers));
    }
    Ok(())
}
