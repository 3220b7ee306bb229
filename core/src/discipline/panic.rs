//! When the sources are not believed without a person's word: they claim an offset that no clock
//! which was right a while ago can have.
//!
//! DEVIATION: ntpd exits then (RFC 5905 §10, PANICT). An appliance that nobody logs in to for
//! months keeps its clock's frequency, says that it is unsynchronised, and waits.

use crate::units::Span;

#[derive(Debug)]
pub struct Panic {
    threshold: Option<Span>,
    held: bool,
}

impl Panic {
    /// Never if there is no threshold.
    pub const fn new(threshold: Option<Span>) -> Self {
        Self { threshold, held: false }
    }

    /// From the next claim on.
    pub const fn set_threshold(&mut self, threshold: Option<Span>) {
        self.threshold = threshold;
    }

    /// Whether the clock is held.
    pub const fn is_held(&self) -> bool {
        self.held
    }

    /// The sources claim an offset of this size now: whether the clock is held for it.
    pub fn judge(&mut self, size: Span) -> bool {
        self.held = self.threshold.is_some_and(|threshold| size > threshold);
        self.held
    }

    /// The operator accepts what they claim.
    pub const fn release(&mut self) {
        self.held = false;
    }
}
