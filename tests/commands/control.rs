//! `chimectl`.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use truechimer_tests::chimed::{Chimed, Status, listen, server};
use truechimer_tests::fake::{Datagram, FakeServer, Reply};
use truechimer_tests::namespace::Namespace;
use truechimer_tests::process::{Ended, Process, finish};
use truechimer_tests::{binaries, free_port, scratch};

use super::{SOON, chimectl, neutral};

const LIMIT: Duration = Duration::from_secs(30);

const STATUS_ROWS: [&str; 19] = [
    "clock",
    "disciplined",
    "time from",
    "last known good",
    "peers",
    "offset",
    "error bound",
    "likely error",
    "frequency",
    "stratum",
    "reference",
    "root delay",
    "root dispersion",
    "leap second",
    "leap source",
    "to host clock",
    "serving on",
    "served",
    "version",
];

const TRACKING_ROWS: [&str; 14] = [
    "reference",
    "stratum",
    "last update",
    "offset",
    "frequency",
    "skew",
    "root delay",
    "root dispersion",
    "error bound",
    "likely error",
    "leap second",
    "leap source",
    "time from",
    "last known good",
];

const TRACKING_KEYS: [&str; 16] = [
    "floor",
    "time_status",
    "age",
    "error_bound",
    "frequency",
    "leap",
    "leap_source",
    "tai",
    "likely_error",
    "offset",
    "reference",
    "root_delay",
    "root_dispersion",
    "skew",
    "stratum",
    "synced",
];

const STATUS_KEYS: [&str; 31] = [
    "floor",
    "time_status",
    "age",
    "clock",
    "clock_error",
    "controlled",
    "discipline",
    "error_bound",
    "likely_error",
    "frequency",
    "held",
    "leap",
    "leap_source",
    "tai",
    "listening",
    "offset",
    "answers",
    "peers",
    "peers_valid",
    "polls",
    "protections",
    "reference",
    "refused",
    "requests",
    "root_delay",
    "root_dispersion",
    "skew",
    "stratum",
    "synced",
    "uptime",
    "version",
];

const PEER_KEYS: [&str; 24] = [
    "address",
    "delay",
    "deviation",
    "hardware_refused",
    "interval",
    "name",
    "next_query",
    "offset",
    "options",
    "pool",
    "port",
    "reach",
    "reference",
    "rejected",
    "root_distance",
    "sent",
    "stamps",
    "stamps_by",
    "standing",
    "stratum",
    "transmit_stamps",
    "trust",
    "used",
    "valid",
];

pub(crate) fn status() -> Result<()> {
    let (fake, port) = (FakeServer::honest()?, free_port()?);
    let chimed = Chimed::start(&(server(fake.port, -2) + &listen(port)))?;
    let rows = rows(&show(&chimed, &["status"])?)?;
    ensure!(value(&rows, "clock")? == "unsynced", "{rows:?}");
    ensure!(value(&rows, "stratum")? == "16" && value(&rows, "reference")? == "INIT", "{rows:?}");
    ensure!(value(&rows, "leap second")? == "unsynchronised", "{rows:?}");
    ensure!(value(&rows, "error bound")? == "-", "{rows:?}");
    ensure!(value(&rows, "time from")? == "nowhere that is known of", "{rows:?}");
    ensure!(value(&rows, "last known good")? == "-", "{rows:?}");

    chimed.wait_until("a synchronised clock", LIMIT, Status::is_synced)?;
    let rows = self::rows(&show(&chimed, &["status"])?)?;
    let names: Vec<_> = rows.iter().map(|(name, _)| name.as_str()).collect();
    ensure!(names == STATUS_ROWS, "{rows:?}");
    for (name, expected) in [
        ("clock", "synced"),
        ("disciplined", "software"),
        ("time from", "sources that answer"),
        ("peers", "1 of 1 valid"),
        ("stratum", "2"),
        ("reference", "127.0.0.1"),
        ("leap second", "none"),
        ("serving on", &format!("127.0.0.1:{port}")),
        ("served", "0 of 0 requests"),
    ] {
        ensure!(value(&rows, name)? == expected, "{name} is not {expected}: {rows:?}");
    }
    for name in
        ["offset", "error bound", "likely error", "root delay", "root dispersion", "to host clock"]
    {
        ensure!(seconds(value(&rows, name)?)?.abs() < 0.1, "{name}: {rows:?}");
    }
    let frequency = value(&rows, "frequency")?;
    let ppm = frequency.strip_suffix(" ppm").with_context(|| frequency.to_owned())?;
    ensure!(ppm.starts_with(['+', '-']) && ppm.parse::<f64>().is_ok(), "{frequency}");
    Ok(())
}

