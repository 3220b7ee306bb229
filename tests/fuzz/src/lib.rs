//! What the targets, `src/bin`, have in common. Each is a program of libFuzzer's: its arguments are
//! options and folders of inputs, of which the first is added to.

use std::path::Path;
use std::{env, fs};

/// Writes inputs to begin with into each folder among the program's arguments that is not there yet.
pub fn plant<T: AsRef<[u8]>>(seeds: impl IntoIterator<Item = T> + Clone) {
    let folders = env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    for folder in folders.filter(|folder| !Path::new(folder).exists()) {
        fs::create_dir_all(&folder).expect("a folder for inputs");
        for (seed, number) in seeds.clone().into_iter().zip(0..) {
            let path = Path::new(&folder).join(format!("seed-{number:03}"));
            fs::write(path, seed).expect("an input");
        }
    }
}

/// An input's octets, from the first on.
#[derive(Debug, Clone, Copy)]
pub struct Octets<'a>(pub &'a [u8]);

impl<'a> Octets<'a> {
    /// The next ones, as long as there are so many.
    pub fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    /// The next one.
    pub fn octet(&mut self) -> Option<u8> {
        self.take().map(|[octet]| octet)
    }

    /// So many as the next one says, or all that are left.
    pub fn piece(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.octet()?).min(self.0.len());
        let (piece, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(piece)
    }
}
