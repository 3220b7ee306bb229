//! A terminal with a program on it, as somebody sits in front of it.

use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::Signal;
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::ttyname;
use vt100::{Color, Parser};

use crate::process::{Process, output};
use crate::wait_for;

/// A terminal whose input and output are a program's.
pub struct Terminal {
    /// The program.
    pub process: Process,
    keyboard: File,
    /// The program's end, which stays open when that has ended.
    device: OwnedFd,
    /// How it treated what was typed before the program began.
    before: LocalFlags,
    screen: Arc<Mutex<Parser>>,
}

impl Terminal {
    /// Starts a command on a new one of that size.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(command: &mut Command, lines: u16, columns: u16) -> Result<Self> {
        let size = Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).context("no terminal")?;
        let (input, output) = (pty.slave.try_clone()?, pty.slave.try_clone()?);
        let errors = pty.slave.try_clone()?;
        let before = tcgetattr(&pty.slave)?.local_flags;
        let process = Process::spawn(command.stdin(input).stdout(output).stderr(errors))?;
        let keyboard = File::from(pty.master);
        let screen = Arc::new(Mutex::new(Parser::new(some(lines)?, some(columns)?, 0)));
        let (mut shown, parser) = (keyboard.try_clone()?, Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = shown.read(&mut bytes) {
                lock(&parser).process(&bytes[..count]);
            }
        });
        Ok(Self { process, keyboard, device: pty.slave, before, screen })
    }

    /// What is seen on it.
    #[must_use]
    pub fn text(&self) -> String {
        lock(&self.screen).screen().contents()
    }

    /// Whether a program has taken it over: what was there before comes back, and keys are treated as
    /// they were.
    ///
    /// # Errors
    /// If it does not say.
    pub fn is_taken(&self) -> Result<bool> {
        let raw = tcgetattr(&self.device)?.local_flags != self.before;
        let parser = lock(&self.screen);
        let shown = [parser.screen().alternate_screen(), parser.screen().hide_cursor()];
        Ok(raw && shown == [true; 2])
    }

    /// Waits until it is as it was before the program began.
    ///
    /// # Errors
    /// If it is not within `limit`.
    pub fn wait_until_restored(&self, limit: Duration) -> Result<()> {
        wait_for("the terminal as it was", limit, || {
            let raw = tcgetattr(&self.device)?.local_flags != self.before;
            let parser = lock(&self.screen);
            let shown = parser.screen().alternate_screen() || parser.screen().hide_cursor();
            Ok((!raw && !shown).then_some(()))
        })
    }

    /// Whether anything on it has a colour.
    #[must_use]
    pub fn is_coloured(&self) -> bool {
        let parser = lock(&self.screen);
        let (lines, columns) = parser.screen().size();
        let (lines, columns) = (lines.get(), columns.get());
        let mut places = (0..lines).flat_map(|line| (0..columns).map(move |column| (line, column)));
        places.any(|(line, column)| {
            let cell = parser.screen().cell(line, column);
            cell.is_some_and(|cell| [cell.fgcolor(), cell.bgcolor()] != [Color::Default; 2])
        })
    }

    /// Waits until it looks as it should.
    ///
    /// # Errors
    /// If it does not within `limit`; says how it looks instead.
    pub fn wait_until(
        &self,
        what: &str,
        limit: Duration,
        is_so: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let found = wait_for(what, limit, || Ok(is_so(&self.text()).then_some(())));
        found.with_context(|| self.text())
    }

    /// Types.
    ///
    /// # Errors
    /// If nobody reads that any more.
    pub fn press(&mut self, keys: &str) -> Result<()> {
        Ok(self.keyboard.write_all(keys.as_bytes())?)
    }

    /// Gives it another size, and tells the program.
    ///
    /// # Errors
    /// If that does not work.
    pub fn resize(&self, lines: u16, columns: u16) -> Result<()> {
        lock(&self.screen).screen_mut().set_size(some(lines)?, some(columns)?);
        let mut stty = Command::new("stty");
        stty.arg("-F").arg(ttyname(&self.device)?);
        output(stty.args(["rows", &lines.to_string(), "cols", &columns.to_string()]))?;
        self.process.signal(Signal::SIGWINCH)
    }
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal").field("process", &self.process).finish_non_exhaustive()
    }
}

fn some(cells: u16) -> Result<NonZero<u16>> {
    NonZero::new(cells).context("a terminal of no size")
}

fn lock(parser: &Mutex<Parser>) -> MutexGuard<'_, Parser> {
    parser.lock().unwrap_or_else(PoisonError::into_inner)
}
