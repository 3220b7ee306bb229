//! What an operator may choose of the log.

use clap::ValueEnum;
use truechimer_core::event::{Level, Profile};

/// Where messages go, which, and how severe they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Where to.
    pub destination: Destination,
    /// The least severe that are shown.
    pub level: Threshold,
    /// Which severities events have.
    pub profile: LogProfile,
}

/// Where messages go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Destination {
    /// The journal if standard error goes there, or else standard error.
    #[default]
    Auto,
    /// Standard error.
    Stderr,
    /// The system's log daemon.
    Syslog,
    /// systemd's journal.
    Journald,
}

/// The least severe messages that are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Threshold {
    /// All.
    Debug,
    /// The ordinary course of things too.
    #[default]
    Info,
    /// What is wrong.
    Warning,
    /// What keeps a part of the daemon from going on.
    Error,
    /// What ends it.
    Critical,
}

/// Which severities events have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogProfile {
    /// Those that an administrator of a Unix host expects.
    #[default]
    Unix,
    /// Those of the appliance's log reference.
    Appliance,
}

impl From<Threshold> for Level {
    fn from(threshold: Threshold) -> Self {
        match threshold {
            Threshold::Debug => Self::Debug,
            Threshold::Info => Self::Info,
            Threshold::Warning => Self::Warning,
            Threshold::Error => Self::Error,
            Threshold::Critical => Self::Critical,
        }
    }
}

impl From<LogProfile> for Profile {
    fn from(profile: LogProfile) -> Self {
        match profile {
            LogProfile::Unix => Self::Unix,
            LogProfile::Appliance => Self::Appliance,
        }
    }
}
