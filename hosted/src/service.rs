//! What a service manager is told, by systemd's protocol sd_notify(3): datagrams to the socket that
//! `NOTIFY_SOCKET` names. Without that variable nothing is opened and nothing sent.
//!
//! The socket is connected once, while its path is still in reach, and a manager that does not read
//! holds nobody up for longer than a second.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::process::link::Link;

/// How long a message may take to be taken.
const PATIENCE: Duration = Duration::from_secs(1);
/// The status line is looked at no more often than this.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// What it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notice {
    /// The service is up, for the first time or after [`Reloading`](Self::Reloading).
    Ready,
    /// It reads its configuration anew, at this time since the host started.
    Reloading(Duration),
    /// It is about to end.
    Stopping,
    /// It lives.
    Alive,
    /// How it is, in one line.
    Status(String),
}

/// Who passes notices on.
#[derive(Debug)]
enum Way {
    Socket(UnixDatagram),
    /// Whom alone the manager listens to.
    Parent(Arc<Link>),
}

/// The service manager, if there is one that wants to be told.
#[derive(Debug, Default)]
pub struct ServiceManager {
    way: Option<Way>,
    /// Half of what the watchdog allows (sd_watchdog_enabled(3)).
    beat: Option<Duration>,
    beaten: Option<Instant>,
    status: String,
    looked: Option<Instant>,
}

impl ServiceManager {
    /// The one that the environment names.
    ///
    /// # Errors
    /// It names one that cannot be told.
    pub fn from_environment() -> io::Result<Self> {
        let Some(name) = env::var_os("NOTIFY_SOCKET") else { return Ok(Self::default()) };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address(&name)?)?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let variable = |name| env::var(name).ok();
        let limit = watchdog(variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"), process::id());
        let beat = limit.map(|limit| limit / 2);
        Ok(Self { way: Some(Way::Socket(socket)), beat, ..Self::default() })
    }

    /// One that the parent process tells, and how often it wants to know that the service lives.
    #[must_use]
    pub fn behind(parent: Arc<Link>, beat: Option<Duration>) -> Self {
        Self { way: Some(Way::Parent(parent)), beat, ..Self::default() }
    }

    /// Whether there is one.
    #[must_use]
    pub const fn is_there(&self) -> bool {
        self.way.is_some()
    }

    /// How often it wants to know that the service lives.
    #[must_use]
    pub const fn beat(&self) -> Option<Duration> {
        self.beat
    }

    /// To be called whenever the service has done some work: says that it lives, and how it is if
    /// that has changed.
    pub fn tend(&mut self, status: impl FnOnce() -> String) {
        if self.way.is_none() {
            return;
        }
        let now = Instant::now();
        let is_due = |last: Option<Instant>, interval| {
            last.is_none_or(|last| now.duration_since(last) >= interval)
        };
        if self.beat.is_some_and(|beat| is_due(self.beaten, beat)) {
            self.tell(Notice::Alive);
            self.beaten = Some(now);
        }
        if is_due(self.looked, STATUS_INTERVAL) {
            self.looked = Some(now);
            let status = status();
            if status != self.status {
                self.tell(Notice::Status(status.clone()));
                self.status = status;
            }
        }
    }

    /// How long the service may sleep, if it wants to for so long.
    #[must_use]
    pub fn longest_wait(&self, wanted: Duration) -> Duration {
        let Some(beat) = self.beat else { return wanted };
        let since = self.beaten.map_or(beat, |beaten| beaten.elapsed());
        wanted.min(beat.saturating_sub(since))
    }

    /// A manager that is gone is no reason to end.
    pub fn tell(&self, notice: Notice) {
        match &self.way {
            None => {}
            Some(Way::Socket(socket)) => drop(socket.send(notice.assignments().as_bytes())),
            Some(Way::Parent(parent)) => parent.notify(notice),
        }
    }
}

impl Notice {
    /// As the protocol has it.
    fn assignments(&self) -> String {
        match self {
            Self::Ready => "READY=1".to_owned(),
            Self::Reloading(monotonic) => {
                format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic.as_micros())
            }
            Self::Stopping => "STOPPING=1".to_owned(),
            Self::Alive => "WATCHDOG=1".to_owned(),
            // What stands on another line would be another assignment.
            Self::Status(status) => format!("STATUS={}", status.replace(char::is_control, " ")),
        }
    }
}

/// A path, or after an `@` a name of Linux' abstract namespace.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(name),
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => {
            <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)
        }
        _ => {
            let text = format!("NOTIFY_SOCKET={name:?} is neither a path nor @ and a name");
            Err(io::Error::new(io::ErrorKind::InvalidInput, text))
        }
    }
}

/// The longest silence that is taken for life, if process `me` is the one that is watched.
fn watchdog(usec: Option<String>, pid: Option<String>, me: u32) -> Option<Duration> {
    let watched = pid.is_none_or(|pid| pid.parse() == Ok(me));
    let usec = usec?.parse().ok().filter(|usec| watched && *usec > 0)?;
    Some(Duration::from_micros(usec))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_watched() {
        let watchdog = |usec: &str, pid: Option<&str>| {
            watchdog(Some(usec.into()), pid.map(Into::into), 7).map(|limit| limit.as_micros())
        };
        assert_eq!(watchdog("30", None), Some(30));
        assert_eq!(watchdog("30", Some("7")), Some(30));
        for (usec, pid) in [("30", Some("8")), ("30", Some("")), ("0", None), ("soon", None)] {
            assert_eq!(watchdog(usec, pid), None, "{usec} {pid:?}");
        }
        assert_eq!(super::watchdog(None, None, 7), None);
    }

    #[test]
    fn addresses() {
        let path = address("/run/notify".as_ref()).unwrap();
        assert_eq!(path.as_pathname(), Some("/run/notify".as_ref()));
        for name in ["", "notify", "vsock:2:1234"] {
            assert!(address(name.as_ref()).is_err(), "{name}");
        }
    }

    /// What the manager gets of a service that reloads.
    #[test]
    fn reloading() {
        let (socket, manager) = UnixDatagram::pair().unwrap();
        let service = ServiceManager { way: Some(Way::Socket(socket)), ..Default::default() };
        service.tell(Notice::Reloading(Duration::from_micros(1_234)));
        service.tell(Notice::Ready);
        service.tell(Notice::Status("well\nMAINPID=1".to_owned()));
        let mut buffer = [0; 64];
        for expected in ["RELOADING=1\nMONOTONIC_USEC=1234", "READY=1", "STATUS=well MAINPID=1"] {
            let length = manager.recv(&mut buffer).unwrap();
            assert_eq!(buffer[..length], *expected.as_bytes());
        }
    }
}
