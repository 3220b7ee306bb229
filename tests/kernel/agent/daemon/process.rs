//! `chimed`, and what it says.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use truechimer_tests::guest::scenario::{FOLDER, Record, Scenario};

use super::note;
use super::reference::Reference;
use crate::sys;

/// In which it answers, if it does.
const PATIENCE: Duration = Duration::from_secs(5);
/// In which it ends, ms.
const END: usize = 5_000;

/// The daemon while it runs.
pub struct Daemon {
    child: Child,
    readers: Vec<JoinHandle<()>>,
}

impl Daemon {
    /// Starts it.
    pub fn start(scenario: &Scenario, reference: &Reference) -> Result<Self> {
        let Scenario { configuration, separated, .. } = scenario;
        let text =
            format!("clock = \"kernel\"\ncontrol = \"{FOLDER}/chimed.sock\"\n{configuration}");
        let file = "/etc/chimed.toml";
        fs::write(file, text).context(file)?;
        let mut command = Command::new("/program");
        command.args((!separated).then_some("-d"));
        command.args(["-v", "-f", file]).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let readers = vec![
            follow(child.stdout.take().context("no stdout")?, reference.clone()),
            follow(child.stderr.take().context("no stderr")?, reference.clone()),
        ];
        Ok(Self { child, readers })
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(self) -> Result<Option<i32>> {
        sys::terminate(self.child.id())?;
        self.wait()
    }

    /// Kills its ntp engine, and waits until all have ended.
    pub fn kill_engine(self) -> Result<Option<i32>> {
        for process in fs::read_dir("/proc")? {
            let process = process?.path();
            let line = fs::read(process.join("cmdline")).unwrap_or_default();
            if line.starts_with(b"chimed: ntp engine") {
                let name = process.file_name().and_then(|name| name.to_str());
                sys::kill(name.context("no name")?.parse()?)?;
            }
        }
        self.wait()
    }

    /// Ends it at once.
    pub fn kill(mut self) -> Result<Option<i32>> {
        self.child.kill()?;
        self.wait()
    }

    fn wait(mut self) -> Result<Option<i32>> {
        for _ in 0..END {
            if let Some(status) = self.child.try_wait()? {
                for reader in self.readers {
                    let _ = reader.join();
                }
                return Ok(status.code());
            }
            sys::sleep(1_000_000);
        }
        Err(anyhow::anyhow!("chimed does not end"))
    }
}

/// Notes each line.
fn follow(output: impl Read + Send + 'static, reference: Reference) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            note(&Record::Log(super::secs(reference.elapsed()), line));
        }
    })
}

/// What it says of itself, or of its peers.
pub fn ask(what: &str) -> Result<Value> {
    let mut socket = UnixStream::connect(format!("{FOLDER}/chimed.sock"))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.write_all(format!("{}\n", json!({"version": 1, "command": what})).as_bytes())?;
    let mut answer = String::new();
    BufReader::new(socket).read_line(&mut answer)?;
    let mut answer: Value = serde_json::from_str(&answer)?;
    let said = answer[what].take();
    ensure!(!said.is_null(), "no {what}: {answer}");
    Ok(said)
}
