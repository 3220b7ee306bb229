//! What an answer costs: `cargo bench -p truechimer-tests --bench cost`.
//!
//! Valgrind's callgrind counts the instructions of the engine's handling of valid replies, if it
//! is installed; the memory that an engine takes is printed in any case. But for what copies
//! memory, which the C library chooses, the same count comes out on each machine of a kind.

use std::io::ErrorKind;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use truechimer_core::Engine;
use truechimer_core::config::{Config, PeerConfig};
use truechimer_core::hal::{AdjustableClock, RawStamp};
use truechimer_core::io::Input;
use truechimer_core::run::Node;
use truechimer_core::units::{Instant, Now, Span};
use truechimer_core::{PeerId, Snapshot};
use truechimer_tests::sim::host::{Clock, Query, Socket, address};
use truechimer_tests::sim::random::{Random, Stream};
use truechimer_tests::sim::server::Responder;
use truechimer_tests::sim::{EPOCH, Link, Queueing, Server};

/// Replies before those that are counted: the estimate is settled.
const FIRST: u64 = 100;
/// Replies that are counted.
const COUNTED: u64 = 1_000;
/// The peers of the engine that is measured.
const PEERS: usize = 8;

/// Cost of an answer.
#[derive(Debug, Parser)]
struct Options {
    /// Only handles replies.
    #[arg(long, hide = true)]
    subject: bool,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    if Options::parse().subject {
        return handle_replies();
    }
    print_sizes();
    match count()? {
        Some(instructions) => {
            println!("{} instructions for a valid reply", instructions / COUNTED);
        }
        None => println!("valgrind is missing: instructions are not counted"),
    }
    Ok(())
}

fn print_sizes() {
    let peer = size_of::<Engine<2>>() - size_of::<Engine<1>>();
    println!("{} octets for Engine<1>", size_of::<Engine<1>>());
    println!("{} octets for Engine<{PEERS}>", size_of::<Engine<PEERS>>());
    println!("{peer} octets of these for each peer");
}

/// Instructions of all [`COUNTED`] replies; `None` without Valgrind.
fn count() -> Result<Option<u64>> {
    let program = std::env::current_exe()?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*deliver*"])
        .arg(program)
        .arg("--subject")
        .output();
    let output = match output {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        output => output.context("valgrind")?,
    };
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{told}");
    let count = told.lines().find_map(|line| line.split_once("Collected : "));
    let (_, count) = count.with_context(|| format!("no count in {told}"))?;
    let count: u64 = count.trim().parse().context("the count")?;
    ensure!(count > 0, "nothing was counted: this binary has no symbols");
    Ok(Some(count))
}

/// An engine with one peer, a jittery way to it and a right counter, so that the work is that of
/// every day: samples with much and with little delay, and outliers now and then.
fn handle_replies() -> Result<()> {
    let link = Link::new(0.01, Queueing::Pareto { scale: 1e-3, shape: 3.0 });
    let mut responder = Responder::new(&Server::default());
    let (mut up, mut down) = (Random::new(1, Stream::Up(0)), Random::new(1, Stream::Down(0)));
    let clock = Clock::new(Instant::default(), EPOCH + Span::from_millis(10));
    let engine = Engine::<PEERS>::new(&Config::default(), clock.now(), [1; 32]);
    let mut node = Node::new(engine, Socket::new(1), clock);
    let config = PeerConfig { address: Some(address(0)), max_poll: 6, ..PeerConfig::default() };
    let id = node.engine.add_peer(node.clock.now(), &config);
    ensure!(id == Ok(PeerId(0)), "no place for a peer");

    while used(&node.engine.snapshot(node.clock.now())) < FIRST + COUNTED {
        let deadline = node.engine.next_deadline().context("nothing is due")?;
        advance(&mut node, deadline);
        while node.turn(&mut |_| ()).is_ok() {}
        for Query { bytes, .. } in std::mem::take(&mut node.socket.sent) {
            let travel = |random| link.travel(0.0, random).map(Span::from_secs_f64).next();
            let forth = travel(&mut up).context("a query was lost")?;
            let back = travel(&mut down).context("an answer was lost")?;
            let arrival = node.clock.counter + forth;
            let time = arrival.as_nanos().cast_signed();
            let answer = responder.answer(time, &bytes).next().context("no answer")?;
            advance(&mut node, arrival + back);
            let now = node.clock.now();
            let received = node.clock.stamp(RawStamp::Counter(now.mono));
            let input =
                Input::Datagram { peer: PeerId(0), from: address(0), received, bytes: &answer };
            if used(&node.engine.snapshot(now)) < FIRST {
                let _ = node.engine.handle(now, input);
            } else {
                deliver(&mut node.engine, now, input);
            }
            // Nothing is due: this carries out what came of the answer.
            node.input(Input::Timeout, &mut |_| ());
        }
    }
    Ok(())
}

fn advance(node: &mut Node<Socket, Clock, PEERS>, to: Instant) {
    let to = to.max(node.clock.counter);
    node.clock.counter = to;
    node.socket.counter = to;
}

fn used(snapshot: &Snapshot<'_>) -> u64 {
    snapshot.peers().map(|peer| peer.counters.used).sum()
}

/// What is counted, by its name.
#[inline(never)]
fn deliver(engine: &mut Engine<PEERS>, now: Now, input: Input<'_>) {
    let _ = engine.handle(now, input);
}
