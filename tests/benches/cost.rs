//! What an answer costs: `cargo bench -p truechimer-tests --bench cost`.
//!
//! Valgrind's callgrind counts the instructions of the engine's handling of valid replies and of
//! the server's handling of requests, if it is installed; the memory that they take is printed in
//! any case. It fails if a request costs more than it may. But for what copies
//! memory, which the C library chooses, the same count comes out on each machine of a kind.

use std::ffi::OsStr;
use std::hint::black_box;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use truechimer_core::Engine;
use truechimer_core::config::{Config, PeerConfig};
use truechimer_core::hal::{AdjustableClock, RawStamp};
use truechimer_core::io::Input;
use truechimer_core::run::Node;
use truechimer_core::server::{
    self, Access, AccessList, Answer, ClientSet, Prefix, RateLimit, StampSet,
};
use truechimer_core::system::SystemState;
use truechimer_core::units::{Instant, Now, Span, WallTime};
use truechimer_core::wire::{Header, LeapIndicator};
use truechimer_core::{PeerId, Snapshot};
use truechimer_tests::sim::host::{Clock, Deaf, Query, Socket, address, deaf};
use truechimer_tests::sim::random::{Random, Stream};
use truechimer_tests::sim::server::Responder;
use truechimer_tests::sim::{EPOCH, Link, Queueing, Server};

/// Replies before those that are counted: the estimate is settled.
const FIRST: u64 = 100;
/// Replies that are counted.
const COUNTED: u64 = 1_000;
/// The peers of the engine that is measured.
const PEERS: usize = 8;

/// Requests that are counted.
const REQUESTS: u32 = 1_000;
/// From so many clients each.
const CLIENTS: [u32; 4] = [1, 1_000, 100_000, 1_000_000];
/// A request may cost so many instructions, without and with a limit of rate.
const LIMITS: [(bool, u64); 2] = [(false, 400), (true, 800)];
/// The most that the number of clients may change it by, as a ratio: a place in a full table for
/// somebody new costs more than to know a client again.
const FLAT: f64 = 1.5;
/// The rules of access that each request is held against.
const RULES: u32 = 100;

/// Cost of an answer.
#[derive(Debug, Parser)]
struct Options {
    /// Only handles replies.
    #[arg(long, hide = true)]
    replies: bool,
    /// Only handles requests, from so many clients.
    #[arg(long, hide = true)]
    requests: Option<u32>,
    /// Limits their rate.
    #[arg(long, hide = true)]
    limited: bool,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    if options.replies {
        return handle_replies();
    }
    if let Some(clients) = options.requests {
        return handle_requests(clients, options.limited);
    }
    print_sizes();
    let Some(instructions) = count("*deliver*", &["--replies"])? else {
        println!("valgrind is missing: instructions are not counted");
        return Ok(());
    };
    println!("{} instructions for a valid reply", instructions / COUNTED);
    for (limited, most) in LIMITS {
        count_requests(limited, most)?;
    }
    Ok(())
}

fn count_requests(limited: bool, most: u64) -> Result<()> {
    let with = if limited { "with" } else { "without" };
    let mut counts = Vec::new();
    for clients in CLIENTS {
        let mut arguments = vec!["--requests".to_owned(), clients.to_string()];
        arguments.extend(limited.then(|| "--limited".to_owned()));
        let total = count("*serve_one*", &arguments)?.context("valgrind is missing")?;
        let each = total / u64::from(REQUESTS);
        println!("{each} instructions for a request {with} a limit of rate, {clients} clients");
        counts.push(each);
    }
    let (least, greatest) = (counts.iter().min(), counts.iter().max());
    let (Some(&least), Some(&greatest)) = (least, greatest) else { return Ok(()) };
    ensure!(greatest < most, "{greatest} instructions {with} a limit of rate, not below {most}");
    let ratio = greatest as f64 / least as f64;
    ensure!(ratio < FLAT, "{ratio:.2} times as many with other numbers of clients");
    Ok(())
}

fn print_sizes() {
    let peer = size_of::<Engine<2>>() - size_of::<Engine<1>>();
    println!("{} octets for Engine<1>", size_of::<Engine<1>>());
    println!("{} octets for Engine<{PEERS}>", size_of::<Engine<PEERS>>());
    println!("{peer} octets of these for each peer");
    println!("{} octets for {} clients of a server", size_of::<ClientSet>(), ClientSet::CAPACITY);
    println!("{} octets for {} exchanges", size_of::<StampSet>(), StampSet::CAPACITY);
}

