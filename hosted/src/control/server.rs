//! The daemon's end of the control socket.

use std::fmt;
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
};
use nix::sys::stat::{Mode, umask};
use truechimer_core::event::{Event, Line};

use super::{Answer, Command, Group, LogLine, Request, VERSION};
use crate::log::{self, Log};
use crate::sys::fault::{Call, fault};

/// Clients at a time.
const MAX_CLIENTS: usize = 8;
/// Of them, those that follow the log: they stay, and must leave room for others.
const MAX_FOLLOWERS: usize = 4;
/// Connections that wait to be taken in.
const BACKLOG: Backlog = Backlog::MAXCONN;
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
    Listen,
    Group,
    Chmod,
}

impl OpenError {
    /// Whether another daemon listens there.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        self.error.kind() == ErrorKind::AddrInUse
    }

    /// The event that tells which step failed, if there is one for it.
    #[must_use]
    pub const fn event<'a>(&self, path: &'a str) -> Option<Event<'a>> {
        Some(match self.step {
            Step::Socket => Event::ControlInitSocket,
            Step::Unlink => Event::ControlInitUnlink { path },
            Step::Bind => Event::ControlInitBind { path },
            Step::Listen => Event::ControlListen,
            Step::Chmod => Event::ControlInitChmod,
            Step::Group => return None,
        })
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for OpenError {}

