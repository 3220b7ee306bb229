//! The daemon under test.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;
use tempfile::TempDir;

use crate::namespace::Namespace;
use crate::process::{self, Process};
use crate::{binaries, scratch, wait_for, write};

/// How long the daemon may take to start.
const START_LIMIT: Duration = Duration::from_secs(10);

/// What its configuration is called.
const FILE: &str = "chimed.toml";
/// The clock that touches nothing.
const SOFTWARE: &str = "software";

/// A user that is everywhere, whom the engines become if the tests are run by root.
const USER: &str = "nobody";

/// How it runs.
enum Mode {
    /// `-d`.
    SingleProcess,
    /// Its engines as this user.
    Separated(&'static str),
}

/// A running `chimed -v`, in one process (`-d`) unless it is to have several, with a software clock
/// unless it can only watch the kernel's.
#[derive(Debug)]
pub struct Chimed {
    /// The process, and what it logs.
    pub process: Process,
    socket: PathBuf,
    directory: TempDir,
    /// What its configuration begins with.
    head: String,
}

/// What `chimectl status --json` says.
#[derive(Clone)]
pub struct Status(Value);

/// What `chimectl peers --json` says of one peer.
#[derive(Clone)]
pub struct Peer(Value);

impl Chimed {
    /// Starts the one of the tests' own profile. `configuration` is the rest of a TOML file that
    /// begins with the software clock and the control socket.
    ///
    /// # Errors
    /// If it does not get ready.
    pub fn start(configuration: &str) -> Result<Self> {
        Self::start_by(Command::new, binaries::chimed()?, SOFTWARE, configuration)
    }

    /// Starts it with such variables in its environment.
    ///
    /// # Errors
    /// If it does not get ready.
    pub fn start_with(variables: &[(&str, &str)], configuration: &str) -> Result<Self> {
        let command = |program| {
            let mut command = Command::new(program);
            command.envs(variables.iter().copied());
            command
        };
        Self::start_by(command, binaries::chimed()?, SOFTWARE, configuration)
    }

    /// Starts it as several processes, with such variables in its environment.
    ///
    /// # Errors
    /// If it does not get ready.
    pub fn start_separated(variables: &[(&str, &str)], configuration: &str) -> Result<Self> {
        let command = |program| {
            let mut command = Command::new(program);
            command.envs(variables.iter().copied());
            command
        };
        Self::run(command, Mode::Separated(USER), binaries::chimed()?, SOFTWARE, configuration)
    }

    /// Starts it as several processes in a namespace with the kernel's clock, which it may not
    /// change there.
    ///
    /// # Errors
    /// If it does not get ready.
    pub fn watch_separated_in(namespace: &Namespace, configuration: &str) -> Result<Self> {
        let command = |program| namespace.command_without_clock(program);
        Self::run(command, Mode::Separated(""), binaries::chimed()?, "kernel", configuration)
    }

    /// Starts it as several processes in a namespace, where there is nobody to become.
    ///
    /// # Errors
    /// If it does not get ready.
    pub fn start_separated_in(namespace: &Namespace, configuration: &str) -> Result<Self> {
        let command = |program| namespace.command(program);
        Self::run(command, Mode::Separated(""), binaries::chimed()?, SOFTWARE, configuration)
    }

    /// Starts it as several processes in the network of a namespace, by root of the machine.
    ///
    /// # Errors
    /// If it does not get ready.
    pub fn start_by_root_in(namespace: &Namespace, configuration: &str) -> Result<Self> {
        let command = |program| namespace.command_of_root(program);
        Self::run(command, Mode::Separated(USER), binaries::chimed()?, SOFTWARE, configuration)
    }

    /// Starts it in a namespace.
    ///
    /// # Errors
    /// If it does not get ready.
    pub fn start_in(namespace: &Namespace, configuration: &str) -> Result<Self> {
        let command = |program| namespace.command(program);
        Self::start_by(command, binaries::chimed()?, SOFTWARE, configuration)
    }

    /// Starts it in a namespace with the kernel's clock, which it may not change there.
    ///
    /// # Errors
    /// If it does not get ready.
    pub fn watch_in(namespace: &Namespace, configuration: &str) -> Result<Self> {
        let command = |program| namespace.command_without_clock(program);
        Self::start_by(command, binaries::chimed()?, "kernel", configuration)
    }

