//! Standard error: one message a line, dated in UTC.
//!
//! Where a service manager reads it into its journal each line carries its severity instead of the
//! date, which the journal adds itself (sd-daemon(3)).

use std::io::Write;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use nix::sys::stat::fstat;
use truechimer_core::event::Level;
use truechimer_core::units::WallTime;

/// How standard error is to be written to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stderr {
    journal: bool,
    colour: bool,
}

impl Stderr {
    pub(super) fn new() -> Self {
        let colour = AutoStream::choice(&std::io::stderr()) != ColorChoice::Never;
        Self { journal: is_journal(), colour }
    }

    pub(super) fn write(self, time: WallTime, level: Level, text: &str) {
        let line = if self.journal {
            format!("<{}>{text}\n", level.as_syslog())
        } else {
            let name = name(level);
            let style = if self.colour { style(name) } else { Style::new() };
            format!("{time} {style}{name:<8}{style:#} {text}\n")
        };
        // One call, so that lines stay whole; there is nowhere to tell that it failed.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

/// Whether standard error is the stream that `JOURNAL_STREAM` names, by device and inode. The
/// variable alone may be an ancestor's.
pub(super) fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    fstat(std::io::stderr()).is_ok_and(|file| stream == format!("{}:{}", file.st_dev, file.st_ino))
}

/// The name of a level.
#[must_use]
pub const fn name(level: Level) -> &'static str {
    match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warning => "warning",
        Level::Error => "error",
        Level::Critical => "critical",
    }
}

/// How a level of this name looks on a terminal.
#[must_use]
pub fn style(name: &str) -> Style {
    let colour = |colour: AnsiColor| colour.on_default();
    match name {
        "debug" => colour(AnsiColor::BrightBlack),
        "warning" => colour(AnsiColor::Yellow),
        "error" => colour(AnsiColor::Red),
        "critical" => colour(AnsiColor::Red).bold(),
        _ => Style::new(),
    }
}
