//! The daemon's end of the control socket.

use std::fmt;
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use truechimer_core::event::Event;

use super::{Answer, Command, Request, VERSION};

/// Clients at a time; the next one is turned away.
const MAX_CLIENTS: usize = 8;
/// A request is one line that is not longer than this.
const MAX_REQUEST: usize = 1_024;
/// Owner and group may ask.
const MODE: u32 = 0o660;

/// A listening control socket and its clients. The socket's file goes when this does.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    listener: UnixListener,
    clients: Vec<Client>,
}

/// Why there is no control socket.
#[derive(Debug)]
pub struct OpenError {
    step: Step,
    error: io::Error,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Socket,
    Unlink,
    Bind,
    Chmod,
}

impl OpenError {
    /// The event that tells which step failed.
    #[must_use]
    pub const fn event<'a>(&self, path: &'a str) -> Event<'a> {
        match self.step {
            Step::Socket => Event::ControlInitSocket,
            Step::Unlink => Event::ControlInitUnlink { path },
            Step::Bind => Event::ControlInitBind { path },
            Step::Chmod => Event::ControlInitChmod,
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for OpenError {}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    request: Vec<u8>,
}

impl Control {
    /// Listens at `path`, in place of a socket that nobody listens on any more.
    ///
    /// # Errors
    /// The step that failed, and why.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |step: Step| move |error| OpenError { step, error };
        if UnixStream::connect(path).is_ok() {
            let error = io::Error::new(ErrorKind::AddrInUse, "another daemon listens on it");
            return Err(failed(Step::Bind)(error));
        }
        if fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket()) {
            fs::remove_file(path).map_err(failed(Step::Unlink))?;
        }
        let listener = UnixListener::bind(path).map_err(failed(Step::Bind))?;
        let control = Self { path: path.to_owned(), listener, clients: Vec::new() };
        fs::set_permissions(path, Permissions::from_mode(MODE)).map_err(failed(Step::Chmod))?;
        control.listener.set_nonblocking(true).map_err(failed(Step::Socket))?;
        Ok(control)
    }

    /// Everything to wait for.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(self.listener.as_fd())
            .chain(self.clients.iter().map(|client| client.stream.as_fd()))
    }

    /// Takes new clients in and answers those that have asked. None of them can keep the daemon
    /// waiting: who does not take the answer at once loses it.
    pub fn serve(&mut self, mut answer: impl FnMut(Command) -> Answer) {
        self.clients.retain_mut(|client| match client.read() {
            Progress::Waiting => true,
            Progress::Ended => false,
            Progress::Asked(line) => {
                client.answer(&respond(&line, &mut answer));
                false
            }
        });
        while let Ok((stream, _)) = self.listener.accept() {
            if self.clients.len() < MAX_CLIENTS && stream.set_nonblocking(true).is_ok() {
                self.clients.push(Client { stream, request: Vec::new() });
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

enum Progress {
    Waiting,
    Asked(Vec<u8>),
    Ended,
}

impl Client {
    fn read(&mut self) -> Progress {
        let mut buffer = [0; MAX_REQUEST];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Progress::Ended,
                Ok(len) => self.request.extend_from_slice(&buffer[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Progress::Waiting,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Progress::Ended,
            }
            if let Some(end) = self.request.iter().position(|&byte| byte == b'\n') {
                self.request.truncate(end);
                return Progress::Asked(std::mem::take(&mut self.request));
            }
            if self.request.len() > MAX_REQUEST {
                let text = format!("a request has at most {MAX_REQUEST} octets");
                self.answer(&Answer::Error(text));
                return Progress::Ended;
            }
        }
    }

    fn answer(&mut self, answer: &Answer) {
        if let Ok(mut line) = serde_json::to_vec(answer) {
            line.push(b'\n');
            let _ = self.stream.write_all(&line);
        }
    }
}

fn respond(line: &[u8], answer: &mut impl FnMut(Command) -> Answer) -> Answer {
    match serde_json::from_slice(line) {
        Ok(Request { version: VERSION, command }) => answer(command),
        Ok(Request { version, .. }) => {
            Answer::Error(format!("version {version} is not known here, {VERSION} is"))
        }
        Err(error) => Answer::Error(format!("not a request: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};

    fn exchange(control: &mut Control, path: &Path, request: &[u8]) -> String {
        let mut stream = UnixStream::connect(path).unwrap();
        stream.write_all(request).unwrap();
        let mut line = String::new();
        for _ in 0..3 {
            control.serve(|_| Answer::Peers(Vec::new()));
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
                "{\"error\":\"not a request: unknown variant `reboot`, expected `status` or `peers` at line 1 column 31\"}\n",
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
        control.serve(|_| unreachable!());
        assert_eq!(control.descriptors().count(), 1 + MAX_CLIENTS);
        drop(silent);
        control.serve(|_| unreachable!());
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
}
