//! The clock's state, which a call returns.

use core::fmt;

/// What `ntp_adjtime` and `ntp_gettime` return: the state of the leap second, unless the clock is
/// wrong altogether.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ClockState {
    /// `TIME_OK`: synchronised, and no leap second in sight.
    Ok,
    /// `TIME_INS`: a second will be inserted at the end of the UTC day.
    Insert,
    /// `TIME_DEL`: a second will be deleted at the end of the UTC day.
    Delete,
    /// `TIME_OOP`: the inserted second is now.
    InProgress,
    /// `TIME_WAIT`: the leap second has been; so until both `INS` and `DEL` are cleared.
    Wait,
    /// `TIME_ERROR`: not synchronised, or as [`Status::is_error`](super::Status::is_error) has it.
    Error,
}

impl ClockState {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Ok, Self::Insert, Self::Delete, Self::InProgress, Self::Wait, Self::Error];

    /// In words.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "clock synchronised, no leap second",
            Self::Insert => "a second is inserted at the end of the day",
            Self::Delete => "a second is deleted at the end of the day",
            Self::InProgress => "inserted second in progress",
            Self::Wait => "leap second has been",
            Self::Error => "clock not synchronised",
        }
    }
}

/// The name of `<sys/timex.h>`.
impl fmt::Display for ClockState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "TIME_OK",
            Self::Insert => "TIME_INS",
            Self::Delete => "TIME_DEL",
            Self::InProgress => "TIME_OOP",
            Self::Wait => "TIME_WAIT",
            Self::Error => "TIME_ERROR",
        })
    }
}
