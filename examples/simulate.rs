//! Runs a world in which days pass in seconds and tells what came of the clock in it.
//!
//! ```sh
//! cargo run --release -p truechimer-examples --example simulate -- tests/worlds/lan.toml
//! cargo run --release -p truechimer-examples --example simulate -- \
//!     tests/worlds/frequency_step.toml --csv readings.csv --plot plot.svg
//! ```

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Parser;
use truechimer_tests::sim::{World, csv, plot};

/// Runs a world and tells what came of it.
#[derive(Debug, Parser)]
struct Options {
    /// The world, a file of TOML
    world: PathBuf,
    /// Another seed than the world's
    #[arg(long)]
    seed: Option<u64>,
    /// Another duration than the world's, in seconds
    #[arg(long)]
    duration: Option<f64>,
    /// Writes each second's reading as comma-separated values
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Draws offset, estimate, bound and frequency as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Prints what the engine logged
    #[arg(long)]
    log: bool,
}

/// Fails, after it has told all, if the world has limits that do not hold.
fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let file = options.world.display();
    let text = fs::read_to_string(&options.world).with_context(|| format!("cannot read {file}"))?;
    let mut world = World::from_toml(&text).map_err(|error| anyhow!("{file}: {error}"))?;
    world.seed = options.seed.unwrap_or(world.seed);
    world.duration = options.duration.unwrap_or(world.duration);
    ensure!(world.duration > 0.0, "a world lasts longer than 0 s, not {}", world.duration);

    let start = Instant::now();
    let mut readings = Vec::new();
    let report = world.observe(|reading| readings.push(*reading));
    let elapsed = start.elapsed().as_secs_f64();

    if let Some(path) = &options.csv {
        let file =
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut writer = csv::Writer::new(BufWriter::new(file))?;
        readings.iter().try_for_each(|reading| writer.write(reading))?;
        writer.into_inner().flush()?;
    }
    if let Some(path) = &options.plot {
        plot::draw(path, &world.about, world.settle, &readings)
            .map_err(|error| anyhow!("cannot draw {}: {error}", path.display()))?;
    }
    if options.log {
        for (time, line) in &report.log {
            println!("{time:12.3} {line}");
        }
    }
    println!("{}", world.about);
    print!("{report}");
    let days = world.duration / 86_400.0;
    println!("{days:.2} days in {elapsed:.2} s: {:.1} days/s", days / elapsed);
    match world.limits.check(&report) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(broken) => {
            eprint!("limits broken: {broken}");
            Ok(ExitCode::FAILURE)
        }
    }
}
