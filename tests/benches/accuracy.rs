//! The error of the engine's clock beside chrony's and the prototype's, in the worlds in which
//! those were measured: `cargo bench -p truechimer-tests --bench accuracy`.
//!
//! `--profile quick` rebuilds faster. A few seeds by default, `-- --full` for 100, `-- --seeds N`
//! for others. The same figures come out each time.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use clap::Parser;
use truechimer_tests::sim::{Link, Oscillator, Queueing, Server, World};

/// Accuracy against chrony and the prototype.
#[derive(Debug, Parser)]
struct Options {
    /// As many seeds as the published figures have: 100.
    #[arg(long)]
    full: bool,
    /// Worlds of each kind.
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Random walk of the frequency, per root second.
const WANDERS: [f64; 4] = [1e-10, 1e-9, 1e-8, 1e-7];
/// Mean queueing delay each way, in seconds.
const JITTERS: [f64; 5] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2];
/// A row for each jitter: the RMS error of chronyd of 2026, in seconds.
const CHRONY: [[f64; 4]; 5] = [
    [5.51e-7, 1.38e-6, 1.09e-5, 1.09e-4],
    [2.29e-6, 5.55e-6, 1.39e-5, 1.10e-4],
    [1.06e-5, 2.29e-5, 5.52e-5, 1.40e-4],
    [6.69e-5, 7.31e-5, 2.12e-4, 5.50e-4],
    [5.28e-4, 5.25e-4, 7.41e-4, 2.28e-3],
];
/// And of the prototype of 60 filters.
const PROTOTYPE: [[f64; 4]; 5] = [
    [2.82e-7, 7.33e-7, 2.81e-6, 2.44e-5],
    [1.09e-6, 2.78e-6, 7.30e-6, 2.81e-5],
    [4.13e-6, 1.10e-5, 2.78e-5, 7.30e-5],
    [1.88e-5, 4.26e-5, 1.10e-4, 2.78e-4],
    [1.06e-4, 1.79e-4, 4.34e-4, 1.10e-3],
];

/// Seconds that a world lasts, and those of them that do not count.
const DURATION: (f64, f64) = (120_000.0, 20_000.0);

fn world(wander: f64, jitter: f64, seed: u64) -> World {
    World::new(Server::new(Link::new(1e-4, Queueing::Exponential(jitter))).poll(6, 6))
        .seed(seed)
        .offset(0.01)
        .oscillator(Oscillator { frequency: 1e-5, wander, ..Oscillator::default() })
        .duration(DURATION.0, DURATION.1)
}

/// What some worlds of one kind have in common.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    /// Geometric mean of their RMS errors.
    rms: f64,
    /// Mean number of packets.
    packets: f64,
    /// Least coverage by the error bound.
    coverage: f64,
    /// Geometric mean of the bound over the RMS error.
    bound: f64,
}

fn measure(wander: f64, jitter: f64, seeds: u64) -> Cell {
    let reports: Vec<_> = (1..=seeds).map(|seed| world(wander, jitter, seed).run()).collect();
    Cell {
        rms: geometric_mean(reports.iter().map(|report| report.rms)),
        packets: reports.iter().map(|report| report.packets as f64).sum::<f64>() / seeds as f64,
        coverage: reports.iter().map(|report| report.coverage).fold(1.0, f64::min),
        bound: geometric_mean(reports.iter().map(|report| report.bound / report.rms)),
    }
}

fn geometric_mean(values: impl Iterator<Item = f64>) -> f64 {
    let (count, sum) = values.fold((0, 0.0), |(count, sum), value| (count + 1, sum + value.ln()));
    (sum / f64::from(count)).exp()
}

/// Fills the grid, a cell per thread at a time.
fn grid(seeds: u64) -> [[Cell; 4]; 5] {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let (row, column) = (place / WANDERS.len(), place % WANDERS.len());
            let Some(&jitter) = JITTERS.get(row) else { return done };
            done.push((row, column, measure(WANDERS[column], jitter, seeds)));
        }
    };
    let mut cells = [[Cell::default(); 4]; 5];
    thread::scope(|scope| {
        let count = thread::available_parallelism().map_or(1, NonZero::get);
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            for (row, column, cell) in thread.join().expect("a world failed") {
                cells[row][column] = cell;
            }
        }
    });
    cells
}

fn print(title: &str, cells: &[[String; 4]; 5]) {
    println!("\n{title}\n");
    print!("| J \\ W |");
    WANDERS.iter().for_each(|wander| print!(" {wander:e} |"));
    println!("\n|---|---|---|---|---|");
    for (jitter, row) in JITTERS.iter().zip(cells) {
        print!("| {jitter:e} |");
        row.iter().for_each(|cell| print!(" {cell} |"));
        println!();
    }
}

fn main() {
    let options = Options::parse();
    let seeds = if options.full { 100 } else { options.seeds.max(1) };
    let start = Instant::now();
    let cells = grid(seeds);
    let elapsed = start.elapsed().as_secs_f64();

    let table = |show: &dyn Fn(usize, usize, &Cell) -> String| {
        let mut table: [[String; 4]; 5] = Default::default();
        for (row, column) in (0..5).flat_map(|row| (0..4).map(move |column| (row, column))) {
            table[row][column] = show(row, column, &cells[row][column]);
        }
        table
    };
    let over = |reference: &[[f64; 4]; 5], row: usize, column: usize| {
        cells[row][column].rms / reference[row][column]
    };
    print(
        &format!("RMS error in s, {seeds} seeds: chrony / prototype / ours"),
        &table(&|row, column, cell| {
            let (chrony, prototype) = (CHRONY[row][column], PROTOTYPE[row][column]);
            format!("{chrony:.2e} / {prototype:.2e} / {:.2e}", cell.rms)
        }),
    );
    print(
        "ours / chrony's, ours / the prototype's",
        &table(&|row, column, _| {
            format!("{:.2}, {:.2}", over(&CHRONY, row, column), over(&PROTOTYPE, row, column))
        }),
    );
    print(
        "packets; the error bound over the RMS error, and how often it held",
        &table(&|_, _, cell| {
            format!("{:.0}; {:.0}, {:.3} %", cell.packets, cell.bound, cell.coverage * 100.0)
        }),
    );

    println!();
    for (name, reference) in [("chrony's", &CHRONY), ("the prototype's", &PROTOTYPE)] {
        let ratios: Vec<_> = (0..5)
            .flat_map(|row| (0..4).map(move |column| (row, column)))
            .map(|(row, column)| over(reference, row, column))
            .collect();
        let worst = ratios.iter().copied().fold(0.0, f64::max);
        let mean = geometric_mean(ratios.into_iter());
        println!("geometric mean over {name}: {mean:.3}, worst cell {worst:.2}");
    }
    let days = 20.0 * seeds as f64 * DURATION.0 / 86_400.0;
    println!("{days:.1} days of clock time in {elapsed:.1} s: {:.1} days/s", days / elapsed);
}
