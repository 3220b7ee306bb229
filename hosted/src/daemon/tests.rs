//! What the daemon says of calls that fail.

use std::net::UdpSocket;

use super::*;
use crate::sys::fault::{Call, inject};

/// What a daemon logged that was started, did something and was dropped.
fn logged(config: &str, act: impl FnOnce(&mut Daemon)) -> Vec<String> {
    let config = format!("clock = \"software\"\n{config}");
    let config = Config::parse(&config, "test").unwrap();
    let mut daemon = Daemon::start(&config, Log::in_memory()).unwrap();
    act(&mut daemon);
    texts(&daemon.log)
}

fn texts(log: &Log) -> Vec<String> {
    log.since(0).0.into_iter().map(|line| line.text.as_str().to_owned()).collect()
}

fn turn(daemon: &mut Daemon) {
    for _ in 0..3 {
        daemon.turn(Duration::from_millis(1)).unwrap();
    }
}

#[test]
fn a_poll_that_fails_ends_it() {
    let lines = logged("control = \"\"", |daemon| {
        let _fault = inject(Call::Poll, Errno::EFAULT);
        assert!(matches!(
            daemon.run(&mut ServiceManager::default()),
            Err(DaemonError::Poll(Errno::EFAULT))
        ));
    });
    assert_eq!(lines[lines.len() - 2..], ["poll error", "fatal: exiting"]);
}

#[test]
fn too_many_peers_end_it() {
    let server = |port| format!("[[server]]\naddress = \"192.0.2.1\"\nport = {port}\n");
    let config: String = (1..=MAX_PEERS + 1).map(server).collect();
    let config = Config::parse(&format!("clock = \"software\"\n{config}"), "test").unwrap();
    let log = Log::in_memory();
    assert!(matches!(check_room(&config, &log), Err(DaemonError::TooManyPeers(65))));
    assert_eq!(
        texts(&log),
        ["could not resize idx2peer from 64 -> 65 entries", "fatal: client_peer_init calloc"]
    );
}

#[test]
fn a_clock_that_cannot_be_read_ends_it() {
    let log = Log::in_memory();
    let _fault = inject(Call::ReadClock, Errno::EFAULT);
    assert!(matches!(
        open_clock(&Superior::default(), &Config::default(), &log),
        Err(DaemonError::Clock(_))
    ));
    assert_eq!(texts(&log), ["read adjfreq failed"]);
}

#[test]
fn a_clock_that_cannot_be_adjusted_is_told() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let config = format!(
        "control = \"\"\n[[server]]\naddress = \"127.0.0.1\"\nport = {}\n",
        server.local_addr().unwrap().port()
    );
    let lines = logged(&config, |daemon| {
        let _fault = inject(Call::AdjustClock, Errno::EIO);
        daemon.leave_clock();
    });
    assert_eq!(lines.last().map(String::as_str), Some("reset adjtime failed"));
}

#[test]
fn sockets_that_fail_are_told() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let config = format!(
        "control = \"\"\n[[server]]\naddress = \"127.0.0.1\"\nport = {}\n",
        server.local_addr().unwrap().port()
    );
    for (call, error, line) in [
        (Call::DatagramSocket, Errno::EMFILE, "client_query socket"),
        (Call::TypeOfService, Errno::ENOPROTOOPT, "setsockopt IPTOS_LOWDELAY"),
        (Call::Sendmsg, Errno::ENOBUFS, "sendto"),
    ] {
        let lines = logged(&config, |daemon| {
            let _fault = inject(call, error);
            turn(daemon);
        });
        assert!(lines.iter().any(|told| told == line), "{line}: {lines:?}");
    }
}

#[test]
fn a_control_socket_that_fails_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control");
    let path = path.to_str().unwrap();
    let config = format!("control = \"{path}\"");
    for (call, line) in [
        (Call::ControlSocket, "control_init: socket".to_owned()),
        (Call::ControlUnlink, format!("control_init: unlink {path}")),
        (Call::ControlBind, format!("control_init: bind: {path}")),
        (Call::ControlChmod, "control_init: chmod".to_owned()),
        (Call::ControlListen, "control_listen: listen".to_owned()),
    ] {
        if call == Call::ControlUnlink {
            drop(std::os::unix::net::UnixListener::bind(path).unwrap());
        }
        let fault = inject(call, Errno::EACCES);
        let lines = logged(&config, |_| {});
        drop(fault);
        assert!(lines.contains(&line), "{line}: {lines:?}");
        let left = std::path::Path::new(path).exists();
        assert_eq!(left, call == Call::ControlUnlink, "{call:?}");
        let _ = std::fs::remove_file(path);
    }
    let lines = logged(&config, |daemon| {
        let _client = std::os::unix::net::UnixStream::connect(path).unwrap();
        let _fault = inject(Call::ControlAccept, Errno::EMFILE);
        turn(daemon);
    });
    assert!(lines.iter().any(|line| line == "control_accept: accept"), "{lines:?}");
}

#[test]
fn a_host_without_sockets_ends_it() {
    let text = "[[listen]]\naddress = \"127.0.0.1\"\nport = 1123\n";
    let config = Config::parse(text, "test").unwrap();
    for (error, line) in
        [(Errno::EMFILE, "fatal: socket"), (Errno::EAFNOSUPPORT, "fatal: king bula sez: af borked")]
    {
        let log = Log::in_memory();
        let _fault = inject(Call::DatagramSocket, error);
        let outcome = serving::listen(&config, &mut Sockets::new(), &log);
        assert!(matches!(outcome, Err(DaemonError::Listen(_, told)) if told == error));
        assert_eq!(texts(&log), [line]);
    }
}
