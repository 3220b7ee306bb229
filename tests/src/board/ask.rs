//! A question about the time.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

/// How long an answer may take: user networking has stalls of a second.
const LIMIT: Duration = Duration::from_secs(2);
/// Seconds from 1900 to 1970.
const NTP_TO_UNIX: f64 = 2_208_988_800.0;
/// Seconds of an era.
const ERA: f64 = 4_294_967_296.0;

/// What a server said. Its stamp of arrival is not looked at: an error that it shares with those
/// of the answers that set the clock would cancel that.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// By how much it is ahead of this machine, s, if the answer took as long as the question.
    pub offset: f64,
    /// How long both took, s: half of it may be in the offset.
    pub delay: f64,
    /// Its stratum.
    pub stratum: u8,
    /// Its leap indicator.
    pub leap: u8,
}

/// Asks port `port` of loopback, and again; returns the answer of the least delay.
pub fn best_of_ten(port: u16) -> Result<Answer> {
    let answers = (0..10).filter_map(|_| ask(port).ok());
    let best = answers.min_by(|one, other| one.delay.total_cmp(&other.delay));
    best.with_context(|| format!("no answer from port {port} of loopback"))
}

fn ask(port: u16) -> Result<Answer> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_read_timeout(Some(LIMIT))?;
    let mut question = [0; 48];
    question[0] = 0x23;
    question[40..].copy_from_slice(b"question");
    let sent = now();
    socket.send_to(&question, (Ipv4Addr::LOCALHOST, port))?;
    let mut answer = [0; 256];
    let len = socket.recv(&mut answer)?;
    let received = now();
    ensure!(len == 48 && answer[24..32] == *b"question", "no answer: {:?}", &answer[..len]);
    let left = stamp(&answer[40..48], sent)?;
    Ok(Answer {
        offset: left - (sent + received) / 2.0,
        delay: received - sent,
        stratum: answer[1],
        leap: answer[0] >> 6,
    })
}

/// Seconds since 1970, in the era that is nearest to `near`.
fn stamp(octets: &[u8], near: f64) -> Result<f64> {
    let bits = u64::from_be_bytes(octets.try_into()?);
    let secs = (bits >> 32) as f64 - NTP_TO_UNIX + (bits & 0xFFFF_FFFF) as f64 / ERA;
    Ok(secs + ((near - secs) / ERA).round() * ERA)
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