pub(crate) fn tracking() -> Result<()> {
    let fake = FakeServer::honest()?;
    let chimed = Chimed::start(&server(fake.port, -2))?;
    let before = rows(&show(&chimed, &["tracking"])?)?;
    let names: Vec<_> = before.iter().map(|(name, _)| name.as_str()).collect();
    ensure!(names == TRACKING_ROWS, "{before:?}");
    for (name, expected) in [("reference", "INIT"), ("stratum", "16"), ("skew", "-")] {
        ensure!(value(&before, name)? == expected, "{name} is not {expected}: {before:?}");
    }
    chimed.wait_until("a synchronised clock", LIMIT, Status::is_synced)?;
    let after = rows(&show(&chimed, &["tracking"])?)?;
    for (name, expected) in [("reference", "127.0.0.1"), ("stratum", "2"), ("leap second", "none")]
    {
        ensure!(value(&after, name)? == expected, "{name} is not {expected}: {after:?}");
    }
    for (name, unit) in [("last update", " s ago"), ("skew", " ppm")] {
        let number = value(&after, name)?.strip_suffix(unit).and_then(|text| text.parse().ok());
        ensure!(number.is_some_and(|number: f64| number >= 0.0), "{name}: {after:?}");
    }
    let json: Value = serde_json::from_str(&show(&chimed, &["tracking", "--json"])?)?;
    has_keys(&json, TRACKING_KEYS)?;
    let bounds = [&json["likely_error"], &json["error_bound"]].map(Value::as_f64);
    ensure!(bounds[0].is_some() && bounds[0] <= bounds[1], "{json}");

    let coloured = run_coloured(&chimed, &["tracking"], false)?;
    ensure!(coloured.contains('\x1b'), "no colour: {coloured:?}");
    let plain = run_coloured(&chimed, &["tracking"], true)?;
    ensure!(!plain.contains('\x1b'), "escape codes: {plain:?}");
    Ok(())
}

/// Both ways by the kernel's stamps, also behind the filter of the ntp engine's calls.
pub(crate) fn stamps() -> Result<()> {
    let fake = FakeServer::honest()?;
    let starts: [fn(&str) -> Result<Chimed>; 2] =
        [Chimed::start, |configuration| Chimed::start_separated(&[], configuration)];
    for start in starts {
        let chimed = start(&server(fake.port, -2))?;
        chimed.wait_until("a synchronised clock", LIMIT, Status::is_synced)?;
        let text = show(&chimed, &["sources", "-v"])?;
        let (name, text) = text.split_once('\n').context("no peer")?;
        ensure!(name == format!("127.0.0.1:{}", fake.port), "{name}");
        for (row, expected) in [
            ("sent by", "kernel stamps"),
            ("received by", "kernel stamps"),
            ("kernel stamps by", "SO_TIMESTAMPING"),
            ("refused of cards", "0 stamps"),
            ("standing", "selected"),
            ("dropped", "none"),
        ] {
            let found = text.lines().find_map(|line| line.trim().strip_prefix(row));
            ensure!(found.map(str::trim) == Some(expected), "{row} in\n{text}");
        }
        let json: Value = serde_json::from_str(&show(&chimed, &["sources", "-v", "--json"])?)?;
        ensure!(json[0]["hardware_refused"] == 0, "{json}");
        ensure!(json[0]["transmit_stamps"] == "kernel", "{json}");
        ensure!(json[0]["stamps_by"] == "SO_TIMESTAMPING", "{json}");
    }
    Ok(())
}

