//! A child process whose output is kept and which ends with its owner.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait_for;

/// What a process has printed so far, line by line, both outputs as they came.
#[derive(Debug, Clone, Default)]
pub struct Transcript(Arc<Mutex<Vec<String>>>);

thread_local! {
    /// Transcripts of what this thread's trial started, for its failure report.
    static STARTED: RefCell<Vec<(String, Transcript)>> = const { RefCell::new(Vec::new()) };
}

impl Transcript {
    /// The lines so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many lines contain a text.
    #[must_use]
    pub fn count(&self, text: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(text)).count()
    }

    fn follow(&self, output: impl Read + Send + 'static) {
        let lines = Arc::clone(&self.0);
        std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
    }
}

/// Forgets the transcripts of this thread.
pub(crate) fn forget_transcripts() {
    STARTED.take();
}

/// The transcripts of all that this thread started, for people.
pub(crate) fn transcripts() -> String {
    let mut report = String::new();
    for (name, transcript) in STARTED.take() {
        let lines = transcript.lines();
        report += &format!("\n--- {name}, {} lines", lines.len());
        for line in lines.iter().skip(lines.len().saturating_sub(60)) {
            report += &format!("\n    {line}");
        }
    }
    report
}

/// A running child. Dropping it kills and reaps this one child, nothing else.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    /// What it has printed.
    pub transcript: Transcript,
}

impl Process {
    /// Starts a command with its outputs captured and its input held open.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = Self::spawn(command)?;
        if let Some(output) = process.child.stdout.take() {
            process.transcript.follow(output);
        }
        if let Some(output) = process.child.stderr.take() {
            process.transcript.follow(output);
        }
        Ok(process)
    }

    /// Starts a command whose outputs are one terminal. Lines have the carriage return that it
    /// adds.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_on_terminal(command: &mut Command) -> Result<Self> {
        let terminal = openpty(None, None).context("no terminal")?;
        command.stdin(Stdio::piped()).stdout(terminal.slave.try_clone()?).stderr(terminal.slave);
        let process = Self::spawn(command)?;
        process.transcript.follow(File::from(terminal.master));
        Ok(process)
    }

    pub(crate) fn spawn(command: &mut Command) -> Result<Self> {
        let name = name(command.get_program());
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let transcript = Transcript::default();
        let title = format!("{name} [{}]", child.id());
        STARTED.with_borrow_mut(|started| started.push((title, transcript.clone())));
        Ok(Self { name, child, transcript })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its standard input, which closes when this is dropped.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Waits for a line that contains a text, and returns it.
    ///
    /// # Errors
    /// If it did not come within `limit`, or the process ended without it.
    pub fn wait_for_line(&mut self, text: &str, limit: Duration) -> Result<String> {
        let what = format!("`{text}` from {}", self.name);
        let mut status = None;
        wait_for(&what, limit, || {
            // Looked at before the lines, of which the last ones may still be on their way.
            let ended = status.is_some();
            if let Some(line) = self.transcript.lines().into_iter().find(|line| line.contains(text))
            {
                return Ok(Some(line));
            }
            status = self.child.try_wait()?;
            match status {
                Some(status) if ended => Err(anyhow!("{status} without {what}")),
                _ => Ok(None),
            }
        })
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?);
        kill(pid, signal).with_context(|| format!("{signal} to {}", self.name))
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// If it has not within `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        wait_for(&what, limit, || Ok(self.child.try_wait()?))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it has ended already, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end, within `limit`.
///
/// # Errors
/// If it cannot be started or does not end.
pub fn run(command: &mut Command, limit: Duration) -> Result<(ExitStatus, Vec<String>)> {
    let mut process = Process::start(command)?;
    drop(process.stdin());
    let status = process.wait(limit)?;
    // The outputs are read by threads that see their end a moment later.
    std::thread::sleep(Duration::from_millis(50));
    Ok((status, process.transcript.lines()))
}

/// How a command ended, and what it printed.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output, if that was caught.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Runs a command to its end, within `limit`, and keeps its outputs apart.
///
/// # Errors
/// If it cannot be started or does not end.
pub fn finish(command: &mut Command, limit: Duration) -> Result<Ended> {
    finish_onto(command, Stdio::piped(), limit)
}

/// As [`finish`], with another standard output.
///
/// # Errors
/// If it cannot be started or does not end.
pub fn finish_onto(
    command: &mut Command,
    stdout: impl Into<Stdio>,
    limit: Duration,
) -> Result<Ended> {
    let command = command.stdin(Stdio::piped()).stdout(stdout).stderr(Stdio::piped());
    let mut process = Process::spawn(command)?;
    drop(process.stdin());
    let stdout = process.child.stdout.take().map(read_all);
    let stderr = process.child.stderr.take().map(read_all);
    let status = process.wait(limit)?;
    let text = |reader: Option<JoinHandle<Vec<u8>>>| {
        let bytes = reader.and_then(|reader| reader.join().ok()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Ok(Ended { code: status.code(), stdout: text(stdout), stderr: text(stderr) })
}

fn read_all(mut output: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = output.read_to_end(&mut bytes);
        bytes
    })
}

/// Runs a command that prints something short and ends at once, for its standard output.
///
/// # Errors
/// If it fails.
pub fn output(command: &mut Command) -> Result<String> {
    let name = name(command.get_program());
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {name}"))?;
    if !status.success() {
        let stderr = String::from_utf8_lossy(&stderr);
        return Err(anyhow!("{name}: {status}: {}", stderr.trim()));
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

/// Every process that one has started and that has not ended, and what they are called.
///
/// # Errors
/// If there is none such.
pub fn children(parent: u32) -> Result<Vec<(Pid, String)>> {
    let of = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))?;
    let mut children = Vec::new();
    for id in of.split_whitespace() {
        let line = fs::read(format!("/proc/{id}/cmdline"))?;
        let title = line.split(|&octet| octet == 0).next().unwrap_or_default();
        let title = String::from_utf8_lossy(title).into_owned();
        children.push((Pid::from_raw(id.parse()?), title));
    }
    Ok(children)
}

/// A number of a process' status in `/proc`; `VmRSS` is in KiB.
///
/// # Errors
/// If there is none such.
pub fn field(id: impl Display, name: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.with_context(|| format!("no {name}"))?.parse()?)
}

fn name(program: &OsStr) -> String {
    std::path::Path::new(program).file_name().unwrap_or(program).to_string_lossy().into_owned()
}
