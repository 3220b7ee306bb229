//! `chimed query`.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use truechimer_tests::fake::{Datagram, FakeServer, Query, Reply};
use truechimer_tests::free_port;
use truechimer_tests::process::{Ended, finish};

use super::{SOON, chimed};

/// Root delay and root dispersion of the fake server, s.
const ROOT: f64 = 16.0 / 65_536.0;
/// Its precision, s.
const PRECISION: f64 = 1.0 / 1_048_576.0;
/// What the precision of this machine's clock may add, s.
const OWN_PRECISION: f64 = 2e-5;
/// What printing six digits takes away, s.
const DIGIT: f64 = 1e-6;

/// What a line of output says.
#[derive(Debug)]
struct Reading<'a> {
    server: &'a str,
    offset: f64,
    error: f64,
    delay: f64,
    rest: [&'a str; 3],
}

impl<'a> Reading<'a> {
    /// `127.0.0.1:4123  +0.000012 ± 0.000345 s  delay 0.000123 s  stratum 1  leap none  reference
    /// TEST`.
    fn parse(line: &'a str) -> Result<Self> {
        let columns: Vec<_> = line.split("  ").collect();
        let [server, offset, delay, stratum, leap, reference] = columns[..] else {
            bail!("not a reading: {line:?}");
        };
        let offset = offset.strip_suffix(" s").and_then(|offset| offset.split_once(" ± "));
        let (offset, error) = offset.with_context(|| format!("no offset ± error: {line:?}"))?;
        let delay = delay.strip_prefix("delay ").and_then(|delay| delay.strip_suffix(" s"));
        ensure!(offset.starts_with(['+', '-']), "{line:?}");
        Ok(Self {
            server,
            offset: offset.parse()?,
            error: error.parse()?,
            delay: delay.with_context(|| format!("no delay: {line:?}"))?.parse()?,
            rest: [stratum, leap, reference],
        })
    }
}

/// Of servers a known time ahead and behind.
pub(crate) fn reading() -> Result<()> {
    let ahead = |query: &Query| Reply::honest(query).shifted(2);
    let behind = |query: &Query| {
        let honest = Reply::honest(query);
        let back = |stamp: u64| stamp.wrapping_sub(3 << 32);
        Reply {
            leap: 1,
            stratum: 2,
            reference_id: [192, 0, 2, 7],
            receive: back(honest.receive),
            transmit: back(honest.transmit),
            ..honest
        }
    };
    check(ahead, 2.0, ["stratum 1", "leap none", "reference TEST"])?;
    check(behind, -3.0, ["stratum 2", "leap add second", "reference 192.0.2.7"])?;
    let deleted = move |query: &Query| Reply { leap: 2, reference_id: *b"G\x1b[m", ..ahead(query) };
    check(deleted, 2.0, ["stratum 1", "leap delete second", "reference G?[m"])
}

fn check(
    reply: impl Fn(&Query) -> Reply + Send + 'static,
    offset: f64,
    rest: [&str; 3],
) -> Result<()> {
    let fake = FakeServer::start(answering(reply))?;
    let server = address(&fake);
    let ended = ask(&[&server])?;
    ensure!(ended.code == Some(0) && ended.stderr.is_empty(), "{ended:?}");
    let reading = Reading::parse(ended.stdout.strip_suffix('\n').context("no line")?)?;
    ensure!(reading.server == server && reading.rest == rest, "{reading:?}");
    // Both ends have the same clock, so that the way is all that may be off.
    ensure!((reading.offset - offset).abs() <= reading.delay / 2.0 + DIGIT, "{reading:?}");
    ensure!((0.0..1.0).contains(&reading.delay), "{reading:?}");
    let least = (reading.delay + ROOT) / 2.0 + ROOT + PRECISION;
    ensure!((least - DIGIT..least + OWN_PRECISION).contains(&reading.error), "{reading:?}");
    ensure!(fake.queries() == 1, "{} queries", fake.queries());
    Ok(())
}

/// The good one is told all the same, in the order of the command line.
pub(crate) fn one_of_several() -> Result<()> {
    let (one, other) = (FakeServer::honest()?, FakeServer::honest()?);
    let closed = format!("localhost:{}", free_port()?);
    let servers = [&closed, &address(&one), &address(&other)];
    let ended = ask(&servers.map(String::as_str))?;
    ensure!(ended.code == Some(1), "{ended:?}");
    let lines: Vec<_> = ended.stdout.lines().collect();
    let [first, second] = lines[..] else { bail!("not two readings: {ended:?}") };
    ensure!(first.starts_with(servers[1]) && second.starts_with(servers[2]), "{ended:?}");
    let (offset, _) = first.split_once(" ± ").context("no offset")?;
    ensure!(offset[closed.len()..].starts_with("  "), "the columns do not agree: {ended:?}");
    ensure!(ended.stderr.starts_with(&format!("chimed: {closed}: ")), "{ended:?}");
    ensure!(ended.stderr.lines().count() == 1, "{ended:?}");
    Ok(())
}