/// On a terminal.
fn run_coloured(chimed: &Chimed, arguments: &[&str], no_color: bool) -> Result<String> {
    let mut command = chimectl()?;
    command.arg("-s").arg(chimed.control()).args(arguments);
    if no_color {
        command.env("NO_COLOR", "1");
    }
    let mut process = Process::start_on_terminal(&mut command)?;
    process.wait_for_line("leap second", SOON)?;
    ensure!(process.wait(SOON)?.success());
    Ok(process.transcript.lines().concat())
}

/// In a network without name servers.
pub(crate) fn peers() -> Result<()> {
    let namespace = Namespace::new()?;
    let serving = "[[listen]]\naddress = \"127.0.0.1\"\n[local]\nstratum = 3\n";
    let _server = Chimed::start_in(&namespace, serving)?;
    let named = "[[server]]\naddress = \"quite-a-long-name.of-nobody.invalid\"\n";
    let known = server(123, -2) + "prefer = true\ntrust = true\n";
    let chimed = Chimed::start_in(&namespace, &(known + named))?;
    chimed.wait_until("a synchronised clock", LIMIT, Status::is_synced)?;

    let text = show(&chimed, &["peers"])?;
    let lines: Vec<_> = text.lines().collect();
    let [heading, known, unknown] = lines[..] else { bail!("not three lines: {text}") };
    let words: Vec<_> = heading.split_whitespace().collect();
    let columns =
        ["peer", "standing", "options", "st", "reach", "poll", "offset", "delay", "used/sent"];
    ensure!(words == columns, "{text}");
    let standing = heading.find("standing").context("no column")?;
    for (line, name, rest) in [
        (known, "127.0.0.1:123", "selected"),
        (unknown, "quite-a-long-name.of-nobody.invalid (not resolved)", "invalid"),
    ] {
        ensure!(line[..standing].trim_end() == name, "{text}");
        ensure!(line[standing..].starts_with(rest), "{text}");
        ensure!(line.len() == heading.len(), "the columns do not agree:\n{text}");
    }
    let words: Vec<_> = known[standing..].split_whitespace().collect();
    ensure!(words[1..3] == ["prefer,trust", "3"] && words[4..6] == ["0.3", "s"], "{text}");
    ensure!(words[3].len() == 8 && words[3].ends_with('1'), "{text}");
    let words: Vec<_> = unknown[standing..].split_whitespace().collect();
    ensure!(words[1..4] == ["-", "-", "00000000"], "{text}");
    ensure!(words[6..] == ["-", "-", "0/0"], "{text}");
    Ok(())
}

pub(crate) fn json() -> Result<()> {
    let fake = FakeServer::honest()?;
    let chimed = Chimed::start(&server(fake.port, -2))?;
    let before: Value = serde_json::from_str(&show(&chimed, &["peers", "--json"])?)?;
    chimed.wait_until("a synchronised clock", LIMIT, Status::is_synced)?;
    let after: Value = serde_json::from_str(&show(&chimed, &["--json", "peers"])?)?;
    for peers in [&before, &after] {
        has_keys(&peers[0], PEER_KEYS)?;
        ensure!(peers.as_array().is_some_and(|peers| peers.len() == 1), "{peers}");
    }
    let status: Value = serde_json::from_str(&show(&chimed, &["status", "--json"])?)?;
    has_keys(&status, STATUS_KEYS)?;
    for (words, key) in [
        (&["tracking"][..], "synced"),
        (&["server"], "total"),
        (&["reload"], "kept"),
        (&["burst"], "kept"),
        (&["offline"], "kept"),
        (&["online"], "kept"),
        (&["add", "127.0.0.1:1"], "kept"),
        (&["remove", "127.0.0.1:1"], "kept"),
        (&["wait", "--until", "reachable"], "synced"),
        (&["kernel"], "state"),
    ] {
        let told: Value = serde_json::from_str(&show(&chimed, &[words, &["--json"]].concat())?)?;
        ensure!(!told[key].is_null(), "{words:?}: {told}");
    }
    Ok(())
}

