//! A leap second spread over a window, for clients that must not see one.
//!
//! The window lies around the leap second, so that the served time is never off by more than half
//! a second. In it the server runs slower or faster than UTC and says so: its reference id is
//! `254.x.y.z`, whose last three octets are what was added to UTC in units of 2^-22 s, as a number
//! in two's complement (as ntpd does; draft-stenn-ntp-leap-smear-refid), and it never announces
//! the leap second. All servers that a client asks must do the same, or none.

use crate::units::{Span, WallTime};
use crate::wire::{LeapIndicator, ReferenceId};

/// How a leap second is spread.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Smear {
    /// How the offset grows in the window.
    pub shape: Shape,
    /// How long it takes by this clock, half of it before the leap second; at least 4 s count.
    pub window: Span,
}

/// A day around the leap second, linearly: what the large public servers that smear do.
impl Default for Smear {
    fn default() -> Self {
        Self { shape: Shape::Linear, window: Span::from_secs(86_400) }
    }
}

/// How the offset grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Shape {
    /// At one rate: 11.6 ppm over a day.
    Linear,
    /// As half a wave of the cosine: without a jump of the rate, and π/2 as fast at most.
    Cosine,
}

/// A leap second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeapSecond {
    /// The first second after it, as POSIX counts.
    pub end: WallTime,
    /// Whether it is left out; otherwise it is one more, in which the clock repeats the second
    /// before `end`.
    pub deleted: bool,
}

impl LeapSecond {
    /// The one that a leap indicator announces: at the end of the month (RFC 5905 figure 9).
    #[must_use]
    pub fn announced(leap: LeapIndicator, now: WallTime) -> Option<Self> {
        let deleted = match leap {
            LeapIndicator::AddSecond => false,
            LeapIndicator::DeleteSecond => true,
            LeapIndicator::NoWarning | LeapIndicator::Alarm => return None,
        };
        Some(Self { end: now.next_month(), deleted })
    }
}

impl Smear {
    /// What is to be added to the clock at `time`; none out of the window. `repeated`: the clock
    /// has been set back for a leap second that is one more.
    #[must_use]
    pub fn offset(&self, leap: LeapSecond, time: WallTime, repeated: bool) -> Option<Span> {
        let half = self.window.max(Span::from_secs(4)).half();
        let sign = if leap.deleted { -1 } else { 1 };
        let ahead = time - leap.end;
        if ahead <= -half || ahead >= half {
            return None;
        }
        // What the clock did for the leap second is part of what has passed since the window began.
        let done = if repeated || ahead >= Span::ZERO { Span::from_secs(sign) } else { Span::ZERO };
        let length = half + half + Span::from_secs(sign);
        let part = (ahead + half + done).as_secs_f64() / length.as_secs_f64();
        let part = match self.shape {
            Shape::Linear => part,
            Shape::Cosine => (1.0 - libm::cos(core::f64::consts::PI * part)) / 2.0,
        };
        Some(done - Span::from_secs_f64(part).times(sign))
    }
}

/// How clients are told of an offset.
pub(super) fn reference_id(offset: Span) -> ReferenceId {
    // Less than 2^31 ns, so that there is no loss.
    let units = (offset.as_nanos() << 22) / crate::units::NANOS_PER_SEC;
    let [.., a, b, c] = units.to_be_bytes();
    ReferenceId::from_bytes([254, a, b, c])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2017-01-01, after the last leap second there was.
    const END: WallTime = WallTime::from_unix(1_483_228_800, 0);
    const DAY: Span = Span::from_secs(86_400);

    fn smear(shape: Shape, window: Span) -> Smear {
        Smear { shape, window }
    }

    #[test]
    fn known_points() {
        let leap = LeapSecond { end: END, deleted: false };
        let offset = |shape, secs, repeated| {
            smear(shape, DAY).offset(leap, END + Span::from_secs(secs), repeated)
        };
        assert_eq!(offset(Shape::Linear, -43_200, false), None);
        assert_eq!(offset(Shape::Linear, 43_200, false), None);
        // A quarter of the 86,401 s that the window has is over after 21,600.25 s.
        let nanos = |secs: f64| Span::from_secs_f64(secs);
        assert_eq!(offset(Shape::Linear, -21_600, false), Some(nanos(-21_600.0 / 86_401.0)));
        assert_eq!(offset(Shape::Linear, -1, true), Some(nanos(1.0 - 43_200.0 / 86_401.0)));
        assert_eq!(offset(Shape::Linear, 0, false), Some(nanos(1.0 - 43_201.0 / 86_401.0)));
        assert_eq!(offset(Shape::Linear, 43_199, false), Some(nanos(1.0 / 86_401.0)));
        let cosine = offset(Shape::Cosine, -21_600, false).unwrap().as_secs_f64();
        assert!((cosine + (1.0 - 0.5f64.sqrt()) / 2.0).abs() < 1e-5, "{cosine}");
    }

    /// The clock counts as POSIX does; what is served goes on without a jump and without a rate
    /// that would alarm anybody.
    #[test]
    fn served_time_is_smooth() {
        for deleted in [false, true] {
            for (shape, fastest) in
                [(Shape::Linear, 1.0), (Shape::Cosine, core::f64::consts::FRAC_PI_2)]
            {
                let window = Span::from_secs(1_000);
                let leap = LeapSecond { end: END, deleted };
                let fastest = 1.002 * fastest / 1_000.0;
                let served = |passed: i64| {
                    // Tenths of a second since 600 s before the leap second.
                    let passed = END + Span::from_millis(passed * 100 - 600_000);
                    let second = Span::from_secs(1);
                    let (clock, repeated) = match (deleted, passed - END) {
                        (false, ahead) if ahead < Span::ZERO => (passed, false),
                        (false, ahead) => (passed + -second, ahead < second),
                        (true, ahead) if ahead < -second => (passed, false),
                        (true, _) => (passed + second, false),
                    };
                    clock + smear(shape, window).offset(leap, clock, repeated).unwrap_or_default()
                };
                let mut last = served(0);
                for passed in 1..12_000 {
                    let now = served(passed);
                    let rate = (now - last).as_secs_f64() / 0.1 - 1.0;
                    assert!(rate.abs() < fastest, "{shape:?} {deleted} at {passed}: {rate}");
                    last = now;
                }
                let leapt = Span::from_secs(if deleted { 1 } else { -1 });
                assert_eq!(last - served(0), Span::from_millis(1_199_900) + leapt);
            }
        }
    }

    #[test]
    fn announced_for_the_end_of_the_month() {
        let announced = |leap, secs| LeapSecond::announced(leap, END + Span::from_secs(secs));
        let added = LeapSecond { end: END, deleted: false };
        assert_eq!(announced(LeapIndicator::AddSecond, -1), Some(added));
        assert_eq!(announced(LeapIndicator::AddSecond, -31 * 86_400), Some(added));
        let deleted = LeapSecond { end: END + Span::from_secs(31 * 86_400), deleted: true };
        assert_eq!(announced(LeapIndicator::DeleteSecond, 0), Some(deleted));
        assert_eq!(announced(LeapIndicator::NoWarning, -1), None);
        assert_eq!(announced(LeapIndicator::Alarm, -1), None);
    }

    #[test]
    fn told_as_ntpd_tells_it() {
        let id = |millis| reference_id(Span::from_millis(millis)).to_bytes();
        assert_eq!(id(500), [254, 0x20, 0, 0]);
        assert_eq!(id(-500), [254, 0xe0, 0, 0]);
        assert_eq!(id(-250), [254, 0xf0, 0, 0]);
        assert_eq!(id(0), [254, 0, 0, 0]);
    }
}
