//! `chimectl exporter`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use nix::unistd::{User, getegid, geteuid};
use serde_json::{Value, json};
use truechimer_tests::chimed::{Chimed, Status, listen, server};
use truechimer_tests::fake::FakeServer;
use truechimer_tests::process::{Process, finish};
use truechimer_tests::{binaries, free_port, scratch, wait_for};

use super::metrics::{Series, parse};
use super::processes::SECCOMP;
use super::{SOON, chimectl, program};

/// Connections that it has at a time.
const MOST: usize = 32;

/// A running exporter.
struct Exporter {
    process: Process,
    at: SocketAddr,
}

/// What it answered.
#[derive(Debug)]
struct Answer {
    status: u16,
    fields: BTreeMap<String, String>,
    body: String,
}

impl Exporter {
    fn start(socket: &Path) -> Result<Self> {
        let mut process = Process::start(&mut command(socket)?)?;
        let line = process.wait_for_line("serving at http://", SOON)?;
        let at = line.strip_prefix("serving at http://").and_then(|rest| rest.split('/').next());
        Ok(Self { process, at: at.context("no address")?.parse()? })
    }

    fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(self.at)?;
        stream.set_read_timeout(Some(SOON))?;
        Ok(stream)
    }

    fn send(&self, request: &[u8]) -> Result<Answer> {
        let mut stream = self.connect()?;
        stream.write_all(request)?;
        received(stream)
    }

    fn get(&self, path: &str) -> Result<Answer> {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n").as_bytes())
    }

    fn metrics(&self) -> Result<Series> {
        let answer = self.get("/metrics")?;
        ensure!(answer.status == 200, "{answer:?}");
        ensure!(answer.fields["content-type"] == "text/plain; version=0.0.4; charset=utf-8");
        parse(&answer.body).with_context(|| answer.body)
    }

    fn page(&self) -> Result<String> {
        let answer = self.get("/")?;
        ensure!(answer.status == 200, "{answer:?}");
        ensure!(answer.fields["content-type"] == "text/html; charset=utf-8", "{answer:?}");
        ensure!(answer.body.starts_with("<!DOCTYPE html>") && answer.body.ends_with("</html>"));
        Ok(answer.body)
    }
}

/// Everything up to its end, with a body of the length that is told.
fn received(mut stream: TcpStream) -> Result<Answer> {
    let mut text = String::new();
    stream.read_to_string(&mut text).with_context(|| format!("after {text:?}"))?;
    let (head, body) = text.split_once("\r\n\r\n").with_context(|| format!("no head: {text:?}"))?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
    let status = status.and_then(|line| line.get(..3)).context("no status")?.parse()?;
    let fields: Option<BTreeMap<_, _>> = lines
        .map(|line| line.split_once(": "))
        .map(|field| field.map(|(name, value)| (name.to_lowercase(), value.to_owned())))
        .collect();
    let fields = fields.with_context(|| format!("no fields: {head:?}"))?;
    let answer = Answer { status, fields, body: body.to_owned() };
    ensure!(answer.fields["connection"] == "close" && answer.fields.contains_key("date"), "{head}");
    let length: usize = answer.fields["content-length"].parse()?;
    ensure!(body.is_empty() || body.len() == length, "{} octets, not {length}", body.len());
    Ok(answer)
}

/// By somebody of the socket's group who is not root.
fn command(socket: &Path) -> Result<Command> {
    let folder = socket.parent().context("no folder")?;
    let mut command = program(binaries::copied(&binaries::chimectl()?, folder)?);
    command.arg("-s").arg(socket).args(["exporter", "-l", "127.0.0.1:0", "-i", "0.1"]);
    give_up_root(&mut command, socket)?;
    Ok(command)
}

