//! Why a datagram gets no answer.

use core::fmt;

/// The reason, which is counted and never told to the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Refusal {
    /// Not a well-formed packet of version 3 or 4.
    Malformed,
    /// Not a query: answering would make loops.
    Mode,
    /// It asks for an authenticated answer, which cannot be given.
    Authentication,
    /// The sender's address is not allowed.
    Denied,
    /// The sender asks too often.
    Rate,
    /// This clock's error may be greater than what is served.
    Uncertain,
    /// A control message (mode 6) from an address that may send none, or that asks for more than
    /// to read system variables.
    Control,
    /// It waited while the clock was stepped, so that its time of arrival is by neither clock.
    Stale,
}

impl Refusal {
    /// How many kinds there are.
    pub const KINDS: usize = 8;
    /// What a counter of each kind is called, in the order of [`index`](Self::index).
    pub const NAMES: [&'static str; Self::KINDS] =
        ["malformed", "mode", "authentication", "denied", "rate", "uncertain", "control", "stale"];

    /// The number of the kind, below [`KINDS`](Self::KINDS).
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::NAMES.get(self.index()).copied().unwrap_or_default())
    }
}
