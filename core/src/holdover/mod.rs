//! What a host knows of the time without its sources: at boot, and while none answers.
//!
//! Decides what of a past life is believed, and what of this one is kept for the next. It never
//! stores or reads anything: a shell does, with [`hal::Store`](crate::hal::Store) and
//! [`hal::Rtc`](crate::hal::Rtc).
//!
//! At boot each rung of a ladder is trusted more than the one below, and may say that this was
//! wrong ([`boot`]):
//!
//! 1. the *floor*, the last time that was known to be right: it is later now;
//! 2. the real-time clock, give or take what it may have drifted since it was last compared
//!    ([`RtcModel`]), unless it says that it is earlier than the floor;
//! 3. the sources, once a majority of them agrees.
//!
//! What is known of the frequency ([`KnownFrequency`]) is where the estimators begin. While no
//! source answers the greatest error grows by what is not known of it ([`Quality`]).

mod boot;
mod frequency;
mod keep;
mod quality;
mod record;
mod rtc;

pub use boot::{Boot, boot};
pub use frequency::{KnownFrequency, UNKNOWN_FREQUENCY};
pub(crate) use keep::Keep;
pub use quality::{Quality, TimeStatus};
pub use record::{Corrupt, Record, State};
pub use rtc::{Compared, RtcModel, RtcReading, RtcSpec};
