//! The boards that are emulated.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Result, anyhow, ensure};

use super::LIMIT;
use crate::process::run;
use crate::{bare, scratch, write};

/// Which board it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// Cortex-M33, LAN9118, PL031.
    Mps3An524,
    /// Cortex-A53, virtio, PL031.
    VirtAarch64,
}

/// How its program is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Build {
    RealTime,
    /// For virtual time.
    Lockstep,
    /// Likewise, with the real-time clock on the I2C bus: each reading of it takes the emulator
    /// hundreds of times as long.
    LockstepWithBus,
}

impl Model {
    const fn target(self) -> &'static str {
        match self {
            Self::Mps3An524 => "thumbv8m.main-none-eabi",
            Self::VirtAarch64 => "aarch64-unknown-none-softfloat",
        }
    }

    /// The folder of its package in `firmware/boards`; its program has the prefix `truechimer-`.
    const fn name(self) -> &'static str {
        match self {
            Self::Mps3An524 => "mps3-an524",
            Self::VirtAarch64 => "qemu-virt-aarch64",
        }
    }

    /// The emulator with that program and such settings; its Ethernet is at the end of QEMU's
    /// network device `cable`.
    pub(super) fn emulator(self, program: &Path, settings: &[String]) -> Command {
        let (emulator, machine) = match self {
            Self::Mps3An524 => ("qemu-system-arm", &["mps3-an524", "-net", "nic,netdev=cable"][..]),
            Self::VirtAarch64 => (
                "qemu-system-aarch64",
                &["virt", "-cpu", "cortex-a53", "-device", "virtio-net-device,netdev=cable"][..],
            ),
        };
        let words: String = settings.iter().map(|word| format!(",arg={word}")).collect();
        let line = format!("enable=on,target=native,arg=appliance{words}");
        let mut command = Command::new(emulator);
        command.arg("-M").args(machine).args(["-display", "none", "-monitor", "none"]);
        command.args(["-semihosting-config", &line]).arg("-kernel").arg(program);
        command
    }

    /// Replays a recorded network on it and returns what comes out, word by word.
    ///
    /// # Errors
    /// If it does not build or end well.
    pub fn replay(self) -> Result<Vec<u64>> {
        let program = self.built(Build::RealTime)?.join("replay");
        let directory = scratch()?;
        let file = write(directory.path(), "replay", "")?;
        let mut command = self.emulator(&program, std::slice::from_ref(&file));
        let (status, lines) = run(command.args(["-netdev", "user,id=cable"]), LIMIT)?;
        ensure!(status.success(), "{status}: {lines:?}");
        Ok(fs::read(&file)?.as_chunks().0.iter().map(|word| u64::from_be_bytes(*word)).collect())
    }

    /// The program, built once in each way.
    pub(super) fn program(self, build: Build) -> Result<PathBuf> {
        Ok(self.built(build)?.join(format!("truechimer-{}", self.name())))
    }

    /// The folder of the programs.
    fn built(self, build: Build) -> Result<PathBuf> {
        type Built = OnceLock<Result<PathBuf, String>>;
        static BUILT: [[Built; 3]; 2] = [const { [const { OnceLock::new() }; 3] }; 2];
        let (name, features) = match build {
            Build::RealTime => ("boards", &[][..]),
            Build::Lockstep => ("lockstep", &["--features", "lockstep"][..]),
            Build::LockstepWithBus => ("lockstep-bus", &["--features", "lockstep,i2c-rtc"][..]),
        };
        let make = || self.build(name, features).map_err(|error| format!("{error:#}"));
        let folder = BUILT[self as usize][build as usize].get_or_init(make).clone();
        folder.map_err(|error| anyhow!(error))
    }

    /// Builds the programs with such arguments for cargo's features, in a target folder that is
    /// called `name`; returns where they are.
    fn build(self, name: &str, features: &[&str]) -> Result<PathBuf> {
        let boards = Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware/boards");
        let package = boards.join(self.name());
        bare::build(&package, name, self.target(), "release", features)
    }

    /// The appliance, built in such a way.
    pub(crate) fn variant(self, name: &str, features: &[&str]) -> Result<PathBuf> {
        Ok(self.build(name, features)?.join(format!("truechimer-{}", self.name())))
    }
}
