//! Where messages go: standard error, one a line, dated in UTC.
//!
//! Where a service manager reads standard error into its journal each line carries its severity
//! instead of the date, which the journal adds itself (sd-daemon(3)).

use std::fmt;
use std::io::Write;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use nix::sys::stat::fstat;
use truechimer_core::event::{Event, Level, Profile};

use crate::clock::realtime;

/// Which severities events have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogProfile {
    /// Those that an administrator of a Unix host expects.
    #[default]
    Unix,
    /// Those of the appliance's log reference.
    Appliance,
}

/// A log on standard error.
#[derive(Debug, Clone, Copy)]
pub struct Log {
    profile: Profile,
    threshold: Level,
    journal: bool,
    colour: bool,
}

impl Log {
    /// Shows what is at least as severe as `threshold`.
    #[must_use]
    pub fn new(profile: LogProfile, threshold: Level) -> Self {
        let profile = match profile {
            LogProfile::Unix => Profile::Unix,
            LogProfile::Appliance => Profile::Appliance,
        };
        let colour = AutoStream::choice(&std::io::stderr()) != ColorChoice::Never;
        Self { profile, threshold, journal: is_journal(), colour }
    }

    /// Logs an event.
    pub fn event(&self, event: &Event<'_>) {
        self.message(event.level(self.profile), event);
    }

    /// Logs something that has no place in the table of events.
    pub fn message(&self, level: Level, text: &impl fmt::Display) {
        if level < self.threshold {
            return;
        }
        let line = if self.journal {
            format!("<{}>{text}\n", level.as_syslog())
        } else {
            let (name, style) = appearance(level);
            let style = if self.colour { style } else { Style::new() };
            format!("{} {style}{name:<8}{style:#} {text}\n", realtime())
        };
        // One call, so that lines stay whole; there is nowhere to tell that it failed.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

/// Whether standard error is the stream that `JOURNAL_STREAM` names, by device and inode. The
/// variable alone may be an ancestor's.
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    fstat(std::io::stderr()).is_ok_and(|file| stream == format!("{}:{}", file.st_dev, file.st_ino))
}

fn appearance(level: Level) -> (&'static str, Style) {
    let colour = |colour: AnsiColor| colour.on_default();
    match level {
        Level::Debug => ("debug", colour(AnsiColor::BrightBlack)),
        Level::Info => ("info", Style::new()),
        Level::Warning => ("warning", colour(AnsiColor::Yellow)),
        Level::Error => ("error", colour(AnsiColor::Red)),
        Level::Critical => ("critical", colour(AnsiColor::Red).bold()),
    }
}
