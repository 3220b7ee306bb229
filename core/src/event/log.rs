//! The log in memory: the last lines, of which the first says if there were more.

use heapless::{Deque, String};

use super::{Event, Level};
use crate::units::WallTime;

/// Octets of a line; a longer text is cut off.
pub const MAX_TEXT: usize = 192;

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When it was logged.
    pub time: WallTime,
    /// How severe it is.
    pub level: Level,
    /// What it says.
    pub text: String<MAX_TEXT>,
}

impl Line {
    /// `text` is cut off between characters where it is too long.
    #[must_use]
    pub fn new(time: WallTime, level: Level, text: &str) -> Self {
        let end = text.floor_char_boundary(MAX_TEXT);
        let text = text.get(..end).and_then(|text| String::try_from(text).ok());
        Self { time, level, text: text.unwrap_or_default() }
    }
}

/// The last `LINES` lines, each with a number that counts all lines since the start.
#[derive(Debug, Clone, Default)]
pub struct Log<const LINES: usize> {
    lines: Deque<Line, LINES>,
    /// How many were dropped: the number of the oldest that is left.
    trimmed: u64,
}

impl<const LINES: usize> Log<LINES> {
    /// Adds a line, in place of the oldest if there is no room.
    pub fn push(&mut self, line: Line) {
        if self.lines.is_full() && self.lines.pop_front().is_some() {
            self.trimmed += 1;
        }
        // There is room now.
        let _ = self.lines.push_back(line);
    }

    /// The number that the next line will have.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.trimmed + self.lines.len() as u64
    }

    /// The lines from `number` on, after [`Event::LogTrimmed`] if some of those were dropped.
    pub fn since(&self, number: u64) -> impl Iterator<Item = Line> + '_ {
        let skipped = usize::try_from(number.saturating_sub(self.trimmed)).unwrap_or(usize::MAX);
        let oldest = self.lines.front().filter(|_| number < self.trimmed);
        let marker = oldest.map(|oldest| {
            let mut text = String::new();
            // It is far shorter.
            let _ = core::fmt::write(&mut text, format_args!("{}", Event::LogTrimmed));
            Line { time: oldest.time, level: Level::Info, text }
        });
        marker.into_iter().chain(self.lines.iter().skip(skipped).cloned())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::format;
    use std::vec::Vec;

    use super::*;

    const TRIMMED: &str = "== OLDER \"ntp\" LOG MESSAGES WERE TRIMMED ==";

    fn line(secs: i64) -> Line {
        Line::new(WallTime::from_unix(secs, 0), Level::Info, &format!("line {secs}"))
    }

    fn texts<const LINES: usize>(log: &Log<LINES>, number: u64) -> Vec<std::string::String> {
        log.since(number).map(|line| line.text.as_str().into()).collect()
    }

    #[test]
    fn the_marker_tells_of_what_was_dropped() {
        let mut log = Log::<3>::default();
        assert_eq!((texts(&log, 0).len(), log.next_number()), (0, 0));
        (0..3).for_each(|secs| log.push(line(secs)));
        assert_eq!(texts(&log, 0), ["line 0", "line 1", "line 2"]);
        log.push(line(3));
        assert_eq!(texts(&log, 0), [TRIMMED, "line 1", "line 2", "line 3"]);
        let marker = log.since(0).next().unwrap();
        assert_eq!((marker.time, marker.level), (WallTime::from_unix(1, 0), Level::Info));
    }

    #[test]
    fn whoever_follows_gets_each_line_once_or_the_marker() {
        let mut log = Log::<3>::default();
        (0..4).for_each(|secs| log.push(line(secs)));
        assert_eq!(texts(&log, 1), ["line 1", "line 2", "line 3"]);
        assert_eq!(texts(&log, 3), ["line 3"]);
        let next = log.next_number();
        assert_eq!((next, texts(&log, next).len(), texts(&log, u64::MAX).len()), (4, 0, 0));
        (4..9).for_each(|secs| log.push(line(secs)));
        assert_eq!(texts(&log, next), [TRIMMED, "line 6", "line 7", "line 8"]);
    }

    #[test]
    fn a_long_text_is_cut_off_between_characters() {
        let long = "ä".repeat(MAX_TEXT);
        let line = Line::new(WallTime::default(), Level::Info, &format!("x{long}"));
        assert_eq!(line.text.len(), MAX_TEXT - 1);
        assert!(line.text.ends_with('ä'));
    }
}
