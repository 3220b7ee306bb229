//! What a server may claim the time to be, by what is known other than by NTP.

use super::{Exchange, Reject};
use crate::units::{Span, WallTime};

/// How far from the constraint a claim may be (OpenNTPD's `CONSTRAINT_MARGIN`).
const CONSTRAINT_MARGIN: Span = Span::from_secs(120);

/// A constraint at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// There is none.
    Open,
    /// There is to be one, and it is not known yet.
    Unknown,
    /// It is about this time.
    About(WallTime),
}

impl Bound {
    /// Whether it is known, and admits `time`.
    pub fn is_about(self, time: WallTime) -> bool {
        matches!(self, Self::About(known) if (known - time).abs() <= CONSTRAINT_MARGIN)
    }

    /// The exchange, if what the server says is possible.
    pub fn admit(self, exchange: Exchange) -> Result<Exchange, Reject> {
        match self {
            Self::Open => Ok(exchange),
            Self::Unknown => Err(Reject::Unconstrained),
            Self::About(_) if self.is_about(exchange.server_sent) => Ok(exchange),
            Self::About(time) => Err(Reject::Constraint(exchange.server_sent - time)),
        }
    }
}
