//! The daemon's end of the control socket.

use std::fmt;
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};
use nix::sys::stat::{Mode, umask};
use truechimer_core::event::Event;

use super::{Answer, Command, Request, VERSION};
use crate::log::Log;

/// Clients at a time.
const MAX_CLIENTS: usize = 8;
/// A request is one line that is not longer than this.
const MAX_REQUEST: usize = 1_024;
/// Owner and group may ask.
const MODE: u32 = 0o660;
/// A client that takes longer has to make room for another.
const PATIENCE: Duration = Duration::from_secs(5);
/// After a client could not be accepted (there are no descriptors left, mostly) the listener is
/// left alone for this long: it stays readable all the while.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// A listening control socket and its clients. The socket's file goes when this does.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    listener: UnixListener,
    clients: Vec<Client>,
    paused: Option<Instant>,
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
    /// Whether another daemon listens there.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        self.error.kind() == ErrorKind::AddrInUse
    }

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

impl Control {
    /// Listens at `path`, in place of a socket that nobody listens on any more.
    ///
    /// # Errors
    /// The step that failed, and why; [`ErrorKind::AddrInUse`] if another daemon listens there.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |step: Step| move |error| OpenError { step, error };
        match UnixStream::connect(path) {
            Ok(_) => {
                let error = io::Error::new(ErrorKind::AddrInUse, "another daemon listens on it");
                return Err(failed(Step::Bind)(error));
            }
            Err(error) if error.kind() == ErrorKind::ConnectionRefused && is_socket(path) => {
                fs::remove_file(path).map_err(failed(Step::Unlink))?;
            }
            Err(_) => {}
        }
        // Nobody else may connect between bind and chmod.
        let mask = umask(Mode::from_bits_truncate(0o777));
        let listener = UnixListener::bind(path);
        umask(mask);
        let listener = listener.map_err(failed(Step::Bind))?;
        let control = Self { path: path.to_owned(), listener, clients: Vec::new(), paused: None };
        fs::set_permissions(path, Permissions::from_mode(MODE)).map_err(failed(Step::Chmod))?;
        control.listener.set_nonblocking(true).map_err(failed(Step::Socket))?;
        Ok(control)
    }

    /// Everything to wait for.
    pub fn descriptors(&self) -> impl Iterator<Item = PollFd<'_>> {
        let paused = self.paused.is_some_and(|since| since.elapsed() < ACCEPT_PAUSE);
        let listener = (!paused).then(|| PollFd::new(self.listener.as_fd(), PollFlags::POLLIN));
        let clients = self.clients.iter().map(|client| {
            let writing = !client.answer.is_empty();
            let events = if writing { PollFlags::POLLOUT } else { PollFlags::POLLIN };
            PollFd::new(client.stream.as_fd(), events)
        });
        listener.into_iter().chain(clients)
    }

    /// Takes new clients in and answers those that have asked. None of them can keep the daemon
    /// waiting.
    pub fn serve(&mut self, log: &Log, mut answer: impl FnMut(Command) -> Answer) {
        self.clients.retain_mut(|client| client.serve(&mut answer));
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => self.take_in(stream, log),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => break,
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
                    _ => {
                        log.event(&Event::ControlAccept);
                        self.paused = Some(Instant::now());
                        break;
                    }
                },
            }
        }
    }

    fn take_in(&mut self, stream: UnixStream, log: &Log) {
        if self.clients.len() >= MAX_CLIENTS {
            // They stand in the order in which they came.
            if self.clients.first().is_some_and(|oldest| oldest.since.elapsed() <= PATIENCE) {
                log.event(&Event::ControlAcceptCalloc);
                return;
            }
            self.clients.remove(0);
        }
        if stream.set_nonblocking(true).is_ok() {
            let since = Instant::now();
            self.clients.push(Client { stream, since, request: Vec::new(), answer: Vec::new() });
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket())
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    since: Instant,
    request: Vec<u8>,
    /// What is still to be written.
    answer: Vec<u8>,
}

impl Client {
    /// Reads the request or writes the answer, as far as that goes; false at the end.
    fn serve(&mut self, answer: &mut impl FnMut(Command) -> Answer) -> bool {
        if self.answer.is_empty() && !self.read(answer) {
            return false;
        }
        while !self.answer.is_empty() {
            match self.stream.write(&self.answer) {
                Ok(written) if written == self.answer.len() => return false,
                Ok(written) => drop(self.answer.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }

    fn read(&mut self, answer: &mut impl FnMut(Command) -> Answer) -> bool {
        let mut buffer = [0; MAX_REQUEST];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(len) => self.request.extend_from_slice(&buffer[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return false,
            }
            let line = self.request.split(|&byte| byte == b'\n').next().unwrap_or_default();
            let answer = if line.len() > MAX_REQUEST {
                Answer::Error(format!("a request has at most {MAX_REQUEST} octets"))
            } else if line.len() < self.request.len() {
                respond(line, answer)
            } else {
                continue;
            };
            self.answer = serde_json::to_vec(&answer).unwrap_or_default();
            self.answer.push(b'\n');
            return true;
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
mod tests;