impl Control {
    /// Listens at `path`, in place of a socket that nobody listens on any more, in a folder that is
    /// made if only that is missing. The members of `group` may ask there, or those of the group that
    /// it is in by itself.
    ///
    /// # Errors
    /// The step that failed, and why; [`ErrorKind::AddrInUse`] if another daemon listens there.
    pub fn open(path: &Path, group: Option<&Group>) -> Result<Self, OpenError> {
        let failed = |step: Step| move |error| OpenError { step, error };
        match UnixStream::connect(path) {
            Ok(_) => {
                let error = io::Error::new(ErrorKind::AddrInUse, "another daemon listens on it");
                return Err(failed(Step::Bind)(error));
            }
            Err(error) if error.kind() == ErrorKind::ConnectionRefused && is_socket(path) => {
                fault(Call::ControlUnlink)
                    .map_err(io::Error::from)
                    .and_then(|()| fs::remove_file(path))
                    .map_err(failed(Step::Unlink))?;
            }
            Err(_) => {}
        }
        if let Some(folder) = path.parent() {
            // If it can be neither found nor made, binding tells.
            let _ = fs::create_dir(folder);
        }
        let socket = fault(Call::ControlSocket)
            .and_then(|()| socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None))
            .map_err(|errno| failed(Step::Socket)(errno.into()))?;
        let _ = fcntl(&socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
        // Nobody else may connect between bind and chmod.
        let mask = umask(Mode::from_bits_truncate(0o777));
        let bound =
            fault(Call::ControlBind).and_then(|()| bind(socket.as_raw_fd(), &UnixAddr::new(path)?));
        umask(mask);
        bound.map_err(|errno| failed(Step::Bind)(errno.into()))?;
        // From here on the file goes if something fails.
        let listening = fault(Call::ControlListen).and_then(|()| listen(&socket, BACKLOG));
        let listener = UnixListener::from(socket);
        let control = Self { path: path.to_owned(), listener, clients: Vec::new(), paused: None };
        listening.map_err(|errno| failed(Step::Listen)(errno.into()))?;
        if let Some(group) = group {
            chown(path, None, Some(group.gid.as_raw())).map_err(failed(Step::Group))?;
        }
        fault(Call::ControlChmod)
            .map_err(io::Error::from)
            .and_then(|()| fs::set_permissions(path, Permissions::from_mode(MODE)))
            .map_err(failed(Step::Chmod))?;
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
        let mut followers = self.followers();
        self.clients.retain_mut(|client| {
            client.serve(&mut |request| {
                let follows = request == Command::FollowLog;
                if follows && followers >= MAX_FOLLOWERS {
                    let most = format!("{MAX_FOLLOWERS} clients follow the log: no more may");
                    return (Answer::Error(most), None);
                }
                match request {
                    Command::Log | Command::FollowLog => {
                        followers += usize::from(follows);
                        let (lines, next) = log.since(0);
                        (
                            Answer::Log(lines.iter().map(LogLine::from).collect()),
                            follows.then_some(next),
                        )
                    }
                    other => (answer(other), None),
                }
            })
        });
        loop {
            let accepted = fault(Call::ControlAccept).map_err(io::Error::from);
            match accepted.and_then(|()| self.listener.accept()) {
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

    /// Sends what is new in the log to those who follow it. One that has not taken what it was sent
    /// before gets no more: it will get the rest, or be told that some was trimmed.
    pub fn tell_followers(&mut self, log: &Log) {
        let newest = log.next_number();
        self.clients.retain_mut(|client| match client.follows {
            Some(next) if next < newest && client.answer.is_empty() => {
                let (lines, next) = log.since(next);
                client.follows = Some(next);
                client.put(&Answer::Log(lines.iter().map(LogLine::from).collect()));
                client.write()
            }
            _ => true,
        });
    }

    fn followers(&self) -> usize {
        self.clients.iter().filter(|client| client.follows.is_some()).count()
    }

    fn take_in(&mut self, stream: UnixStream, log: &Log) {
        if self.clients.len() >= MAX_CLIENTS {
            // They stand in the order in which they came.
            let oldest = self.clients.iter().position(|client| client.follows.is_none());
            let is_late = |&place: &usize| self.clients[place].since.elapsed() > PATIENCE;
            let Some(late) = oldest.filter(is_late) else {
                log.event(&Event::ControlAcceptCalloc);
                return;
            };
            self.clients.remove(late);
        }
        if stream.set_nonblocking(true).is_ok() {
            let since = Instant::now();
            let (request, answer) = (Vec::new(), Vec::new());
            self.clients.push(Client { stream, since, request, answer, follows: None });
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
    /// The number of the log's next line that it is to get.
    follows: Option<u64>,
}

impl Client {
    /// Reads the request or writes the answer, as far as that goes; false at the end.
    fn serve(&mut self, answer: &mut impl FnMut(Command) -> (Answer, Option<u64>)) -> bool {
        if self.answer.is_empty() && !self.read(answer) {
            return false;
        }
        self.write()
    }

    /// As far as that goes; false at the end.
    fn write(&mut self) -> bool {
        while !self.answer.is_empty() {
            match self.stream.write(&self.answer) {
                Ok(written) if written == self.answer.len() && self.follows.is_none() => {
                    return false;
                }
                Ok(written) => drop(self.answer.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }

    fn put(&mut self, answer: &Answer) {
        self.answer = serde_json::to_vec(answer).unwrap_or_default();
        self.answer.push(b'\n');
    }

    fn read(&mut self, answer: &mut impl FnMut(Command) -> (Answer, Option<u64>)) -> bool {
        let mut buffer = [0; MAX_REQUEST];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                // Who follows the log has asked for all that there is.
                Ok(_) if self.follows.is_some() => return false,
                Ok(len) => self.request.extend_from_slice(&buffer[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return false,
            }
            let line = self.request.split(|&byte| byte == b'\n').next().unwrap_or_default();
            let answer = if line.len() > MAX_REQUEST {
                Answer::Error(format!("a request has at most {MAX_REQUEST} octets"))
            } else if line.len() < self.request.len() {
                let (answer, follows) = respond(line, answer);
                self.follows = follows;
                answer
            } else {
                continue;
            };
            self.put(&answer);
            return true;
        }
    }
}

fn respond(
    line: &[u8],
    answer: &mut impl FnMut(Command) -> (Answer, Option<u64>),
) -> (Answer, Option<u64>) {
    let refusal = match serde_json::from_slice(line) {
        Ok(Request { version: VERSION, command }) => return answer(command),
        Ok(Request { version, .. }) => {
            format!("version {version} is not known here, {VERSION} is")
        }
        Err(error) => format!("not a request: {error}"),
    };
    (Answer::Error(refusal), None)
}

impl From<&Line> for LogLine {
    fn from(line: &Line) -> Self {
        Self {
            time: line.time.to_string(),
            level: log::name(line.level).to_owned(),
            text: line.text.as_str().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