/// If root runs the tests: by nobody, in the group of the daemon's socket, whose folder is opened to it.
pub(crate) fn give_up_root(command: &mut Command, socket: &Path) -> Result<()> {
    if geteuid().is_root() {
        let nobody = User::from_name("nobody")?.context("there is no nobody")?;
        command.uid(nobody.uid.as_raw()).gid(getegid().as_raw());
        let folder = socket.parent().context("no folder")?;
        fs::set_permissions(folder, Permissions::from_mode(0o711))?;
    }
    Ok(())
}

/// What a client of a server and a server tell, with numbers that are those of chimectl.
pub(crate) fn whole() -> Result<()> {
    let fake = FakeServer::honest()?;
    let configuration = server(fake.port, -2) + &server(free_port()?, -2) + &listen(free_port()?);
    let chimed = Chimed::start(&configuration)?;
    chimed.wait_until("synchronisation", 3 * SOON, Status::is_synced)?;
    let exporter = Exporter::start(chimed.control())?;

    let series = exporter.metrics()?;
    let peer = |name: &str, port: u16, more: &str| {
        format!("{name}{{address=\"127.0.0.1\",name=\"127.0.0.1\",port=\"{port}\"{more}}}")
    };
    for (name, expected) in [
        ("chimed_up", 1.0),
        ("chimed_clock_synced", 1.0),
        ("chimed_clock_held", 0.0),
        ("chimed_clock_controlled", 1.0),
        ("chimed_clock_stratum", 2.0),
        ("chimed_peers", 2.0),
        ("chimed_peers_valid", 1.0),
        ("chimed_server_received_total", 0.0),
        (&peer("chimed_peer_valid", fake.port, ""), 1.0),
        (&peer("chimed_peer_poll_interval_seconds", fake.port, ""), 0.25),
        (&peer("chimed_peer_stratum", fake.port, ""), 1.0),
    ] {
        ensure!(series.get(name) == Some(&expected), "{name}: {:?}", series.get(name));
    }
    for name in ["chimed_build_info", "chimed_clock_info", "chimed_peer_info"] {
        ensure!(series.keys().any(|series| series.starts_with(name)), "no {name}");
    }
    let selected = |name: &String| name.contains("standing=\"selected\"");
    ensure!(series.keys().any(selected), "none selected in {series:?}");
    let (bound, likely) =
        (series["chimed_clock_error_bound_seconds"], series["chimed_clock_likely_error_seconds"]);
    ensure!(0.0 < likely && likely < 1.0 && 0.0 < bound && bound < 1.0, "{likely}, {bound}");
    ensure!(series["chimed_clock_offset_seconds"].abs() < bound, "{series:?}");
    let ppm = chimed.status()?.number("frequency")?;
    ensure!((series["chimed_clock_frequency_ratio"] * 1e6 - ppm).abs() < 100.0, "not {ppm} ppm");
    for name in ["offset", "delay", "jitter", "root_distance"] {
        let name = peer(&format!("chimed_peer_{name}_seconds"), fake.port, "");
        ensure!(series.contains_key(&name), "no {name} in {series:?}");
    }
    let sent = series[&peer("chimed_peer_sent_total", fake.port, "")];
    wait_for("a further query", SOON, || {
        let later = exporter.metrics()?[&peer("chimed_peer_sent_total", fake.port, "")];
        Ok((later > sent).then_some(()))
    })?;

    let page = wait_for("a line in each plot", SOON, || {
        let page = exporter.page()?;
        let paths = page.split("<path ").skip(1).filter_map(|rest| rest.split('>').next());
        let lines = paths.filter(|path| path.contains('L')).count();
        Ok((lines == 4).then_some(page))
    })?;
    let place = format!("<td>127.0.0.1:{}</td><td>selected</td>", fake.port);
    let version = format!("<th scope=\"row\">version</th><td>{}</td>", env!("CARGO_PKG_VERSION"));
    for part in [&place, &version, "right, and followed", "1 of 2 valid", "prefers-color-scheme"] {
        ensure!(page.contains(part), "no {part} in {page}");
    }
    for foreign in ["<script", "src=", "href=\"http", "url(", "@import"] {
        ensure!(!page.contains(foreign), "{foreign} in {page}");
    }
    balanced(&page)
}

