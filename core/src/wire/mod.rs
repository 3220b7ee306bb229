//! The packet format of NTP versions 3 and 4 (RFC 5905 §7.3, RFC 7822).
//!
//! [`Packet`] views a received datagram; to parse is the only way to get one, so that whoever
//! holds one holds well-formed bytes. [`Header`] is the owned 48 octets, and what is sent. Whether
//! a packet may be believed (its mode, stratum, origin, digest) is not decided here.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---+-----+-----+---------------+---------------+---------------+
//! |LI | VN  |Mode |    Stratum    |     Poll      |   Precision   |
//! +---+-----+-----+---------------+---------------+---------------+
//! |                          Root Delay                           |
//! +---------------------------------------------------------------+
//! |                        Root Dispersion                        |
//! +---------------------------------------------------------------+
//! |                         Reference ID                          |
//! +---------------------------------------------------------------+
//! |                    Reference Timestamp (64)                   |
//! +---------------------------------------------------------------+
//! |                     Origin Timestamp (64)                     |
//! +---------------------------------------------------------------+
//! |                     Receive Timestamp (64)                    |
//! +---------------------------------------------------------------+
//! |                     Transmit Timestamp (64)                   |
//! +---------------------------------------------------------------+
//! .         Extension Fields (version 4 only, any number)         .
//! +---------------------------------------------------------------+
//! |                 Key Identifier (MAC, optional)                |
//! +---------------------------------------------------------------+
//! .                        Message Digest                         .
//! +---------------------------------------------------------------+
//! ```

mod error;
mod extension;
mod header;
mod kiss;
mod leap;
mod mac;
mod mode;
mod packet;
mod reference;
#[cfg(test)]
mod tests;

pub use error::ParseError;
pub use extension::Extension;
pub use header::Header;
pub use kiss::KissCode;
pub use leap::LeapIndicator;
pub use mac::Mac;
pub use mode::Mode;
pub use packet::Packet;
pub use reference::ReferenceId;
