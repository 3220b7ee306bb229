//! What all answers have in common, prepared when the system state changes and not when a request
//! comes.

use super::config::{Beyond, Config, Orphan};
use super::refusal::Refusal;
use super::smear;
use crate::config::MAX_STRATUM;
use crate::system::{Reference, SystemState};
use crate::units::{Instant, NANOS_PER_SEC, NtpShort, NtpTimestamp, Span, div_floor};
use crate::wire::{KissCode, LeapIndicator, ReferenceId};

/// Where an orphan's time is from (RFC 5905 appendix A.5.5.6): from itself.
const ORPHAN_ADDRESS: [u8; 4] = [127, 0, 0, 1];
/// The dispersion is kept in 2^-80 s, of which so many (2^64) are one of [`NtpShort`].
const UNIT: u128 = 1 << 64;

/// An answer without the times of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Template {
    /// Leap indicator, stratum and precision at their places in the first 32 bits.
    first: u32,
    root_delay: u32,
    reference_id: u32,
    reference_time: u64,
    /// Root dispersion at `updated`, 2^-80 s.
    dispersion: u128,
    /// By which it grows each nanosecond.
    growth: u64,
    updated: Instant,
    /// As long as this the error is bounded by what is served.
    usable_until: Option<Instant>,
    beyond: Beyond,
}

impl Template {
    pub(super) fn new(state: &SystemState, max_error: Span, beyond: Beyond) -> Self {
        let (leap, stratum, reference_id) = if state.is_synchronised() {
            (state.leap, state.stratum, state.reference.id())
        } else {
            // Stratum 16 is 0 on the wire (RFC 5905 §7.3).
            (LeapIndicator::Alarm, 0, ReferenceId::from_bytes(KissCode::INIT.to_bytes()))
        };
        let precision = state.precision.cast_unsigned();
        let drift = state.drift.as_ratio().max(0.0);
        let slack = max_error - state.root_delay.half() - state.root_dispersion;
        let lasts = Span::from_nanos((slack.as_nanos() as f64 / drift) as i64);
        Self {
            first: u32::from_be_bytes([(leap as u8) << 6, stratum, 0, precision]),
            root_delay: NtpShort::from_span(state.root_delay).to_bits(),
            reference_id: u32::from_be_bytes(reference_id.to_bytes()),
            reference_time: match stratum {
                0 => 0,
                _ => NtpTimestamp::from_wall(state.reference_time).to_bits(),
            },
            dispersion: dispersion(state.root_dispersion),
            growth: libm::ceil(drift * ((UNIT << 16) as f64 / 1e9)) as u64,
            updated: state.updated,
            usable_until: (!slack.is_negative()).then(|| state.updated + lasts),
            beyond,
        }
    }

    /// What this clock says of itself at `now`.
    #[inline]
    pub(super) fn words(&self, now: Instant) -> Result<[u64; 3], Refusal> {
        let words = [
            join(self.first, self.root_delay),
            join(self.dispersion_at(now), self.reference_id),
            self.reference_time,
        ];
        match (self.usable_until, self.beyond) {
            (Some(until), _) if now <= until => Ok(words),
            (_, Beyond::Unsynchronised) => Ok(kiss(words, KissCode::INIT)),
            (_, Beyond::Silence) => Err(Refusal::Uncertain),
        }
    }

    /// A Kiss-o'-Death.
    pub(super) fn kiss(&self, now: Instant, code: KissCode) -> [u64; 3] {
        kiss([join(self.first, self.root_delay), join(self.dispersion_at(now), 0), 0], code)
    }

    /// Rounded up to the unit of the wire.
    fn dispersion_at(&self, now: Instant) -> u32 {
        let elapsed = (now - self.updated).as_nanos().max(0).cast_unsigned();
        let grown = self.dispersion + u128::from(elapsed) * u128::from(self.growth);
        u32::try_from(grown.div_ceil(UNIT)).unwrap_or(u32::MAX)
    }
}

fn dispersion(span: Span) -> u128 {
    // What a short can hold and more, so that the product is within 128 bits.
    let nanos = span.max(Span::ZERO).min(Span::from_secs(1 << 17)).as_nanos();
    // Divided as by hand: seconds, and 80 bits of their fraction by 32, 32 and 16.
    let (secs, rest) = per_second(nanos);
    let (first, rest) = per_second(rest << 32);
    let (second, rest) = per_second(rest << 32);
    let (third, _) = per_second(rest << 16);
    let [secs, first, second, third] = [secs, first, second, third].map(|part| part as u128);
    secs << 80 | first << 48 | second << 16 | third
}

const fn per_second(nanos: i64) -> (i64, i64) {
    let (secs, rest) = div_floor::<{ NANOS_PER_SEC as u64 }>(nanos);
    (secs, rest.cast_signed())
}

/// The same with leap indicator 3, stratum 0 and a code.
fn kiss(words: [u64; 3], code: KissCode) -> [u64; 3] {
    let [first, second, _] = words;
    let [_, _, rest @ ..] = first.to_be_bytes();
    let [c, d, e, f, g, h] = rest;
    let alarm = (LeapIndicator::Alarm as u8) << 6;
    let dispersion = (second >> 32) as u32;
    [
        u64::from_be_bytes([alarm, 0, c, d, e, f, g, h]),
        join(dispersion, u32::from_be_bytes(code.to_bytes())),
        0,
    ]
}

/// The state that is served: the clock's own, an orphan's, or one with a leap second spread.
pub(super) fn served(
    state: &SystemState,
    config: &Config,
    without_source: Span,
    smeared: Option<Span>,
) -> SystemState {
    let mut served = match config.orphan {
        Some(orphan) if !state.is_synchronised() && without_source >= orphan.wait => {
            orphaned(state, orphan)
        }
        _ => *state,
    };
    if config.smear.is_some() && served.is_synchronised() && served.leap != LeapIndicator::Alarm {
        served.leap = LeapIndicator::NoWarning;
    }
    if let Some(offset) = smeared
        && served.is_synchronised()
    {
        served.reference = Reference::Id(smear::reference_id(offset));
        served.reference_time += offset;
    }
    served
}

fn orphaned(state: &SystemState, orphan: Orphan) -> SystemState {
    SystemState {
        leap: LeapIndicator::NoWarning,
        stratum: orphan.stratum.clamp(1, MAX_STRATUM - 1),
        reference: Reference::Id(ReferenceId::from_bytes(ORPHAN_ADDRESS)),
        root_delay: Span::ZERO,
        // It is its own reference: no more is wrong with it than how it is read.
        root_dispersion: Span::from_log2_secs(state.precision),
        ..*state
    }
}

pub(super) const fn join(high: u32, low: u32) -> u64 {
    ((high as u64) << 32) | low as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn dispersions_are_divided_exactly(nanos in -1i64..1 << 47) {
            let exact = nanos.max(0) as u128 * (UNIT << 16) / 1_000_000_000;
            prop_assert_eq!(dispersion(Span::from_nanos(nanos)), exact.min((1 << 17) * (UNIT << 16)));
        }
    }
}
