//! Floods: however much comes from the network, so many lines come of it and no more, and the rest
//! is counted.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use truechimer_tests::chimed::{Chimed, Status, listen, server};
use truechimer_tests::fake::{Datagram, FakeServer, Query, Reply};
use truechimer_tests::{free_port, wait_for};

const LIMIT: Duration = Duration::from_secs(20);
/// Lines of one kind at once, of what one datagram is enough for.
const BURST: u64 = 8;
const MALFORMED: &str = "malformed packet received from 127.0.0.1";

/// Malformed queries of nobody in particular.
pub(crate) fn of_queries() -> Result<()> {
    const SENT: u64 = 20_000;
    let port = free_port()?;
    let mut chimed = Chimed::start(&format!("{}[local]\nstratum = 3\n", listen(port)))?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(("127.0.0.1", port))?;
    for sent in 0..SENT {
        socket.send(b"malformed")?;
        // The socket's buffer holds a few hundred.
        if sent % 100 == 99 {
            wait_for("the flood to be taken in", LIMIT, || {
                Ok((chimed.status()?.refused("malformed") > sent - 99).then_some(()))
            })?;
        }
    }
    let refused = chimed.status()?.refused("malformed");
    is_bounded(&mut chimed, refused)
}

/// From the port of a server that is asked.
pub(crate) fn of_answers() -> Result<()> {
    let fake = FakeServer::start(|query| {
        let bad = (0..100).map(|_| Datagram::FromHere(vec![0x24; 47]));
        bad.chain([Datagram::FromHere(Reply::honest(query).emit())]).collect()
    })?;
    let mut chimed = Chimed::start(&server(fake.port, -3))?;
    chimed.wait_until("a synchronised clock", LIMIT, Status::is_synced)?;
    wait_for("a thousand", LIMIT, || {
        Ok((chimed.peer()?.rejected("malformed") >= 1_000).then_some(()))
    })?;
    fake.follow(|query| vec![Datagram::FromHere(Reply::honest(query).emit())]);
    let queries = fake.queries();
    wait_for("the end of it", LIMIT, || Ok((fake.queries() > queries + 2).then_some(())))?;
    let rejected = chimed.peer()?.rejected("malformed");
    is_bounded(&mut chimed, rejected)
}

/// A burst of lines, and one that counts the rest: the daemon ends before a minute has passed.
fn is_bounded(chimed: &mut Chimed, malformed: u64) -> Result<()> {
    let told = suppressed(chimed, "MalformedPacket")?;
    let log = &chimed.process.transcript;
    let lines = log.count(MALFORMED) as u64;
    ensure!(lines == BURST, "{lines} lines");
    ensure!(lines + told == malformed, "{lines} and {told} of {malformed}");
    let all = log.lines().len();
    ensure!(all < 100, "{all} lines: {:?}", log.lines());
    Ok(())
}

/// Ends the daemon: how many messages of a kind it says it held back.
fn suppressed(chimed: &mut Chimed, kind: &str) -> Result<u64> {
    chimed.process.signal(Signal::SIGTERM)?;
    let status = chimed.process.wait(LIMIT)?;
    ensure!(status.code() == Some(0), "{status}");
    let line = chimed.process.wait_for_line(&format!(" messages suppressed: {kind}"), LIMIT)?;
    let count = line.split(" messages").next().and_then(|text| text.split(' ').next_back());
    Ok(count.with_context(|| line.clone())?.parse()?)
}

/// Kisses by the hundred, of which the first is one reply too many already.
pub(crate) fn of_kisses() -> Result<()> {
    storm("not synced (KoD RATE)", |query| Reply::kiss(query, *b"RATE"))
}

/// Replies that were underway for less than no time.
pub(crate) fn of_negative_delays() -> Result<()> {
    storm("negative delay", |query| {
        let honest = Reply::honest(query);
        Reply { receive: honest.receive.wrapping_sub(5 << 32), ..honest }
    })
}

/// Eight servers that send a hundred of them for each query.
fn storm(text: &str, reply: impl Fn(&Query) -> Reply + Copy + Send + 'static) -> Result<()> {
    let start =
        move |_| FakeServer::start(move |query| vec![Datagram::FromHere(reply(query).emit()); 100]);
    let fakes = (0..8).map(start).collect::<Result<Vec<_>>>()?;
    let servers: String = fakes.iter().map(|fake| server(fake.port, -2)).collect();
    let chimed = Chimed::start(&servers)?;
    wait_for("all of them to be counted", LIMIT, || {
        let peers = chimed.peers()?;
        Ok(peers.iter().all(|peer| peer.all_rejected() >= 90).then_some(()))
    })?;
    std::thread::sleep(Duration::from_secs(3));
    let log = &chimed.process.transcript;
    let (lines, queries) = (log.count(text), fakes.iter().map(FakeServer::queries).sum::<u64>());
    ensure!((1..=queries).contains(&(lines as u64)), "{lines} lines of {queries} queries");
    ensure!(log.lines().len() < 100, "{:?}", log.lines());
    Ok(())
}
