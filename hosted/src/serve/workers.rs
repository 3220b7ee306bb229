//! The workers as the engine's thread sees them.

use std::io::{self, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};

use super::published::{Published, WORDS};
use super::seqlock::{Writer, seqlock};
use super::worker::Worker;
use super::{Report, Responder};

/// How long the workers may take to report.
const PATIENCE: Duration = Duration::from_millis(200);

/// Running workers; they end when this does.
#[derive(Debug)]
pub struct Workers {
    published: Writer<WORDS>,
    handles: Vec<Handle>,
}

#[derive(Debug)]
struct Handle {
    ask: UnixStream,
    reports: Receiver<Report>,
    last: Report,
    thread: JoinHandle<Report>,
}

impl Workers {
    /// Starts one for each of `responders`, which serve `published` on their sockets.
    ///
    /// # Errors
    /// The system has no more threads or descriptors.
    pub fn start(
        published: &Published,
        responders: impl IntoIterator<Item = (Responder, Vec<Arc<UdpSocket>>)>,
    ) -> io::Result<Self> {
        let (writer, reader) = seqlock(published.to_words());
        let mut workers = Self { published: writer, handles: Vec::new() };
        // Signals are for the thread that waits for them.
        let mut before = SigSet::empty();
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
        let started =
            responders.into_iter().zip(1..).try_for_each(|((responder, sockets), number)| {
                let (ask, asked) = UnixStream::pair()?;
                let (sender, reports) = sync_channel(1);
                let published = reader.clone();
                let worker = Worker { responder, published, sockets, asked, reports: sender };
                let thread = thread::Builder::new().name(format!("worker {number}"));
                let thread = thread.spawn(move || worker.run())?;
                workers.handles.push(Handle { ask, reports, last: Report::default(), thread });
                Ok(())
            });
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
        started.map(|()| workers)
    }

    /// From now on they serve this.
    pub fn publish(&mut self, published: &Published) {
        self.published.write(published.to_words());
    }

    /// What each of them did; what it said before if it does not answer in time.
    pub fn reports(&mut self) -> Vec<Report> {
        let deadline = Instant::now() + PATIENCE;
        for handle in &mut self.handles {
            // One that came too late the last time.
            let _ = handle.reports.try_recv();
            let _ = handle.ask.write(&[0]);
        }
        let left = || deadline.saturating_duration_since(Instant::now());
        let report = |handle: &mut Handle| {
            if let Ok(report) = handle.reports.recv_timeout(left()) {
                handle.last = report;
            }
            handle.last.clone()
        };
        self.handles.iter_mut().map(report).collect()
    }

    /// Ends them; what each of them did.
    #[must_use]
    pub fn end(mut self) -> Vec<Report> {
        self.join()
    }

    fn join(&mut self) -> Vec<Report> {
        let ending: Vec<_> = self.handles.drain(..).map(|handle| handle.thread).collect();
        // An error would only tell that it panicked, which the panic has told.
        ending.into_iter().filter_map(|thread| thread.join().ok()).collect()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.join();
    }
}
