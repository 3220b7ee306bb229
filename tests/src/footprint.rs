//! What parts of the core take on a Cortex-M33, on an emulated board.
//!
//! The programs of `tests/footprint/board` run in QEMU with `-icount`: each instruction takes the
//! same virtual time, by which the counts are exact and the same on each machine. How much flash a
//! part takes is how much greater its program is than one that only makes the inputs. The stack is
//! painted before each call.

#[path = "../footprint/board/src/subjects.rs"]
mod subjects;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use self::subjects::Meter;
use crate::bare;
use crate::image::Image;
use crate::process::run;

/// Each instruction takes 2^5 ns of virtual time ...
const ICOUNT: &str = "shift=5,sleep=off";
/// ... and a tick of SysTick 31.25 ns, which tells single instructions apart.
const INSTRUCTIONS_PER_TICK: f64 = 31.25 / 32.0;
/// How long a program may take on the host.
const LIMIT: Duration = Duration::from_secs(120);
/// Where the programs are.
const BOARD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/footprint/board");

/// The program without any part, and those with one.
const BASELINE: Program = ("baseline", subjects::baseline);
const PARTS: [Program; 4] = [
    ("estimator20", subjects::estimator::<5>),
    ("estimator8", subjects::estimator::<2>),
    ("clock", subjects::clock),
    ("engine", subjects::engine),
];

type Program = (&'static str, fn(&mut Host) -> u64);

/// How the programs are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Build {
    /// With floating point in hardware, single precision.
    pub hard_float: bool,
    /// For speed in place of size.
    pub fast: bool,
}

impl Build {
    fn target(self) -> &'static str {
        if self.hard_float { "thumbv8m.main-none-eabihf" } else { "thumbv8m.main-none-eabi" }
    }

    fn profile(self) -> &'static str {
        if self.fast { "fast" } else { "release" }
    }
}

/// What a part takes.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its program's name.
    pub name: &'static str,
    /// Octets of code and constants.
    pub flash: u64,
    /// Octets that last.
    pub ram: u64,
    /// Octets of stack that a call takes at most.
    pub stack: u64,
    /// Instructions of a call when all has settled, rounded.
    pub instructions: u64,
    /// Instructions of the longest call.
    pub most: u64,
    /// Functions of `core::panicking` in its program.
    pub panics: Vec<String>,
}

/// Builds all programs, runs them on the board and compares the bits of their results with those
/// of the same code on the host.
///
/// # Errors
/// If one does not build or end well, or its results differ.
pub fn measure(build: Build) -> Result<Vec<Part>> {
    let programs = compile(build)?;
    let read = |name: &str| Image::read(&programs.join(name));
    let baseline = read(BASELINE.0)?.flash()?;
    emulate(&programs, BASELINE)?;
    let part = |program: Program| {
        let name = program.0;
        let image = read(name)?;
        let [ram, calls, ticks, most, stack] = emulate(&programs, program)?;
        let instructions = |ticks: f64| (ticks * INSTRUCTIONS_PER_TICK).round() as u64;
        Ok(Part {
            name,
            flash: image.flash()?.saturating_sub(baseline),
            ram,
            stack,
            instructions: instructions(ticks as f64 / calls as f64),
            most: instructions(most as f64),
            panics: image.panics()?,
        })
    };
    PARTS.into_iter().map(part).collect()
}

/// The folder of the programs.
fn compile(build: Build) -> Result<PathBuf> {
    bare::build(Path::new(BOARD), "footprint", build.target(), build.profile(), &[])
}

/// Runs a program and returns its numbers but for the sum, which is compared.
fn emulate(programs: &Path, (name, subject): Program) -> Result<[u64; 5]> {
    let mut command = Command::new("qemu-system-arm");
    // The board's first core is an M33 without a floating-point unit unless it is asked for.
    command.args(["-M", "mps3-an524", "-global", "sse-200.CPU0_FPU=on"]);
    command.args(["-display", "none", "-monitor", "none", "-serial", "none"]);
    command.args(["-icount", ICOUNT]);
    command.args(["-semihosting-config", "enable=on,target=native"]);
    let (status, lines) = run(command.arg("-kernel").arg(programs.join(name)), LIMIT)?;
    ensure!(status.success(), "{name}: {status}");
    let [sum, numbers @ ..] = lines
        .iter()
        .find_map(|line| numbers(line))
        .with_context(|| format!("{name}: no numbers in {lines:?}"))?;
    let expected = subject(&mut Host);
    ensure!(sum == expected, "{name}: {sum:016x} on the board, {expected:016x} on the host");
    Ok(numbers)
}

fn numbers(line: &str) -> Option<[u64; 6]> {
    let numbers = line.split_whitespace().map(|word| u64::from_str_radix(word, 16));
    numbers.collect::<Result<Vec<_>, _>>().ok()?.try_into().ok()
}

/// The host as a meter: it measures nothing.
struct Host;

impl Meter for Host {
    fn call<R>(&mut self, _: bool, call: impl FnOnce() -> R) -> R {
        call()
    }
}
