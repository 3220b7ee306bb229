//! What is kept for the next start, in files that an administrator can read: what the clock's
//! frequency is, and when it was last right.
//!
//! A file that is damaged is reported and ignored, one that cannot be written is reported once and
//! tried again when there is news. Neither ends the daemon.

pub mod drift;
mod file;
pub mod floor;
pub mod rtc;
#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use truechimer_core::event::{Event, Level};
use truechimer_core::hal::AdjustableClock;
use truechimer_core::holdover::{
    Boot, KnownFrequency, Quality, State, TimeStatus, UNKNOWN_FREQUENCY,
};
use truechimer_core::units::{FreqOffset, Span, WallTime};

use crate::config::Config;
use crate::log::Log;

pub use rtc::Started;

/// A kernel's frequency is that far from the one it was told.
const ROUNDING: FreqOffset = FreqOffset::from_scaled_ppm(2);

/// The clock that runs without power.
#[derive(Debug)]
struct Rtc {
    /// Where it is read.
    clock: PathBuf,
    /// What is known of it.
    file: PathBuf,
    learning: rtc::Learning,
}

/// What is known at a start.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Past {
    /// What was kept.
    pub state: State,
    /// What the clock says that runs without power, if there is one.
    pub rtc: Option<Started>,
}

/// The files of a folder. Who owns it has the privilege to write them.
#[derive(Debug)]
pub struct StateFiles {
    folder: PathBuf,
    drift: PathBuf,
    floor: PathBuf,
    rtc: Option<Box<Rtc>>,
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
        (Self { folder, drift, floor, rtc: None, written: frequency, told: false }, state)
    }

    /// Learns of the clock that is read at `clock` too. Says what it shows, by what is known of it.
    fn heed_rtc(&mut self, clock: &Path, state: State, log: &Log) -> Option<Started> {
        let file = self.folder.join("rtc");
        let (known, first) = (load(&file, rtc::parse, log), rtc::read(clock));
        let learning = rtc::Learning::new(known, first);
        self.rtc = Some(Rtc { clock: clock.to_owned(), file, learning }.into());
        first?.started(state, known)
    }

    /// Where they are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps what is known, now that the clock shows `now`.
    pub fn save(&mut self, state: &State, now: WallTime, log: &Log) {
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
            saved.map_err(|error| (self.drift.clone(), error))
        });
        let floor = state.floor.map_or(Ok(()), |floor| {
            file::replace(&self.floor, &floor::format(floor))
                .map_err(|error| (self.floor.clone(), error))
        });
        let failed = drift.and(floor).and(self.save_rtc(state, now));
        if let Err((path, error)) = &failed
            && !self.told
        {
            let (path, error) = (path.to_string_lossy(), reason(error));
            log.event(&Event::CannotWriteDrift { path: &path, error: &error });
        }
        self.told = failed.is_err();
    }

    fn save_rtc(&mut self, state: &State, now: WallTime) -> Result<(), (PathBuf, io::Error)> {
        let (Some(Rtc { clock, file, learning }), Some(floor)) =
            (self.rtc.as_deref_mut(), state.floor)
        else {
            return Ok(());
        };
        let known = rtc::read(clock).and_then(|read| learning.learn(now, now - floor, &read));
        known.map_or(Ok(()), |known| {
            file::replace(file, &rtc::format(&known)).map_err(|error| (file.clone(), error))
        })
    }
}

/// The files that a configuration wants, and what they and the clock say that runs without power.
#[must_use]
pub fn open(config: &Config, log: &Log) -> (Option<StateFiles>, Past) {
    let Some(folder) = config.state.as_deref() else { return (None, Past::default()) };
    let (mut files, state) = StateFiles::open(folder, log);
    let rtc = config.rtc.as_deref().and_then(|clock| files.heed_rtc(clock, state, log));
    (Some(files), Past { state, rtc })
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

/// How a clock begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beginning {
    /// The rate that it runs at.
    pub rate: FreqOffset,
    /// The standard deviation of that as a ratio, if it is known.
    pub deviation: Option<f64>,
    /// How good it is, if the clock that runs without power says so.
    pub quality: Option<Quality>,
}

/// Starts a clock that runs at `rate` from what was kept: at the frequency, and no earlier than the
/// floor. One that nobody `trusts` starts from the clock that runs without power if that cannot be so
/// wrong. What fails is logged, and the clock begins as it was.
pub fn restore(
    clock: &mut impl AdjustableClock,
    rate: FreqOffset,
    past: &Past,
    trusted: bool,
    log: &Log,
) -> Beginning {
    let now = clock.now().wall;
    let rtc = past.rtc.map(|rtc| (rtc.time_now(), rtc.bound));
    let by_rtc = rtc.filter(|&(time, bound)| {
        let doubtful = bound.is_some_and(|bound| (time - now).abs() > bound);
        !trusted && doubtful || past.state.floor.is_some_and(|floor| floor > now)
    });
    if let Some((time, bound)) = by_rtc {
        let doubt =
            bound.map_or("nobody knows how far".into(), |bound| format!("at most {bound:.1} s"));
        let text = format_args!(
            "local clock was at {now}: it starts from {time}, as the real-time clock has it, which is off \
             by {doubt}"
        );
        start_from(clock, time - now, &text, log);
    } else if let Some(floor) = past.state.floor.filter(|floor| *floor > now) {
        let text = format_args!(
            "local clock was at {now}, earlier than it was known to be: it starts from {floor}"
        );
        start_from(clock, floor - now, &text, log);
    }
    let known = past.state.frequency.map(KnownFrequency::at_start);
    let adjusted = known.map(|known| (clock.adjust(known.frequency, FreqOffset::ZERO), known));
    let (rate, deviation) = match adjusted {
        Some((Ok(rate), known)) => (rate, Some(known.deviation)),
        Some((Err(_), _)) => {
            log.event(&Event::AdjfreqFailed);
            (rate, None)
        }
        None => (rate, None),
    };
    let quality = past.rtc.map(|rtc| {
        let now = clock.now();
        let bound = rtc.bound.map(|bound| bound + (rtc.time_now() - now.wall).abs());
        let boot = Boot { time: now.wall, bound, status: TimeStatus::Rtc };
        boot.quality(now.mono, deviation.unwrap_or(UNKNOWN_FREQUENCY))
    });
    Beginning { rate, deviation, quality }
}

fn start_from(clock: &mut impl AdjustableClock, by: Span, text: &impl Display, log: &Log) {
    if clock.step(by).is_err() {
        log.event(&Event::Settimeofday);
    }
    log.message(Level::Warning, text);
}

/// The year 2500: no clock is started from later than this, however the file came to say so.
const LATEST: WallTime = WallTime::from_unix(16_725_225_600, 0);