    /// Starts it in a namespace with a `resolv.conf` of its own.
    ///
    /// # Errors
    /// If it does not get ready.
    pub fn start_with_resolver(
        namespace: &Namespace,
        resolv_conf: &str,
        configuration: &str,
    ) -> Result<Self> {
        let command = |program| namespace.command_with_resolver(resolv_conf, program);
        Self::start_by(command, binaries::chimed()?, SOFTWARE, configuration)
    }

    /// Starts the released one.
    ///
    /// # Errors
    /// If it does not get ready.
    pub fn start_released(configuration: &str) -> Result<Self> {
        Self::start_by(Command::new, binaries::released_chimed()?, SOFTWARE, configuration)
    }

    /// Starts the released one as several processes.
    ///
    /// # Errors
    /// If it does not get ready.
    pub fn start_released_separated(configuration: &str) -> Result<Self> {
        let (mode, program) = (Mode::Separated(USER), binaries::released_chimed()?);
        Self::run(Command::new, mode, program, SOFTWARE, configuration)
    }

    fn start_by(
        command: impl FnOnce(PathBuf) -> Command,
        program: PathBuf,
        clock: &str,
        configuration: &str,
    ) -> Result<Self> {
        Self::run(command, Mode::SingleProcess, program, clock, configuration)
    }

    fn run(
        command: impl FnOnce(PathBuf) -> Command,
        mode: Mode,
        program: PathBuf,
        clock: &str,
        configuration: &str,
    ) -> Result<Self> {
        let directory = scratch()?;
        let socket = directory.path().join("chimed.sock");
        let mut head = format!("clock = \"{clock}\"\ncontrol = \"{}\"\n", socket.display());
        let option = match mode {
            Mode::SingleProcess => Some("-d"),
            Mode::Separated(user) => {
                head += &format!("user = \"{user}\"\n");
                None
            }
        };
        let file = write(directory.path(), FILE, &(head.clone() + configuration))?;
        let mut process = Process::start(command(program).args(option).args(["-v", "-f", &file]))?;
        process.wait_for_line("ntp engine ready", START_LIMIT)?;
        Ok(Self { process, socket, directory, head })
    }

    /// Puts another configuration in place of the one that it began with, and returns the file. It
    /// does not look there by itself.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn rewrite(&self, configuration: &str) -> Result<String> {
        write(self.directory.path(), FILE, &(self.head.clone() + configuration))
    }

    /// The path of its control socket.
    #[must_use]
    pub fn control(&self) -> &Path {
        &self.socket
    }

    /// Asks it how it is.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn status(&self) -> Result<Status> {
        Ok(Status(self.ask("status")?))
    }

    /// Asks it about its peers, which are in the order of the configuration.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn peers(&self) -> Result<Vec<Peer>> {
        match self.ask("peers")? {
            Value::Array(peers) => Ok(peers.into_iter().map(Peer).collect()),
            other => bail!("no peers: {other}"),
        }
    }

    /// Asks it about its only peer.
    ///
    /// # Errors
    /// If it does not answer, or has more or fewer.
    pub fn peer(&self) -> Result<Peer> {
        let [peer] = <[Peer; 1]>::try_from(self.peers()?)
            .map_err(|peers| anyhow!("not one peer: {peers:?}"))?;
        Ok(peer)
    }

    /// Waits until the status is as it should be, and returns it.
    ///
    /// # Errors
    /// If it is not within `limit`; says what it was instead.
    pub fn wait_until(
        &self,
        what: &str,
        limit: Duration,
        mut is_so: impl FnMut(&Status) -> Result<bool>,
    ) -> Result<Status> {
        let mut last = None;
        let found = wait_for(what, limit, || {
            let status = self.status()?;
            let found = is_so(&status)?;
            last = Some(status.clone());
            Ok(found.then_some(status))
        });
        found.with_context(|| last.map_or_else(String::new, |last| format!("{last:?}")))
    }

    fn ask(&self, what: &str) -> Result<Value> {
        let mut command = Command::new(binaries::chimectl()?);
        let text = process::output(command.arg("-s").arg(&self.socket).args([what, "--json"]))?;
        serde_json::from_str(&text).with_context(|| format!("no JSON: {text}"))
    }
}