/// The server goes off by more than is believed.
pub(crate) fn accept() -> Result<()> {
    let (fake, mut chimed) = gone_off(5_000)?;
    chimed.process.wait_for_line("local clock held: offset ", LIMIT)?;
    let rows = rows(&show(&chimed, &["status"])?)?;
    ensure!(value(&rows, "disciplined")? == "software, held: see chimectl accept", "{rows:?}");
    ensure!(value(&rows, "clock")? == "unsynced", "{rows:?}");
    ensure!(seconds(value(&rows, "to host clock")?)?.abs() < 1.0, "{rows:?}");

    let json: Value = serde_json::from_str(&show(&chimed, &["accept", "--json"])?)?;
    let step = json["step"].as_f64().with_context(|| json.to_string())?;
    ensure!((step - 5_000.0).abs() < 1.0, "{json}");
    is_off_by(&chimed, 5_000.0)?;
    chimed.process.wait_for_line("local clock no longer held", SOON)?;
    let message = "chimectl: chimed refused: the clock is not held: there is nothing to accept\n";
    failed(&run(chimed.control(), &["accept"])?, message)?;
    drop(fake);
    Ok(())
}

/// The server goes off by more than is stepped, which would be slewed for hours.
pub(crate) fn step() -> Result<()> {
    let (fake, chimed) = gone_off(20)?;
    chimed.wait_until("an offset", LIMIT, |status| Ok(status.number("offset")?.abs() > 10.0))?;
    let text = show(&chimed, &["step"])?;
    ensure!(
        text.starts_with("the clock steps by 19.") || text.starts_with("the clock steps by 20.")
    );
    ensure!(text.ends_with(" s\n"), "{text}");
    is_off_by(&chimed, 20.0)?;
    drop(fake);

    let watching = Chimed::start("")?;
    let message = "chimectl: chimed refused: it is not known how far the clock is off\n";
    failed(&run(watching.control(), &["step"])?, message)
}

/// A synchronised daemon whose only server goes off by so many seconds.
fn gone_off(seconds: u32) -> Result<(FakeServer, Chimed)> {
    let fake = FakeServer::honest()?;
    let chimed = Chimed::start(&server(fake.port, -2))?;
    chimed.wait_until("a synchronised clock", LIMIT, Status::is_synced)?;
    fake.follow(move |query| {
        vec![Datagram::FromHere(Reply::honest(query).shifted(seconds).emit())]
    });
    Ok((fake, chimed))
}

fn is_off_by(chimed: &Chimed, seconds: f64) -> Result<()> {
    let error = chimed.status()?.number("clock_error")?;
    ensure!((error - seconds).abs() < 1.0, "{error} s off");
    chimed.wait_until("a synchronised clock", LIMIT, Status::is_synced)?;
    Ok(())
}

pub(crate) fn nobody_there() -> Result<()> {
    let directory = scratch()?;
    let (missing, left) = (directory.path().join("missing"), directory.path().join("left"));
    drop(UnixListener::bind(&left)?);
    for (path, reason) in [
        (&missing, "No such file or directory (os error 2)"),
        (&left, "Connection refused (os error 111)"),
    ] {
        let message = format!(
            "chimectl: cannot reach chimed at {}: {reason}; is it running, and with this `control` \
             path?\n",
            path.display()
        );
        for command in [&["status"][..], &["peers", "--json"]] {
            failed(&run(path, command)?, &message)?;
        }
    }
    Ok(())
}

/// A program that is no chimed, or another one.
pub(crate) fn somebody_else() -> Result<()> {
    let at = |path: &Path| format!("chimectl: chimed at {}", path.display());
    answered("", |path| format!("{} did not answer: unexpected end of file\n", at(path)))?;
    answered("hello\n", |_| {
        "chimectl: chimed's answer is not understood: expected value at line 1 column 1\n".into()
    })?;
    answered("{\"error\":\"version 1 is not known here\"}\n", |_| {
        "chimectl: chimed refused: version 1 is not known here\n".into()
    })
}

