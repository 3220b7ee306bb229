//! The ntp engine: the daemon, but for the clock, the files and the names, which others have.

use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::Arc;

use nix::errno::Errno;
use truechimer_core::event::Level;

use super::channel::Channel;
use super::leave_terminal;
use super::link::Link;
use super::message::Start;
use super::resolver::DnsEngine;
use crate::config::Config;
use crate::daemon::{Daemon, Superior};
use crate::log::Log;
use crate::output;
use crate::phc::Cards;
use crate::sandbox::{Work, confine};
use crate::service::ServiceManager;
use crate::state::Past;

pub(super) fn main(parent: OwnedFd, dns: OwnedFd) -> Result<ExitCode, Errno> {
    let (parent, dns) = (Link::new(Channel::new(parent)?), DnsEngine::new(Channel::new(dns)?));
    // Without a parent there is nobody who would be told.
    Ok(start(&Arc::new(parent), dns).unwrap_or(ExitCode::FAILURE))
}

fn start(parent: &Arc<Link>, dns: DnsEngine) -> Option<ExitCode> {
    let (start, clocks) = parent.start()?;
    let Start { configuration, user, notify, beat, kept, rtc, hardware } = start;
    let config = Config::from_toml(&configuration.toml);
    let log = Log::new(&config.as_ref().map(|config| config.log).unwrap_or_default())
        .with_relay(Arc::clone(parent));
    if leave_terminal(&log).is_err() {
        return None;
    }
    let config = config.inspect_err(|error| log.message(Level::Critical, error)).ok()?;
    for warning in &configuration.warnings {
        log.message(Level::Warning, warning);
    }
    let mut protections = Vec::new();
    let superior =
        Superior::Parent(Arc::clone(parent), Past { state: kept.into(), rtc: rtc.map(Into::into) });
    let started = Daemon::start_under(superior, &config, log, |log| {
        protections = confine(&Work::Ntp, user.as_ref(), log)?;
        Ok(())
    });
    let mut daemon = match started {
        Ok(daemon) => daemon
            .with_resolver(Box::new(dns))
            .with_hardware(Cards { interfaces: hardware, clocks }.into()),
        Err(error) => {
            output::fail("chimed", &format_args!("cannot start: {error}"));
            return Some(ExitCode::FAILURE);
        }
    };
    daemon.set_protections(parent.ready(daemon.has_control(), protections)?);
    let mut service = match notify {
        true => ServiceManager::behind(Arc::clone(parent), beat),
        false => ServiceManager::default(),
    };
    Some(daemon.run(&mut service).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS))
}
