//! A terminal that is watched on: its keys, its size, and its state before and after.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use anstream::{AutoStream, ColorChoice};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::screen::Screen;
use super::{Sample, WatchError, wait};
use crate::sys;

pub(super) fn watch(path: &Path, interval: Duration) -> Result<(), WatchError> {
    let coloured = AutoStream::choice(&io::stdout()) != ColorChoice::Never;
    let screen = Screen::new(Sample::take(path)?, interval, coloured);
    // A panic restores the terminal too.
    let mut terminal = ratatui::try_init().map_err(WatchError::Terminal)?;
    let ended = run(&mut terminal, screen, path, interval);
    ratatui::try_restore().map_err(WatchError::Terminal)?;
    ended
}

fn run(
    terminal: &mut DefaultTerminal,
    mut screen: Screen,
    path: &Path,
    interval: Duration,
) -> Result<(), WatchError> {
    let stdin = io::stdin();
    let mut next = Instant::now() + interval;
    while !sys::termination_requested() {
        // In whatever size the terminal has now.
        terminal.draw(|frame| screen.draw(frame)).map_err(WatchError::Terminal)?;
        if wait(Some(stdin.as_fd()), next)? {
            break;
        }
        while event::poll(Duration::ZERO).map_err(WatchError::Terminal)? {
            let Event::Key(key) = event::read().map_err(WatchError::Terminal)? else { continue };
            if is_end(&key) {
                return Ok(());
            }
            match key.code {
                KeyCode::Down => screen.scroll(1),
                KeyCode::Up => screen.scroll(-1),
                _ => {}
            }
        }
        if next <= Instant::now() {
            next = Instant::now() + interval;
            screen.take(Sample::take(path));
        }
    }
    Ok(())
}

fn is_end(key: &KeyEvent) -> bool {
    let interrupted =
        key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press && (key.code == KeyCode::Char('q') || interrupted)
}
