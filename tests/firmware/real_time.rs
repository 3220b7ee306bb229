//! In real time, against servers on this machine.

use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Result, ensure};
use truechimer_tests::board::{Answer, Board, Model};
use truechimer_tests::chimed::{Chimed, listen};
use truechimer_tests::fake::{Datagram, FakeServer, Reply};
use truechimer_tests::peers::Chronyd;
use truechimer_tests::{free_port, scratch, wait_for, write};

/// How far the board may be off beyond what cannot be told, half of the way to it and back, s. It
/// is a tenth of this on a machine with nothing else to do.
const ERROR: f64 = 1e-3;

/// How long a record may take that is to be stored.
const LIMIT: Duration = Duration::from_secs(20);
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

fn is_set(model: Model, rtc: Option<&str>) -> Result<()> {
    let server = FakeServer::honest()?;
    follows(model, rtc, server.port)
}

fn follows(model: Model, rtc: Option<&str>, port: u16) -> Result<()> {
    let mut board = Board::start(model, rtc, &[format!("peer=10.0.2.2:{port}")])?;
    board.wait_for_line("started at")?;
    board.wait_for_line("peer 10.0.2.2 now valid")?;
    board.wait_for_line("set local clock to")?;
    board.wait_for_line("clock is now synced")?;
    let answer = has_time(&board)?;
    ensure!((answer.stratum, answer.leap) == (2, 0), "{answer:?}");
    Ok(())
}

pub fn a_server_sets_the_clock(model: Model) -> Result<()> {
    is_set(model, WRONG)
}

pub fn the_rtc_lost_its_power(model: Model) -> Result<()> {
    is_set(model, Some("2001-02-03T04:05:06"))
}

pub fn the_rtc_is_past_2036(model: Model) -> Result<()> {
    is_set(model, Some("2040-02-03T04:05:06"))
}

pub fn chimed_is_its_server(model: Model) -> Result<()> {
    let port = free_port()?;
    let _chimed = Chimed::start(&format!("{}[local]\nstratum = 1\n", listen(port)))?;
    follows(model, WRONG, port)
}

pub fn chronyd_is_its_server(model: Model) -> Result<()> {
    let chronyd = Chronyd::serve(1)?;
    follows(model, WRONG, chronyd.port)
}

/// Right before anybody was asked, but it does not say so.
pub fn the_rtc_has_the_time(model: Model) -> Result<()> {
    let mut board = Board::start(model, None, &[])?;
    board.wait_for_line("s by Rtc")?;
    let answer = has_time(&board)?;
    ensure!(answer.leap == 3, "{answer:?}");
    Ok(())
}

pub fn its_address_is_static(model: Model) -> Result<()> {
    let server = FakeServer::honest()?;
    let address = ["address=10.0.2.15/24".to_owned(), "router=10.0.2.2".to_owned()];
    let settings = [&address[..], &[peer(&server)]].concat();
    let mut board = Board::start(model, WRONG, &settings)?;
    board.wait_for_line("clock is now synced")?;
    has_time(&board)?;
    Ok(())
}

/// A server that asks to be left alone is, and one that is right is followed.
pub fn a_server_is_kissed_off(model: Model) -> Result<()> {
    let rude =
        FakeServer::start(|query| vec![Datagram::FromHere(Reply::kiss(query, *b"DENY").emit())])?;
    let server = FakeServer::honest()?;
    let mut board = Board::start(model, WRONG, &[peer(&rude), peer(&server)])?;
    board.wait_for_line("DENY")?;
    board.wait_for_line("clock is now synced")?;
    has_time(&board)?;
    ensure!(rude.queries() == 1, "{} queries", rude.queries());
    Ok(())
}

/// Noon of a day that may end with a leap second, 2026-12-31, s since 1970.
const NOON: i64 = 1_798_718_400;

/// It passes on what its server says of the end of that day.
pub fn a_leap_second_is_announced(model: Model) -> Result<()> {
    let ahead = NOON - i64::try_from(UNIX_EPOCH.elapsed()?.as_secs())?;
    let server = FakeServer::start(move |query| {
        let Reply { receive, transmit, .. } = Reply::honest(query);
        let [receive, transmit] =
            [receive, transmit].map(|stamp| stamp.wrapping_add(ahead.cast_unsigned() << 32));
        vec![Datagram::FromHere(
            Reply { leap: 1, receive, transmit, ..Reply::honest(query) }.emit(),
        )]
    })?;
    let mut board = Board::start(model, WRONG, &[peer(&server)])?;
    board.wait_for_line("clock is now synced")?;
    let Answer { offset, delay, leap, .. } = board.ask()?;
    let error = offset - ahead as f64;
    ensure!(error.abs() <= delay / 2.0 + ERROR && leap == 1, "{error} s, leap {leap}");
    Ok(())
}

pub fn its_status_is_asked_for(model: Model) -> Result<()> {
    let server = FakeServer::honest()?;
    let mut board = Board::start(model, WRONG, &[peer(&server)])?;
    board.wait_for_line("clock is now synced")?;
    board.type_in("?")?;
    let status = board.wait_for_line("status: time")?;
    ensure!(status.contains("Synced, stratum 2"), "{status}");
    board.wait_for_line("peer Some(10.0.2.2): reach 00001111, every 16 s, Selected")?;
    Ok(())
}

/// What the one before left behind: the time is later than that, whatever the real-time clock says;
/// and of the store, where the next one goes on.
pub fn the_floor_outlives_a_boot(model: Model) -> Result<()> {
    let directory = scratch()?;
    let store = write(directory.path(), "flash", &"\u{7f}".repeat(8192))?;
    let server = FakeServer::honest()?;
    let settings = [peer(&server), format!("store={store}")];
    let mut board = Board::start(model, WRONG, &settings)?;
    board.wait_for_line("by Rtc")?;
    board.wait_for_line("clock is now synced")?;
    let is_saved = || Ok(std::fs::read(&store)?.contains(&0xFF).then_some(()));
    wait_for("the record in the file", LIMIT, is_saved)?;
    drop(board);
    let mut board = Board::start(model, WRONG, &settings)?;
    board.wait_for_line("by Floor")?;
    let answer = board.ask()?;
    // So long it was off, which nobody counted.
    ensure!((-60.0..0.0).contains(&answer.offset), "{answer:?}");
    Ok(())
}
