//! Programs for processors without an operating system, which are not of the workspace.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::binaries;
use crate::process::output;

/// Builds the programs of the package in `package` with such arguments for cargo's features and
/// returns their folder, of which `name` is part.
///
/// # Errors
/// If one does not build.
pub fn build(
    package: &Path,
    name: &str,
    target: &str,
    profile: &str,
    features: &[&str],
) -> Result<PathBuf> {
    let directory = binaries::target_directory()?.join(name);
    let mut command = if has_target(target)? {
        Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    } else {
        debian(target)
    };
    command.args(["build", "--quiet", "--locked", "--bins"]).args(features);
    command.args(["--target", target, "--profile", profile, "--target-dir"]);
    output(command.arg(&directory).current_dir(package))?;
    Ok(directory.join(target).join(profile))
}

fn has_target(target: &str) -> Result<bool> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let sysroot = output(Command::new(rustc).args(["--print", "sysroot"]))?;
    Ok(Path::new(sysroot.trim()).join("lib/rustlib").join(target).is_dir())
}

/// Debian's toolchain for the web, which has the sources of core.
fn debian(target: &str) -> Command {
    let linker = format!("CARGO_TARGET_{}_LINKER", target.to_uppercase().replace(['-', '.'], "_"));
    let mut command = Command::new("/usr/bin/cargo");
    command.env("RUSTC_BOOTSTRAP", "1").env("RUSTC", "/usr/bin/rustc").env(linker, "ld.lld");
    command.arg("-Zbuild-std=core");
    command
}
