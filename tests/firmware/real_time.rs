//! In real time, against servers on this machine.

use anyhow::{Result, ensure};
use truechimer_tests::board::{Answer, Board};
use truechimer_tests::fake::FakeServer;

/// How far the board may be off beyond what cannot be told, half of the way to it and back, s. It
/// is a tenth of this on a machine with nothing else to do.
const ERROR: f64 = 1e-3;

/// What a clock says that was set last year.
const WRONG: Option<&str> = Some("2026-01-02T03:04:05");

fn has_time(board: &Board) -> Result<Answer> {
    let answer = board.ask()?;
    ensure!(answer.offset.abs() <= answer.delay / 2.0 + ERROR, "{answer:?}");
    Ok(answer)
}

fn peer(server: &FakeServer) -> String {
    format!("peer=10.0.2.2:{}", server.port)
}

fn is_set(rtc: Option<&str>) -> Result<()> {
    let server = FakeServer::honest()?;
    let mut board = Board::start(rtc, &[peer(&server)])?;
    board.wait_for_line("started from the real-time clock")?;
    board.wait_for_line("peer 10.0.2.2 now valid")?;
    board.wait_for_line("set local clock to")?;
    board.wait_for_line("clock is now synced")?;
    let answer = has_time(&board)?;
    ensure!((answer.stratum, answer.leap) == (2, 0), "{answer:?}");
    Ok(())
}

pub fn a_server_sets_the_clock() -> Result<()> {
    is_set(WRONG)
}

pub fn the_rtc_lost_its_power() -> Result<()> {
    is_set(Some("2001-02-03T04:05:06"))
}

pub fn the_rtc_is_past_2036() -> Result<()> {
    is_set(Some("2040-02-03T04:05:06"))
}

/// Right before anybody was asked, but it does not say so.
pub fn the_rtc_has_the_time() -> Result<()> {
    let mut board = Board::start(None, &[])?;
    board.wait_for_line("started from the real-time clock")?;
    let answer = has_time(&board)?;
    ensure!(answer.leap == 3, "{answer:?}");
    Ok(())
}
