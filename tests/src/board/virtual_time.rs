//! A board in virtual time, which passes as fast as its instructions are carried out, and at once
//! where it sleeps. The test is its network: each datagram is a frame.
//!
//! The counter's reading is behind each frame (`lockstep.rs` of the board), so the true time is
//! known of everything: it is what the counter shows, less what that gains. Beside it is what the
//! clock says that the time is, and within what, which must be true of each frame.

use std::fmt;
use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::stat::Mode;
use smoltcp::wire::EthernetAddress;
use tempfile::TempDir;
use truechimer_core::units::{FreqOffset, NtpTimestamp, Span, WallTime};

use super::lan::{Datagram, Lan, Outcome};
use super::log::Log;
use super::model::{Build, Model};
use crate::process::Process;
use crate::{free_port, scratch};

/// How long the board may be silent, in real time.
const LIMIT: Duration = Duration::from_secs(30);
const MARK: &[u8; 8] = b"lockstep";
/// What is behind a frame.
const REPORT: usize = 64;
/// What an instruction takes, ns.
const INSTRUCTION: i64 = 16;
/// Who asks the board for its time.
const OBSERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 200);
const NTP_PORT: u16 = 123;

/// Where and when the board is switched on.
#[derive(Debug, Clone)]
pub struct Scene {
    /// What its network is.
    pub lan: Lan,
    /// What a frame takes each way: so long the emulator has to pass it on.
    pub delay: Span,
    /// True time, UTC, when its counter shows nothing.
    pub epoch: WallTime,
    /// How long after that a leap second begins.
    pub leap: Option<Span>,
    /// What its counter gains on true time, and its real-time clock too.
    pub gain: FreqOffset,
    /// What the real-time clock shows at first, a date and time as QEMU takes them.
    pub rtc: String,
    /// Whether that is a DS1338 on the I2C bus.
    pub has_bus: bool,
}

impl Default for Scene {
    /// Its real-time clock, which runs as fast as its counter and that rightly, is 0.3 s behind, on a
    /// cable on which nobody leases addresses.
    fn default() -> Self {
        Self {
            lan: Lan::default(),
            delay: Span::from_millis(100),
            epoch: WallTime::from_unix(1_900_000_000, 300_000_000),
            leap: None,
            gain: FreqOffset::ZERO,
            rtc: "2030-03-17T17:46:40".to_owned(),
            has_bus: false,
        }
    }
}

impl Scene {
    /// UTC so long after it was switched on.
    fn utc(&self, at: Span) -> WallTime {
        let inserted = self.leap.is_some_and(|leap| at >= leap);
        self.epoch + at + -Span::from_secs(inserted.into())
    }

    /// So much has truly passed when the counter has counted this.
    fn truth(&self, counter: Span) -> Span {
        let ratio = self.gain.as_ratio();
        counter - FreqOffset::from_ratio(ratio / (1.0 + ratio)).gain(counter, 0).0
    }

    /// So much the counter counts in a true time.
    fn stretch(&self, span: Span) -> Span {
        span + self.gain.gain(span, 0).0
    }
}

/// A question of the board.
#[derive(Debug, Clone, Copy)]
pub struct Query {
    /// Its number.
    pub count: u64,
    /// When it came to the server: true time since the board was switched on.
    pub at: Span,
    /// UTC then.
    pub utc: WallTime,
    /// Whom it asks.
    pub server: Ipv4Addr,
    /// Its transmit stamp.
    pub stamp: u64,
}

/// What comes back.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its octets.
    pub bytes: Vec<u8>,
    /// Beyond `Scene::delay` on the way there, which is in the server's stamps, and on the way back.
    pub queues: [Span; 2],
}

/// By how much the board was ahead of true time, at a moment between two corrections.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// True time since the board was switched on.
    pub at: Span,
    /// The error, s.
    pub error: f64,
    /// The stratum that it claims.
    pub stratum: u8,
    /// Its leap indicator.
    pub leap: u8,
    /// What it says that its error is no greater than, with that of its server, s.
    pub root_distance: f64,
    /// Whom it follows.
    pub reference: Ipv4Addr,
}

/// What the board's clock said when a frame left.
#[derive(Debug, Clone)]
pub struct Told {
    /// True time since the board was switched on.
    pub at: Span,
    /// By how much it was ahead of true time.
    pub error: Span,
    /// By how much it may be off as it said, if it knew.
    pub bound: Option<Span>,
    /// Where it has its time from, as `TimeStatus` names it.
    pub status: String,
    /// Instructions of the last poll that took nothing in and sent nothing, of the longest, and of
    /// reading the clock.
    pub instructions: [i64; 3],
}

