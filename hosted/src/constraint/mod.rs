//! The constraint: about what time HTTPS servers say it is, by the `Date` of their answers, as OpenNTPD
//! asks them.
//!
//! They bound what NTP servers may claim until the clock is trusted; the engine does that. What is here
//! asks. For a daemon of one process, [`Inquiry`] starts this program again as a process of its own, which
//! gives its privilege up, does one round by [`ask`] and ends. Two things go between them, a [`Question`]
//! and an [`Answer`], each one line of JSON. Of several processes one does nothing else, by [`ask_at`].

mod ask;
mod fetch;
mod process;
mod url;
mod verify;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use ask::{Prepared, ask, ask_at};
pub use fetch::read_date;
pub use process::{COMMAND, Inquiry, run};
pub use url::{Url, UrlError};

/// The most servers of one configuration.
pub const MAX_SOURCES: usize = 16;
/// The most addresses of one server.
pub const MAX_ADDRESSES: usize = 8;

/// A server to ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// What is asked for.
    pub url: Url,
    /// Where, without looking its name up; its name's addresses if there are none, at most
    /// [`MAX_ADDRESSES`].
    pub addresses: Vec<IpAddr>,
    /// Whether each of the addresses is asked, or only the first that answers.
    pub all: bool,
    /// A file of certificates, in PEM, of those that are trusted to vouch for it, in place of the web's.
    pub ca: Option<PathBuf>,
}

/// All servers to ask in one round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Them, at most [`MAX_SOURCES`].
    pub sources: Vec<Source>,
}

/// Those of a server, or why its name has none.
pub type Addresses = Result<Vec<IpAddr>, String>;

/// What came of a round.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Who answered.
    pub readings: Vec<Reading>,
    /// Why the others did not, one text for each attempt.
    pub failures: Vec<String>,
}

/// A server's time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Who.
    pub address: SocketAddr,
    /// By how much the host's clock is behind it, seconds. A `Date` has whole ones.
    pub offset: f64,
}

impl Answer {
    /// The middle one of the offsets, the mean of two in the middle: one server in three may lie.
    #[must_use]
    pub fn median(&self) -> Option<f64> {
        let mut offsets: Vec<f64> = self.readings.iter().map(|reading| reading.offset).collect();
        offsets.sort_by(f64::total_cmp);
        let (low, high) = (offsets.len().checked_sub(1)? / 2, offsets.len() / 2);
        Some(f64::midpoint(offsets[low], offsets[high]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minority_does_not_move_the_median() {
        let median = |offsets: &[f64]| {
            let address = "[::1]:443".parse().unwrap();
            let readings = offsets.iter().map(|&offset| Reading { address, offset }).collect();
            Answer { readings, failures: Vec::new() }.median()
        };
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[-3.0]), Some(-3.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
        assert_eq!(median(&[1e9, 1.0, -2.0]), Some(1.0));
        assert_eq!(median(&[1e9, 1.0, 2.0, -1e9]), Some(1.5));
    }
}