/// Each element that is begun ends where it should.
fn balanced(page: &str) -> Result<()> {
    let mut open = Vec::new();
    for tag in page.split('<').skip(2).filter_map(|rest| rest.split('>').next()) {
        let name = tag.split(' ').next().unwrap_or_default();
        match name.strip_prefix('/') {
            Some(name) => ensure!(open.pop() == Some(name), "</{name}> in {page}"),
            None if name == "meta" => {}
            None => open.push(name),
        }
    }
    ensure!(open.is_empty(), "{open:?}");
    Ok(())
}

/// What is asked in another way, or for something else.
pub(crate) fn requests() -> Result<()> {
    let chimed = Chimed::start("")?;
    let exporter = Exporter::start(chimed.control())?;
    for (request, expected) in [
        ("GET /nothing HTTP/1.1\r\nHost: here\r\n\r\n", 404),
        ("GET /../metrics HTTP/1.1\r\nHost: here\r\n\r\n", 404),
        ("GET http://here/metrics?query HTTP/1.1\r\nHost: here\r\n\r\n", 200),
        ("GET / HTTP/1.0\r\n\r\n", 200),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("EHLO here\r\n\r\n", 400),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03", 400),
    ] {
        let answer = exporter.send(request.as_bytes())?;
        ensure!(answer.status == expected, "{request:?}: {answer:?}");
    }
    let body = "x".repeat(20_000);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
        let length = body.len();
        let request =
            format!("{method} / HTTP/1.1\r\nHost: here\r\nContent-Length: {length}\r\n\r\n{body}");
        let answer = exporter.send(request.as_bytes())?;
        ensure!(answer.status == 405 && answer.fields["allow"] == "GET, HEAD", "{answer:?}");
    }
    for (path, status) in [("/", 200), ("/metrics", 200), ("/nothing", 404)] {
        let request = format!("HEAD {path} HTTP/1.1\r\nHost: here\r\n\r\n");
        let answer = exporter.send(request.as_bytes())?;
        ensure!(answer.status == status && answer.body.is_empty(), "{answer:?}");
        ensure!(answer.fields["content-length"] != "0", "{answer:?}");
    }
    // It serves nobody.
    let series = exporter.metrics()?;
    ensure!(series.keys().all(|name| !name.starts_with("chimed_server")), "{series:?}");
    Ok(())
}

/// Clients that send nothing, too much, or are too many keep nobody waiting but themselves.
pub(crate) fn bad_clients() -> Result<()> {
    let chimed = Chimed::start("")?;
    let exporter = Exporter::start(chimed.control())?;
    let long = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(9_000));
    ensure!(exporter.send(long.as_bytes())?.status == 431);
    let endless = [b'a'; 60_000];
    ensure!(exporter.send(&endless)?.status == 431);
    let many = "GET / HTTP/1.1\r\n".to_owned() + &"a: b\r\n".repeat(1_000) + "\r\n";
    ensure!(exporter.send(many.as_bytes())?.status == 431);

    let silent = exporter.connect()?;
    let mut halfway = exporter.connect()?;
    halfway.write_all(b"GET /metrics HTTP/1.1\r\nHo")?;
    ensure!(exporter.metrics()?["chimed_up"] == 1.0);
    for client in [silent, halfway] {
        ensure!(received(client)?.status == 408);
    }
    let gone = exporter.connect()?;
    drop(gone);

    // What the last of them had is free again: one thread accepts, and one looks for the plots.
    let tasks = format!("/proc/{}/task", exporter.process.id());
    wait_for("nobody", SOON, || Ok((fs::read_dir(&tasks)?.count() == 2).then_some(())))?;
    let crowd: Result<Vec<_>> = (0..MOST).map(|_| exporter.connect()).collect();
    let crowd = crowd?;
    let answer = received(exporter.connect()?)?;
    ensure!(answer.status == 503, "{answer:?}");
    drop(crowd);
    wait_for("a free place", SOON, || {
        // It may be refused before it has asked.
        let answer = exporter.get("/metrics");
        Ok(answer.is_ok_and(|answer| answer.status == 200).then_some(()))
    })
}

