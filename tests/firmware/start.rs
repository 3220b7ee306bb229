//! How long the first correct time takes after a reset, in virtual time, which counts instructions.

use anyhow::{Context, Result, ensure};
use truechimer_core::units::Span;
use truechimer_tests::board::{Query, Reply, Scene, VirtualBoard};
use truechimer_tests::{scratch, write};

use super::reboot::{MORNING, SHOWN};
use super::virtual_time::{HOUR, SERVER, leasing};

/// Seconds of QEMU's real-time clock begin whole seconds after it is switched on.
const EDGE: Span = Span::from_secs(1);
/// How long after that it may be, and after the first frame, until the time is right.
const LIMIT: Span = Span::from_millis(200);

/// The time is correct if it is within what the clock says that it may be off by. With what was learnt of
/// the real-time clock that is from the edge of its second on.
pub fn the_first_correct_time_is_soon() -> Result<()> {
    let directory = scratch()?;
    let store = write(directory.path(), "flash", &"\u{7f}".repeat(8192))?;
    let settings = [format!("peer={SERVER}:123"), format!("store={store}")];
    let delay = Span::from_millis(10);
    let evening = Scene { lan: leasing(86_400), delay, ..Scene::default() };
    let mut honest = |query: &Query| vec![Reply::honest(query, [Span::ZERO; 2])];
    let mut board = VirtualBoard::start(evening.clone(), &settings)?;
    board.run(HOUR, &mut honest)?;
    let first = board.told.first().context("no frame")?;
    ensure!(first.status == "rtc" && first.bound.is_none(), "{first:?}");
    // The real-time clock is 0.3 s behind. So long it had run when the counter was started.
    let reset = first.error + Span::from_millis(300);
    drop(board);

    let morning = Scene { epoch: evening.epoch + SHOWN, rtc: MORNING.to_owned(), ..evening };
    let mut board = VirtualBoard::start(morning, &settings)?;
    board.run(60, &mut honest)?;
    let link = board.told.first().context("no frame")?;
    let correct = board.told.iter().find(|one| one.bound.is_some()).context("no bound")?;
    let agreed = board.told.iter().find(|one| one.status != "rtc").context("no server")?;
    let after_edge = correct.at + reset - EDGE;
    eprintln!(
        "correct {after_edge} s after the edge of the real-time clock and {} s after the first frame: off by {} s \
         within {} s; the servers' {} s after it",
        correct.at - link.at,
        correct.error,
        correct.bound.unwrap_or_default(),
        agreed.at - link.at,
    );
    ensure!(after_edge > Span::ZERO && after_edge < LIMIT, "{link:?}, {correct:?}");
    ensure!(correct.at - link.at < LIMIT, "{link:?}, {correct:?}");
    // In an hour its rate was learnt to 2 ppm, and more than a day has passed.
    ensure!(correct.error.abs() < Span::from_millis(300), "{correct:?}");
    // Four answers, two seconds apart.
    ensure!(agreed.at - link.at < Span::from_secs(10), "{link:?}, {agreed:?}");
    Ok(())
}

/// What a turn of the main loop and a reading of the clock take, in instructions: the longest turn is
/// that in which an answer comes and all filters of a server take it in.
pub fn a_turn_takes_so_much() -> Result<()> {
    let scene = Scene { lan: leasing(86_400), ..Scene::default() };
    let mut board = VirtualBoard::start(scene, &[format!("peer={SERVER}:123")])?;
    board.run(HOUR, |query| vec![Reply::honest(query, [Span::ZERO; 2])])?;
    let [idle, longest, reading] = board.told.last().context("no frame")?.instructions;
    eprintln!(
        "instructions: {idle} of an idle poll, {longest} of the longest, {reading} of a reading"
    );
    for (name, taken, most) in [
        ("idle poll", idle, 19_600),
        ("longest poll", longest, 5_000_000),
        ("reading", reading, 1_300),
    ] {
        ensure!((1..=most).contains(&taken), "{taken} instructions of {name}, at most {most}");
    }
    Ok(())
}
