//! Runs the examples as built by `cargo test` and looks at what they say.

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use truechimer_core::server::{Verdict, respond};
use truechimer_core::system::SystemState;
use truechimer_core::units::{Instant, Span, WallTime};
use truechimer_core::wire::LeapIndicator;

/// Cargo puts the examples beside the directory of the test's own executable.
fn example(name: &str) -> Command {
    let mut path: PathBuf = std::env::current_exe().unwrap();
    path.pop();
    path.set_file_name("examples");
    path.push(name);
    path.set_extension(std::env::consts::EXE_EXTENSION);
    assert!(path.exists(), "{}: `cargo build --workspace --examples` first", path.display());
    let mut command = Command::new(path);
    command.env_remove("RUST_BACKTRACE").env_remove("RUST_LIB_BACKTRACE");
    command
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

/// What an example that succeeds prints.
fn succeeds(name: &str, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = example(name).args(arguments).output().unwrap();
    assert!(status.success() && stderr.is_empty(), "{name}: {status}: {}", text(&stderr));
    text(&stdout).to_owned()
}

/// What an example that fails says, on one line.
fn fails(name: &str, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = example(name).args(arguments).output().unwrap();
    assert_eq!(status.code(), Some(1), "{name} {arguments:?}: {}", text(&stdout));
    assert!(stdout.is_empty(), "{name} {arguments:?}: {}", text(&stdout));
    text(&stderr).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The seconds after the word `error` in each line that has it.
fn errors(output: &str) -> Vec<f64> {
    let words = output.lines().filter_map(|line| line.split_once("error ")?.1.split(' ').next());
    words.map(|word| word.parse().unwrap()).collect()
}

/// The example `server` on a free port, ended when it is dropped.
struct Server {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    address: String,
}

impl Server {
    fn start() -> Self {
        let mut child = example("server").arg("0").stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        let address = first.strip_prefix("serving time on ").unwrap().to_owned();
        Self { child, lines, address }
    }

    fn next_line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn query_reads_the_time_of_server() {
    let mut server = Server::start();
    let output = succeeds("query", &[&server.address]);
    let field = |name: &str| {
        let line = output.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {output}")).trim_start()
    };
    assert_eq!(field("server"), server.address);
    assert_eq!(field("stratum"), "10");
    assert_eq!(field("leap"), "NoWarning");
    assert_eq!(field("reference"), "127.127.1.1");
    // Both read the same clock, and the server owns up to 10 ms.
    let seconds = |name| field(name).split(' ').next().unwrap().parse::<f64>().unwrap();
    let (offset, error, delay) = (seconds("offset"), seconds("error"), seconds("delay"));
    assert!(offset.abs() <= delay / 2.0 + 1e-5, "{output}");
    assert!((0.01..0.011 + delay).contains(&error), "{output}");
    assert!(server.next_line().ends_with(": answered"));
}

#[test]
fn server_refuses_what_is_no_query() {
    let mut server = Server::start();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let reply = [&[0x24][..], &[0; 47]].concat();
    let signed = [&[0x23][..], &[0; 67]].concat();
    for (datagram, reason) in [
        (&b""[..], "malformed"),
        (&[0x23; 47], "malformed"),
        (&reply, "mode"),
        (&signed, "authentication"),
    ] {
        socket.send_to(datagram, &server.address).unwrap();
        assert_eq!(server.next_line(), format!("{address}: refused ({reason})"));
    }
}

#[test]
fn server_says_why_it_cannot_start() {
    assert_eq!(fails("server", &[]), "Error: usage: server PORT");
    for port in ["ntp", "65536", "-1"] {
        assert!(fails("server", &[port]).starts_with(&format!("Error: not a port: {port:?}")));
    }
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let said = fails("server", &[&port.to_string()]);
    assert!(said.starts_with(&format!("Error: cannot listen on port {port} Caused by:")), "{said}");
}

#[test]
fn query_says_why_it_has_no_answer() {
    assert_eq!(fails("query", &[]), "Error: usage: query HOST[:PORT]");
    let said = fails("query", &["a:0"]);
    let expected = "Error: not a server: \"a:0\" Caused by: port 0 is not allowed: 1 to 65535 are";
    assert_eq!(said, expected);

    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let expected = format!("Error: cannot ask {address} Caused by: no answer within 2 s");
    assert_eq!(fails("query", &[&address]), expected);
}

/// The address of a server that answers one query with what `answer` makes of it.
fn answer_once(answer: impl FnOnce(&[u8]) -> Vec<u8> + Send + 'static) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let mut buffer = [0; 1024];
        let (len, client) = socket.recv_from(&mut buffer).unwrap();
        socket.send_to(&answer(&buffer[..len]), client).unwrap();
    });
    address
}

/// The answer of a server of that stratum whose clock is `ahead` of this machine's.
fn answer(query: &[u8], stratum: u8, ahead: Span) -> Vec<u8> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = WallTime::from_unix(since.as_secs() as i64, since.subsec_nanos()) + ahead;
    let unsynchronised = SystemState::unsynchronised(-20, Instant::default());
    let leap = LeapIndicator::NoWarning;
    let state = SystemState { stratum, leap, reference_time: now, ..unsynchronised };
    respond(&state, query, now, Instant::default(), Verdict::Answer).unwrap().emit(now).to_vec()
}

