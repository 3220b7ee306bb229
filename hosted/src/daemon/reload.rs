//! Another configuration for a daemon that runs: only the difference is applied.
//!
//! Peers that are in both stay, with all that is known of them, and are asked as the new one says.
//! Those that the operator added stay too, and come back to the configuration if it names them.

use std::collections::BTreeMap;

use nix::errno::Errno;
use truechimer_core::event::{Event, Level};
use truechimer_core::hal::AdjustableClock;
use truechimer_core::io::Output;
use truechimer_core::units::{FreqOffset, Now};
use truechimer_core::{Engine, PeerId};

use super::leap::LeapSeconds;
use super::lookups::Lookups;
use super::resolve::{Entry, Names};
use super::serving::Serving;
use super::{DaemonNode, Superior};
use crate::config::{ClockKind, Config, Loaded, MAX_PEERS, Server};
use crate::control::Reloaded;
use crate::log::Log;
use crate::query::Target;

/// Only root binds ports below.
const PRIVILEGED: u16 = 1_024;

/// What of a daemon follows the configuration.
pub(super) struct Parts<'a> {
    pub(super) node: &'a mut DaemonNode,
    pub(super) serving: &'a mut Serving,
    pub(super) names: &'a mut Names,
    pub(super) lookups: &'a mut Lookups,
    pub(super) leaps: &'a mut LeapSeconds,
    pub(super) config: &'a mut Config,
    pub(super) superior: &'a Superior,
    pub(super) log: &'a Log,
    pub(super) protections: &'a BTreeMap<String, Vec<String>>,
    pub(super) outputs: &'a mut Vec<Output>,
}

