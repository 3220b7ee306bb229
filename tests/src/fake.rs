//! A server that answers as a test wants it to.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

/// Seconds from 1900 to 1970.
const NTP_TO_UNIX: u64 = 2_208_988_800;
/// How often the thread looks whether it is to end.
const TICK: Duration = Duration::from_millis(50);

/// A query that arrived.
#[derive(Debug, Clone)]
pub struct Query {
    /// When, as a stamp of the wire by this machine's clock.
    pub received: u64,
    /// Its octets.
    pub bytes: Vec<u8>,
}

impl Query {
    /// The transmit stamp, which an honest reply returns.
    #[must_use]
    pub fn stamp(&self) -> u64 {
        let stamp = self.bytes.get(40..48).and_then(|bytes| bytes.try_into().ok());
        stamp.map_or(0, u64::from_be_bytes)
    }
}

/// A header, field by field. It is put together here and not by the core, so that both cannot be
/// wrong alike.
#[derive(Debug, Clone, Copy)]
pub struct Reply {
    /// Leap indicator, 0 to 3.
    pub leap: u8,
    /// Version, 0 to 7.
    pub version: u8,
    /// Mode, 0 to 7.
    pub mode: u8,
    /// Stratum.
    pub stratum: u8,
    /// Reference id.
    pub reference_id: [u8; 4],
    /// Origin stamp.
    pub origin: u64,
    /// Receive stamp.
    pub receive: u64,
    /// Transmit stamp.
    pub transmit: u64,
}

impl Reply {
    /// The truth, of stratum 1.
    #[must_use]
    pub fn honest(query: &Query) -> Self {
        Self {
            leap: 0,
            version: 4,
            mode: 4,
            stratum: 1,
            reference_id: *b"TEST",
            origin: query.stamp(),
            receive: query.received,
            transmit: now(),
        }
    }

    /// A lie of so many seconds, which must be noticed if it is believed.
    #[must_use]
    pub fn shifted(self, seconds: u32) -> Self {
        let shift = u64::from(seconds) << 32;
        let (receive, transmit) =
            (self.receive.wrapping_add(shift), self.transmit.wrapping_add(shift));
        Self { receive, transmit, ..self }
    }

    /// A Kiss-o'-Death.
    #[must_use]
    pub fn kiss(query: &Query, code: [u8; 4]) -> Self {
        Self { leap: 3, stratum: 0, reference_id: code, ..Self::honest(query) }
    }

    /// The 48 octets: precision 2^-20 s, root delay and dispersion 2^-12 s.
    #[must_use]
    pub fn emit(&self) -> Vec<u8> {
        let flags = (self.leap << 6) | ((self.version & 7) << 3) | (self.mode & 7);
        let reference = self.receive.wrapping_sub(1 << 32);
        let mut bytes = vec![flags, self.stratum, 0, 0xec, 0, 0, 0, 16, 0, 0, 0, 16];
        bytes.extend(self.reference_id);
        for stamp in [reference, self.origin, self.receive, self.transmit] {
            bytes.extend(stamp.to_be_bytes());
        }
        bytes
    }
}

/// What goes back.
#[derive(Debug, Clone)]
pub enum Datagram {
    /// From the port that was asked.
    FromHere(Vec<u8>),
    /// From another port of the same address.
    FromElsewhere(Vec<u8>),
}

type Script = Box<dyn FnMut(&Query) -> Vec<Datagram> + Send>;

/// A UDP server on loopback whose answers to each query a script makes. Ends on drop.
pub struct FakeServer {
    /// Its port on 127.0.0.1.
    pub port: u16,
    script: Arc<Mutex<Script>>,
    queries: Arc<AtomicU64>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FakeServer {
    /// Starts one that tells the truth.
    ///
    /// # Errors
    /// If there is no socket for it.
    pub fn honest() -> Result<Self> {
        Self::start(|query| vec![Datagram::FromHere(Reply::honest(query).emit())])
    }

    /// Starts one that follows a script.
    ///
    /// # Errors
    /// If there is no socket for it.
    pub fn start(script: impl FnMut(&Query) -> Vec<Datagram> + Send + 'static) -> Result<Self> {
        let here = bind()?;
        let elsewhere = bind()?;
        let port = here.local_addr()?.port();
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Box::new(script)));
        let queries = Arc::new(AtomicU64::new(0));
        let ends = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (script, queries, ends) = (script.clone(), queries.clone(), ends.clone());
            move || {
                while !ends.load(Ordering::Relaxed) {
                    if let Some((query, from)) = receive(&here) {
                        let mut script = script.lock().unwrap_or_else(PoisonError::into_inner);
                        send(&here, &elsewhere, from, script(&query));
                        queries.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        });
        Ok(Self { port, script, queries, ends, thread: Some(thread) })
    }

    /// Follows another script from the next query on.
    pub fn follow(&self, script: impl FnMut(&Query) -> Vec<Datagram> + Send + 'static) {
        *self.script.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(script);
    }

    /// How many queries were answered so far.
    #[must_use]
    pub fn queries(&self) -> u64 {
        self.queries.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for FakeServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeServer").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn bind() -> Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("no socket")?;
    socket.set_read_timeout(Some(TICK))?;
    Ok(socket)
}

fn receive(socket: &UdpSocket) -> Option<(Query, SocketAddr)> {
    let mut buffer = [0; 2048];
    let (length, from) = socket.recv_from(&mut buffer).ok()?;
    let received = now();
    Some((Query { received, bytes: buffer.get(..length)?.to_vec() }, from))
}

fn send(here: &UdpSocket, elsewhere: &UdpSocket, to: SocketAddr, datagrams: Vec<Datagram>) {
    for datagram in datagrams {
        // The client may have closed its port; that is its answer.
        let _ = match datagram {
            Datagram::FromHere(bytes) => here.send_to(&bytes, to),
            Datagram::FromElsewhere(bytes) => elsewhere.send_to(&bytes, to),
        };
    }
}

/// This machine's time as a stamp of the wire.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    (since.as_secs().wrapping_add(NTP_TO_UNIX) << 32) | fraction
}