#[test]
fn query_says_on_which_side_the_clock_is() {
    for (secs, expected) in [(100, "s: this clock is behind"), (-100, "s: this clock is ahead")] {
        let server = answer_once(move |query| answer(query, 1, Span::from_secs(secs)));
        let output = succeeds("query", &[&server]);
        let offset = output.lines().find_map(|line| line.strip_prefix("offset     ")).unwrap();
        let (number, side) = offset.split_once(' ').unwrap();
        let error = number.parse::<f64>().unwrap() - secs as f64;
        assert!(error.abs() < 1.0 && side == expected, "{output}");
    }
}

#[test]
fn query_says_why_there_is_no_reading() {
    let noise = answer_once(|_| b"what?".to_vec());
    let unsynchronised = answer_once(|query| answer(query, 16, Span::ZERO));
    for (server, reason) in [
        // Anybody can send noise: it is not what was waited for.
        (noise, "no answer within 2 s"),
        (unsynchronised, "answer rejected: kiss INIT"),
    ] {
        let expected = format!("Error: cannot ask {server} Caused by: {reason}");
        assert_eq!(fails("query", &[&server]), expected);
    }
}

#[test]
fn decode_prints_every_field() {
    let expected = "\
leap             0 (NoWarning)
version          4
mode             4 (Server)
stratum          1
poll             2^6 s
precision        2^-25 s
root delay       0.000000 s
root dispersion  0.000000 s
reference id     7f7f0101 (????)
reference time   eead909a01dae72c (2026-11-22 16:02:34.007246444)
origin time      e931e28a624a3fbc (2023-12-23 22:49:46.383945449)
receive time     eead909df24e466d (2026-11-22 16:02:37.946506883)
transmit time    eead909df25008f8 (2026-11-22 16:02:37.946533737)
extension field  type 0xf323  f5bedd9a0000000000000000eead909df24e4649e4de63d7
";
    assert_eq!(succeeds("decode", &[]), expected);
}

#[test]
fn decode_takes_hex_however_it_is_split() {
    // A query with an MD5 MAC under key 7.
    let words = [
        "23000620",
        &"0".repeat(72),
        "37642941 B2BE40EB",
        "0000000 78fa988e3610a",
        "b6359f4b498b517543ea",
    ];
    let output = succeeds("decode", &words);
    for line in [
        "mode             3 (Client)",
        "precision        2^32 s",
        "reference id     00000000 ()",
        "receive time     unknown",
        "MAC              key 7  8fa988e3610ab6359f4b498b517543ea",
    ] {
        assert!(output.lines().any(|printed| printed == line), "no {line:?} in {output}");
    }
    assert!(!output.contains("extension"), "{output}");
}

#[test]
fn decode_says_what_is_wrong() {
    let parse = "Error: not an NTP packet Caused by:";
    for (argument, said) in [
        ("23 0", "Error: 3 hexadecimal digits, but two make an octet".to_owned()),
        ("2g", "Error: not a hexadecimal digit: 'g'".to_owned()),
        ("", format!("{parse} 0 octets, but a header has 48")),
        ("2300", format!("{parse} 2 octets, but a header has 48")),
        ("2b00", format!("{parse} version 5, but only 3 and 4 are read")),
        ("1600", format!("{parse} mode 6 (Control), but only modes 0 to 5 carry time")),
    ] {
        assert_eq!(fails("decode", &[argument]), said);
    }
}

