//! A Linux kernel whose clock may be mis-set: Debian's for virtual machines, under QEMU with
//! instruction counting. A guest's time passes by what it executes and jumps ahead when it sleeps,
//! so that it is faster than the host's
//! and the host's load does not show in it.

mod initramfs;
pub mod scenario;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::{finish, output};
use crate::{binaries, scratch};

/// Where a guest writes its lines, octet by octet.
pub const DEBUG_PORT: u16 = 0xe9;
/// Where it writes [`DONE`] or another code below 128, which ends it.
pub const EXIT_PORT: u16 = 0xf4;
/// The code of success. QEMU ends with twice that and 1, which is none of its own codes.
pub const DONE: u8 = 16;

/// Whether what is built here runs in a guest.
pub const RUNS_PROGRAMS: bool =
    cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"));

/// Where a guest with cards has the paths of the modules that drive them, a line each.
pub const CARD_MODULES: &str = "/modules";

const QEMU: &str = "qemu-system-x86_64";
/// The drivers of Intel's 82576, what they need first.
const MODULES: [&str; 3] = ["dca.ko", "i2c-algo-bit.ko", "igb.ko"];

/// What the kernel is told. Processor cycles are what QEMU counts, nanoseconds, and may be relied
/// on.
const COMMAND_LINE: &str = "console=ttyS0 quiet panic=-1 audit=0 mitigations=off nokaslr \
                            tsc=reliable tsc_early_khz=1000000 clocksource=tsc";

/// A virtual machine that is to be.
#[derive(Debug)]
pub struct Guest {
    files: Vec<(String, Vec<u8>)>,
    cards: Option<Cards>,
}

/// What there is for guests with network cards that stamp: a kernel for machines of every kind, with
/// the drivers, and an emulator of such cards.
#[derive(Debug)]
struct Cards {
    folder: PathBuf,
    /// Of its own, if the machine's has no such card.
    emulator: Option<PathBuf>,
}

impl Cards {
    fn find() -> Option<Self> {
        let folder = binaries::target_directory().ok()?.join("guest/cards");
        let own = folder.join("qemu/usr/bin").join(QEMU);
        folder.is_dir().then(|| Self { folder, emulator: own.is_file().then_some(own) })
    }
}

