//! Who tells a daemon what to do: an operator by signals, or the parent process.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use truechimer_core::event::Event;
use truechimer_core::holdover::State;
use truechimer_core::units::WallTime;

use crate::config::{Config, Loaded, Origin};
use crate::leap::{self, List};
use crate::log::Log;
use crate::process::link::{Link, Order};
use crate::state::{self, Past, StateFiles};
use crate::sys;

/// Who says when to end and when to read the configuration again, and where that comes from.
#[derive(Debug)]
pub enum Superior {
    /// SIGTERM and its like, and SIGHUP: [`sys::catch_termination`] and [`sys::catch_reload`] have
    /// been called. The configuration comes from a file, if any.
    Operator(Option<Origin>),
    /// The process that holds what this one lacks the privilege for.
    /// What was kept of a former life, too.
    Parent(Arc<Link>, Past),
}

impl Default for Superior {
    fn default() -> Self {
        Self::Operator(None)
    }
}

impl Superior {
    /// # Errors
    /// There is nobody any more: what is to be logged.
    pub(super) fn order(&self) -> Result<Option<Order>, Event<'static>> {
        match self {
            Self::Operator(_) if sys::termination_requested() => Ok(Some(Order::End)),
            Self::Operator(_) => Ok(sys::take_reload_request().then_some(Order::Reload)),
            Self::Parent(link, _) => link.order(),
        }
    }

    /// Who keeps what is known for the next start, and what was kept of the last one.
    pub(super) fn keeper(&self, config: &Config, log: &Log) -> (Keeper, Past) {
        match self {
            Self::Operator(_) => {
                let (files, past) = state::open(config, log);
                (Keeper::new(Place::Files(files), &past.state), past)
            }
            Self::Parent(link, past) => {
                (Keeper::new(Place::Parent(Arc::clone(link)), &past.state), *past)
            }
        }
    }

    pub(super) const fn is_parent(&self) -> bool {
        matches!(self, Self::Parent(..))
    }

    /// Reads the configuration.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn load(&self) -> Result<Loaded, String> {
        match self {
            Self::Operator(Some(origin)) => origin.load().map_err(|error| error.to_string()),
            Self::Operator(None) => Err("there is no file that it came from".to_owned()),
            Self::Parent(link, _) => {
                let configuration = link.read_configuration()?;
                let config = Config::from_toml(&configuration.toml);
                let config = config.map_err(|error| error.to_string())?;
                Ok(Loaded { config, warnings: configuration.warnings })
            }
        }
    }

    /// The list of leap seconds that is configured, if there is one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn leap_seconds(&self, config: &Config) -> Result<Option<List>, String> {
        match self {
            Self::Operator(_) => leap::load(config.leap_list.as_deref()),
            Self::Parent(link, _) => link.read_leap_seconds(),
        }
    }

    /// Whether there is an order that is not to be waited for.
    pub(super) fn is_due(&self) -> bool {
        match self {
            Self::Operator(_) => sys::has_request(),
            Self::Parent(link, _) => link.is_due(),
        }
    }

    /// What can be read when there is an order.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Operator(_) => None,
            Self::Parent(link, _) => Some(link.as_fd()),
        }
    }
}

/// Keeps what is known for the next start.
#[derive(Debug)]
pub(super) struct Keeper {
    place: Place,
    /// The last time that is known to have been right.
    floor: Option<WallTime>,
}

#[derive(Debug)]
enum Place {
    /// With this process, if anywhere.
    Files(Option<StateFiles>),
    Parent(Arc<Link>),
}

impl Keeper {
    const fn new(place: Place, kept: &State) -> Self {
        Self { place, floor: kept.floor }
    }

    pub(super) const fn floor(&self) -> Option<WallTime> {
        self.floor
    }

    /// Now that the clock shows `now`.
    pub(super) fn keep(&mut self, state: &State, now: WallTime, log: &Log) {
        self.floor = state.floor.or(self.floor);
        match &mut self.place {
            Place::Files(Some(files)) => files.save(state, now, log),
            Place::Files(None) => {}
            Place::Parent(link) => link.keep(state, now),
        }
    }
}
