//! The one codec of all pairs: a message is one datagram, of which every octet has a meaning.
//!
//! The format is postcard's: a number that says which message it is, and its fields in order.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest message, octets. A configuration of as many servers as there may be is half as long.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// What one process says to another.
pub trait Message: Serialize + DeserializeOwned {
    /// What each kind of it is called in the log, in the order of the variants.
    const NAMES: &'static [&'static str];

    /// What this one is called.
    fn name(&self) -> &'static str {
        encode(self).map_or_else(|invalid| invalid.0, |bytes| name::<Self>(&bytes))
    }
}

/// Why octets are no message, or a message cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid {0}")]
pub struct Invalid(
    /// What it is called, as far as that can be told.
    pub &'static str,
);

/// What a message of an unknown kind is called.
const UNKNOWN: &str = "imsg";

/// The octets of a message.
///
/// # Errors
/// It is too long.
pub fn encode<M: Message>(message: &M) -> Result<Vec<u8>, Invalid> {
    let bytes = postcard::to_allocvec(message).map_err(|_| Invalid(UNKNOWN))?;
    if bytes.len() > MAX_MESSAGE { Err(Invalid(name::<M>(&bytes))) } else { Ok(bytes) }
}

/// The message that octets are.
///
/// # Errors
/// They are none, or more than one, or too many.
pub fn decode<M: Message>(bytes: &[u8]) -> Result<M, Invalid> {
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) if bytes.len() <= MAX_MESSAGE => Ok(message),
        _ => Err(Invalid(name::<M>(bytes))),
    }
}

/// By the first octet: there are few kinds.
fn name<M: Message>(bytes: &[u8]) -> &'static str {
    let kind = bytes.first().map(|&kind| usize::from(kind));
    kind.and_then(|kind| M::NAMES.get(kind)).unwrap_or(&UNKNOWN)
}

#[cfg(test)]
mod tests;
