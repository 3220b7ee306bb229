//! The list of leap seconds: has it read again now and then, and tells the engine what it says of the
//! present.

use truechimer_core::event::Level;
use truechimer_core::hal::AdjustableClock;
use truechimer_core::units::{Instant, Span};

use super::Daemon;
use crate::leap::List;

/// Between two looks at the file.
const INTERVAL: Span = Span::from_secs(3_600);

/// The list, as it was when it was last good.
#[derive(Debug, Default)]
pub(super) struct LeapSeconds {
    list: Option<List>,
    /// When to read it again; at once if unknown.
    due: Option<Instant>,
    /// What was wrong with it.
    problem: Option<String>,
    /// It has been told that it has expired.
    is_told: bool,
}

impl LeapSeconds {
    /// It is to be read again.
    pub(super) const fn reload(&mut self) {
        self.due = None;
    }
}

impl Daemon {
    /// Reads the list if that is due, and tells the engine.
    pub(super) fn tend_leap_seconds(&mut self) {
        let now = self.node.clock.now();
        if self.leaps.due.is_none_or(|due| due <= now.mono) {
            self.leaps.due = Some(now.mono + INTERVAL);
            self.read_leap_seconds();
        }
        let list = self.leaps.list.as_ref();
        self.node.engine.set_leap_list(list.and_then(|list| list.at(now.wall)));
        let expired = list.map(List::expires).filter(|expires| *expires <= now.wall);
        // Before the clock is right nobody knows.
        let is_news = |_: &_| !self.leaps.is_told && self.node.engine.snapshot(now).synced;
        if let Some(expired) = expired.filter(is_news) {
            let text = format_args!(
                "the list of leap seconds expired on {expired}: those are heeded that the sources \
                 announce; a newer tzdata has a newer list"
            );
            self.log.message(Level::Warning, &text);
            self.leaps.is_told = true;
        }
    }

    fn read_leap_seconds(&mut self) {
        let leaps = &mut self.leaps;
        match self.superior.leap_seconds(&self.config) {
            Ok(list) => {
                leaps.problem = None;
                if leaps.list == list {
                    return;
                }
                if let Some(list) = &list {
                    let until = list.expires();
                    let text = format_args!("the list of leap seconds expires on {until}");
                    self.log.message(Level::Info, &text);
                }
                (leaps.list, leaps.is_told) = (list, false);
            }
            // What was good is so until it expires.
            Err(problem) if leaps.problem.as_ref() != Some(&problem) => {
                let text = format_args!("cannot use leap seconds of {problem}");
                self.log.message(Level::Warning, &text);
                leaps.problem = Some(problem);
            }
            Err(_) => {}
        }
    }
}