/// A running board. Dropping it ends the emulator.
pub struct VirtualBoard {
    process: Process,
    log: Log,
    socket: UdpSocket,
    emulator: SocketAddr,
    /// Where the board waits for word of the answers to a frame.
    gate: File,
    queries: u64,
    /// Whom it has last asked for the time, and from where it did.
    hardware: EthernetAddress,
    /// Where it is.
    pub scene: Scene,
    /// What it said with each frame.
    pub told: Vec<Told>,
    /// Frames that arrive with the next answer, whatever they are.
    pub noise: Vec<Vec<u8>>,
    _directory: TempDir,
}

impl Reply {
    /// A wish of a server's in place of the time (RFC 5905 §7.4).
    #[must_use]
    pub fn kiss(query: &Query, code: [u8; 4]) -> Self {
        let mut bytes = vec![0; 48];
        bytes[0] = 0xe4;
        bytes[12..16].copy_from_slice(&code);
        bytes[24..32].copy_from_slice(&query.stamp.to_be_bytes());
        Self { bytes, queues: [Span::ZERO; 2] }
    }

    /// The truth of a server of stratum 1, with these queues.
    #[must_use]
    pub fn honest(query: &Query, queues: [Span; 2]) -> Self {
        let time = NtpTimestamp::from_wall(query.utc + queues[0]).to_bits();
        let mut bytes = vec![0x24, 1, 6, 0xec, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend(*b"TEST");
        for stamp in [time, query.stamp, time, time] {
            bytes.extend(stamp.to_be_bytes());
        }
        Self { bytes, queues }
    }
}

impl VirtualBoard {
    /// Switches it on.
    ///
    /// # Errors
    /// If it does not build or start.
    pub fn start(scene: Scene, settings: &[String]) -> Result<Self> {
        let build = if scene.has_bus { Build::LockstepWithBus } else { Build::Lockstep };
        let program = Model::Mps3An524.program(build)?;
        let directory = scratch()?;
        let [serial, gate] = ["serial", "gate"].map(|name| directory.path().join(name));
        nix::unistd::mkfifo(&gate, Mode::S_IRWXU)?;
        let settings = [settings, &[format!("gate={}", gate.display())]].concat();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_read_timeout(Some(LIMIT))?;
        let (ours, theirs) = (socket.local_addr()?.port(), free_port()?);
        let mut command = Model::Mps3An524.emulator(&program, &settings);
        command.args(["-icount", "shift=4,sleep=off"]);
        command.args(["-rtc", &format!("base={},clock=vm", scene.rtc)]);
        command.args(["-device", "ds1338,address=0x68"]);
        command.args(["-serial", &format!("file:{}", serial.display())]);
        let cable = "dgram,id=cable,local.type=inet,local.host=127.0.0.1,remote.type=inet,\
                     remote.host=127.0.0.1";
        let cable = format!("{cable},local.port={theirs},remote.port={ours}");
        command.args(["-netdev", &cable]);
        Ok(Self {
            process: Process::start(&mut command)?,
            log: Log::new(&program, serial)?,
            socket,
            emulator: (Ipv4Addr::LOCALHOST, theirs).into(),
            // To read too, so that it need not wait for somebody who does.
            gate: File::options().read(true).write(true).open(gate)?,
            queries: 0,
            hardware: EthernetAddress::BROADCAST,
            scene,
            told: Vec::new(),
            noise: Vec::new(),
            _directory: directory,
        })
    }

    /// Runs until so many seconds of true time have passed since it was switched on. `serve` makes
    /// the answers to its queries. Each query brings a sample, taken when the answer comes and
    /// before it is looked at.
    ///
    /// # Errors
    /// If the board falls silent, or its time is further off than it says.
    pub fn run(
        &mut self,
        until: i64,
        mut serve: impl FnMut(&Query) -> Vec<Reply>,
    ) -> Result<Vec<Sample>> {
        let mut samples = Vec::new();
        loop {
            let mut buffer = [0; 2048];
            let received = self.socket.recv(&mut buffer);
            let len = received.with_context(|| self.transcript("nothing from the board"))?;
            let (frame, report) = buffer[..len].split_at(len.saturating_sub(REPORT));
            let counter = self.hear(report)?;
            let delay = self.scene.delay;
            let frames = match self.scene.lan.take(frame) {
                Outcome::Frames(frames) => frames.into_iter().map(|frame| (delay, frame)).collect(),
                Outcome::Datagram(datagram) if datagram.to.ip() == OBSERVER => {
                    samples.extend(self.sample(&datagram));
                    Vec::new()
                }
                Outcome::Datagram(datagram) => self.answer(&datagram, counter, &mut serve),
            };
            for (delay, frame) in &frames {
                self.send(counter + self.scene.stretch(*delay), frame)?;
            }
            self.gate.write_all(&[u8::try_from(frames.len())?])?;
            if self.scene.truth(counter) >= Span::from_secs(until) {
                return Ok(samples);
            }
        }
    }