/// Answers that say that they are of no use.
pub(crate) fn rejected() -> Result<()> {
    let alarm = |query: &Query| Reply { leap: 3, ..Reply::honest(query) };
    let stratum = |query: &Query| Reply { stratum: 16, ..Reply::honest(query) };
    let kiss = |query: &Query| Reply::kiss(query, *b"RATE");
    let servers = [
        (FakeServer::start(answering(alarm))?, "alarm"),
        (FakeServer::start(answering(stratum))?, "stratum 16"),
        (FakeServer::start(answering(kiss))?, "kiss RATE"),
    ];
    for (fake, reason) in &servers {
        let server = address(fake);
        let ended = ask(&[&server])?;
        ensure!(ended.code == Some(1) && ended.stdout.is_empty(), "{ended:?}");
        let message = format!("chimed: {server}: answer rejected: {reason}\n");
        ensure!(ended.stderr == message, "{ended:?}");
    }
    Ok(())
}

/// Not after the timeout.
pub(crate) fn refused() -> Result<()> {
    let server = format!("127.0.0.1:{}", free_port()?);
    let start = Instant::now();
    let ended = ask(&["--timeout", "60", &server])?;
    ensure!(start.elapsed() < SOON, "after {:?}", start.elapsed());
    ensure!(ended.code == Some(1) && ended.stdout.is_empty(), "{ended:?}");
    ensure!(ended.stderr == format!("chimed: {server}: Connection refused (os error 111)\n"));
    Ok(())
}

/// Neither silence nor what anybody could have sent is an answer.
pub(crate) fn unanswered() -> Result<()> {
    let silent = FakeServer::start(|_| Vec::new())?;
    let bogus = FakeServer::start(answering(|query| Reply { origin: 1, ..Reply::honest(query) }))?;
    for fake in [&silent, &bogus] {
        let server = address(fake);
        let start = Instant::now();
        let ended = ask(&["--timeout", "0.5", &server])?;
        let took = start.elapsed().as_secs_f64();
        ensure!((0.5..3.0).contains(&took), "{took} s");
        ensure!(ended.code == Some(1) && ended.stdout.is_empty(), "{ended:?}");
        ensure!(ended.stderr == format!("chimed: {server}: no answer within 0.5 s\n"), "{ended:?}");
        ensure!(fake.queries() == 1, "{} queries", fake.queries());
    }
    Ok(())
}

/// What is not allowed is told with what is, and nobody is asked.
pub(crate) fn not_asked() -> Result<()> {
    let fake = FakeServer::honest()?;
    let server = address(&fake);
    let cases: [(&[&str], &str); 9] = [
        (&["a:0"], "'a:0' for '<HOST[:PORT]>...': port 0 is not allowed: 1 to 65535 are"),
        (&["a:65536"], "port 65536 is not allowed: 1 to 65535 are"),
        (&["a:ntp"], "\"a:ntp\" is neither an IP address nor a host name: letters, digits and"),
        (&[""], "\"\" is neither an IP address nor a host name"),
        (&["127.0.0.1.5"], "not only digits after the last dot"),
        (&["-t", "0"], "'0' for '--timeout <SECONDS>': 0.01 to 3600 are allowed"),
        (&["-t", "3601"], "0.01 to 3600 are allowed"),
        (&["-t", "nan"], "0.01 to 3600 are allowed"),
        (&["--timeout=-1"], "0.01 to 3600 are allowed"),
    ];
    for (arguments, message) in cases {
        let ended = ask(&[&[server.as_str()], arguments].concat())?;
        ensure!(ended.code == Some(2) && ended.stdout.is_empty(), "{arguments:?}: {ended:?}");
        ensure!(ended.stderr.contains(message), "{arguments:?}: {ended:?}");
    }
    ensure!(fake.queries() == 0, "{} queries", fake.queries());
    Ok(())
}

fn ask(arguments: &[&str]) -> Result<Ended> {
    let mut command: Command = chimed()?;
    finish(command.arg("query").args(arguments), SOON + Duration::from_secs(5))
}

fn address(fake: &FakeServer) -> String {
    format!("127.0.0.1:{}", fake.port)
}

fn answering(
    reply: impl Fn(&Query) -> Reply + Send + 'static,
) -> impl FnMut(&Query) -> Vec<Datagram> + Send {
    move |query| vec![Datagram::FromHere(reply(query).emit())]
}
