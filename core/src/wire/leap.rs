//! The leap indicator (RFC 5905 figure 9).

/// What the last minute of the current month will be, and whether the sender has the time at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum LeapIndicator {
    /// It has 60 seconds.
    NoWarning = 0,
    /// It has 61 seconds.
    AddSecond = 1,
    /// It has 59 seconds.
    DeleteSecond = 2,
    /// Unknown: the sender is not synchronised.
    Alarm = 3,
}

impl LeapIndicator {
    /// From the two lowest bits; the others are ignored.
    pub(super) const fn from_bits(bits: u8) -> Self {
        match bits & 0b11 {
            0 => Self::NoWarning,
            1 => Self::AddSecond,
            2 => Self::DeleteSecond,
            _ => Self::Alarm,
        }
    }
}
