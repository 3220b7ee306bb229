//! Servers that fall silent, want to be left alone or announce a leap second, in virtual time.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use truechimer_core::units::{Span, WallTime};
use truechimer_tests::board::{Query, Reply, Scene, VirtualBoard};

use super::virtual_time::{HOUR, Jitter, SERVER, leasing, scene, worst};

const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const THIRD: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 3);

fn board(scene: Scene, servers: &[Ipv4Addr]) -> Result<VirtualBoard> {
    let settings: Vec<String> = servers.iter().map(|server| format!("peer={server}:123")).collect();
    VirtualBoard::start(scene, &settings)
}

/// Of two servers the one that is followed dies: the board says so, and follows the other.
pub fn a_dead_server_is_left() -> Result<()> {
    let mut board = board(scene(leasing(86_400), 50), &[SERVER, OTHER])?;
    let mut jitter = Jitter(6);
    let mut honest = |query: &Query| vec![Reply::honest(query, jitter.queues())];
    let both = board.run(HOUR, &mut honest)?;
    let dead = both.last().context("nothing was asked")?.reference;
    let living = if dead == SERVER { OTHER } else { SERVER };
    let samples = board.run(4 * HOUR, |query| match query.server {
        server if server == dead => Vec::new(),
        _ => honest(query),
    })?;
    let error = worst(&samples, HOUR);
    ensure!(error < 100e-6, "{error} s: {samples:?}");
    let last = samples.last().context("nothing was asked")?;
    ensure!((last.stratum, last.reference) == (2, living), "{dead} is dead: {samples:?}");
    let lines = board.lines()?;
    let invalid = |server| lines.contains(&format!("info peer {server} now invalid"));
    ensure!(invalid(dead) && !invalid(living), "{dead} is dead: {lines:#?}");
    Ok(())
}

/// One that asks for patience (RATE) is asked ever less often, one that denies access (DENY) no more
/// that day.
pub fn kisses_are_heeded() -> Result<()> {
    let mut board = board(scene(leasing(86_400), 50), &[SERVER, OTHER, THIRD])?;
    let mut jitter = Jitter(7);
    let (mut hasty, mut denied) = (Vec::new(), 0);
    let samples = board.run(3 * HOUR, |query| {
        vec![match query.server {
            OTHER => {
                hasty.push(query.at);
                Reply::kiss(query, *b"RATE")
            }
            THIRD => {
                denied += 1;
                Reply::kiss(query, *b"DENY")
            }
            _ => Reply::honest(query, jitter.queues()),
        }]
    })?;
    let error = worst(&samples, HOUR);
    ensure!(error < 100e-6, "{error} s: {samples:?}");
    ensure!(denied == 1, "{denied} queries after one was denied");
    let gaps: Vec<Span> = hasty.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // From half a minute to a quarter of an hour and more, each time longer or about as long.
    let grow = gaps.windows(2).all(|pair| pair[1] > pair[0].half());
    let reach = gaps.iter().any(|gap| *gap > Span::from_secs(900));
    ensure!(gaps[0] > Span::from_secs(30) && grow && reach && gaps.len() < 20, "{gaps:?}");
    Ok(())
}

/// A leap second that its server announces is inserted as it comes, and not found afterwards.
pub fn a_leap_second_is_inserted() -> Result<()> {
    // 2030-06-30 23:00:00.
    let scene = Scene {
        epoch: WallTime::from_unix(1_909_090_800, 0),
        leap: Some(Span::from_secs(HOUR)),
        rtc: "2030-06-30T23:00:00".to_owned(),
        ..scene(leasing(86_400), 50)
    };
    let mut board = board(scene, &[SERVER])?;
    let mut jitter = Jitter(8);
    let samples = board.run(2 * HOUR, |query| {
        let mut reply = Reply::honest(query, jitter.queues());
        if query.at < Span::from_secs(HOUR) {
            reply.bytes[0] |= 1 << 6;
        }
        vec![reply]
    })?;
    let error = worst(&samples, HOUR / 2);
    ensure!(error < 200e-6, "{error} s: {samples:?}");
    let (before, after) = (HOUR / 2, HOUR + 600);
    for sample in samples.iter().filter(|sample| sample.at > Span::from_secs(before)) {
        let announced = u8::from(sample.at < Span::from_secs(HOUR));
        let settled = sample.leap == announced || sample.at < Span::from_secs(after);
        ensure!(settled, "{sample:?}: {samples:?}");
    }
    let lines = board.lines()?;
    let steps = lines.iter().filter(|line| line.contains("set local clock")).count();
    ensure!(steps <= 1, "{lines:#?}");
    Ok(())
}