impl Status {
    /// Whether it calls itself synchronised.
    ///
    /// # Errors
    /// If it does not say.
    pub fn is_synced(&self) -> Result<bool> {
        self.0["synced"].as_bool().with_context(|| format!("no `synced` in {}", self.0))
    }

    /// A number, of whatever unit it has.
    ///
    /// # Errors
    /// If it is missing or no number.
    pub fn number(&self, name: &str) -> Result<f64> {
        self.0[name].as_f64().with_context(|| format!("no `{name}` in {}", self.0))
    }

    /// A text.
    ///
    /// # Errors
    /// If it is missing or no text.
    pub fn text(&self, name: &str) -> Result<&str> {
        self.0[name].as_str().with_context(|| format!("no `{name}` in {}", self.0))
    }

    /// A list of texts.
    ///
    /// # Errors
    /// If it is missing or no such list.
    pub fn texts(&self, name: &str) -> Result<Vec<&str>> {
        let list = self.0[name].as_array().into_iter().flatten();
        let texts: Option<_> = list.map(Value::as_str).collect();
        texts.with_context(|| format!("no `{name}` in {}", self.0))
    }

    /// Whether it disciplines the clock.
    ///
    /// # Errors
    /// If it does not say.
    pub fn is_controlled(&self) -> Result<bool> {
        self.0["controlled"].as_bool().with_context(|| format!("no `controlled` in {}", self.0))
    }

    /// What a process can do no more, of several.
    #[must_use]
    pub fn protections(&self, process: &str) -> Vec<&str> {
        let list = self.0["protections"][process].as_array().into_iter().flatten();
        list.filter_map(Value::as_str).collect()
    }

    /// How many datagrams of clients got no answer for a reason.
    #[must_use]
    pub fn refused(&self, reason: &str) -> u64 {
        self.0["refused"][reason].as_u64().unwrap_or(0)
    }
}

impl Peer {
    /// Whether it is trusted.
    ///
    /// # Errors
    /// If it does not say.
    pub fn is_valid(&self) -> Result<bool> {
        self.0["valid"].as_bool().with_context(|| format!("no `valid` in {}", self.0))
    }

    /// Where it is asked, if that is known.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.0["address"].as_str()
    }

    /// What selection thinks of it.
    #[must_use]
    pub fn standing(&self) -> &str {
        self.0["standing"].as_str().unwrap_or_default()
    }

    /// A count: `sent` or `used`.
    ///
    /// # Errors
    /// If it is missing.
    pub fn count(&self, name: &str) -> Result<u64> {
        self.0[name].as_u64().with_context(|| format!("no `{name}` in {}", self.0))
    }

    /// A number, of whatever unit it has.
    ///
    /// # Errors
    /// If it is missing or no number.
    pub fn number(&self, name: &str) -> Result<f64> {
        self.0[name].as_f64().with_context(|| format!("no `{name}` in {}", self.0))
    }

    /// What selection is to make of it.
    #[must_use]
    pub fn options(&self) -> Vec<&str> {
        self.0["options"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// How many datagrams were dropped for a reason.
    #[must_use]
    pub fn rejected(&self, reason: &str) -> u64 {
        self.0["rejected"][reason].as_u64().unwrap_or(0)
    }

    /// Drops for all reasons.
    #[must_use]
    pub fn all_rejected(&self) -> u64 {
        let counts = self.0["rejected"].as_object().into_iter().flat_map(|counts| counts.values());
        counts.filter_map(Value::as_u64).sum()
    }
}

/// The JSON itself, which is what a failed trial is to show.
impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// As that of [`Status`].
impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A `[[server]]` table for a port of loopback, asked at a fixed interval of 2^`poll` s and
/// without a start-up burst.
#[must_use]
pub fn server(port: u16, poll: i8) -> String {
    format!(
        "[[server]]\naddress = \"127.0.0.1\"\nport = {port}\nminpoll = {poll}\nmaxpoll = {poll}\n\
         iburst = false\n"
    )
}

/// A `[[listen]]` table for a port of loopback.
#[must_use]
pub fn listen(port: u16) -> String {
    format!("[[listen]]\naddress = \"127.0.0.1\"\nport = {port}\n")
}
