//! Sequences for each thing that `ntp_adjtime` does.

use truechimer_core::timex::Status;

use super::fields::RawTimex;
use super::trace::{Script, Step};

/// A day's end.
pub(super) const MIDNIGHT: i64 = 20_454 * 86_400;

const MILLISECOND: i64 = 1_000_000;
const SECOND: i64 = 1000 * MILLISECOND;

/// Only reads.
const READ: RawTimex = RawTimex::NOTHING;

/// A sequence in the making.
struct Sequence(Script);

impl Sequence {
    fn new(name: impl Into<String>) -> Self {
        Self::from(name, MIDNIGHT + 12_345)
    }

    fn from(name: impl Into<String>, second: i64) -> Self {
        Self(Script { name: name.into(), second, steps: Vec::new() })
    }

    /// So long after the last call.
    fn after(mut self, nanos: i64, request: RawTimex) -> Self {
        let at = self.0.steps.last().map_or(0, |step| step.at) + nanos;
        self.0.steps.push(Step { at, request });
        self
    }

    /// At once.
    fn then(self, request: RawTimex) -> Self {
        self.after(0, request)
    }

    /// Reads again and again, so many times.
    fn watch(mut self, times: usize, nanos: i64) -> Self {
        for _ in 0..times {
            self = self.after(nanos, READ);
        }
        self
    }
}

/// All of them.
#[must_use]
pub fn scripted() -> Vec<Script> {
    let mut all = Vec::new();
    all.extend(loops());
    all.extend(intervals());
    all.extend(single_shots());
    all.extend(rates());
    all.extend(steps());
    all.extend(leaps());
    all.extend(errors());
    all.extend(status());
    all.extend(bounds());
    all.into_iter().map(|sequence| sequence.0).collect()
}

/// The phase-locked loop with each time constant, in both resolutions and directions.
fn loops() -> impl Iterator<Item = Sequence> {
    (0..=10).flat_map(|constant| {
        [(true, 1), (true, -1), (false, 1), (false, -1)].map(|(nano, sign)| {
            let (unit, name) = if nano { (1, "nano") } else { (1000, "micro") };
            let resolution = if nano { READ.nano() } else { READ.micro() };
            let sequence = Sequence::new(format!("pll-{name}-{constant}-{}", direction(sign)))
                .then(resolution.status(Status::PLL).constant(constant))
                .after(SECOND, READ.offset(sign * 1_234_567 / unit))
                .watch(4, SECOND)
                .after(4 * SECOND, READ.offset(sign * 765_432 / unit))
                .watch(2, 3 * SECOND)
                .after(10 * SECOND, READ.offset(-sign * 20_000_000 / unit));
            sequence.watch(3, 7 * SECOND)
        })
    })
}

/// The frequency-locked loop, the choice between the two by the interval, and neither.
fn intervals() -> Vec<Sequence> {
    let offset = |bits: Status, seconds: i64, sign: i64| {
        let name = format!("interval-{}-{seconds}-{}", bits.bits(), direction(sign));
        Sequence::new(name)
            .then(READ.nano().constant(5).status(Status::PLL | bits))
            .after(seconds * SECOND, READ.offset(sign * 3_456_789))
            .after(SECOND, READ)
            .after(255 * SECOND, READ.offset(sign * 2_345_678))
            .watch(2, SECOND)
    };
    let mut all = Vec::new();
    for sign in [1, -1] {
        for seconds in [1, 8, 255, 256, 257, 300] {
            all.push(offset(Status::FLL, seconds, sign));
        }
        all.push(offset(Status::empty(), 300, sign));
        all.push(offset(Status::FREQHOLD, 100, sign));
        all.push(offset(Status::FREQHOLD | Status::FLL, 300, sign));
    }
    for seconds in [2_047, 2_048, 2_049, 3_000] {
        all.push(offset(Status::empty(), seconds, 1));
    }
    all
}

/// Single-shot slews of all sizes, replaced and read, beside the loop.
fn single_shots() -> Vec<Sequence> {
    let amounts = [1, 499, 500, 501, 999, 1000, 1250, 7_777];
    let mut all: Vec<Sequence> = amounts
        .into_iter()
        .flat_map(|amount| [amount, -amount])
        .map(|amount| {
            Sequence::new(format!("single-shot-{amount}"))
                .after(300 * MILLISECOND, READ.single_shot(amount))
                .then(READ.single_shot_left())
                .after(SECOND, READ.single_shot_left())
                .after(SECOND, READ.single_shot_left())
                .watch(2, 10 * SECOND)
                .then(READ.single_shot_left())
        })
        .collect();
    all.push(
        Sequence::new("single-shot-replaced")
            .then(READ.single_shot(100_000))
            .after(5 * SECOND, READ.single_shot(-2_000))
            .after(2 * SECOND, READ.single_shot_left())
            .after(SECOND, READ.single_shot(0))
            .watch(2, 2 * SECOND),
    );
    all.push(
        Sequence::new("single-shot-beside-loop")
            .then(READ.nano().status(Status::PLL).constant(1).offset(40_000_000))
            .then(READ.single_shot(-3_300))
            .watch(5, 2 * SECOND)
            .then(READ.single_shot_left())
            .after(SECOND, READ.freq(1 << 22).tick(10_003))
            .watch(3, 2 * SECOND),
    );
    all.push(
        Sequence::new("single-shot-stopped-by-step")
            .then(READ.single_shot(50_000))
            .after(3 * SECOND, READ.nano().step(0, 5_000))
            .then(READ.single_shot_left())
            .watch(2, 2 * SECOND),
    );
    all
}