/// The daemon ends, and another begins in its place.
pub(crate) fn lost() -> Result<()> {
    let mut chimed = Chimed::start("")?;
    let exporter = Exporter::start(chimed.control())?;
    ensure!(exporter.metrics()?["chimed_up"] == 1.0);
    chimed.process.signal(Signal::SIGTERM)?;
    chimed.process.wait(SOON)?;
    let series = wait_for("no daemon", SOON, || {
        let series = exporter.metrics()?;
        Ok((series["chimed_up"] == 0.0).then_some(series))
    })?;
    ensure!(series.len() == 1, "{series:?}");
    let page = wait_for("why", SOON, || {
        let page = exporter.page()?;
        Ok(page.contains("cannot reach chimed at").then_some(page))
    })?;
    ensure!(page.contains("not reached") && page.contains("<svg"), "{page}");

    let file = chimed.rewrite("")?;
    let _other = Process::start(super::chimed()?.args(["-d", "-f", &file]))?;
    wait_for("another daemon", SOON, || Ok((exporter.metrics()?["chimed_up"] == 1.0).then_some(())))
}

/// One that is there and says nothing holds nothing up.
pub(crate) fn silent_daemon() -> Result<()> {
    let directory = scratch()?;
    let socket = directory.path().join("control");
    let _nobody_accepts = UnixListener::bind(&socket)?;
    fs::set_permissions(&socket, Permissions::from_mode(0o666))?;
    let mut exporter = Exporter::start(&socket)?;
    ensure!(exporter.metrics()?["chimed_up"] == 0.0);
    let page = exporter.page()?;
    ensure!(page.contains("did not answer: nothing came within 2 s"), "{page}");
    exporter.process.signal(Signal::SIGTERM)?;
    ensure!(exporter.process.wait(SOON)?.success());
    Ok(())
}

/// Texts of a daemon, which has them from a configuration and from the network.
pub(crate) fn hostile_texts() -> Result<()> {
    const HOSTILE: &str = "</style><script>alert(\"1\")</script>&'\\\n\u{1b}[0m";
    let fake = FakeServer::honest()?;
    let real = Chimed::start(&server(fake.port, -2))?;
    let told = |what| -> Result<Value> {
        let ended = finish(chimectl()?.arg("-s").arg(real.control()).args([what, "--json"]), SOON)?;
        Ok(serde_json::from_str(&ended.stdout)?)
    };
    let (mut status, mut peers) = (told("status")?, told("peers")?);
    spoil(&mut status, HOSTILE);
    spoil(&mut peers, HOSTILE);
    peers[0]["rejected"] = json!({ HOSTILE: 3 });
    status["protections"] = json!({ HOSTILE: [HOSTILE] });
    status["listening"] = json!([]);
    // Two that cannot be told apart, as members of a pool before they have an address.
    let twice = json!([peers[0], peers[0]]);

    let directory = scratch()?;
    let socket = directory.path().join("control");
    let listener = UnixListener::bind(&socket)?;
    fs::set_permissions(&socket, Permissions::from_mode(0o666))?;
    std::thread::spawn(move || -> Result<()> {
        loop {
            let (mut stream, _) = listener.accept()?;
            let mut request = String::new();
            // Who is no longer there comes again.
            let _ = BufReader::new(&stream).read_line(&mut request);
            let answer = match request.contains("\"peers\"") {
                true => json!({ "peers": twice }),
                false => json!({ "status": status }),
            };
            let _ = stream.write_all(format!("{answer}\n").as_bytes());
        }
    });
    let exporter = Exporter::start(&socket)?;
    let page = exporter.page()?;
    ensure!(page.contains("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;"), "{page}");
    ensure!(!page.contains("<script") && page.matches("</style>").count() == 1, "{page}");
    balanced(&page)?;
    let series = exporter.metrics()?;
    let escaped = HOSTILE.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let counted = series.iter().find(|(name, _)| name.starts_with("chimed_peer_rejected_total{"));
    let (name, count) = counted.context("no count")?;
    ensure!(*count == 3.0 && name.contains(&format!("reason=\"{escaped}\"}}")), "{name} {count}");
    Ok(())
}