impl Parts<'_> {
    /// Reads the configuration again and applies the difference.
    ///
    /// # Errors
    /// What is wrong with it; then nothing has changed. It has been logged.
    pub(super) fn reload(&mut self) -> Result<Reloaded, String> {
        let loaded = self.superior.load().map_err(|reason| self.refuse(&reason))?;
        let Loaded { config, warnings } = loaded;
        let added_by_operator = self.names.added().filter(|entry| !entry.is_in(&config)).count();
        let peers = config.peers() + added_by_operator;
        if peers > MAX_PEERS {
            return Err(self.refuse(&format!(
                "{peers} servers and pool members are configured or added; {MAX_PEERS} are allowed"
            )));
        }
        let mut done = self.apply(config);
        done.warnings.splice(0..0, warnings);
        for warning in &done.warnings {
            self.log.message(Level::Warning, warning);
        }
        self.log.message(Level::Info, &format_args!("configuration reloaded: {done}"));
        Ok(done)
    }

    fn refuse(&self, reason: &str) -> String {
        self.log.message(Level::Error, &format_args!("nothing is reloaded: {reason}"));
        reason.to_owned()
    }

    fn apply(&mut self, mut config: Config) -> Reloaded {
        let mut done = Reloaded::default();
        self.keep_fixed(&mut config, &mut done.warnings);
        self.change_peers(&config, &mut done);
        // Of the engine's own configuration what belongs to the clock stays.
        self.node.engine.configure(&config.engine_config(FreqOffset::ZERO));
        match self.serving.change(self.config, &config, self.node) {
            Ok(failures) => {
                for (address, error) in failures {
                    self.log.event(&Event::BindFailed { address: address.ip() });
                    done.warnings.push(match error {
                        Errno::EACCES => format!(
                            "cannot serve on {address} until chimed is started again, as root: {error}"
                        ),
                        _ => format!("cannot serve on {address}: {error}"),
                    });
                }
            }
            Err(error) => done.warnings.push(format!("nobody is served: {error}")),
        }
        self.leaps.reload();
        *self.config = config;
        done
    }

    /// What is decided at the start stays as it is, and is named if it should not.
    fn keep_fixed(&self, config: &mut Config, warnings: &mut Vec<String>) {
        let Config {
            clock,
            discipline,
            state,
            rtc,
            control,
            control_group,
            user,
            software_clock,
            log,
            constraints,
            hardware,
            ..
        } = &*self.config;
        let fixed = [
            ("clock", config.clock != *clock),
            ("discipline", config.discipline != *discipline),
            ("state", config.state != *state),
            ("rtc", config.rtc != *rtc),
            ("control", config.control != *control),
            ("control_group", config.control_group != *control_group),
            ("user", config.user != *user),
            ("software_clock", config.software_clock != *software_clock),
            ("log", config.log != *log),
            ("timestamps", config.hardware != *hardware),
            ("constraint", config.constraints != *constraints),
        ];
        for (key, _) in fixed.iter().filter(|(_, differs)| *differs) {
            warnings.push(format!("{key} stays as it is until chimed is started again"));
        }
        config.clock = *clock;
        config.discipline = *discipline;
        config.state.clone_from(state);
        config.rtc.clone_from(rtc);
        config.control.clone_from(control);
        config.control_group.clone_from(control_group);
        config.user.clone_from(user);
        config.software_clock = *software_clock;
        config.log = *log;
        config.constraints.clone_from(constraints);
        config.hardware.clone_from(hardware);
        // Their sockets would be others, which a process that was root and is not cannot bind.
        let workers = self.config.serve.workers;
        let privileged = config.listen.iter().any(|listen| listen.port < PRIVILEGED);
        if self.superior.is_parent() && privileged && config.serve.workers != workers {
            let message = "serve.workers stays as it is until chimed is started again";
            warnings.push(message.to_owned());
            config.serve.workers = workers;
        }
        if !self.config.has_same_xdp(config) {
            let message = "serve.xdp: the sockets answer alone until chimed is started again";
            warnings.push(message.to_owned());
        }
        if self.config.peers() == 0 && config.peers() > 0 && config.clock == ClockKind::Kernel {
            let message = "the kernel's clock is only watched until chimed is started again: there was \
                           no server or pool";
            warnings.push(message.to_owned());
        }
    }

    fn change_peers(&mut self, config: &Config, done: &mut Reloaded) {
        let mut wanted: Vec<Entry> = Entry::all(config).collect();
        let mut gone = Vec::new();
        let now = self.node.clock.now();
        for (id, entry) in self.names.iter_mut() {
            match wanted.iter().position(|wanted| wanted.is_same(entry)) {
                Some(place) => {
                    let wanted = wanted.remove(place);
                    if wanted.config == entry.config {
                        done.kept += 1;
                    } else {
                        self.node.engine.set_peer(now, id, &wanted.config);
                        done.changed += 1;
                    }
                    *entry = wanted;
                }
                None if entry.added => done.kept += 1,
                None => gone.push(id),
            }
        }
        for id in gone {
            self.remove_peer(id);
            done.removed += 1;
        }
        for entry in wanted {
            // There is room: it has been counted.
            done.added += usize::from(self.add_peer(entry));
        }
    }

    fn add_peer(&mut self, entry: Entry) -> bool {
        let now = self.node.clock.now();
        let id = self.node.engine.add_peer(now, &entry.config);
        id.map(|id| self.names.add(id, entry)).is_ok()
    }

    fn remove_peer(&mut self, id: PeerId) {
        self.node.engine.remove_peer(id);
        self.node.socket.close_query(id);
        self.lookups.forget(id, self.names);
        self.names.remove(id);
        self.node.drain(&mut |output| self.outputs.push(output));
    }

    /// Asks another server until it is removed, or chimed ends.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn add(&mut self, server: &Server) -> Result<Reloaded, String> {
        let mut entry = Entry::server(server);
        entry.added = true;
        if self.names.iter_mut().any(|(_, other)| entry.is_same(other)) {
            return Err(format!("{} is asked already", server.address));
        }
        if !self.add_peer(entry) {
            return Err(format!("{MAX_PEERS} peers are asked already; no more are allowed"));
        }
        Ok(Reloaded { added: 1, ..Reloaded::default() })
    }

    /// Asks a server, or the members of a pool, no longer; what is configured comes back when that
    /// is reloaded.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn remove(&mut self, server: &Server) -> Result<Reloaded, String> {
        let gone = self.at(Some(server))?;
        gone.iter().for_each(|&id| self.remove_peer(id));
        Ok(Reloaded { removed: gone.len(), ..Reloaded::default() })
    }
    /// Does something with a server, or the members of a pool, or with all peers.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn each(
        &mut self,
        target: Option<&Target>,
        act: impl Fn(&mut Engine<MAX_PEERS>, Now, PeerId),
    ) -> Result<Reloaded, String> {
        let peers = self.at(target.map(Target::server).as_ref())?;
        let now = self.node.clock.now();
        peers.iter().for_each(|&id| act(&mut self.node.engine, now, id));
        Ok(Reloaded { changed: peers.len(), ..Reloaded::default() })
    }

    /// The peers of a server or pool, or all of them.
    fn at(&mut self, server: Option<&Server>) -> Result<Vec<PeerId>, String> {
        let is_meant = |entry: &Entry| server.is_none_or(|server| entry.is_at(server));
        let entries = self.names.iter_mut().filter(|(_, entry)| is_meant(entry));
        let peers: Vec<PeerId> = entries.map(|(id, _)| id).collect();
        match server {
            Some(server) if peers.is_empty() => {
                Err(format!("{} with port {} is not asked", server.address, server.port))
            }
            _ => Ok(peers),
        }
    }
}
