//! What a board logs: defmt's frames, which its program's file explains.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use defmt_decoder::{DecodeError, Table};

/// The octets of a serial line in a file, decoded.
pub struct Log {
    table: Table,
    serial: PathBuf,
    /// So much of the file there was when it was decoded last.
    seen: usize,
    lines: Vec<String>,
}

impl Log {
    /// Of `program`, into the file `serial`, which need not be there yet.
    pub fn new(program: &Path, serial: PathBuf) -> Result<Self> {
        let image = fs::read(program)?;
        let table = Table::parse(&image)?.context("the program has no defmt in it")?;
        Ok(Self { table, serial, seen: 0, lines: Vec::new() })
    }

    /// Level and text of each message so far.
    pub fn lines(&mut self) -> Result<&[String]> {
        let octets = fs::read(&self.serial).unwrap_or_default();
        if octets.len() == self.seen {
            return Ok(&self.lines);
        }
        let mut decoder = self.table.new_stream_decoder();
        decoder.received(&octets);
        self.lines.clear();
        loop {
            match decoder.decode() {
                Ok(frame) => {
                    let level = frame.level().map_or("", |level| level.as_str());
                    self.lines.push(format!("{level} {}", frame.display_message()));
                }
                Err(DecodeError::UnexpectedEof) => break,
                Err(DecodeError::Malformed) => bail!("no defmt: {octets:?}"),
            }
        }
        self.seen = octets.len();
        Ok(&self.lines)
    }
}
