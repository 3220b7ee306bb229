//! What NTP may claim is bounded by HTTPS servers.

use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use truechimer_tests::chimed::{Chimed, Peer, Status};
use truechimer_tests::fake::{Datagram, FakeServer, Reply as NtpReply};
use truechimer_tests::https::{Authority, Certified, HttpsServer, Reply};
use truechimer_tests::{binaries, free_port, scratch, wait_for, write};

use super::SOON;

const LIMIT: Duration = Duration::from_secs(60);
const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const YEAR: u64 = 365 * 86_400;

/// HTTPS servers and who vouches for them.
pub(crate) struct Bed {
    _directory: tempfile::TempDir,
    authority: Authority,
    ca: String,
    servers: Vec<HttpsServer>,
}

impl Bed {
    fn new() -> Result<Self> {
        let (directory, authority) = (scratch()?, Authority::new()?);
        // The process that asks has no privilege to look into another's folder.
        fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let ca = write(directory.path(), "ca.pem", &authority.pem)?;
        Ok(Self { _directory: directory, authority, ca, servers: Vec::new() })
    }

    /// With a server that is right.
    pub(crate) fn right() -> Result<Self> {
        let mut bed = Self::new()?;
        let certified = bed.good()?;
        bed.serve(V4, certified, Reply::Dated(0))?;
        Ok(bed)
    }

    fn good(&self) -> Result<Certified> {
        self.authority.certify(&["localhost"], 2020, 2100)
    }

    /// Starts a server; its place.
    fn serve(&mut self, ip: IpAddr, certified: Certified, reply: Reply) -> Result<usize> {
        self.servers.push(HttpsServer::start(ip, certified, reply)?);
        Ok(self.servers.len() - 1)
    }

    fn source(&self, place: usize) -> Value {
        let address = self.servers[place].address;
        let url = format!("https://localhost:{}/", address.port());
        json!({ "url": url, "addresses": [address.ip()], "all": false, "ca": self.ca })
    }

    pub(crate) fn table(&self, place: usize) -> String {
        let address = self.servers[place].address;
        let (port, ip, ca) = (address.port(), address.ip(), &self.ca);
        format!(
            "[[constraint]]\nurl = \"https://localhost:{port}/\"\naddresses = [\"{ip}\"]\nca = \"{ca}\"\n"
        )
    }
}