/// Ticks and frequencies, alone and together.
fn rates() -> Vec<Sequence> {
    let ticks = [9_000, 9_001, 9_999, 10_001, 10_500, 11_000];
    let mut all: Vec<Sequence> = ticks
        .into_iter()
        .map(|tick| {
            Sequence::new(format!("tick-{tick}"))
                .then(READ.tick(tick))
                .watch(3, 3 * SECOND)
                .after(SECOND, READ.tick(10_000))
                .watch(2, SECOND)
        })
        .collect();
    for freq in [1, -1, 65_536, -65_537, 6_553_601, 32_768_000, -32_768_000] {
        all.push(
            Sequence::new(format!("freq-{freq}"))
                .then(READ.freq(freq))
                .watch(3, 7 * SECOND)
                .then(READ.tick(10_010))
                .watch(2, 3 * SECOND)
                .then(READ.freq(-freq / 2).tick(9_990))
                .watch(2, 3 * SECOND),
        );
    }
    all
}

/// Steps of all kinds, during what they end.
fn steps() -> Vec<Sequence> {
    let kinds = [
        (READ.nano().step(0, 1), "nano-1"),
        (READ.nano().step(-1, 999_999_999), "nano-minus-1"),
        (READ.nano().step(5, 300_000_000), "nano-5.3"),
        (READ.nano().step(-3, 700_000_000), "nano-minus-2.3"),
        (READ.step(0, 1), "micro-1"),
        (READ.step(-1, 999_999), "micro-minus-1"),
        (READ.step(7, 250_000), "micro-7.25"),
        (READ.micro().step(-8, 750_000), "micro-minus-7.25"),
        (READ.nano().step(-86_400, 0), "nano-day-back"),
        (READ.nano().step(3_000_000, 123), "nano-far"),
        (READ.step(-MIDNIGHT - 20_000, 0), "before-1970"),
        (READ.nano().step(20_000_000_000, 0), "beyond-2262"),
    ];
    kinds
        .into_iter()
        .map(|(step, name)| {
            Sequence::new(format!("step-{name}"))
                .then(READ.nano().status(Status::PLL).maxerror(77).esterror(33).tai(37))
                .then(READ.offset(9_000_000).constant(2))
                .after(2 * SECOND, step)
                .then(READ)
                .after(3 * SECOND, READ.offset(1_000_000).status(Status::PLL | Status::FLL))
                .watch(3, SECOND)
                .after(SECOND, step.maxerror(0).freq(500_000))
                .watch(2, SECOND)
        })
        .collect()
}

/// Leap seconds in both directions, made and not made.
fn leaps() -> Vec<Sequence> {
    let mut all = Vec::new();
    for (bit, name) in [(Status::INS, "insert"), (Status::DEL, "delete")] {
        let armed = READ.nano().maxerror(0).status(Status::PLL | bit).tai(37);
        let before = |what: &str| Sequence::from(format!("leap-{name}-{what}"), MIDNIGHT - 5);
        let half = SECOND / 2;
        all.push(
            before("made")
                .then(armed)
                .watch(16, half)
                .then(READ.status(Status::PLL))
                .watch(3, half),
        );
        all.push(
            before("without-loop")
                .then(READ.maxerror(0).status(bit))
                .watch(14, half)
                .then(READ.status(Status::empty()))
                .watch(3, half),
        );
        all.push(before("unsynchronised").then(READ.status(bit | Status::UNSYNC)).watch(14, half));
        all.push(
            before("taken-back")
                .then(armed)
                .watch(4, half)
                .after(half, READ.status(Status::PLL))
                .watch(10, half),
        );
        all.push(
            before("loop-opened")
                .then(armed)
                .watch(4, half)
                .after(half, READ.status(bit))
                .watch(10, half),
        );
        all.push(
            before("cleared-after")
                .then(armed)
                .watch(10, half)
                .after(0, READ.status(Status::PLL))
                .watch(5, half)
                .then(armed)
                .watch(4, half),
        );
        all.push(
            before("stepped-in-sight")
                .then(armed)
                .watch(4, half)
                .after(half, READ.nano().step(0, 1000).maxerror(0).status(Status::PLL | bit))
                .watch(10, half),
        );
        all.push(
            before("next-day")
                .then(armed)
                .watch(16, half)
                .then(READ.status(Status::PLL))
                .after(2 * SECOND, READ.nano().step(86_388, 0))
                .then(armed)
                .watch(16, half),
        );
        all.push(before("slewed").then(armed.offset(30_000_000).freq(-6_000_000)).watch(20, half));
        for late in 0..4 {
            all.push(
                before(&format!("armed-late-{late}"))
                    .after((2 + late) * SECOND, armed)
                    .watch(10, half),
            );
        }
    }
    let both = Status::PLL | Status::INS | Status::DEL;
    all.push(
        Sequence::from("leap-both", MIDNIGHT - 4)
            .then(READ.maxerror(0).status(both).tai(10))
            .watch(16, SECOND / 2)
            .then(READ.status(Status::PLL | Status::DEL))
            .watch(4, SECOND / 2),
    );
    all
}

