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
use std::time::{Duration, Instant};

/// How long a message may take to be taken.
const PATIENCE: Duration = Duration::from_secs(1);
/// The status line is looked at no more often than this.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// The service manager, if there is one that wants to be told.
#[derive(Debug, Default)]
pub struct ServiceManager {
    socket: Option<UnixDatagram>,
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
        Ok(Self { socket: Some(socket), beat: limit.map(|limit| limit / 2), ..Self::default() })
    }

    /// The service is up, for the first time or after [`reloading`](Self::reloading).
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// The service reads its configuration anew; `monotonic` is the time since the host started.
    pub fn reloading(&self, monotonic: Duration) {
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic.as_micros()));
    }

    /// The service is about to end.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// To be called whenever the service has done some work: says that it lives, and how it is if
    /// that has changed.
    pub fn tend(&mut self, status: impl FnOnce() -> String) {
        if self.socket.is_none() {
            return;
        }
        let now = Instant::now();
        let is_due = |last: Option<Instant>, interval| {
            last.is_none_or(|last| now.duration_since(last) >= interval)
        };
        if self.beat.is_some_and(|beat| is_due(self.beaten, beat)) {
            self.send("WATCHDOG=1");
            self.beaten = Some(now);
        }
        if is_due(self.looked, STATUS_INTERVAL) {
            self.looked = Some(now);
            let status = status();
            if status != self.status {
                self.send(&format!("STATUS={status}"));
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
    fn send(&self, message: &str) {
        if let Some(socket) = &self.socket {
            let _ = socket.send(message.as_bytes());
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
        let service = ServiceManager { socket: Some(socket), ..Default::default() };
        service.reloading(Duration::from_micros(1_234));
        service.ready();
        let mut buffer = [0; 64];
        for expected in ["RELOADING=1\nMONOTONIC_USEC=1234", "READY=1"] {
            let length = manager.recv(&mut buffer).unwrap();
            assert_eq!(buffer[..length], *expected.as_bytes());
        }
    }
}
