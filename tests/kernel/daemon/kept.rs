//! What is kept for the next start, and what becomes of the daemon where nothing can be kept.

use anyhow::{Result, ensure};
use truechimer_tests::guest::scenario::{Disk, Happening, Run, STATE, Scenario, Server};

use super::{Case, RIGHT, event, perform, rate, server, within};

/// What the oscillator gains, ppm.
const FREQUENCY: f64 = 60.0;
/// The clock is right from then on.
const SETTLED: f64 = 60.0;
/// What is wrong with the disk is mended,
const MENDED: f64 = 900.0;
/// the daemon ends,
const STOPPED: f64 = 1_800.0;
/// and after a reboot begins again, and nobody answers.
const STARTED: f64 = STOPPED + 60.0;
const END: f64 = STARTED + 600.0;
/// A frequency of a former life is off by no more, ppm.
const KNOWN: f64 = 1.0;
/// By how much the clock is wrong after the reboot, s.
const LOST: f64 = -86_400.0;

pub(crate) fn kept() -> Result<()> {
    let dead = Server { answers: false, ..Server::default() };
    let reboot = [
        event(STOPPED, Happening::Stop),
        event(STOPPED + 1.0, Happening::Reboot),
        event(STOPPED + 2.0, Happening::Server(0, dead)),
        event(STARTED, Happening::Start),
    ];
    let base = Scenario {
        configuration: format!("state = {STATE:?}\nrtc = \"\"\n{}", server(0, 4, 6)),
        secs: END,
        every: 5.0,
        ahead: -0.4,
        frequency: FREQUENCY,
        ..Scenario::default()
    };
    let learnt = Scenario {
        name: "a drift file is used at the next boot".into(),
        events: reboot.to_vec(),
        ..base.clone()
    };
    let separated =
        Scenario { name: "and by several processes".into(), separated: true, ..learnt.clone() };
    let disk = |name: &str, separated, how| Scenario {
        name: name.into(),
        separated,
        events: [event(1.0, Happening::Disk(how)), event(MENDED, Happening::Disk(Disk::Good))]
            .into_iter()
            .chain(reboot.clone())
            .collect(),
        ..base.clone()
    };
    let mut rtc = Scenario {
        name: "the clock without power is right after a reboot, and the kernel's a day behind"
            .into(),
        configuration: format!("state = {STATE:?}\n{}", server(0, 4, 6)),
        separated: true,
        events: reboot
            .iter()
            .cloned()
            .chain([event(STARTED - 10.0, Happening::Step(LOST))])
            .collect(),
        ..base.clone()
    };
    rtc.events.sort_by(|a, b| a.at.total_cmp(&b.at));
    let cases = [
        Case { scenario: learnt, check: remembers },
        Case { scenario: separated, check: remembers },
        Case {
            scenario: disk("the disk is full", false, Disk::Full),
            check: |run| goes_on(run, "No space left on device"),
        },
        Case {
            scenario: disk("the disk is read-only", true, Disk::ReadOnly),
            check: |run| goes_on(run, "Read-only file system"),
        },
        Case { scenario: rtc, check: begins_from_the_rtc },
    ];
    perform("kept", &cases)
}

/// The clock was right; without any answer it runs at the frequency of the former life, and stays right.
fn remembers(run: &Run) -> Result<String> {
    let before = run.error(SETTLED, STOPPED)?;
    within("at first", before, RIGHT)?;
    let lost = rate(run.before(STARTED)?)?;
    ensure!(lost == 0.0, "the reboot left {lost} ppm");
    let from = STARTED + 10.0;
    for sample in run.between(from, END) {
        let off = rate(sample)? + FREQUENCY;
        ensure!(off.abs() < KNOWN, "off by {off} ppm: {sample:?}");
        ensure!(!sample.is_synced(), "by whom? {sample:?}");
    }
    let (began, ended) = (run.before(from)?.ahead, run.before(END)?.ahead);
    within("since the reboot", ended - began, KNOWN * 1e-6 * END)?;
    let off = rate(run.before(END)?)? + FREQUENCY;
    Ok(format!("frequency off by {off:.3} ppm, {:.0} us in 10 min alone", (ended - began) * 1e6))
}

/// It tells once that nothing can be kept, and keeps it when it can.
fn goes_on(run: &Run, reason: &str) -> Result<String> {
    let told = run.log.iter().filter(|(_, line)| line.contains("can't write")).collect::<Vec<_>>();
    ensure!(told.len() == 1 && told[0].1.contains(reason) && told[0].0 < MENDED, "{told:?}");
    remembers(run)
}

/// It starts where the clock without power is, within its second, before any server has answered.
fn begins_from_the_rtc(run: &Run) -> Result<String> {
    within("at first", run.error(SETTLED, STOPPED)?, RIGHT)?;
    let lost = run.before(STARTED)?.ahead;
    ensure!((lost - LOST).abs() < 1.0, "the clock was {lost} s ahead");
    let told = "as the real-time clock has it";
    ensure!(run.has_logged(told, STARTED, STARTED + 10.0), "not told: {:?}", run.log);
    let error = run.error(STARTED + 10.0, END)?;
    within("from the clock without power", error, 1.5)?;
    Ok(format!("{error:.3} s"))
}