/// The server's name is to be looked up.
fn named(table: &str) -> String {
    table
        .lines()
        .filter(|line| !line.starts_with("addresses"))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// What the process that asks answers.
fn ask(question: &Value) -> Result<Value> {
    let mut command = Command::new(binaries::chimed()?);
    command.arg("constraint").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let mut input = child.stdin.take().context("no input")?;
    writeln!(input, "{question}")?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{output:?}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Each way to answer, in one round, which takes no longer than one that never does.
pub(crate) fn answers() -> Result<()> {
    let mut bed = Bed::new()?;
    let text = Reply::Dated;
    let authority = Authority::new()?;
    let old = || bed.authority.certify(&["localhost"], 2024, 2025);
    let (then, since) = (httpdate::parse_http_date("Sat, 15 Jun 2024 00:00:00 GMT")?, |then| {
        SystemTime::now().duration_since(then).map(|ago| ago.as_secs())
    });
    let claimed = since(then)?;
    // The offset that is read, or what is wrong.
    let cases: Vec<(&str, Certified, Reply, std::result::Result<u64, &str>)> = vec![
        ("right", bed.good()?, text(0), Ok(0)),
        ("wrong", bed.good()?, text(YEAR), Ok(YEAR)),
        ("when its certificate was valid", old()?, text(claimed), Ok(claimed)),
        ("expired", old()?, text(0), Err("certificate expired")),
        ("before its certificate", bed.good()?, text(20 * YEAR), Err("not valid yet")),
        (
            "another name",
            bed.authority.certify(&["a.example"], 2020, 2100)?,
            text(0),
            Err("not valid for name"),
        ),
        (
            "another authority",
            authority.certify(&["localhost"], 2020, 2100)?,
            text(0),
            Err("BadSignature"),
        ),
        (
            "no TLS",
            bed.good()?,
            Reply::Plain("HTTP/1.1 200 OK\r\n\r\n".into()),
            Err("corrupt message"),
        ),
        ("no HTTP", bed.good()?, Reply::Text("220 ready\r\n\r\n".into()), Err("is not HTTP/1")),
        (
            "no date",
            bed.good()?,
            Reply::Text("HTTP/1.1 200 OK\r\nA: b\r\n\r\n".into()),
            Err("no Date"),
        ),
        (
            "cut off",
            bed.good()?,
            Reply::Text("HTTP/1.1 200 OK\r\nDate: ".into()),
            Err("ends within the headers"),
        ),
        ("endless", bed.good()?, Reply::Endless("A: b\r\n".into()), Err("more than 8192 octets")),
        ("slow", bed.good()?, Reply::Drip("A".into()), Err("no answer within 10 s")),
    ];
    let mut expected = Vec::new();
    for (name, certified, reply, outcome) in cases {
        let place = bed.serve(V4, certified, reply)?;
        expected.push((name, bed.servers[place].address.to_string(), outcome));
    }
    let (good, six) = (bed.good()?, IpAddr::V6(Ipv6Addr::LOCALHOST));
    let place = bed.serve(six, good, text(0))?;
    expected.push(("IPv6", bed.servers[place].address.to_string(), Ok(0)));
    let sources: Vec<Value> = (0..bed.servers.len()).map(|place| bed.source(place)).collect();
    let answer = ask(&json!({ "sources": sources }))?;

    let readings = answer["readings"].as_array().context("no readings")?;
    let failures = answer["failures"].as_array().context("no failures")?;
    ensure!(readings.len() + failures.len() == expected.len(), "{answer:#}");
    for (name, address, outcome) in expected {
        let port = address.rsplit(':').next().unwrap_or_default();
        let reading = readings.iter().find(|reading| reading["address"] == *address);
        let offset = reading.and_then(|reading| reading["offset"].as_f64());
        let failures = failures.iter().filter_map(Value::as_str);
        let failure =
            failures.into_iter().find(|text| text.contains(&format!("localhost:{port}/")));
        match outcome {
            Ok(ago) => {
                let offset = offset.with_context(|| format!("{name}: {failure:?}"))?;
                ensure!((offset + ago as f64).abs() < 30.0, "{name}: {offset} s, not -{ago} s");
            }
            Err(problem) => {
                let failure = failure.with_context(|| format!("{name}: {offset:?}"))?;
                ensure!(failure.contains(problem), "{name}: {failure:?} has no {problem:?}");
            }
        }
    }
    Ok(())
}

fn ntp(port: u16) -> String {
    format!("[[server]]\naddress = \"127.0.0.1:{port}\"\nminpoll = -2\nmaxpoll = -2\n")
}

fn liar() -> Result<FakeServer> {
    let lie = |query: &_| NtpReply::honest(query).shifted(3_600).emit();
    FakeServer::start(move |query| vec![Datagram::FromHere(lie(query))])
}

fn has_rejected(chimed: &Chimed, place: usize, reason: &str) -> Result<()> {
    let has = |peer: &Peer| peer.rejected(reason) > 0;
    let what = format!("a reply rejected as {reason}");
    wait_for(&what, LIMIT, || Ok(chimed.peers()?.get(place).is_some_and(has).then_some(())))
}

/// One that is far from what two of three HTTPS servers say is not believed, though it is first.
fn outvoted(start: impl Fn(&str) -> Result<Chimed>, tables: impl Fn(&Bed) -> String) -> Result<()> {
    let mut bed = Bed::new()?;
    for ago in [0, 10 * YEAR / 2, 0] {
        let certified = bed.good()?;
        bed.serve(V4, certified, Reply::Dated(ago))?;
    }
    let (liar, honest) = (liar()?, FakeServer::honest()?);
    let mut chimed = start(&(ntp(liar.port) + &ntp(honest.port) + &tables(&bed)))?;
    chimed.process.wait_for_line("by 3 HTTPS servers the host's clock is ", LIMIT)?;
    has_rejected(&chimed, 0, "constraint")?;
    chimed.wait_until("a synchronised clock", LIMIT, Status::is_synced)?;
    let peers = chimed.peers()?;
    ensure!(peers[1].is_valid()? && peers[1].rejected("constraint") == 0, "{:?}", peers[1]);
    Ok(())
}

pub(crate) fn bounds_a_liar() -> Result<()> {
    outvoted(Chimed::start, |bed| (0..3).map(|place| bed.table(place)).collect())
}

fn separated(configuration: &str) -> Result<Chimed> {
    Chimed::start_separated(&[], configuration)
}

/// The dns engine looks up where the last two are.
pub(crate) fn bounds_a_liar_separated() -> Result<()> {
    outvoted(separated, |bed| bed.table(0) + &named(&bed.table(1)) + &named(&bed.table(2)))
}

/// Nor is anybody while no HTTPS server says anything.
pub(crate) fn nobody_answers() -> Result<()> {
    nobody(Chimed::start)
}

pub(crate) fn nobody_answers_separated() -> Result<()> {
    nobody(separated)
}

/// A name that there is not is told.
pub(crate) fn nobody_has_the_name() -> Result<()> {
    let honest = FakeServer::honest()?;
    let table = "[[constraint]]\nurl = \"https://no-such-host.invalid/\"\n";
    let mut chimed = separated(&(ntp(honest.port) + table))?;
    let told = "constraint: https://no-such-host.invalid/: cannot resolve the name: ";
    chimed.process.wait_for_line(told, LIMIT)?;
    ensure!(!chimed.status()?.is_synced()?);
    Ok(())
}

fn nobody(start: impl Fn(&str) -> Result<Chimed>) -> Result<()> {
    let (honest, port) = (FakeServer::honest()?, free_port()?);
    let table = format!("[[constraint]]\nurl = \"https://127.0.0.1:{port}/\"\n");
    let mut chimed = start(&(ntp(honest.port) + &table))?;
    chimed.process.wait_for_line("none of 1 HTTPS servers said what time it is", LIMIT)?;
    chimed.process.wait_for_line("constraint: https://127.0.0.1:", LIMIT)?;
    has_rejected(&chimed, 0, "unconstrained")?;
    ensure!(!chimed.status()?.is_synced()?);
    Ok(())
}

/// The process that asks has no privilege, and ends with the daemon.
pub(crate) fn unprivileged() -> Result<()> {
    let mut bed = Bed::new()?;
    let certified = bed.good()?;
    bed.serve(V4, certified, Reply::Drip("A".into()))?;
    let mut chimed = Chimed::start(&bed.table(0))?;
    let id = chimed.process.id();
    let children = format!("/proc/{id}/task/{id}/children");
    let child = wait_for("the process that asks", LIMIT, || {
        Ok(fs::read_to_string(&children)?.split_whitespace().next().map(str::to_owned))
    })?;
    let place = format!("/proc/{child}/status");
    wait_for("a process without privilege", LIMIT, || {
        let status = fs::read_to_string(&place)?;
        let has = |line: &str| status.lines().any(|it| it.starts_with(line));
        Ok((!has("Uid:\t0") && has("CapEff:\t0000000000000000")).then_some(()))
    })?;
    let environment = fs::read(format!("/proc/{child}/environ")).unwrap_or_default();
    ensure!(environment.is_empty(), "{}", String::from_utf8_lossy(&environment));
    chimed.process.signal(Signal::SIGTERM)?;
    ensure!(chimed.process.wait(SOON)?.success());
    ensure!(!fs::exists(&place)?, "it outlives the daemon");
    Ok(())
}
