//! Leap seconds, which the kernel makes: one more by a list, one left out by what the sources announce,
//! and one that it forgot, for another program stepped its clock.

use anyhow::{Result, ensure};
use truechimer_core::timex::{ClockState, Status};
use truechimer_tests::guest::scenario::{Happening, LEAP_LIST, Leap, Run, Scenario, Server};
use truechimer_tests::leap::list;

use super::{Case, RIGHT, event, perform, server, status, within};

/// The end of June 2027.
const END: i64 = 1_814_400_000;
/// So long before that a scenario begins.
const BEFORE: i64 = 1_500;
/// The clock is right from then on, and the kernel knows.
const SETTLED: f64 = 300.0;
const LEAP: f64 = BEFORE as f64;
/// A kernel makes it at a tick.
const LATE: f64 = 0.1;
const SECS: f64 = 2_700.0;
/// Another program steps the clock, and this much later it is right again.
const STEPPED: f64 = 600.0;
const MENDED: f64 = STEPPED + 250.0;
/// One sample is in the midst of it.
const EVERY: f64 = (LEAP + 0.5) / 500.0;
/// TAI − UTC before.
const TAI: i64 = 37;

pub(crate) fn leaps() -> Result<()> {
    let base = Scenario {
        start: END - BEFORE,
        secs: SECS,
        every: EVERY,
        ahead: -0.4,
        ..Scenario::default()
    };
    let offsets = [(END - 86_400 * 3_000, 37), (END, 38)];
    let inserted = Scenario {
        name: "one second more, of a list".into(),
        configuration: format!("leap_list = {LEAP_LIST:?}\n{}", server(0, 4, 6)),
        separated: true,
        leap: Some(Leap { end: END, deleted: false }),
        leap_list: Some(list(END + 86_400 * 100, &offsets)),
        ..base.clone()
    };
    let announces = Server { announces: true, ..Server::default() };
    let deleted = Scenario {
        name: "one second less, as the sources announce".into(),
        configuration: (0..3).map(|place| server(place, 4, 6)).collect(),
        leap: Some(Leap { end: END, deleted: true }),
        // A minority that does not is outvoted.
        servers: vec![announces, announces, Server::default()],
        ..base.clone()
    };
    let stepped = |name: &str, by: f64| Scenario {
        name: format!("one second more, and {name} before it"),
        events: vec![event(STEPPED, Happening::Step(by))],
        ..inserted.clone()
    };
    let (far, near) = (stepped("a step of 1 h", 3_600.0), stepped("one of 50 ms", 0.05));
    let cases = [
        Case {
            scenario: inserted,
            check: |run| {
                let figures = is_right(run, Status::INS, ClockState::Insert, LEAP)?;
                is_seen(run)?;
                for sample in run.between(SETTLED, SECS) {
                    let tai = TAI + i64::from(sample.at > LEAP + 1.0);
                    // The kernel counts it where it begins, and so may we.
                    let is_on = (LEAP - LATE..LEAP + 1.0 + LATE).contains(&sample.at);
                    ensure!(is_on || sample.timex()?.tai == tai, "TAI is not {tai}: {sample:?}");
                    ensure!(is_on || sample.status("tai") == tai, "TAI is not {tai}: {sample:?}");
                    ensure!(sample.status("leap_source") == "list", "{sample:?}");
                }
                Ok(figures)
            },
        },
        Case {
            scenario: deleted,
            check: |run| is_right(run, Status::DEL, ClockState::Delete, LEAP - 1.0),
        },
        // At the start, and from the hour back; what is 50 ms is slewed away.
        Case { scenario: far, check: |run| is_armed_again(run, 2) },
        Case { scenario: near, check: |run| is_armed_again(run, 1) },
    ];
    perform("leaps", &cases)
}

/// The kernel makes it all the same, and the clock is right when it does.
fn is_armed_again(run: &Run, steps: usize) -> Result<String> {
    for sample in run.between(MENDED, LEAP - LATE) {
        ensure!(sample.state == ClockState::Insert as i64, "the bit is gone: {sample:?}");
    }
    let [before, after] =
        [(MENDED, LEAP - LATE), (LEAP + 1.0 + LATE, SECS)].map(|(from, to)| run.error(from, to));
    let (before, after) = (before?, after?);
    within("before", before, RIGHT)?;
    within("after", after, RIGHT)?;
    is_seen(run)?;
    let count = |text| count(run, text);
    ensure!((count("jumped"), count("set local clock")) == (1, steps), "{:?}", run.log);
    ensure!(count("leap second inserted") == 1, "{:?}", run.log);
    Ok(format!("{:.0} us before and {:.0} us after it", before * 1e6, after * 1e6))
}

/// The kernel says that it is on.
fn is_seen(run: &Run) -> Result<()> {
    let on: Vec<_> = run.between(LEAP + LATE, LEAP + 1.0 - LATE).collect();
    ensure!(!on.is_empty(), "not seen");
    for sample in on {
        ensure!(sample.state == ClockState::InProgress as i64, "not in progress: {sample:?}");
    }
    Ok(())
}

/// Lines of the log with a text.
fn count(run: &Run, text: &str) -> usize {
    run.log.iter().filter(|(_, line)| line.contains(text)).count()
}

/// The kernel is told of it beforehand, makes it at the moment, and is told that it is over. The clock
/// is right all the time, and nobody takes it for something else.
fn is_right(run: &Run, bit: Status, state: ClockState, moment: f64) -> Result<String> {
    for sample in run.between(SETTLED, moment - LATE) {
        ensure!(status(sample)?.contains(bit), "the kernel does not know: {sample:?}");
        ensure!(sample.state == state as i64, "it is not {state:?}: {sample:?}");
    }
    for sample in run.between(moment + 120.0, SECS) {
        let over = !status(sample)?.intersects(Status::INS | Status::DEL);
        ensure!(over && sample.state == ClockState::Ok as i64, "it is not over: {sample:?}");
    }
    let before = run.error(SETTLED, moment - LATE)?;
    let later = run.error(moment + LATE, SECS)?;
    within("before", before, RIGHT)?;
    within("later", later, RIGHT)?;
    for sample in run.between(SETTLED, SECS) {
        ensure!(sample.is_synced(), "not synchronised: {sample:?}");
        ensure!(!status(sample)?.contains(Status::UNSYNC), "the kernel denies it: {sample:?}");
    }
    let count = |text| count(run, text);
    ensure!(count("leap second") >= 1 && count("jumped") == 0, "{:?}", run.log);
    ensure!(count("set local clock") == 1, "more than the step at the start: {:?}", run.log);
    Ok(format!("{:.0} us before and {:.0} us after it", before * 1e6, later * 1e6))
}