#[test]
fn software_clock_comes_closer_each_round() {
    for ppm in ["80", "-12.5", "400", "-400"] {
        let output = succeeds("software_clock", &[ppm]);
        let errors = errors(&output);
        assert_eq!((errors.len(), errors[0]), (16, -1.5));
        // Down to what a nanosecond's rounding leaves.
        for pair in errors.windows(2) {
            assert!(pair[1].abs() < 0.4 * pair[0].abs() + 2e-9, "{ppm} ppm: {output}");
        }
        assert!(errors[15].abs() < 3e-9, "{ppm} ppm: {output}");
    }
    assert_eq!(succeeds("software_clock", &[]), succeeds("software_clock", &["80"]));
}

#[test]
fn software_clock_says_which_drift_it_takes() {
    assert!(fails("software_clock", &["x"]).starts_with("Error: not a number of ppm: \"x\""));
    for ppm in ["400.1", "-401", "NaN", "inf"] {
        let expected = format!("Error: {ppm} ppm, but -400.0..=400.0 are allowed");
        assert_eq!(fails("software_clock", &[ppm]), expected);
    }
}

#[test]
fn smoltcp_loopback_becomes_right() {
    let output = succeeds("smoltcp_loopback", &[]);
    let errors = errors(&output);
    assert_eq!((errors.len(), errors[0]), (31, -90.0));
    // Four queries 2 s apart, then it steps; a few polls later the frequency is known.
    assert!(errors[2].abs() < 0.001, "{output}");
    assert!(errors[5..].iter().all(|error| error.abs() < 1e-6), "{output}");
    assert!(errors[30].abs() < 1e-8, "{output}");
    // What undoes a drift of 80 ppm.
    assert!(output.contains(" to -79.99"), "{output}");
    for event in
        ["peer 192.0.2.1 now valid", "set local clock to 2026-01-01", "clock is now synced"]
    {
        assert_eq!(output.matches(event).count(), 1, "{event}: {output}");
    }
}

const WORLDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/worlds");

#[test]
fn simulate_tells_tabulates_and_draws() {
    let path = |name: &str| std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let (table, picture) = (path("simulate.csv"), path("simulate.svg"));
    let world = format!("{WORLDS}/wrong_by_a_second.toml");
    let arguments =
        [&world, "--log", "--csv", table.to_str().unwrap(), "--plot", picture.to_str().unwrap()];
    let output = succeeds("simulate", &arguments);
    for line in ["clock is now synced", "error ", "right ", "bound ", "packets "] {
        assert!(output.contains(line), "no {line} in {output}");
    }
    let readings = std::fs::read_to_string(table).unwrap();
    assert_eq!(readings.lines().count(), 7_201, "a line for each second and the names");
    assert!(std::fs::read_to_string(picture).unwrap().starts_with("<svg"));
}

#[test]
fn simulate_says_why_it_cannot() {
    let missing = fails("simulate", &["nowhere.toml"]);
    assert!(missing.starts_with("Error: cannot read nowhere.toml Caused by:"), "{missing}");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/chimed.toml");
    let wrong = fails("simulate", &[file]);
    assert!(wrong.contains("chimed.toml: TOML parse error at line "), "{wrong}");
    assert!(wrong.contains("unknown field `clock`"), "{wrong}");
    let world = format!("{WORLDS}/lan.toml");
    let nonsense = fails("simulate", &[&world, "--duration", "nan"]);
    assert_eq!(nonsense, "Error: a world lasts longer than 0 s, not NaN");
}

#[test]
fn simulate_fails_if_limits_do_not_hold() {
    let world = format!("{WORLDS}/lan.toml");
    let early = ["--duration", "3700", "--seed", "1"];
    let Output { status, stdout, stderr } = example("simulate")
        .arg(world.replace("lan", "never_stepped"))
        .args(early)
        .output()
        .unwrap();
    assert!(status.success() && stderr.is_empty(), "{}{}", text(&stdout), text(&stderr));
    let Output { status, stdout, stderr } =
        example("simulate").args([&world, "--duration", "60"]).output().unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(text(&stdout).contains("packets "));
    assert!(text(&stderr).starts_with("limits broken: seed 1"), "{}", text(&stderr));
}
