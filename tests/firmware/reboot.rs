//! A day without power: what the real-time clock and the record are worth after it, in virtual time.

use anyhow::{Context, Result, ensure};
use truechimer_core::units::{FreqOffset, Span};
use truechimer_tests::board::{Query, Reply, Scene, Told, VirtualBoard};
use truechimer_tests::{scratch, write};

use super::virtual_time::{HOUR, Jitter, SERVER, leasing, worst};

/// What the counter gains, and the real-time clock while there is power.
const GAIN: FreqOffset = FreqOffset::from_ppm(30);
/// What the real-time clock shows when power comes back, and how long after it was switched on that
/// is by itself: 24 hours and some minutes after it went.
pub const MORNING: &str = "2030-03-19T00:00:00";
pub const SHOWN: Span = Span::from_secs(30 * 3_600 + 800);
/// Power is there for so long.
const DAY: i64 = 6 * HOUR;

/// Learns for six hours, and is without power for a day in which the real-time clock gains `cold`.
/// What the board says in the hour after that, in which nobody answers.
fn after_a_day(cold: FreqOffset) -> Result<Vec<Told>> {
    let directory = scratch()?;
    let store = write(directory.path(), "flash", &"\u{7f}".repeat(8192))?;
    let settings = [format!("peer={SERVER}:123"), format!("store={store}")];
    let evening = Scene { lan: leasing(7 * 86_400), gain: GAIN, ..Scene::default() };
    let mut board = VirtualBoard::start(evening.clone(), &settings)?;
    let mut jitter = Jitter(9);
    let mut honest = |query: &Query| vec![Reply::honest(query, jitter.queues())];
    let samples = board.run(DAY, &mut honest)?;
    ensure!(worst(&samples, HOUR) < 100e-6, "{samples:?}");
    let off = board.told.last().context("it said nothing")?.at;
    drop(board);

    // Until then it had gained as the counter does.
    let rest = SHOWN - (off + GAIN.gain(off, 0).0);
    let ratio = cold.as_ratio();
    let dark = rest - FreqOffset::from_ratio(ratio / (1.0 + ratio)).gain(rest, 0).0;
    ensure!(dark > Span::from_secs(24 * HOUR), "{dark}");
    let morning = Scene { epoch: evening.epoch + off + dark, rtc: MORNING.to_owned(), ..evening };
    let mut board = VirtualBoard::start(morning, &settings)?;
    board.run(HOUR, |_| Vec::new())?;
    let told = std::mem::take(&mut board.told);
    ensure!(told.len() > 10, "{told:?}");
    for one in &told {
        ensure!(one.status == "rtc" && one.bound.is_some(), "{one:?}");
    }
    let again = board.run(2 * HOUR, &mut honest)?;
    ensure!(worst(&again, HOUR + 1_800) < 100e-6, "{again:?}");
    Ok(told)
}

/// The greatest error, and the greatest bound, s.
fn worst_of(told: &[Told]) -> (f64, f64) {
    let greatest = |of: fn(&Told) -> Span| told.iter().map(of).fold(Span::ZERO, Span::max);
    let error = greatest(|one| one.error.abs()).as_secs_f64();
    let bound = greatest(|one| one.bound.unwrap_or_default()).as_secs_f64();
    eprintln!("off by {error:.6} s at most, within {bound:.6} s by its own account");
    (error, bound)
}

/// What it had learnt of its real-time clock takes the place of the servers.
pub fn a_day_without_power_is_bridged() -> Result<()> {
    let told = after_a_day(GAIN)?;
    let (error, bound) = worst_of(&told);
    // It drifted by 2.6 s, which were known to 30 ppm: what six hours with an uncertainty of a network
    // of 100 ms tell, and what a crystal changes by when it gets cold.
    ensure!(error < 20e-3 && bound < 4.0, "{told:?}");
    Ok(())
}

/// Its crystal ran slower than it had with power, about as much as one may: the bound holds.
pub fn a_cold_day_stays_within_the_bound() -> Result<()> {
    let told = after_a_day(FreqOffset::from_ppm(12))?;
    let (error, bound) = worst_of(&told);
    ensure!(error > 1.0 && bound < 4.0, "{told:?}");
    Ok(())
}
