//! The worlds of `worlds/`, each with one thing wrong, and what must come of each; and what is
//! measured over many.

mod adversity;
mod asymmetry;
mod bounds;
mod sources;
mod yardstick;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use libtest_mimic::{Arguments, Failed, Trial};
use truechimer_tests::sim::World;

type Run = fn() -> Result<()>;

/// Each world is run with its own seed and the next ones.
const SEEDS: u64 = 3;

fn main() -> Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("worlds");
    let files = fs::read_dir(&directory).with_context(|| directory.display().to_string())?;
    let mut paths = files.map(|file| Ok(file?.path())).collect::<Result<Vec<PathBuf>>>()?;
    paths.sort();
    ensure!(!paths.is_empty(), "no worlds in {}", directory.display());
    let trials = paths.into_iter().map(|path| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Trial::test(name, move || run(&path).map_err(|error| Failed::from(format!("{error:#}"))))
    });
    let measured: [(&str, Run); 7] = [
        ("a_day_of_adversity", adversity::run),
        ("static_asymmetry", asymmetry::run),
        ("bounds", bounds::run),
        ("sources_share_the_packets", sources::run),
        ("as_good_as_sixty_filters", yardstick::steady),
        ("recovers_from_faults_like_sixty_filters", yardstick::faults),
        ("eight_filters_do_nearly_as_well", yardstick::small),
    ];
    let measured = measured.into_iter().map(|(name, run)| {
        Trial::test(name, move || run().map_err(|error| Failed::from(format!("{error:#}"))))
    });
    libtest_mimic::run(&Arguments::from_args(), trials.chain(measured).collect()).exit()
}

fn run(path: &Path) -> Result<()> {
    let read = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let world = World::from_toml(&read).map_err(|error| anyhow!("{}: {error}", path.display()))?;
    for seed in world.seed..world.seed + SEEDS {
        let report = world.clone().seed(seed).run();
        let check = world.limits.check(&report);
        check.map_err(|broken| anyhow!("{}\n{report}limits broken: {broken}", world.about))?;
    }
    Ok(())
}
