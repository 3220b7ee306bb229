//! How loud a message is, and who listens.

/// The severity of a message; the louder the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// For whoever looks for the cause of something.
    Debug,
    /// The ordinary course of things.
    Info,
    /// Something is wrong; the function goes on.
    Warning,
    /// Something is wrong; a part of the function cannot go on.
    Error,
    /// The process ends.
    Critical,
}

impl Level {
    /// The numerical severity of syslog, 7 (debug) to 2 (critical) (RFC 5424 §6.2.1).
    #[must_use]
    pub const fn as_syslog(self) -> u8 {
        match self {
            Self::Debug => 7,
            Self::Info => 6,
            Self::Warning => 4,
            Self::Error => 3,
            Self::Critical => 2,
        }
    }
}

/// Which of its two levels a message has; the text is the same in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// The levels of the appliance's log reference.
    Appliance,
    /// The severities that the administrator of a Unix host expects.
    Unix,
}
