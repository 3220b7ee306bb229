//! The software clock behind the kernel's raw interface.

use truechimer_core::timex::{
    ClockState, Constant, Error, Modes, Reply, Request, Resolution, Settings, SoftwareClock, Status,
};
use truechimer_core::units::{FreqOffset, Instant, Span, WallTime};

use super::fields::RawTimex;

const NANOS: i64 = 1_000_000_000;
/// Linux' number of "Invalid argument".
const EINVAL: i64 = 22;

/// A clock, and the resolution in which it was last seen.
#[derive(Debug)]
pub(super) struct Software {
    clock: SoftwareClock,
    nano: bool,
}

impl Software {
    /// One that shows `real` when the counter shows `at`, both ns.
    pub(super) fn new(at: i64, real: i64) -> Self {
        let time = WallTime::from_unix(real.div_euclid(NANOS), real.rem_euclid(NANOS) as u32);
        Self { clock: SoftwareClock::new(instant(at), time), nano: false }
    }

    /// What it shows, ns.
    pub(super) fn read(&self, at: i64) -> i64 {
        let time = self.clock.read(instant(at));
        time.unix_secs() * NANOS + i64::from(time.subsec_nanos())
    }

    /// Goes on until then, so that later calls need not.
    pub(super) fn advance(&mut self, at: i64) {
        self.clock.advance(instant(at));
    }

    /// What it has as TAI minus UTC, s.
    pub(super) fn tai(&self, at: i64) -> i64 {
        self.clock.ntp_gettime(instant(at)).tai.into()
    }

    /// The call: what it returns, or the error's number, negative.
    pub(super) fn adjtimex(&mut self, at: i64, request: &RawTimex) -> (i64, RawTimex) {
        match self.clock.ntp_adjtime(instant(at), &self.typed(request)) {
            Ok(reply) => {
                self.nano = reply.timex.status.contains(Status::NANO);
                (number(reply.state), raw(&reply, request.modes))
            }
            Err(Error::Invalid { .. }) => (-EINVAL, *request),
            Err(error) => panic!("the software clock never says {error}"),
        }
    }

    fn typed(&self, request: &RawTimex) -> Request {
        let modes = Modes::from_bits_retain(request.modes as u16);
        match modes {
            Modes::OFFSET_SINGLESHOT => {
                return Request::SingleShot(Span::from_micros(request.offset));
            }
            Modes::OFFSET_SS_READ => return Request::SingleShotRemaining,
            _ => {}
        }
        let resolution = if modes.contains(Modes::NANO) {
            Some(Resolution::Nano)
        } else {
            modes.contains(Modes::MICRO).then_some(Resolution::Micro)
        };
        let unit = |nano| if nano { 1 } else { 1000 };
        let step_unit = unit(resolution == Some(Resolution::Nano));
        let offset_unit = unit(resolution.map_or(self.nano, |set| set == Resolution::Nano));
        let constant = if modes.contains(Modes::TAI) {
            Some(Constant::Tai(request.constant as i32))
        } else {
            let constant = Constant::Time(request.constant as u8);
            modes.contains(Modes::TIMECONST).then_some(constant)
        };
        let given = |mode, value: i64, unit: i64| {
            modes.contains(mode).then(|| Span::from_nanos(value.saturating_mul(unit)))
        };
        let step = request.sec.saturating_mul(NANOS).saturating_add(request.subsec * step_unit);
        Request::Set(Settings {
            set_offset: given(Modes::SETOFFSET, step, 1),
            status: modes
                .contains(Modes::STATUS)
                .then(|| Status::from_bits_retain(request.status as u16)),
            resolution,
            frequency: modes
                .contains(Modes::FREQUENCY)
                .then(|| FreqOffset::from_scaled_ppm(request.freq)),
            max_error: given(Modes::MAXERROR, request.maxerror, 1000),
            est_error: given(Modes::ESTERROR, request.esterror, 1000),
            constant,
            offset: given(Modes::OFFSET, request.offset, offset_unit),
            tick: given(Modes::TICK, request.tick, 1000),
        })
    }
}

/// The answer in the kernel's units. What concerns the pulse per second is left out.
fn raw(reply: &Reply, modes: i64) -> RawTimex {
    let timex = &reply.timex;
    let nano = timex.status.contains(Status::NANO);
    let in_resolution = |span: Span| span.as_nanos() / if nano { 1 } else { 1000 };
    let micros = |span: Span| span.as_nanos() / 1000;
    let single_shot = modes & 0x8000 != 0;
    RawTimex {
        modes,
        // A single-shot slew is in microseconds always.
        offset: if single_shot { micros(timex.offset) } else { in_resolution(timex.offset) },
        freq: timex.freq.as_scaled_ppm(),
        maxerror: micros(timex.maxerror),
        esterror: micros(timex.esterror),
        status: timex.status.bits().into(),
        constant: timex.constant.into(),
        precision: in_resolution(timex.precision),
        tolerance: timex.tolerance.as_scaled_ppm(),
        sec: timex.time.unix_secs(),
        subsec: i64::from(timex.time.subsec_nanos()) / if nano { 1 } else { 1000 },
        tick: micros(timex.tick),
        tai: timex.tai.into(),
        ..RawTimex::NOTHING
    }
}

const fn number(state: ClockState) -> i64 {
    match state {
        ClockState::Ok => 0,
        ClockState::Insert => 1,
        ClockState::Delete => 2,
        ClockState::InProgress => 3,
        ClockState::Wait => 4,
        ClockState::Error => 5,
    }
}

fn instant(at: i64) -> Instant {
    Instant::from_nanos(at.unsigned_abs())
}
