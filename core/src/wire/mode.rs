//! Association modes (RFC 5905 figure 10).

/// In what relation the sender stands to the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum Mode {
    /// Not in use; old clients send it.
    Reserved = 0,
    /// A peer that offers and asks for time.
    SymmetricActive = 1,
    /// The answer to a symmetric active peer.
    SymmetricPassive = 2,
    /// A request.
    Client = 3,
    /// The reply to a client.
    Server = 4,
    /// Sent to many, unasked.
    Broadcast = 5,
    /// Monitoring and control (RFC 9327): another format.
    Control = 6,
    /// For the use of implementations: another format.
    Private = 7,
}

impl Mode {
    /// From the three lowest bits; the others are ignored.
    pub(super) const fn from_bits(bits: u8) -> Self {
        match bits & 0b111 {
            0 => Self::Reserved,
            1 => Self::SymmetricActive,
            2 => Self::SymmetricPassive,
            3 => Self::Client,
            4 => Self::Server,
            5 => Self::Broadcast,
            6 => Self::Control,
            _ => Self::Private,
        }
    }
}
