//! A server that says of itself that it gives no time, or whose times cannot be: it is left alone
//! for the time that the log states, and then asked again.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use truechimer_tests::chimed::{Chimed, Status, server};
use truechimer_tests::fake::{Datagram, FakeServer, Query, Reply};

const LIMIT: Duration = Duration::from_secs(20);
/// How long a pause is watched.
const WATCHED: Duration = Duration::from_secs(8);

/// It is asked less often, and trusted all the same.
pub(crate) fn by_kiss_rate() -> Result<()> {
    let suspended = Suspended::by("not synced (KoD RATE)", |query| Reply::kiss(query, *b"RATE"))?;
    ensure!(suspended.chimed.peer()?.is_valid()?, "the peer is not valid any more");
    suspended.recovers()?;
    suspended.has_logged("now invalid", 0)
}

/// For a day, which is more than a test can wait.
pub(crate) fn by_kiss_deny() -> Result<()> {
    let suspended = Suspended::by("not synced (KoD DENY)", |query| Reply::kiss(query, *b"DENY"))?;
    ensure!(suspended.pause >= 86_400.0, "{} s", suspended.pause);
    suspended.has_logged("peer 127.0.0.1 now invalid", 1)
}

pub(crate) fn by_alarm() -> Result<()> {
    let suspended = Suspended::by("not synced (alarm)", |query| Reply { leap: 3, ..lie(query) })?;
    suspended.recovers()?;
    suspended.has_logged("peer 127.0.0.1 now valid", 2)
}

pub(crate) fn by_stratum() -> Result<()> {
    let suspended =
        Suspended::by("not synced (stratum 16)", |query| Reply { stratum: 16, ..lie(query) })?;
    suspended.recovers()?;
    suspended.has_logged("peer 127.0.0.1 now valid", 2)
}

/// The server claims to have held the query for 5 s, of which the client saw nothing. That may have
/// come about on the way, so the server is trusted all the same.
pub(crate) fn by_negative_delay() -> Result<()> {
    let suspended = Suspended::by("negative delay -4.99", |query| {
        let honest = Reply::honest(query);
        Reply { receive: honest.receive.wrapping_sub(5 << 32), ..honest }
    })?;
    suspended.recovers()?;
    suspended.has_logged("now invalid", 0)
}

fn lie(query: &Query) -> Reply {
    Reply::honest(query).shifted(1_000)
}

/// A client in the pause after one such reply; the server is honest again.
struct Suspended {
    fake: FakeServer,
    chimed: Chimed,
    /// As the log states it, s.
    pause: f64,
    since: Instant,
    /// Answers used before.
    used: u64,
}

impl Suspended {
    fn by(text: &str, reply: impl Fn(&Query) -> Reply + Send + 'static) -> Result<Self> {
        let fake = FakeServer::honest()?;
        let mut chimed = Chimed::start(&server(fake.port, -2))?;
        chimed.wait_until("a synchronised clock", LIMIT, Status::is_synced)?;
        let text = format!("reply from 127.0.0.1: {text}");
        let mut replies = 0;
        fake.follow(move |query| {
            replies += 1;
            let reply = if replies == 1 { reply(query) } else { Reply::honest(query) };
            vec![Datagram::FromHere(reply.emit())]
        });
        let line = chimed.process.wait_for_line(&text, LIMIT)?;
        let (since, queries) = (Instant::now(), fake.queries());
        let next = line.split_once(", next query ").and_then(|(_, rest)| rest.strip_suffix('s'));
        let pause: f64 = next.with_context(|| line.clone())?.parse()?;
        ensure!(pause >= WATCHED.as_secs_f64(), "{line}");

        let used = chimed.peer()?.count("used")?;
        std::thread::sleep(WATCHED);
        ensure!(fake.queries() == queries, "asked in the pause");
        let status = chimed.status()?;
        ensure!(status.number("clock_error")?.abs() < 0.01, "the clock moved: {status:?}");
        let suspended = Self { fake, chimed, pause, since, used };
        suspended.has_logged(&text, 1)?;
        suspended.has_logged("set local clock", 0)?;
        Ok(suspended)
    }

    /// After the pause the honest replies are used.
    fn recovers(&self) -> Result<()> {
        let queries = self.fake.queries();
        let limit = Duration::from_secs_f64(self.pause) + LIMIT;
        truechimer_tests::wait_for("answers after the pause", limit, || {
            let used = self.chimed.peer()?.count("used")?;
            Ok((used >= self.used + 8 && self.chimed.status()?.is_synced()?).then_some(()))
        })?;
        ensure!(self.since.elapsed().as_secs_f64() >= self.pause - 1.0, "too soon");
        ensure!(self.fake.queries() > queries, "without a query");
        ensure!(self.chimed.peer()?.is_valid()?, "the peer is not valid again");
        Ok(())
    }

    fn has_logged(&self, text: &str, times: usize) -> Result<()> {
        let logged = self.chimed.process.transcript.count(text);
        ensure!(logged == times, "`{text}` is logged {logged} times, not {times}");
        Ok(())
    }
}
