//! The figures of the engine's clock beside their targets and chrony's, in the worlds in which
//! those were measured: `cargo bench -p truechimer-tests --bench accuracy`.
//!
//! `--profile quick` rebuilds faster. A few seeds by default, which leave some figures uncertain by
//! a third; `-- --full` for as many as the targets are stated for, `-- --seeds N` for others;
//! `-- grid` and the like for a part alone. The same figures come out each time. It fails if a target
//! is missed.

mod grid;
mod kernel;
mod parallel;
mod picture;
mod profile;
mod published;
mod sources;
mod table;
mod trials;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::{Parser, ValueEnum};

use self::table::Verdict;

/// Accuracy against chrony, the prototype and the targets.
#[derive(Debug, Parser)]
struct Options {
    /// Which figures; by default all.
    parts: Vec<Part>,
    /// As many worlds as the targets are stated for.
    #[arg(long, conflicts_with = "seeds")]
    full: bool,
    /// Worlds of each kind.
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Draws the published comparison as SVG.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// chrony's published comparison.
    Published,
    /// Wander against jitter, beside chrony and the prototype.
    Grid,
    /// The filter banks of three sizes.
    Profile,
    /// Several sources that share the packets.
    Sources,
    /// A cold start, bad paths and liars.
    Trials,
    /// The kernel's loop beside the engine's own discipline.
    Kernel,
}

/// Seeds of the published comparison.
const FULL: u64 = 100;

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let seeds = if options.full { FULL } else { options.seeds.max(1) };
    let start = Instant::now();
    let wanted = |part| options.parts.is_empty() || options.parts.contains(&part);
    let mut verdicts: Vec<Verdict> = Vec::new();
    if wanted(Part::Published) || options.plot.is_some() {
        let outcomes = published::measure(seeds);
        verdicts.extend(published::print(&outcomes, seeds));
        if let Some(path) = &options.plot {
            picture::draw(path, &outcomes, seeds)?;
        }
    }
    if wanted(Part::Grid) {
        verdicts.extend(grid::print(seeds));
    }
    if wanted(Part::Profile) {
        verdicts.extend(profile::print(seeds));
    }
    if wanted(Part::Sources) {
        verdicts.extend(sources::print());
    }
    if wanted(Part::Trials) {
        verdicts.extend(trials::print(seeds, options.full));
    }
    if wanted(Part::Kernel) {
        kernel::print(seeds);
    }
    let met = verdicts.iter().filter(|verdict| verdict.met).count();
    let secs = start.elapsed().as_secs_f64();
    println!("\n{met} of {} targets are met; {secs:.0} s", verdicts.len());
    for Verdict { what, .. } in verdicts.iter().filter(|verdict| !verdict.met) {
        println!("missed: {what}");
    }
    Ok(if met == verdicts.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