impl Guest {
    /// One whose first process is `program`, an executable that needs no library.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn new(program: &Path) -> Result<Self> {
        let program =
            fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
        Ok(Self { files: vec![("init".to_owned(), program)], cards: None })
    }

    /// Adds two network cards with a cable between them, whose clocks stamp what leaves.
    ///
    /// # Errors
    /// If there is no emulator of them, or no driver.
    pub fn with_cards(mut self) -> Result<Self> {
        let cards =
            Cards::find().context("no network cards for a guest; ./tests/run fetches them")?;
        for module in MODULES {
            let path = cards.folder.join(module);
            let content = fs::read(&path).with_context(|| path.display().to_string())?;
            self = self.with_file(module, content);
        }
        self.cards = Some(cards);
        let paths: String = MODULES.iter().map(|module| format!("/{module}\n")).collect();
        Ok(self.with_file(CARD_MODULES.trim_start_matches('/'), paths))
    }

    /// Adds a file, by its path without the first slash; its directories are made.
    #[must_use]
    pub fn with_file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((path.to_owned(), content.into()));
        self
    }

    /// Adds a program as `/program`, with the libraries that it is linked with.
    ///
    /// # Errors
    /// If one of them cannot be found or read.
    pub fn with_program(self, program: &Path) -> Result<Self> {
        let listed = output(Command::new("ldd").arg(program))?;
        // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x7f..)`, and the loader by its path alone.
        let words = listed.lines().flat_map(str::split_whitespace);
        let libraries = words.filter(|word| word.starts_with('/')).map(|path| (&path[1..], path));
        let program = program.to_str().context("a path that is no text")?;
        [("program", program)].into_iter().chain(libraries).try_fold(self, |guest, (name, path)| {
            Ok(guest.with_file(name, fs::read(path).with_context(|| path.to_owned())?))
        })
    }

    /// Boots it, for the lines that it writes to [`DEBUG_PORT`] until it is [`DONE`].
    ///
    /// # Errors
    /// If it does not end so within `limit` of the host's time; with what it wrote last and what
    /// its console shows.
    pub fn run(&self, limit: Duration) -> Result<Vec<String>> {
        let directory = scratch()?;
        let (initramfs, console) =
            (directory.path().join("initramfs"), directory.path().join("console"));
        initramfs::write(&initramfs, &self.files)?;
        let folder = self.cards.as_ref().map(|cards| cards.folder.join("boot"));
        let kernel = kernel(folder).context("no kernel for a guest; ./tests/run fetches it")?;
        let mut command = self.emulator();
        command.args("-M q35 -accel tcg -smp 1 -m 256 -icount shift=0,sleep=off".split(' '));
        command.args("-rtc base=2026-01-01T00:00:00,clock=vm".split(' '));
        command.args("-nodefaults -no-user-config -display none -no-reboot".split(' '));
        command.arg("-debugcon").arg("stdio");
        command.args(["-device", &format!("isa-debug-exit,iobase={EXIT_PORT:#x},iosize=1")]);
        command.arg("-serial").arg(option("file:", &console));
        command.arg("-kernel").arg(kernel).arg("-initrd").arg(&initramfs);
        command.arg("-append").arg(COMMAND_LINE);
        let ended = finish(&mut command, limit);
        let report = || {
            let console = fs::read(&console).unwrap_or_default();
            last_lines(&String::from_utf8_lossy(&console))
        };
        let ended = ended.with_context(|| format!("the guest's console:\n{}", report()))?;
        if ended.code != Some(i32::from(DONE) * 2 + 1) {
            let lines = last_lines(&ended.stdout);
            bail!(
                "the guest ended with {:?}\n{lines}\n{}\nits console:\n{}",
                ended.code,
                ended.stderr,
                report()
            );
        }
        Ok(ended.stdout.lines().map(str::to_owned).collect())
    }
}

impl Guest {
    /// With the cards.
    fn emulator(&self) -> Command {
        let Some(Cards { folder, emulator }) = &self.cards else { return Command::new(QEMU) };
        let mut command = Command::new(emulator.as_deref().unwrap_or(Path::new(QEMU)));
        if emulator.is_some() {
            for firmware in ["qemu", "seabios"] {
                command.arg("-L").arg(folder.join("qemu/usr/share").join(firmware));
            }
        }
        for (card, slot) in [("one", 1), ("other", 2)] {
            command.args(["-netdev", &format!("hubport,id={card},hubid=0")]);
            // Each has functions for eight more.
            let port = format!("pcie-root-port,id=port{slot},slot={slot},chassis={slot}");
            // Nothing is booted from it.
            let device = format!("igb,netdev={card},bus=port{slot},romfile=");
            command.args(["-device", &port, "-device", &device]);
        }
        command
    }
}

/// Whether there are network cards for guests too.
#[must_use]
pub fn has_cards() -> bool {
    is_available() && Cards::find().is_some()
}

/// Whether there are an emulator and a kernel, and programs for it.
#[must_use]
pub fn is_available() -> bool {
    let version = Command::new(QEMU).arg("--version").output();
    version.is_ok_and(|output| output.status.success()) && kernel(None).is_some() && RUNS_PROGRAMS
}

/// The newest of those that `tests/run` unpacks, in this folder or that of the usual one.
fn kernel(folder: Option<PathBuf>) -> Option<PathBuf> {
    let usual = || Some(binaries::target_directory().ok()?.join("guest/boot"));
    let folder = folder.or_else(usual)?;
    let kernels = fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    kernels.filter(|path| path.to_string_lossy().contains("vmlinuz-")).max()
}

fn option(name: &str, path: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push(path);
    option
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
