//! The differential proof of the core's software clock: sequences of `ntp_adjtime` calls, what a
//! Linux kernel answers to them, and where the software clock answers something else.
//!
//! ```text
//! scripted, random ──> script ──> agent in a guest ──> trace ──> comparison <── software clock
//! ```

pub mod comparison;
pub mod fields;
pub mod random;
pub mod scripted;
mod software;
pub mod trace;