/// Instructions in the functions of that name, when this program runs with `arguments`; `None`
/// without Valgrind.
fn count(functions: &str, arguments: &[impl AsRef<OsStr>]) -> Result<Option<u64>> {
    let program = std::env::current_exe()?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect={functions}"))
        .arg(program)
        .args(arguments)
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
    let mut node = Node::new(engine, deaf(), Socket::new(1), clock);
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

fn advance(node: &mut Node<Engine<PEERS>, Socket, Clock, Deaf, PEERS>, to: Instant) {
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

type Worker = server::Server<Box<[ClientSet]>, Box<[StampSet]>, { 2 * RULES as usize + 1 }>;

/// A server for 65,536 clients that so many ask one after the other, each of them often enough to
/// be in the interleaved mode as long as there is room.
fn handle_requests(clients: u32, limited: bool) -> Result<()> {
    let config =
        server::Config { rate: limited.then(RateLimit::default), ..server::Config::default() };
    let rules = (0..RULES).map(|rule| {
        let prefix = Prefix::new(Ipv4Addr::from_bits(rule << 25).into(), 24)?;
        Ok((prefix, Access::Deny))
    });
    let rules = rules.collect::<Result<Vec<_>>>()?;
    let mut server = Worker::new(
        &config,
        AccessList::new(Access::Allow, &rules)?,
        AccessList::new(Access::Deny, &[])?,
        vec![ClientSet::EMPTY; 65_536 / ClientSet::CAPACITY].into_boxed_slice(),
        vec![StampSet::EMPTY; 65_536 / StampSet::CAPACITY].into_boxed_slice(),
        [1; 32],
    );
    let now = Now { mono: Instant::from_nanos(1), wall: EPOCH };
    let state = SystemState {
        leap: LeapIndicator::NoWarning,
        stratum: 2,
        reference_time: EPOCH,
        ..SystemState::unsynchronised(-25, now.mono)
    };
    server.update(&state, now);

    let mut origins = vec![[0; 8]; clients as usize];
    let rounds = 3 * clients.max(REQUESTS).div_ceil(clients) * clients;
    for request in 0..rounds {
        let client = request % clients;
        let origin = origins.get_mut(client as usize).context("no such client")?;
        let mut bytes = [0; Header::LEN];
        bytes[0] = 0x23;
        bytes[24..32].copy_from_slice(origin);
        bytes[40..].copy_from_slice(&[9; 8]);
        // Slowly enough for each of them to keep to the rate.
        let passed = Span::from_nanos(i64::from(request) * 10_000_000_000 / i64::from(clients));
        let (received, mono) = (now.wall + passed, now.mono + passed);
        // No two have much in common.
        let from =
            Ipv4Addr::from_bits(0x0a01_0203u32.wrapping_add(client.wrapping_mul(0x9e37_79b9)))
                .into();
        let served = if rounds - request > REQUESTS {
            serve(&mut server, &mut bytes, from, received, mono)
        } else {
            serve_one(&mut server, &mut bytes, from, received, mono)
        };
        if served {
            origin.copy_from_slice(&bytes[32..40]);
        }
    }
    ensure!(server.counters().answered > u64::from(rounds) * 9 / 10, "{:?}", server.counters());
    eprintln!("{:?}", server.counters());
    Ok(())
}

/// What is counted, by its name.
#[inline(never)]
fn serve_one(
    server: &mut Worker,
    packet: &mut [u8; Header::LEN],
    from: IpAddr,
    received: WallTime,
    now: Instant,
) -> bool {
    serve(server, packet, from, received, now)
}

/// All that the core does for a request; the answer takes its place.
#[inline(always)]
fn serve(
    server: &mut Worker,
    packet: &mut [u8; Header::LEN],
    from: IpAddr,
    received: WallTime,
    now: Instant,
) -> bool {
    let Ok(answer) = server.handle(black_box(&packet[..]), from, received, now) else {
        return false;
    };
    let Answer::Time(response) = &answer else { return false };
    let bytes = response.emit(received);
    server.sent(&answer, Some(received));
    *packet = bytes;
    true
}
