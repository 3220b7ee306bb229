//! What is kept for the next start, in files that an administrator can read: what the clock's
//! frequency is, and when it was last right.
//!
//! A file that is damaged is reported and ignored, one that cannot be written is reported once and
//! tried again when there is news. Neither ends the daemon.

mod drift;
mod file;
mod floor;
#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use truechimer_core::event::{Event, Level};
use truechimer_core::hal::AdjustableClock;
use truechimer_core::holdover::{KnownFrequency, State};
use truechimer_core::units::{FreqOffset, WallTime};

use crate::config::Config;
use crate::log::Log;

/// A kernel's frequency is that far from the one it was told.
const ROUNDING: FreqOffset = FreqOffset::from_scaled_ppm(2);

/// The files of a folder. Who owns it has the privilege to write them.
#[derive(Debug)]
pub struct StateFiles {
    folder: PathBuf,
    drift: PathBuf,
    floor: PathBuf,
    /// As the drift file has it.
    written: Option<KnownFrequency>,
    /// It has been told that they cannot be written.
    told: bool,
}

impl StateFiles {
    /// Those of a folder, and what they hold; what cannot be used is logged.
    #[must_use]
    pub fn open(folder: &Path, log: &Log) -> (Self, State) {
        let (drift, floor) = (folder.join("drift"), folder.join("floor"));
        let frequency = load(&drift, drift::parse, log);
        let state = State { frequency, floor: load(&floor, floor::parse, log) };
        let folder = folder.to_owned();
        (Self { folder, drift, floor, written: frequency, told: false }, state)
    }

    /// Where they are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps what is known now.
    pub fn save(&mut self, state: &State, log: &Log) {
        let is_news = |known: &KnownFrequency| {
            self.written.is_none_or(|written| {
                (known.frequency - written.frequency).abs() > ROUNDING
                    || known.deviation < written.deviation
            })
        };
        let news = state.frequency.filter(is_news);
        let drift = news.map_or(Ok(()), |known| {
            let saved = file::replace(&self.drift, &drift::format(known));
            self.written = if saved.is_ok() { news } else { self.written };
            saved.map_err(|error| (&self.drift, error))
        });
        let floor = state.floor.map_or(Ok(()), |floor| {
            file::replace(&self.floor, &floor::format(floor)).map_err(|error| (&self.floor, error))
        });
        let failed = drift.and(floor);
        if let Err((path, error)) = &failed
            && !self.told
        {
            let (path, error) = (path.to_string_lossy(), reason(error));
            log.event(&Event::CannotWriteDrift { path: &path, error: &error });
        }
        self.told = failed.is_err();
    }
}

/// The files that a configuration wants, and what they hold.
#[must_use]
pub fn open(config: &Config, log: &Log) -> (Option<StateFiles>, State) {
    let opened = config.state.as_deref().map(|folder| StateFiles::open(folder, log));
    opened.map_or((None, State::default()), |(files, state)| (Some(files), state))
}

/// What a file holds, if it is there and can be used.
fn load<T, E: Display>(path: &Path, parse: impl Fn(&str) -> Result<T, E>, log: &Log) -> Option<T> {
    let name = path.to_string_lossy();
    let text = match file::read(path) {
        Ok(text) => text,
        Err(file::ReadError::Open(error)) => {
            if error.kind() != io::ErrorKind::NotFound {
                log.event(&Event::CannotOpenDrift { path: &name });
            }
            return None;
        }
        Err(file::ReadError::Read(error)) => {
            log.event(&Event::CannotReadDrift { path: &name, error: &reason(&error) });
            return None;
        }
    };
    let parsed = parse(&text);
    let refused = parsed.inspect_err(|error| {
        log.event(&Event::CannotReadDrift { path: &name, error: &error.to_string() });
    });
    refused.ok()
}

/// As strerror(3) has it.
fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => nix::errno::Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    }
}

/// Starts a clock that runs at `rate` from what was kept: at the frequency, and no earlier than the
/// floor. Says at which rate it runs, and the standard deviation of that if it is known. What fails is
/// logged, and the clock begins as it was.
pub fn restore(
    clock: &mut impl AdjustableClock,
    rate: FreqOffset,
    state: &State,
    log: &Log,
) -> (FreqOffset, Option<f64>) {
    let now = clock.now().wall;
    if let Some(floor) = state.floor.filter(|floor| *floor > now) {
        if clock.step(floor - now).is_err() {
            log.event(&Event::Settimeofday);
        }
        let text = format_args!(
            "local clock was at {now}, earlier than it was known to be: it starts from {floor}"
        );
        log.message(Level::Warning, &text);
    }
    let Some(known) = state.frequency.map(KnownFrequency::at_start) else {
        return (rate, None);
    };
    match clock.adjust(known.frequency, FreqOffset::ZERO) {
        Ok(rate) => (rate, Some(known.deviation)),
        Err(_) => {
            log.event(&Event::AdjfreqFailed);
            (rate, None)
        }
    }
}

/// The year 2500: no clock is started from later than this, however the file came to say so.
const LATEST: WallTime = WallTime::from_unix(16_725_225_600, 0);
