//! A name server of the test's own, on port 53 of a namespace: the suite's program, started again.

use std::env;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::namespace::Namespace;
use crate::process::Process;
use crate::write;

/// Where the program that is to be a name server finds its names.
const VARIABLE: &str = "TRUECHIMER_TEST_NAMES";
const HEADER: usize = 12;
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const NO_SUCH_NAME: u8 = 3;

/// One that runs, and what makes a resolver ask it.
#[derive(Debug)]
pub struct Names {
    /// A `resolv.conf`.
    pub resolver: String,
    file: PathBuf,
    _process: Process,
}

impl Names {
    /// Starts one that knows no name. Its files are in `directory`.
    ///
    /// # Errors
    /// If it does not get ready.
    pub fn start(namespace: &Namespace, directory: &Path) -> Result<Self> {
        let resolver = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n";
        let resolver = write(directory, "resolv.conf", resolver)?;
        let file = PathBuf::from(write(directory, "names", "")?);
        let mut command = namespace.command(env::current_exe()?);
        let mut process = Process::start(command.env(VARIABLE, &file))?;
        process.wait_for_line("name server ready", Duration::from_secs(5))?;
        Ok(Self { resolver, file, _process: process })
    }

    /// From now on these are the names, each with its addresses behind it.
    ///
    /// # Errors
    /// If that cannot be written.
    pub fn set(&self, names: &[&str]) -> Result<()> {
        // In one go: it may be being read.
        let next = self.file.with_extension("next");
        fs::write(&next, names.join("\n"))?;
        fs::rename(next, &self.file).context("cannot replace the names")
    }
}

/// Answers for ever if this program was started for that.
///
/// # Errors
/// If it cannot.
pub fn serve_if_asked() -> Result<()> {
    let Some(file) = env::var_os(VARIABLE) else { return Ok(()) };
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53)).context("cannot bind port 53")?;
    println!("name server ready");
    let mut buffer = [0; 512];
    loop {
        let (len, from) = socket.recv_from(&mut buffer)?;
        let names = fs::read_to_string(&file)?;
        if let Some(answer) = answer(&buffer[..len], &names) {
            socket.send_to(&answer, from)?;
        }
    }
}

/// Answers one question (RFC 1035 §4.1).
fn answer(query: &[u8], names: &str) -> Option<Vec<u8>> {
    let (mut name, mut at) = (Vec::new(), HEADER);
    while let Some(&len) = query.get(at).filter(|len| **len > 0) {
        name.push(String::from_utf8_lossy(query.get(at + 1..=at + usize::from(len))?));
        at += 1 + usize::from(len);
    }
    let kind = u16::from_be_bytes(query.get(at + 1..at + 3)?.try_into().ok()?);
    let name = name.join(".");
    let mut words =
        names.lines().map(str::split_whitespace).find(|words| words.clone().next() == Some(&name));
    let known = words.as_mut().and_then(Iterator::next).is_some();
    let addresses = words.into_iter().flatten().filter_map(|word| word.parse::<IpAddr>().ok());
    let fitting = addresses.filter_map(|address| match (kind, address) {
        (TYPE_A, IpAddr::V4(ip)) => Some(ip.octets().to_vec()),
        (TYPE_AAAA, IpAddr::V6(ip)) => Some(ip.octets().to_vec()),
        _ => None,
    });
    let records: Vec<Vec<u8>> = fitting.collect();
    let mut answer = query[..2].to_vec();
    let code = if known { 0 } else { NO_SUCH_NAME };
    answer.extend([0x81, 0x80 | code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
    answer.extend(query.get(HEADER..at + 5)?);
    for data in records {
        // The name is the question's; class IN, no time to live.
        answer.extend([0xc0, HEADER as u8, 0, kind as u8, 0, 1, 0, 0, 0, 0, 0, data.len() as u8]);
        answer.extend(data);
    }
    Some(answer)
}
