//! `chimed -d`: everything in one process and one thread, on poll(2).
//!
//! It runs under simulators that replace libc's clock, socket and poll calls, so it uses nothing
//! else to wait: no thread, no epoll, no timer or event descriptors.

mod resolve;
mod status;

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant as HostInstant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use truechimer_core::clock::ClockError;
use truechimer_core::event::{Event, Level};
use truechimer_core::hal::{AdjustableClock, Channel};
use truechimer_core::io::{Input, Output};
use truechimer_core::run::Node;
use truechimer_core::units::{FreqOffset, Span};
use truechimer_core::{Engine, PeerId};

use crate::clock::{self, HostClock, KernelClock, SoftwareClock};
use crate::config::{ClockKind, Config};
use crate::control::Control;
use crate::entropy::Urandom;
use crate::log::Log;
use crate::net::Sockets;
use crate::sys;

use self::resolve::Names;
pub(crate) use self::status::leap_name;

/// Peers that there is room for.
pub const MAX_PEERS: usize = 64;
/// A signal that comes between looking for it and poll(2) is noticed after this at the latest.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Why the daemon could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The clock cannot even be read.
    #[error("cannot read the kernel's clock: {0}")]
    Clock(ClockError),
    /// No unpredictable bits.
    #[error("cannot read /dev/urandom: {0}")]
    Entropy(io::Error),
    /// More peers than there is room for.
    #[error("{0} servers and pool members are configured; {MAX_PEERS} are allowed")]
    TooManyPeers(usize),
    /// poll(2) failed.
    #[error("poll failed: {0}")]
    Poll(Errno),
    /// Signals cannot be caught.
    #[error("cannot catch signals: {0}")]
    Signals(Errno),
}

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    node: Node<Sockets, HostClock, MAX_PEERS>,
    names: Names,
    control: Option<Control>,
    log: Log,
    controlled: bool,
    polls: u64,
    started: HostInstant,
}

impl Daemon {
    /// Binds the sockets and adds the peers.
    ///
    /// # Errors
    /// Only what leaves nothing to run: a listen address or control socket that cannot be had is
    /// logged.
    pub fn start(config: &Config, log: Log) -> Result<Self, DaemonError> {
        let names = Names::new(config);
        if names.count() > MAX_PEERS {
            return Err(DaemonError::TooManyPeers(names.count()));
        }
        let seed =
            Urandom::open().and_then(|mut urandom| urandom.seed()).map_err(DaemonError::Entropy)?;
        let (clock, frequency, controlled) = open_clock(config, &log)?;
        let mut engine_config = config.engine_config(frequency);
        engine_config.control = controlled;
        engine_config.precision = clock::precision();
        let mut engine = Engine::new(&engine_config, clock.now(), seed);
        for peer in names.peers() {
            engine
                .add_peer(clock.now(), peer)
                .map_err(|_| DaemonError::TooManyPeers(names.count()))?;
        }

        let mut sockets = Sockets::new();
        for listen in &config.listen {
            if let Err((address, error)) = sockets.listen(listen.address, listen.port) {
                log.event(&Event::BindFailed { address: address.ip() });
                log.message(Level::Debug, &format_args!("cannot serve on {address}: {error}"));
            }
        }
        let control = config.control.as_deref().and_then(|path| {
            Control::open(path)
                .inspect_err(|error| {
                    let path = path.display().to_string();
                    log.event(&error.event(&path));
                    log.message(Level::Debug, &format_args!("{path}: {error}"));
                })
                .ok()
        });
        if config.servers.is_empty() && config.pools.is_empty() && config.local_stratum.is_none() {
            let hint = "no server, pool or local stratum is configured: there is nothing to do";
            log.message(Level::Warning, &hint);
        }
        log.event(&Event::EngineReady);
        Ok(Self {
            node: Node::new(engine, sockets, clock),
            names,
            control,
            log,
            controlled,
            polls: 0,
            started: HostInstant::now(),
        })
    }

    /// Runs until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// poll(2) failed.
    pub fn run(&mut self) -> Result<(), DaemonError> {
        sys::catch_termination().map_err(DaemonError::Signals)?;
        while !sys::termination_requested() {
            self.turn(LONGEST_WAIT)?;
        }
        self.stop();
        Ok(())
    }

    /// Waits for something to do, no longer than `longest`, and does it.
    ///
    /// # Errors
    /// poll(2) failed.
    pub fn turn(&mut self, longest: Duration) -> Result<(), DaemonError> {
        let mut outputs = Vec::new();
        // Receiving never fails for good: a socket's errors are its own.
        let busy = self.node.turn(&mut |output| outputs.push(output)).is_ok();
        let more_to_do = self.carry_out(outputs);
        self.wait(if busy || more_to_do { Duration::ZERO } else { longest })?;
        let status = status::Reporter {
            node: &self.node,
            names: &self.names,
            controlled: self.controlled,
            polls: self.polls,
            uptime: self.started.elapsed(),
        };
        if let Some(control) = &mut self.control {
            control.serve(|command| status.answer(command));
        }
        Ok(())
    }