fn answered(answer: &'static str, message: impl Fn(&Path) -> String) -> Result<()> {
    let directory = scratch()?;
    let path = directory.path().join("control");
    let listener = UnixListener::bind(&path)?;
    let other = std::thread::spawn(move || -> Result<String> {
        let (mut stream, _) = listener.accept()?;
        let mut request = String::new();
        BufReader::new(&stream).read_line(&mut request)?;
        stream.write_all(answer.as_bytes())?;
        Ok(request)
    });
    failed(&run(&path, &["status"])?, &message(&path))?;
    let request = other.join().map_err(|_| anyhow::anyhow!("the other program panicked"))??;
    ensure!(request == "{\"version\":1,\"command\":\"status\"}\n", "{request:?}");
    Ok(())
}

/// As one who may neither by the socket's mode nor by privilege.
pub(crate) fn not_allowed() -> Result<()> {
    let namespace = Namespace::new()?;
    let chimed = Chimed::start("")?;
    let mode = fs::metadata(chimed.control())?.permissions().mode() & 0o7777;
    ensure!(mode == 0o660, "{mode:o}");
    fs::set_permissions(chimed.control(), Permissions::from_mode(0o000))?;
    let mut command = neutral(namespace.command("setpriv"));
    command.args(["--bounding-set=-all", "--inh-caps=-all", "--"]).arg(binaries::chimectl()?);
    let ended = finish(command.arg("-s").arg(chimed.control()).arg("status"), SOON)?;
    let message = format!(
        "chimectl: cannot reach chimed at {}: Permission denied (os error 13); its owner and group \
         may ask\n",
        chimed.control().display()
    );
    failed(&ended, &message)
}

fn run(socket: &Path, arguments: &[&str]) -> Result<Ended> {
    finish(chimectl()?.arg("-s").arg(socket).args(arguments), SOON)
}

fn failed(ended: &Ended, message: &str) -> Result<()> {
    ensure!(ended.code == Some(1) && ended.stdout.is_empty(), "{ended:?}");
    ensure!(ended.stderr == message, "{ended:?}, not {message:?}");
    Ok(())
}

fn show(chimed: &Chimed, arguments: &[&str]) -> Result<String> {
    let ended = run(chimed.control(), arguments)?;
    ensure!(ended.code == Some(0) && ended.stderr.is_empty(), "{ended:?}");
    ensure!(!ended.stdout.contains('\x1b'), "escape codes: {ended:?}");
    Ok(ended.stdout)
}

fn rows(text: &str) -> Result<Vec<(String, String)>> {
    let row = |line: &str| {
        let (name, value) = line.split_at_checked(17)?;
        Some((name.trim_end().to_owned(), value.to_owned()))
    };
    text.lines().map(|line| row(line).with_context(|| format!("no row: {line:?}"))).collect()
}

fn value<'a>(rows: &'a [(String, String)], name: &str) -> Result<&'a str> {
    let row = rows.iter().find(|row| row.0 == name);
    Ok(&row.with_context(|| format!("no {name} in {rows:?}"))?.1)
}

/// `12.345 us` or `0.123456 s`.
fn seconds(text: &str) -> Result<f64> {
    match text.split_once(' ') {
        Some((number, "us")) => Ok(number.parse::<f64>()? * 1e-6),
        Some((number, "s")) => Ok(number.parse()?),
        _ => bail!("no time: {text:?}"),
    }
}

fn has_keys<const N: usize>(object: &Value, mut expected: [&str; N]) -> Result<()> {
    let object = object.as_object().context("no object")?;
    let mut keys: Vec<_> = object.keys().map(String::as_str).collect();
    keys.sort_unstable();
    expected.sort_unstable();
    ensure!(keys == expected, "{keys:?}, not {expected:?}");
    Ok(())
}