/// Puts a text in place of each.
fn spoil(value: &mut Value, text: &str) {
    match value {
        Value::String(old) => *old = text.to_owned(),
        Value::Array(values) => values.iter_mut().for_each(|value| spoil(value, text)),
        Value::Object(values) => values.values_mut().for_each(|value| spoil(value, text)),
        _ => {}
    }
}

/// With 0, whoever is connected.
pub(crate) fn ending() -> Result<()> {
    let chimed = Chimed::start("")?;
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut exporter = Exporter::start(chimed.control())?;
        let _stalled = exporter.connect()?;
        ensure!(exporter.metrics()?["chimed_up"] == 1.0);
        exporter.process.signal(signal)?;
        let status = exporter.process.wait(SOON)?;
        ensure!(status.code() == Some(0), "{signal}: {status}");
    }
    Ok(())
}

/// Every thread, those from before anybody connected too.
pub(crate) fn confined() -> Result<()> {
    let chimed = Chimed::start("")?;
    let mut exporter = Exporter::start(chimed.control())?;
    let line = exporter.process.wait_for_line("confined by ", SOON)?;
    let expected = ["capabilities", "no-new-privileges"].into_iter();
    let expected: Vec<_> = expected.chain(SECCOMP.then_some("seccomp")).collect();
    let (_, told) = line.split_once("confined by ").context("by what?")?;
    // Not every kernel has it.
    ensure!(told.split(", ").filter(|it| *it != "landlock").eq(expected), "{line}");
    let _stalled = exporter.connect()?;
    exporter.metrics()?;
    let tasks = format!("/proc/{}/task", exporter.process.id());
    let seccomp = if SECCOMP { "Seccomp:\t2" } else { "Seccomp:\t0" };
    let (mut seen, expected) = (0, ["NoNewPrivs:\t1", seccomp, "CapEff:\t0000000000000000"]);
    for task in fs::read_dir(tasks)? {
        // One that has ended meanwhile.
        let Ok(text) = fs::read_to_string(task?.path().join("status")) else { continue };
        let lines: BTreeSet<_> = text.lines().collect();
        ensure!(expected.iter().all(|line| lines.contains(line)), "{text}");
        seen += 1;
    }
    ensure!(seen >= 3, "only {seen} threads");
    Ok(())
}

/// Where somebody else listens, and what is no address.
pub(crate) fn refused() -> Result<()> {
    let chimed = Chimed::start("")?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let at = taken.local_addr()?.to_string();
    let ended = finish(command(chimed.control())?.args(["-l", &at]), SOON)?;
    let message = format!("chimectl: cannot listen at {at}: Address already in use");
    ensure!(ended.code == Some(1) && ended.stderr.starts_with(&message), "{ended:?}");
    let ended = finish(command(chimed.control())?.args(["-l", "here"]), SOON)?;
    ensure!(
        ended.code == Some(2) && ended.stderr.contains("'--listen <ADDRESS:PORT>'"),
        "{ended:?}"
    );
    Ok(())
}

pub(crate) fn of_root() -> Result<()> {
    let chimed = Chimed::start("")?;
    let ended = finish(chimectl()?.arg("-s").arg(chimed.control()).arg("exporter"), SOON)?;
    ensure!(ended.code == Some(1) && ended.stdout.is_empty(), "{ended:?}");
    for part in ["chimectl: the exporter does not run as root", "setpriv --reuid nobody"] {
        ensure!(ended.stderr.contains(part), "{ended:?}");
    }
    Ok(())
}
