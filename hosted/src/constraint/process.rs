//! The process that asks, from both of its ends.

use std::io::{self, BufRead, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, mem};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{User, geteuid, setgid, setuid};

use super::{Answer, Question, ask};

/// The command by which it is started.
pub const COMMAND: &str = "constraint";
/// Whose privileges it takes if it has those of root: the first of them that there is.
const USERS: [&str; 2] = ["_ntp", "nobody"];
/// A round that takes longer is given up. A name's lookup may take most of it.
const LIMIT: Duration = Duration::from_secs(60);
/// The longest question or answer.
const MAX_LINE: u64 = 64 * 1_024;

/// A round under way in another process, which ends with this.
#[derive(Debug)]
pub struct Inquiry {
    child: Child,
    output: ChildStdout,
    line: Vec<u8>,
    started: Instant,
}

impl Inquiry {
    /// Starts the process, with an empty environment.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(question: &Question) -> io::Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.arg(COMMAND).env_clear().stderr(Stdio::null());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (Some(mut input), Some(output)) = (input, output) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let inquiry = Self { child, output, line: Vec::new(), started: Instant::now() };
        fcntl(&inquiry.output, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        // It is shorter than a pipe's room: this does not wait.
        serde_json::to_writer(&mut input, question)?;
        input.write_all(b"\n")?;
        Ok(inquiry)
    }

    /// What can be read when there is news.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }

    /// What came of it, once it has.
    ///
    /// # Errors
    /// The process ended without an answer, took too long, or answered what is none.
    pub fn take(&mut self) -> io::Result<Option<Answer>> {
        let room = MAX_LINE.saturating_sub(self.line.len() as u64);
        match (&mut self.output).take(room).read_to_end(&mut self.line) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let is_late = self.started.elapsed() > LIMIT;
                return if is_late { Err(io::ErrorKind::TimedOut.into()) } else { Ok(None) };
            }
            Err(error) => return Err(error),
        }
        Ok(Some(serde_json::from_slice(&mem::take(&mut self.line))?))
    }
}

impl Drop for Inquiry {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the process does: gives its privileges up, reads a question, asks, writes the answer.
///
/// # Errors
/// It keeps its privileges, or cannot read or write.
pub fn run() -> io::Result<()> {
    drop_privileges()?;
    let mut line = String::new();
    io::stdin().lock().take(MAX_LINE).read_line(&mut line)?;
    let answer = ask(&serde_json::from_str(&line)?);
    let mut output = io::stdout().lock();
    serde_json::to_writer(&mut output, &answer)?;
    output.write_all(b"\n")
}

fn drop_privileges() -> io::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    match become_another() {
        // Root with a few capabilities only, as a service manager may start it.
        #[cfg(target_os = "linux")]
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            Ok(crate::sys::drop_capabilities()?)
        }
        outcome => outcome,
    }
}

fn become_another() -> io::Result<()> {
    let mut users = USERS.into_iter().filter_map(|name| User::from_name(name).ok().flatten());
    let user = users.next().ok_or_else(|| io::Error::other("there is no user to become"))?;
    // nix does not have it there.
    #[cfg(not(target_vendor = "apple"))]
    nix::unistd::setgroups(&[user.gid])?;
    setgid(user.gid)?;
    setuid(user.uid)?;
    Ok(())
}
