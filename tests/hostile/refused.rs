//! What did not come from the server in answer to the query, and leaves no trace but a count.
//!
//! Each script sends its datagrams before the honest reply, with a time 1000 s off, so that one
//! that is believed shows, and so does a query that one of them used up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use truechimer_tests::chimed::{Chimed, Peer, Status, server};
use truechimer_tests::fake::Datagram::{self, FromElsewhere, FromHere};
use truechimer_tests::fake::{FakeServer, Query, Reply};
use truechimer_tests::wait_for;

/// Queries under attack, and how long they may take, four a second.
const QUERIES: u64 = 16;
const LIMIT: Duration = Duration::from_secs(20);
/// How wrong the clock may be at any time, s.
const RIGHT: f64 = 0.01;
/// The lie, s.
const LIE: u32 = 1_000;

/// Short, of another version, of a mode with another format, with a broken end.
pub(crate) fn malformed() -> Result<()> {
    let chimed = unmoved_by(Some("malformed"), |query| {
        let lie = lie(query);
        let short = [0, 1, 47].iter().map(|&length| lie.emit()[..length].to_vec());
        let mut bad: Vec<_> = short.collect();
        bad.extend([0, 1, 2, 5, 6, 7].map(|version| Reply { version, ..lie }.emit()));
        bad.extend([6, 7].map(|mode| Reply { mode, ..lie }.emit()));
        bad.push([lie.emit(), vec![0; 7]].concat());
        bad.push([lie.emit(), vec![0; 28]].concat());
        bad
    })?;
    let texts = chimed.process.transcript.count("malformed packet received from 127.0.0.1");
    ensure!(texts == 8, "the log says so {texts} times");
    Ok(())
}

/// Nothing that was cut off is used, even if it was well-formed.
pub(crate) fn oversized() -> Result<()> {
    unmoved_by(Some("malformed"), |query| {
        let lie = lie(query).emit();
        let field = [&[0xfe, 0xed, 0xea, 0x60][..], &[0; 59_996]].concat();
        vec![[lie.clone(), vec![0; 60_000]].concat(), [lie, field].concat()]
    })?;
    Ok(())
}

pub(crate) fn of_another_mode() -> Result<()> {
    unmoved_by(Some("mode"), |query| {
        [0, 1, 2, 3, 5].map(|mode| Reply { mode, ..lie(query) }.emit()).to_vec()
    })?;
    Ok(())
}

/// From one who has not seen the query, be it with a time or with a kiss.
pub(crate) fn with_a_guessed_origin() -> Result<()> {
    let mut random = Random(1);
    unmoved_by(Some("bogus"), move |query| {
        let lie = lie(query);
        let close = [query.stamp() ^ 1, query.stamp().wrapping_add(1 << 32)];
        let guesses = [0, lie.transmit, random.next(), close[0], close[1]];
        let kisses = [*b"RATE", *b"DENY"].map(|code| Reply::kiss(query, code));
        let alarm = Reply { leap: 3, ..lie };
        let mut bad = guesses.map(|origin| Reply { origin, ..lie }.emit()).to_vec();
        bad.extend(kisses.map(|kiss| Reply { origin: random.next(), ..kiss }.emit()));
        bad.push(Reply { origin: random.next(), ..alarm }.emit());
        bad
    })?;
    Ok(())
}

/// The last query's honest reply, once more, when the next one is waited for.
pub(crate) fn replayed() -> Result<()> {
    let mut last = None;
    attack(Some("duplicate"), move |query, hostile| {
        let honest = Reply::honest(query).emit();
        let early = last.replace(honest.clone()).map(|replayed| hostile.datagram(replayed));
        let late = [FromHere(honest.clone()), hostile.datagram(honest)];
        early.into_iter().chain(late).collect()
    })?;
    Ok(())
}

/// Another answer to the same query, after the first.
pub(crate) fn answered_twice() -> Result<()> {
    attack(Some("unsolicited"), |query, hostile| {
        vec![FromHere(Reply::honest(query).emit()), hostile.datagram(lie(query).emit())]
    })?;
    Ok(())
}

