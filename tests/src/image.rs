//! What is in the file of a program for a processor without an operating system.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use addr2line::gimli;
use anyhow::{Context, Result};
use object::{Object, ObjectSection, ObjectSegment, ObjectSymbol, SectionKind};

/// A program's file.
pub struct Image(Vec<u8>);

impl Image {
    /// # Errors
    /// If it cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        let octets = std::fs::read(path);
        Ok(Self(octets.with_context(|| format!("cannot read {}", path.display()))?))
    }

    fn file(&self) -> Result<object::File<'_>> {
        object::File::parse(&*self.0).context("not an object file")
    }

    /// Octets of all that is loaded: vectors, code, constants, and what variables begin with.
    ///
    /// # Errors
    /// If the file is none of a program.
    pub fn flash(&self) -> Result<u64> {
        Ok(self.file()?.segments().map(|segment| segment.file_range().1).sum())
    }

    /// Octets of the variables that last.
    ///
    /// # Errors
    /// As [`flash`](Self::flash).
    pub fn statics(&self) -> Result<u64> {
        let is_variable = |kind| matches!(kind, SectionKind::Data | SectionKind::UninitializedData);
        let file = self.file()?;
        Ok(file.sections().filter(|one| is_variable(one.kind())).map(|one| one.size()).sum())
    }

    /// Where the linker put something.
    ///
    /// # Errors
    /// If it is not there.
    pub fn address(&self, name: &str) -> Result<u64> {
        let file = self.file()?;
        let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name));
        Ok(symbol.with_context(|| format!("no `{name}` in the program"))?.address())
    }

    /// The functions by which `core` panics.
    ///
    /// # Errors
    /// As [`flash`](Self::flash).
    pub fn panics(&self) -> Result<Vec<String>> {
        let file = self.file()?;
        let names = file.symbols().filter_map(|symbol| symbol.name().ok());
        Ok(names.filter(|name| name.contains("4core9panicking")).map(str::to_owned).collect())
    }
    /// The crates whose code calls them, or what they are called by, and from how many places: of
    /// each place the innermost code that is not of the standard library, as the debugging
    /// information has it.
    ///
    /// # Errors
    /// As [`flash`](Self::flash); for Arm's Thumb alone.
    pub fn panic_sites(&self) -> Result<BTreeMap<String, usize>> {
        const CALLED: [&str; 4] =
            ["4core9panicking", "slice_index_fail", "expect_failed", "unwrap_failed"];
        let file = self.file()?;
        let is_panic = |name: &str| CALLED.iter().any(|called| name.contains(called));
        let symbols = file.symbols().filter(|symbol| symbol.name().is_ok_and(is_panic));
        // The lowest bit says that it is Thumb code.
        let targets: BTreeSet<u64> = symbols.map(|symbol| symbol.address() & !1).collect();
        let section = |id: gimli::SectionId| -> Result<_, gimli::Error> {
            let data = file.section_by_name(id.name()).and_then(|section| section.data().ok());
            Ok(gimli::EndianSlice::new(data.unwrap_or_default(), gimli::LittleEndian))
        };
        let context = addr2line::Context::from_dwarf(gimli::Dwarf::load(section)?)?;
        let mut sites = BTreeMap::new();
        for code in file.sections().filter(|section| section.kind() == SectionKind::Text) {
            let octets = code.data()?;
            for (place, pair) in octets.windows(4).enumerate().step_by(2) {
                let at = code.address() + place as u64;
                if branch(at, pair).is_none_or(|target| !targets.contains(&target)) {
                    continue;
                }
                let mut frames = context.find_frames(at).skip_all_loads()?;
                while let Some(frame) = frames.next()? {
                    let file = frame.location.and_then(|location| location.file);
                    if let Some(name) = file.and_then(crate_of) {
                        *sites.entry(name).or_default() += 1;
                        break;
                    }
                }
            }
        }
        Ok(sites)
    }
}

/// Where the instruction at `at` leads, if it is a call or a long jump (Arm DDI 0553, `BL`, `B`).
fn branch(at: u64, octets: &[u8]) -> Option<u64> {
    let &[a, b, c, d] = octets else { return None };
    let [first, second] = [[a, b], [c, d]].map(|half| u32::from(u16::from_le_bytes(half)));
    if first & 0xF800 != 0xF000 || second & 0x9000 != 0x9000 {
        return None;
    }
    let bit = |word: u32, place: u32| word >> place & 1;
    let sign = bit(first, 10);
    let [high, low] = [13, 11].map(|place| 1 ^ bit(second, place) ^ sign);
    let offset =
        sign << 24 | high << 23 | low << 22 | (first & 0x3FF) << 12 | (second & 0x7FF) << 1;
    let offset = (offset << 7).cast_signed() >> 7;
    (at + 4).checked_add_signed(offset.into())
}

/// The crate that a source file is of, unless that is the standard library.
fn crate_of(file: &str) -> Option<String> {
    if file.contains("/library/") {
        return None;
    }
    if let Some((_, path)) = file.split_once("/registry/src/") {
        // Behind the registry's name, without the version.
        let package = path.split('/').nth(1)?;
        return package.rsplit_once('-').map(|(name, _)| name.to_owned());
    }
    let ours = ["core/src", "firmware/src", "firmware/boards"];
    ours.into_iter().find(|folder| file.contains(folder)).map(str::to_owned)
}