    /// The clock and its engine.
    #[must_use]
    pub const fn node(&self) -> &Node<Sockets, HostClock, MAX_PEERS> {
        &self.node
    }

    /// Leaves the clock at its frequency, without a slew.
    fn stop(&mut self) {
        if self.controlled {
            let frequency = self.node.engine.snapshot(self.node.clock.now()).frequency;
            if self.node.clock.adjust(frequency, FreqOffset::ZERO).is_err() {
                self.log.event(&Event::ResetAdjtimeFailed);
            }
        }
        self.log.event(&Event::EngineExiting);
        self.log.event(&Event::Terminating);
    }

    /// Logs events and looks names up; true if that gave the engine something to do.
    fn carry_out(&mut self, outputs: Vec<Output>) -> bool {
        let mut inputs = Vec::new();
        for output in outputs {
            match output {
                Output::Event(event) => self.log.event(&event),
                Output::BadPeer { peer, address, pool } => {
                    let name = self.names.name(peer);
                    self.log.event(&Event::BadPeer { name, address, pool });
                }
                Output::Resolve(peer) => inputs.push((peer, self.resolve(peer))),
                // Rejected datagrams are counted; the rest the loop has done.
                _ => {}
            }
        }
        let mut events = Vec::new();
        for (peer, addresses) in &inputs {
            let input = Input::Resolved { peer: *peer, addresses };
            self.node.input(input, &mut |output| events.push(output));
        }
        for output in events {
            if let Output::Event(event) = output {
                self.log.event(&event);
            }
        }
        inputs.iter().any(|(_, addresses)| !addresses.is_empty())
    }

    fn resolve(&self, peer: PeerId) -> Vec<std::net::SocketAddr> {
        let snapshot = self.node.engine.snapshot(self.node.clock.now());
        let taken: Vec<_> = snapshot.peers().filter_map(|peer| peer.address).collect();
        self.names.resolve(peer, &taken).unwrap_or_else(|error| {
            let name = self.names.name(peer);
            self.log.message(Level::Debug, &format_args!("cannot resolve {name}: {error}"));
            Vec::new()
        })
    }

    fn wait(&mut self, longest: Duration) -> Result<(), DaemonError> {
        let timeout = self.timeout(longest);
        let channels: Vec<(Channel, BorrowedFd<'_>)> = self.node.socket.descriptors().collect();
        let mut descriptors: Vec<PollFd<'_>> = channels
            .iter()
            .map(|(_, descriptor)| *descriptor)
            .chain(self.control.iter().flat_map(Control::descriptors))
            .map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN))
            .collect();
        self.polls += 1;
        match poll(&mut descriptors, timeout) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(()),
            Err(error) => {
                self.log.event(&Event::PollError);
                return Err(DaemonError::Poll(error));
            }
        }
        let ready: Vec<Channel> = channels
            .iter()
            .zip(&descriptors)
            .filter(|(_, polled)| polled.any().unwrap_or(true))
            .map(|((channel, _), _)| *channel)
            .collect();
        for channel in ready {
            self.node.socket.set_ready(channel);
        }
        Ok(())
    }

    /// Until the engine's deadline, rounded up to whole milliseconds so as not to wake too early.
    fn timeout(&self, longest: Duration) -> PollTimeout {
        let now = self.node.clock.now().mono;
        let longest = Span::from_nanos(i64::try_from(longest.as_nanos()).unwrap_or(i64::MAX));
        let left = self.node.engine.next_deadline().map_or(longest, |deadline| deadline - now);
        let nanos = left.min(longest).max(Span::ZERO).as_nanos().unsigned_abs();
        PollTimeout::try_from(nanos.div_ceil(1_000_000)).unwrap_or(PollTimeout::MAX)
    }
}

/// The configured clock, the rate it runs at, and whether it may be changed.
fn open_clock(config: &Config, log: &Log) -> Result<(HostClock, FreqOffset, bool), DaemonError> {
    match config.clock {
        ClockKind::Software => {
            let error = config.software_clock;
            let clock = SoftwareClock::new(error.offset, error.frequency);
            Ok((HostClock::Software(clock), FreqOffset::ZERO, true))
        }
        ClockKind::Kernel => {
            let mut clock = KernelClock::open().map_err(DaemonError::Clock)?;
            let controlled = match clock.try_control() {
                Ok(()) => true,
                Err(error) => {
                    let text = format_args!(
                        "cannot adjust the kernel's clock ({error}): it is only watched; \
                         run as root or with CAP_SYS_TIME, or set clock = \"software\""
                    );
                    log.message(Level::Warning, &text);
                    false
                }
            };
            let rate = clock.rate();
            Ok((HostClock::Kernel(clock), rate, controlled))
        }
    }
}
