//! Another program on this host that takes messages as datagrams: syslog's daemon or the journal's.
//!
//! Both formats are a few fields in a line each; what the libraries for them would add is what a
//! daemon cannot have here: a call that waits for a receiver that is stuck, the local time zone,
//! which a changed root does not have, or a path looked up for each message.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use truechimer_core::event::{Event, Level};

/// What the messages are said to come from.
const IDENTIFIER: &str = "chimed";
/// The facility of system daemons (RFC 5424 §6.2.1).
const DAEMON: u8 = 3;

/// How a message is put into a datagram.
#[derive(Debug, Clone, Copy)]
pub(super) enum Format {
    /// RFC 3164 §4.1 without date and host, which the receiver adds (§4.3).
    Syslog,
    /// The fields of systemd's native protocol.
    Journal,
}

/// A connection to it. It is made early, and stays good when the root directory is changed; if it
/// breaks because the receiver was started anew, it is made again.
#[derive(Debug)]
pub(super) struct Receiver {
    path: PathBuf,
    format: Format,
    socket: Option<UnixDatagram>,
}

impl Receiver {
    pub(super) fn connect(path: impl Into<PathBuf>, format: Format) -> Self {
        let mut receiver = Self { path: path.into(), format, socket: None };
        receiver.reconnect();
        receiver
    }

    pub(super) const fn is_connected(&self) -> bool {
        self.socket.is_some()
    }

    fn reconnect(&mut self) {
        self.socket = UnixDatagram::unbound().ok().filter(|socket| {
            socket.connect(&self.path).and_then(|()| socket.set_nonblocking(true)).is_ok()
        });
    }

    /// Sends a message, at once or not at all.
    pub(super) fn send(&mut self, level: Level, text: &str, event: Option<&Event<'_>>) -> bool {
        let datagram = match self.format {
            Format::Syslog => syslog(level, text),
            Format::Journal => journal(level, text, event),
        };
        let send = |receiver: &Self| match &receiver.socket {
            Some(socket) => socket.send(&datagram).map(drop),
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        match send(self) {
            Ok(()) => true,
            // It has more than it can take, which another connection would not change.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(_) => {
                self.reconnect();
                send(self).is_ok()
            }
        }
    }
}

fn syslog(level: Level, text: &str) -> Vec<u8> {
    let priority = DAEMON * 8 + level.as_syslog();
    format!("<{priority}>{IDENTIFIER}[{}]: {text}", std::process::id()).into_bytes()
}

fn journal(level: Level, text: &str, event: Option<&Event<'_>>) -> Vec<u8> {
    let mut datagram = Vec::new();
    let mut field = |name: &str, value: &str| {
        datagram.extend(name.as_bytes());
        // A value of several lines is preceded by its length.
        if value.contains('\n') {
            datagram.push(b'\n');
            datagram.extend((value.len() as u64).to_le_bytes());
        } else {
            datagram.push(b'=');
        }
        datagram.extend(value.as_bytes());
        datagram.push(b'\n');
    };
    field("MESSAGE", text);
    field("PRIORITY", &level.as_syslog().to_string());
    field("SYSLOG_IDENTIFIER", IDENTIFIER);
    field("SYSLOG_FACILITY", &DAEMON.to_string());
    if let Some(event) = event {
        field("CHIMED_EVENT", event.name());
        if let Some(address) = event.address() {
            field("CHIMED_ADDRESS", &address.to_string());
        }
    }
    datagram
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv6Addr};

    const ADDRESS: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    fn take(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 1_024];
        let len = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    }

    #[test]
    fn syslog_gets_priority_and_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let socket = UnixDatagram::bind(&path).unwrap();
        let mut receiver = Receiver::connect(&path, Format::Syslog);
        assert!(receiver.send(Level::Warning, "a text", None));
        let id = std::process::id();
        assert_eq!(take(&socket), format!("<28>chimed[{id}]: a text"));
    }

    #[test]
    fn the_journal_gets_fields() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let socket = UnixDatagram::bind(&path).unwrap();
        let mut receiver = Receiver::connect(&path, Format::Journal);
        let event = Event::PeerValid { address: ADDRESS };
        assert!(receiver.send(Level::Info, &event.to_string(), Some(&event)));
        let common = "PRIORITY=6\nSYSLOG_IDENTIFIER=chimed\nSYSLOG_FACILITY=3\n";
        let own = "CHIMED_EVENT=PeerValid\nCHIMED_ADDRESS=::1\n";
        assert_eq!(take(&socket), format!("MESSAGE=peer ::1 now valid\n{common}{own}"));
        assert!(receiver.send(Level::Info, "two\nlines", None));
        let length = "\x09\0\0\0\0\0\0\0";
        assert_eq!(take(&socket), format!("MESSAGE\n{length}two\nlines\n{common}"));
    }

    #[test]
    fn a_receiver_that_was_started_anew_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut receiver = Receiver::connect(&path, Format::Syslog);
        assert!(!receiver.is_connected() && !receiver.send(Level::Info, "lost", None));
        for _ in 0..2 {
            let socket = UnixDatagram::bind(&path).unwrap();
            assert!(receiver.send(Level::Info, "told", None));
            assert!(take(&socket).ends_with(": told"));
            drop(socket);
            std::fs::remove_file(&path).unwrap();
        }
        assert!(!receiver.send(Level::Info, "lost", None));
    }

    /// As after a change of the root directory.
    #[test]
    fn the_connection_outlives_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let socket = UnixDatagram::bind(&path).unwrap();
        let mut receiver = Receiver::connect(&path, Format::Syslog);
        std::fs::remove_file(&path).unwrap();
        assert!(receiver.send(Level::Info, "told", None));
        assert!(take(&socket).ends_with(": told"));
    }

    #[test]
    fn a_receiver_that_is_stuck_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let _socket = UnixDatagram::bind(&path).unwrap();
        let mut receiver = Receiver::connect(&path, Format::Syslog);
        let sent = (0..100_000).take_while(|_| receiver.send(Level::Info, "text", None)).count();
        assert!(sent < 100_000);
    }
}