/// With the right origin, but from another port than was asked: the kernel keeps those back.
pub(crate) fn from_elsewhere() -> Result<()> {
    attack(None, |query, _| {
        let bad = FromElsewhere(lie(query).emit());
        vec![bad.clone(), FromHere(Reply::honest(query).emit()), bad]
    })?;
    Ok(())
}

/// Random octets of random length.
pub(crate) fn noise() -> Result<()> {
    let mut random = Random(2);
    unmoved_by(None, move |_| {
        let mut datagram = || {
            let length = random.next() % 200;
            (0..length).map(|_| random.next() as u8).collect()
        };
        (0..20).map(|_| datagram()).collect()
    })?;
    Ok(())
}

/// A reply that only its time gives away.
fn lie(query: &Query) -> Reply {
    Reply::honest(query).shifted(LIE)
}

/// Sends bad datagrams from the server's port, then the honest reply.
fn unmoved_by(
    reason: Option<&str>,
    mut bad: impl FnMut(&Query) -> Vec<Vec<u8>> + Send + 'static,
) -> Result<Chimed> {
    attack(reason, move |query, hostile| {
        let bad = bad(query).into_iter().map(|bytes| hostile.datagram(bytes));
        let honest = FromHere(Reply::honest(query).emit());
        bad.chain([honest]).collect()
    })
}

/// Counts what a script sends as hostile from the server's port.
#[derive(Clone)]
struct Hostile(Arc<AtomicU64>);

impl Hostile {
    fn datagram(&self, bytes: Vec<u8>) -> Datagram {
        self.0.fetch_add(1, Ordering::Relaxed);
        FromHere(bytes)
    }
}

/// Lets a client of an honest server get in step, turns the server into `script` for a while and
/// then back. All that the script sent as hostile is to be counted, and for `reason` if there is
/// one; nothing else may change and every query be answered.
fn attack(
    reason: Option<&str>,
    mut script: impl FnMut(&Query, &Hostile) -> Vec<Datagram> + Send + 'static,
) -> Result<Chimed> {
    let fake = FakeServer::honest()?;
    let chimed = Chimed::start(&server(fake.port, -2))?;
    chimed.wait_until("a synchronised clock", LIMIT, Status::is_synced)?;
    let before = chimed.peer()?;
    ensure!(before.all_rejected() == 0, "before the attack: {before:?}");

    let hostile = Hostile(Arc::new(AtomicU64::new(0)));
    let start = fake.queries();
    fake.follow({
        let hostile = hostile.clone();
        move |query| script(query, &hostile)
    });
    wait_for("queries under attack", LIMIT, || {
        Ok((fake.queries() >= start + QUERIES).then_some(()))
    })?;
    fake.follow(|query| vec![FromHere(Reply::honest(query).emit())]);
    let after = fake.queries();
    let peer = wait_for("answers after the attack", LIMIT, || {
        Ok(Some(chimed.peer()?).filter(|_| fake.queries() >= after + 4))
    })?;

    let sent = hostile.0.load(Ordering::Relaxed);
    let counted = reason.map_or(peer.all_rejected(), |reason| peer.rejected(reason));
    ensure!(counted == sent && peer.all_rejected() == sent, "of {sent} hostile ones: {peer:?}");
    unmoved(&chimed, &peer)?;
    Ok(chimed)
}

fn unmoved(chimed: &Chimed, peer: &Peer) -> Result<()> {
    let status = chimed.status()?;
    ensure!(status.is_synced()? && peer.is_valid()?, "{status:?} {peer:?}");
    for name in ["clock_error", "offset"] {
        ensure!(status.number(name)?.abs() < RIGHT, "{name}: {status:?}");
    }
    let (asked, used) = (peer.count("sent")?, peer.count("used")?);
    ensure!(used + 1 >= asked, "of {asked} queries only {used} were answered");
    let log = &chimed.process.transcript;
    for text in ["set local clock", "now invalid", "now unsynced", "next query"] {
        ensure!(log.count(text) == 0, "`{text}` is logged");
    }
    Ok(())
}

/// SplitMix64: reproducible noise.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
