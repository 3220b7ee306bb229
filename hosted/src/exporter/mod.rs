//! `chimectl exporter`: what a running `chimed` says, over HTTP: metrics for Prometheus and a page
//! with plots for people.
//!
//! It asks like any other client of the control socket: for the metrics and for the page no more often
//! than twice a second each, however many ask here, and at an interval for the plots. There is a thread
//! for each connection, of which there are at most 32, and one that looks for the plots.

mod history;
mod http;
mod metrics;
mod page;
mod plot;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::geteuid;

use crate::control::{Answer, ClientError, Command, Peer, Serving, Status, ask_within};
use crate::log::{self, Log};
use crate::sandbox::{Protection, SandboxError, Work, confine};
use crate::sys;
use history::History;
use http::Content;

/// Where it listens unless it is told.
pub const ADDRESS: &str = "127.0.0.1:10123";

/// Connections at a time.
const MOST_CONNECTIONS: usize = 32;
/// How long the daemon may take for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// What was made this lately is sent again.
const FRESH: Duration = Duration::from_millis(500);
/// After a connection could not be accepted (there are no descriptors left, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Why nothing is exported.
#[derive(Debug, thiserror::Error)]
pub enum ExporterError {
    /// It is not for root.
    #[error(
        "the exporter does not run as root: start it as another user of the control socket's group, \
         with the unit chimed-exporter.service or by `setpriv --reuid nobody --regid GROUP \
         --clear-groups chimectl exporter`, where GROUP is what `stat -c %G {0}` says"
    )]
    Root(PathBuf),
    /// The address is taken, or not this host's.
    #[error("cannot listen at {0}: {1}")]
    Listen(SocketAddr, io::Error),
    /// A protection that is there cannot be had.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// Signals, threads, or standard output.
    #[error("cannot export: {0}")]
    System(#[from] io::Error),
}

/// Exports what the daemon whose control socket is at `daemon` says, until a signal asks for an end.
/// It looks every `interval` for the plots. `ready` is told where it listens and what it gave up.
///
/// # Errors
/// It runs as root, cannot listen or not be confined, or `ready` failed. A daemon that cannot be
/// asked is waited for.
pub fn run(
    daemon: &Path,
    listen: &[SocketAddr],
    interval: Duration,
    ready: impl FnOnce(&[SocketAddr], &[Protection]) -> io::Result<()>,
) -> Result<(), ExporterError> {
    if geteuid().is_root() {
        return Err(ExporterError::Root(daemon.to_owned()));
    }
    let (bell, rung) = UnixStream::pair()?;
    bell.set_nonblocking(true)?;
    sys::ring_on_signals(bell.into());
    sys::catch_termination().map_err(io::Error::from)?;
    let listeners = listen
        .iter()
        .map(|at| bind(*at).map_err(|error| ExporterError::Listen(*at, error)))
        .collect::<Result<Vec<_>, _>>()?;
    let bound = listeners.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
    let log = Log::new(&log::Options {
        destination: log::Destination::Stderr,
        ..log::Options::default()
    });
    let protections = confine(&Work::Exporter, None, &log)?;
    let watched = Arc::new(Watched::new(daemon, interval));
    let looking = Arc::clone(&watched);
    thread::Builder::new().spawn(move || looking.look_again_and_again())?;
    ready(&bound, &protections)?;
    accept(&rung, &listeners, &watched).map_err(|error| io::Error::from(error).into())
}

fn bind(at: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(at)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn accept(
    rung: &UnixStream,
    listeners: &[TcpListener],
    watched: &Arc<Watched>,
) -> Result<(), Errno> {
    // Each connection has one, and its thread's end gives it back whatever ends it.
    let places = Arc::new(());
    while !sys::termination_requested() {
        let descriptor = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut descriptors: Vec<_> =
            listeners.iter().map(|listener| descriptor(listener.as_fd())).collect();
        descriptors.push(descriptor(rung.as_fd()));
        match poll(&mut descriptors, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
        for listener in listeners {
            match listener.accept() {
                Ok((stream, _)) if Arc::strong_count(&places) > MOST_CONNECTIONS => {
                    http::refuse(&stream);
                }
                Ok((stream, _)) => {
                    let (place, watched) = (Arc::clone(&places), Arc::clone(watched));
                    let serve = move || {
                        watched.serve(&stream);
                        drop(place);
                    };
                    // Without a thread for it, it is closed.
                    let _ = thread::Builder::new().spawn(serve);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock
                    | io::ErrorKind::Interrupted
                    | io::ErrorKind::ConnectionAborted => {}
                    _ => thread::sleep(ACCEPT_PAUSE),
                },
            }
        }
    }
    Ok(())
}

/// What the daemon said at one moment.
#[derive(Debug)]
struct Told {
    status: Status,
    peers: Vec<Peer>,
}

/// A daemon, and what of it is kept.
#[derive(Debug)]
struct Watched {
    daemon: PathBuf,
    interval: Duration,
    history: Mutex<History>,
    metrics: Fresh,
    page: Fresh,
}

impl Watched {
    fn new(daemon: &Path, interval: Duration) -> Self {
        let daemon = daemon.to_owned();
        let (history, metrics, page) = Default::default();
        Self { daemon, interval, history, metrics, page }
    }

    fn serve(&self, stream: &TcpStream) {
        http::serve(stream, |path| match path {
            "/" => Some(Content::html(self.page.get(|| self.draw()))),
            "/metrics" => Some(Content::metrics(self.metrics.get(|| self.measure()))),
            _ => None,
        });
    }

    fn look_again_and_again(&self) {
        let mut next = Instant::now();
        loop {
            let status = self.status();
            locked(&self.history).push(Instant::now(), status.as_ref().ok());
            // What was missed is not made up for.
            next = (next + self.interval).max(Instant::now());
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }

    fn draw(&self) -> String {
        let told = self.ask();
        page::draw(told.as_ref(), &locked(&self.history), self.interval)
    }

    fn measure(&self) -> String {
        let told = self.ask().and_then(|told| {
            let served = (!told.status.listening.is_empty()).then(|| self.served()).transpose()?;
            Ok((told, served))
        });
        match told {
            Ok((told, served)) => metrics::write(&told, served.as_ref()),
            Err(_) => metrics::down(),
        }
    }

    fn ask(&self) -> Result<Told, ClientError> {
        let status = self.status()?;
        let Answer::Peers(peers) = ask_within(PATIENCE, &self.daemon, Command::Peers)? else {
            return Err(ClientError::Refused("to say what its peers are".into()));
        };
        Ok(Told { status, peers })
    }

    fn status(&self) -> Result<Status, ClientError> {
        match ask_within(PATIENCE, &self.daemon, Command::Status)? {
            Answer::Status(status) => Ok(*status),
            _ => Err(ClientError::Refused("to say how it is".into())),
        }
    }

    fn served(&self) -> Result<Serving, ClientError> {
        match ask_within(PATIENCE, &self.daemon, Command::Server)? {
            Answer::Server(served) => Ok(*served),
            _ => Err(ClientError::Refused("to say what it served".into())),
        }
    }
}

/// A text that is made anew when it is asked for and no longer fresh, by one at a time.
#[derive(Debug, Default)]
struct Fresh(Mutex<Option<(Instant, String)>>);

impl Fresh {
    fn get(&self, make: impl FnOnce() -> String) -> String {
        let mut kept = locked(&self.0);
        match &*kept {
            Some((made, text)) if made.elapsed() < FRESH => text.clone(),
            _ => {
                let text = make();
                *kept = Some((Instant::now(), text.clone()));
                text
            }
        }
    }
}

/// What a thread that panicked left is whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
