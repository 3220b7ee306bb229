use super::*;
use crate::log::LogProfile;
use std::io::{BufRead, BufReader};
use truechimer_core::event::Level;

fn log() -> Log {
    Log::new(LogProfile::Unix, Level::Critical)
}

fn exchange(control: &mut Control, path: &Path, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.write_all(request).unwrap();
    let mut line = String::new();
    for _ in 0..3 {
        control.serve(&log(), |_| Answer::Peers(Vec::new()));
    }
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}

#[test]
fn answers_requests_and_says_what_is_wrong_with_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let mut control = Control::open(&path).unwrap();
    let cases: [(&[u8], &str); 4] = [
        (b"{\"version\":1,\"command\":\"peers\"}\n", "{\"peers\":[]}\n"),
        (
            b"{\"version\":2,\"command\":\"peers\"}\n",
            "{\"error\":\"version 2 is not known here, 1 is\"}\n",
        ),
        (
            b"{\"version\":1,\"command\":\"reboot\"}\n",
            "{\"error\":\"not a request: unknown variant `reboot`, expected one of `status`, `peers`, `accept`, `step` at line 1 column 31\"}\n",
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
    let mut control = Control::open(&path).unwrap();
    let silent: Vec<_> = (0..20).map(|_| UnixStream::connect(&path).unwrap()).collect();
    control.serve(&log(), |_| unreachable!());
    assert_eq!(control.descriptors().count(), 1 + MAX_CLIENTS);
    drop(silent);
    control.serve(&log(), |_| unreachable!());
    assert_eq!(control.descriptors().count(), 1);
}

#[test]
fn takes_the_place_of_a_dead_socket_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    drop(UnixListener::bind(&path).unwrap());
    let control = Control::open(&path).unwrap();
    let error = Control::open(&path).unwrap_err();
    assert_eq!(error.event("path").to_string(), "control_init: bind: path");
    assert_eq!(error.to_string(), "another daemon listens on it");
    drop(control);
    assert!(!path.exists());

    fs::write(&path, "precious").unwrap();
    assert!(Control::open(&path).is_err());
    assert_eq!(fs::read(&path).unwrap(), b"precious");
}

#[test]
fn a_large_answer_reaches_a_slow_client_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let mut control = Control::open(&path).unwrap();
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"{\"version\":1,\"command\":\"peers\"}\n").unwrap();
    let large = "x".repeat(4_000_000);
    for _ in 0..3 {
        control.serve(&log(), |_| Answer::Error(large.clone()));
    }
    let events = control.descriptors().last().unwrap().events();
    assert_eq!(events, PollFlags::POLLOUT, "it does not fit the socket's buffer");
    let reader = std::thread::spawn(move || {
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).map(|_| line)
    });
    while !reader.is_finished() {
        control.serve(&log(), |_| unreachable!());
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(reader.join().unwrap().unwrap(), format!("{{\"error\":\"{large}\"}}\n"));
}