    /// What it has logged so far.
    ///
    /// # Errors
    /// If that cannot be decoded.
    pub fn lines(&mut self) -> Result<Vec<String>> {
        Ok(self.log.lines()?.to_vec())
    }

    /// Takes what is behind a frame, and returns what the counter showed.
    fn hear(&mut self, report: &[u8]) -> Result<Span> {
        let fields = report.strip_prefix(MARK).context("a frame without a report")?;
        let [counter, time, bound, status, idle, longest, reading] = *fields.as_chunks::<8>().0
        else {
            bail!("a report of {} octets", report.len());
        };
        let [counter, time, bound] =
            [counter, time, bound].map(|word| Span::from_nanos(i64::from_be_bytes(word)));
        let at = self.scene.truth(counter);
        let error = (WallTime::UNIX_EPOCH + time) - self.scene.utc(at);
        let bound = (bound >= Span::ZERO).then_some(bound);
        let status = String::from_utf8_lossy(&status).trim_end_matches('\0').to_owned();
        let instructions =
            [idle, longest, reading].map(|nanos| i64::from_be_bytes(nanos) / INSTRUCTION);
        let told = Told { at, error, bound, status, instructions };
        ensure!(bound.is_none_or(|bound| error.abs() <= bound), "{told:?}");
        self.told.push(told);
        Ok(counter)
    }

    /// The answers to a query, after the question of what time it is.
    fn answer(
        &mut self,
        datagram: &Datagram,
        counter: Span,
        serve: &mut impl FnMut(&Query) -> Vec<Reply>,
    ) -> Vec<(Span, Vec<u8>)> {
        let SocketAddr::V4(server) = datagram.to else { return Vec::new() };
        let stamp = datagram.bytes.last_chunk().copied().map_or(0, u64::from_be_bytes);
        let delay = self.scene.delay;
        let at = self.scene.truth(counter) + delay;
        let utc = self.scene.utc(at);
        let query = Query { count: self.queries, at, utc, server: *server.ip(), stamp };
        self.queries += 1;
        self.hardware = datagram.hardware;
        // What the question holds comes back: true time at its arrival.
        let arrival = self.scene.stretch(delay.times(2));
        let mut question = vec![0; 48];
        question[0] = 0x23;
        question[40..].copy_from_slice(&(counter + arrival).as_nanos().to_be_bytes());
        let from = Datagram {
            from: SocketAddr::new(datagram.from.ip(), NTP_PORT),
            to: SocketAddr::new(OBSERVER.into(), NTP_PORT),
            bytes: Vec::new(),
            hardware: datagram.hardware,
        };
        let mut frames = vec![(delay.times(2), from.reply(&question))];
        frames.extend(self.noise.drain(..).map(|frame| (delay.times(2), frame)));
        for Reply { bytes, queues } in serve(&query) {
            let delay = delay.times(2) + queues[0] + queues[1] + Span::from_micros(1);
            frames.push((delay, datagram.reply(&bytes)));
        }
        frames
    }

    /// What the answer to [`answer`](Self::answer)'s question says.
    fn sample(&self, datagram: &Datagram) -> Option<Sample> {
        let bytes: [u8; 48] = datagram.bytes[..].try_into().ok()?;
        let word = |place: usize| bytes[place..].first_chunk().copied().map(u64::from_be_bytes);
        let short = |place: usize| bytes[place..].first_chunk().copied().map(u32::from_be_bytes);
        let at = self.scene.truth(Span::from_nanos(word(24)?.cast_signed()));
        let arrived = NtpTimestamp::from_bits(word(32)?).unfold(self.scene.epoch);
        let distance = f64::from(short(4)?) / 2.0 + f64::from(short(8)?);
        Some(Sample {
            at,
            error: (arrived - self.scene.utc(at)).as_secs_f64(),
            stratum: bytes[1],
            leap: bytes[0] >> 6,
            root_distance: distance / 65_536.0,
            reference: Ipv4Addr::from(short(12)?),
        })
    }

    /// Sends a frame that is to arrive when the counter shows `due`.
    fn send(&self, due: Span, frame: &[u8]) -> Result<()> {
        let mut bytes = frame.to_vec();
        bytes.extend(MARK);
        bytes.extend(due.as_nanos().to_be_bytes());
        let sent = self.socket.send_to(&bytes, self.emulator)?;
        ensure!(sent == bytes.len(), "{sent} octets of {} were sent", bytes.len());
        Ok(())
    }

    fn transcript(&self, what: &str) -> String {
        format!("{what}\n--- the emulator\n{}", self.process.transcript.lines().join("\n"))
    }
}

impl fmt::Debug for VirtualBoard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualBoard").field("queries", &self.queries).finish_non_exhaustive()
    }
}