/// The growth of the maximum error and its end.
fn errors() -> Vec<Sequence> {
    let mut all = Vec::new();
    for maxerror in [0, 1, 15_998_999, 15_999_000, 15_999_499, 15_999_500, 15_999_501, 16_000_000] {
        all.push(
            Sequence::new(format!("maxerror-{maxerror}"))
                .then(READ.status(Status::empty()).maxerror(maxerror).esterror(maxerror))
                .watch(5, SECOND)
                .then(READ.status(Status::PLL).maxerror(3))
                .watch(2, SECOND),
        );
    }
    all
}

/// Each status bit, those that cannot be set too.
fn status() -> Vec<Sequence> {
    let bits = Status::all().iter().map(|bit| {
        // A kernel without the pulse per second's discipline calls no clock wrong by its bits.
        let beside = if (Status::PPSFREQ | Status::PPSTIME).contains(bit) {
            Status::UNSYNC
        } else {
            Status::empty()
        };
        Sequence::new(format!("status-{:x}", bit.bits()))
            .then(READ.maxerror(5).status(bit | beside))
            .watch(2, SECOND)
            .then(READ.status(Status::PLL | bit | beside).offset(1_000))
            .watch(3, SECOND)
            .then(READ.status(Status::UNSYNC | bit))
            .then(READ.nano())
            .then(READ.micro().status(Status::UNSYNC))
            .after(SECOND, READ)
    });
    bits.collect()
}

/// Values beyond what is allowed.
fn bounds() -> Vec<Sequence> {
    let synced = READ.nano().status(Status::PLL).constant(3);
    let requests = [
        ("offset", READ.offset(500_000_000)),
        ("offset-over", READ.offset(500_000_001)),
        ("offset-under", READ.offset(-500_000_001)),
        ("offset-far", READ.offset(i64::MAX)),
        ("offset-far-back", READ.offset(i64::MIN)),
        ("offset-micro", READ.micro().offset(500_001)),
        ("offset-micro-far", READ.micro().offset(-1_000_001)),
        ("offset-open-loop", READ.status(Status::empty()).offset(1_000_000)),
        ("freq-over", READ.freq(32_768_001)),
        ("freq-under", READ.freq(-32_768_001)),
        ("freq-largest", READ.freq(i64::MAX / 65_536_000)),
        ("freq-too-large", READ.freq(i64::MAX / 65_536_000 + 1)),
        ("freq-too-small", READ.freq(i64::MIN / 65_536_000 - 1)),
        ("maxerror-negative", READ.maxerror(-1)),
        ("maxerror-over", READ.maxerror(16_000_001)),
        ("esterror-negative", READ.esterror(-5)),
        ("esterror-over", READ.esterror(1 << 40)),
        ("constant-over", READ.constant(11)),
        ("constant-far", READ.constant(255)),
        ("constant-micro", READ.micro().constant(7)),
        ("tick-under", READ.tick(8_999)),
        ("tick-over", READ.tick(11_001)),
        ("tick-none", READ.tick(0)),
        ("tick-under-with-others", READ.tick(8_999).freq(99).maxerror(1).nano().step(1, 0)),
        ("tai-negative", READ.tai(-1)),
        ("tai-largest", READ.tai(100_000)),
        ("tai-over", READ.tai(100_001)),
        ("single-shot-nano", READ.single_shot(-100)),
    ];
    requests
        .into_iter()
        .map(|(name, request)| {
            Sequence::new(format!("bounds-{name}"))
                .then(synced)
                .after(4 * SECOND, request)
                .watch(2, SECOND)
                .then(READ.offset(-1_000_000))
                .watch(2, 5 * SECOND)
        })
        .collect()
}

fn direction(sign: i64) -> &'static str {
    if sign < 0 { "back" } else { "forth" }
}
