use super::*;
use std::io::{BufRead, BufReader};
use truechimer_core::event::Level;

fn exchange(control: &mut Control, path: &Path, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.write_all(request).unwrap();
    let mut line = String::new();
    for _ in 0..3 {
        control.serve(&Log::in_memory(), |_| Answer::Peers(Vec::new()));
    }
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}

#[test]
fn answers_requests_and_says_what_is_wrong_with_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let mut control = Control::open(&path, None).unwrap();
    let cases: [(&[u8], &str); 4] = [
        (b"{\"version\":1,\"command\":\"peers\"}\n", "{\"peers\":[]}\n"),
        (
            b"{\"version\":2,\"command\":\"peers\"}\n",
            "{\"error\":\"version 2 is not known here, 1 is\"}\n",
        ),
        (
            b"{\"version\":1,\"command\":\"reboot\"}\n",
            "{\"error\":\"not a request: unknown variant `reboot`, expected one of `status`, `peers`, `server`, `accept`, `step`, `log`, `follow_log`, `reload`, `add`, `online`, `offline`, `burst`, `remove` at line 1 column 31\"}\n",
        ),
        (&[b'x'; 2_000], "{\"error\":\"a request has at most 1024 octets\"}\n"),
    ];
    for (request, expected) in cases {
        assert_eq!(exchange(&mut control, &path, request), expected);
    }
}

#[test]
fn bounds_its_clients_and_forgets_those_that_leave() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let mut control = Control::open(&path, None).unwrap();
    let silent: Vec<_> = (0..20).map(|_| UnixStream::connect(&path).unwrap()).collect();
    let log = Log::in_memory();
    control.serve(&log, |_| unreachable!());
    assert_eq!(control.descriptors().count(), 1 + MAX_CLIENTS);
    assert_eq!(log.since(0).0[0].text, "control_accept: calloc");
    drop(silent);
    control.serve(&Log::in_memory(), |_| unreachable!());
    assert_eq!(control.descriptors().count(), 1);
}

#[test]
fn takes_the_place_of_a_dead_socket_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    drop(UnixListener::bind(&path).unwrap());
    let control = Control::open(&path, None).unwrap();
    let error = Control::open(&path, None).unwrap_err();
    assert_eq!(error.event("path").unwrap().to_string(), "control_init: bind: path");
    assert_eq!(error.to_string(), "another daemon listens on it");
    drop(control);
    assert!(!path.exists());

    fs::write(&path, "precious").unwrap();
    assert!(Control::open(&path, None).is_err());
    assert_eq!(fs::read(&path).unwrap(), b"precious");
}

#[test]
fn a_large_answer_reaches_a_slow_client_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let mut control = Control::open(&path, None).unwrap();
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"{\"version\":1,\"command\":\"peers\"}\n").unwrap();
    let large = "x".repeat(4_000_000);
    for _ in 0..3 {
        control.serve(&Log::in_memory(), |_| Answer::Error(large.clone()));
    }
    let events = control.descriptors().last().unwrap().events();
    assert_eq!(events, PollFlags::POLLOUT, "it does not fit the socket's buffer");
    let reader = std::thread::spawn(move || {
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).map(|_| line)
    });
    while !reader.is_finished() {
        control.serve(&Log::in_memory(), |_| unreachable!());
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(reader.join().unwrap().unwrap(), format!("{{\"error\":\"{large}\"}}\n"));
}

const FOLLOW: &[u8] = b"{\"version\":1,\"command\":\"follow_log\"}\n";

fn log_of(lines: usize) -> Log {
    let log = Log::in_memory();
    add(&log, 0..lines);
    log
}

fn add(log: &Log, lines: std::ops::Range<usize>) {
    lines.for_each(|line| log.message(Level::Critical, &format_args!("line {line}")));
}

fn texts(line: &str) -> Vec<String> {
    let Ok(Answer::Log(lines)) = serde_json::from_str(line) else { panic!("{line}") };
    assert!(lines.iter().all(|line| line.time.len() == 19));
    lines.into_iter().map(|line| line.text).collect()
}

fn read(reader: &mut BufReader<UnixStream>) -> Vec<String> {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    texts(&line)
}

fn serve(control: &mut Control, log: &Log) {
    for _ in 0..3 {
        control.serve(log, |_| unreachable!());
    }
}

#[test]
fn the_log_is_told_and_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let mut control = Control::open(&path, None).unwrap();
    let log = log_of(2);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"{\"version\":1,\"command\":\"log\"}\n").unwrap();
    serve(&mut control, &log);
    assert_eq!(read(&mut BufReader::new(stream)), ["line 0", "line 1"]);

    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(FOLLOW).unwrap();
    serve(&mut control, &log);
    let mut reader = BufReader::new(stream);
    assert_eq!(read(&mut reader), ["line 0", "line 1"]);
    control.tell_followers(&log);
    add(&log, 2..4);
    control.tell_followers(&log);
    assert_eq!(read(&mut reader), ["line 2", "line 3"]);
    drop(reader);
    serve(&mut control, &log);
    assert_eq!(control.descriptors().count(), 1);
}

#[test]
fn a_follower_that_is_stuck_gets_the_rest_and_the_marker() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let mut control = Control::open(&path, None).unwrap();
    let log = log_of(1);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(FOLLOW).unwrap();
    serve(&mut control, &log);
    let mut added = 1;
    while control.clients[0].answer.is_empty() {
        add(&log, added..added + 100);
        added += 100;
        control.tell_followers(&log);
    }
    let held = control.clients[0].answer.len();
    for _ in 0..10 {
        add(&log, added..added + 100);
        added += 100;
        control.tell_followers(&log);
    }
    assert_eq!(control.clients[0].answer.len(), held, "it grows no more");
    assert_eq!(control.descriptors().last().unwrap().events(), PollFlags::POLLOUT);

    let mut reader = BufReader::new(stream);
    let (mut all, last) = (Vec::new(), format!("line {}", added - 1));
    while all.last() != Some(&last) {
        control.serve(&log, |_| unreachable!());
        control.tell_followers(&log);
        all.extend(read(&mut reader));
    }
    let marker = all.iter().position(|text| text.contains("LOG MESSAGES WERE TRIMMED")).unwrap();
    assert!(all[..marker].iter().enumerate().all(|(n, text)| *text == format!("line {n}")));
    assert_eq!(all.len() - marker - 1, log::LINES);
}

#[test]
fn followers_leave_room_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let mut control = Control::open(&path, None).unwrap();
    let log = log_of(1);
    let _followers: Vec<_> = (0..MAX_FOLLOWERS)
        .map(|_| {
            let mut stream = UnixStream::connect(&path).unwrap();
            stream.write_all(FOLLOW).unwrap();
            serve(&mut control, &log);
            stream
        })
        .collect();
    assert_eq!(
        exchange(&mut control, &path, FOLLOW),
        "{\"error\":\"4 clients follow the log: no more may\"}\n"
    );
    assert_eq!(control.followers(), MAX_FOLLOWERS);
    let peers = b"{\"version\":1,\"command\":\"peers\"}\n";
    assert_eq!(exchange(&mut control, &path, peers), "{\"peers\":[]}\n");
}

#[test]
fn makes_its_folder_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let control = Control::open(&folder.path().join("chimed/control.sock"), None).unwrap();
    assert_eq!(control.descriptors().count(), 1);
    assert!(Control::open(&folder.path().join("a/b/control.sock"), None).is_err());
    assert!(!folder.path().join("a").exists());
}
