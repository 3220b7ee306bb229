//! The programs under test: cargo builds another package's binaries for its own tests only.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};

/// What cargo is asked for to have them.
const PROGRAMS: [&str; 4] = ["build", "--package", "truechimer", "--bins"];

/// `chimed` of this test's own profile.
///
/// # Errors
/// If it cannot be built.
pub fn chimed() -> Result<PathBuf> {
    Ok(built()?.join("chimed"))
}

/// `chimectl` of this test's own profile.
///
/// # Errors
/// If it cannot be built.
pub fn chimectl() -> Result<PathBuf> {
    Ok(built()?.join("chimectl"))
}

/// A copy of a program in a folder, for a user who may not be where it was built. Another process makes it:
/// what a child of this one holds open for writing cannot be executed.
///
/// # Errors
/// If it cannot be made.
pub fn copied(program: &Path, folder: &Path) -> Result<PathBuf> {
    let copy = folder.join(program.file_name().context("no name")?);
    if !copy.exists() {
        let status = Command::new("cp")
            .arg("--preserve=mode")
            .arg(program)
            .arg(folder)
            .status()
            .context("cp")?;
        ensure!(status.success(), "cp {} {}: {status}", program.display(), folder.display());
    }
    Ok(copy)
}

/// `chimed` as it is released: optimised and stripped, with the locked dependencies.
///
/// # Errors
/// If it cannot be built.
pub fn released_chimed() -> Result<PathBuf> {
    static RESULT: OnceLock<Result<(), String>> = OnceLock::new();
    let directory = target_directory()?.join("release");
    once(&RESULT, || build(&PROGRAMS, true))?;
    Ok(directory.join("chimed"))
}

/// `chimectl` as it is released.
///
/// # Errors
/// If it cannot be built.
pub fn released_chimectl() -> Result<PathBuf> {
    Ok(released_chimed()?.with_file_name("chimectl"))
}

/// The library of `preload/simulator.rs`, for `LD_PRELOAD`.
///
/// # Errors
/// If it cannot be built.
pub fn preload_simulator() -> Result<PathBuf> {
    static RESULT: OnceLock<Result<(), String>> = OnceLock::new();
    preload("preload_simulator", &RESULT)
}

/// The library of `preload/read_only_clock.rs`, likewise.
///
/// # Errors
/// If it cannot be built.
pub fn preload_read_only_clock() -> Result<PathBuf> {
    static RESULT: OnceLock<Result<(), String>> = OnceLock::new();
    preload("preload_read_only_clock", &RESULT)
}

fn preload(example: &str, result: &OnceLock<Result<(), String>>) -> Result<PathBuf> {
    Ok(examples("truechimer-tests", example, result)?.join(format!("lib{example}.so")))
}

/// The program that writes the manual pages and completions.
///
/// # Errors
/// If it cannot be built.
pub fn manual() -> Result<PathBuf> {
    static RESULT: OnceLock<Result<(), String>> = OnceLock::new();
    beside_the_daemon("manual", &RESULT)
}

/// The program that is confined as one of the daemon's processes, and tries what it may.
///
/// # Errors
/// If it cannot be built.
pub fn confined() -> Result<PathBuf> {
    static RESULT: OnceLock<Result<(), String>> = OnceLock::new();
    beside_the_daemon("confined", &RESULT)
}

fn beside_the_daemon(example: &str, result: &OnceLock<Result<(), String>>) -> Result<PathBuf> {
    Ok(examples("truechimer", example, result)?.join(example))
}

/// The folder of a package's examples, once this one is fresh.
fn examples(
    package: &str,
    example: &str,
    result: &OnceLock<Result<(), String>>,
) -> Result<PathBuf> {
    let target = ["build", "--package", package, "--example", example];
    let directory = profile_directory()?;
    let released = directory.ends_with("release");
    once(result, || build(&target, released))?;
    Ok(directory.join("examples"))
}

/// The program of `kernel/agent`, for a guest: it needs no library.
///
/// # Errors
/// If it cannot be built.
pub fn guest_agent() -> Result<PathBuf> {
    static RESULT: OnceLock<Result<(), String>> = OnceLock::new();
    let target = ["rustc", "--package", "truechimer-tests", "--example", "guest_agent"];
    let linked = ["--", "-C", "target-feature=+crt-static", "-C", "strip=symbols"];
    let directory = profile_directory()?;
    let released = directory.ends_with("release");
    once(&RESULT, || build_with(&target, released, &linked))?;
    Ok(directory.join("examples/guest_agent"))
}

/// Where cargo puts what it builds.
///
/// # Errors
/// If this is not run from there.
pub fn target_directory() -> Result<PathBuf> {
    let profile = profile_directory()?;
    profile.parent().map(Path::to_path_buf).context("the test is not in a target directory")
}

/// The programs' directory, once cargo has seen to it that they are fresh.
fn built() -> Result<PathBuf> {
    static RESULT: OnceLock<Result<(), String>> = OnceLock::new();
    let directory = profile_directory()?;
    let released = directory.ends_with("release");
    once(&RESULT, || build(&PROGRAMS, released))?;
    Ok(directory)
}

fn once(cell: &OnceLock<Result<(), String>>, build: impl Fn() -> Result<()>) -> Result<()> {
    let result = cell.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    result.clone().map_err(|error| anyhow!(error))
}

/// Tests run as `target/<profile>/deps/<name>-<hash>`.
fn profile_directory() -> Result<PathBuf> {
    let test = env::current_exe().context("this test does not know its own path")?;
    let deps = test.parent().filter(|deps| deps.ends_with("deps"));
    deps.and_then(Path::parent).map(Path::to_path_buf).context("the test is not run by cargo")
}

fn build(target: &[&str], released: bool) -> Result<()> {
    build_with(target, released, &[])
}

fn build_with(target: &[&str], released: bool, options: &[&str]) -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let output = Command::new(cargo)
        .args(target)
        .args(["--quiet", "--locked"])
        .args(released.then_some("--release"))
        .arg("--target-dir")
        .arg(target_directory()?)
        .args(options)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .context("cannot run cargo")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo {target:?}: {}\n{errors}", output.status);
    Ok(())
}
