//! Paths that take longer one way than the other: nothing shows it, but near servers cannot be far
//! wrong.

use anyhow::{Result, ensure};
use truechimer_tests::sim::{Link, Oscillator, Queueing, Server, World};

/// Round trips of the four servers, in seconds.
const ROUND_TRIPS: [f64; 4] = [0.01, 0.02, 0.03, 0.04];
/// The greatest asymmetry, as a share of the way.
const GREATEST: f64 = 0.05;
/// Worlds that differ by their asymmetries.
const DRAWS: u64 = 40;
/// The most that is left of the error of the plain average of the servers, which is without noise
/// here. Weights by the square of the delay alone make 0.54 of these draws.
const LIMIT: f64 = 0.7;

/// Numbers between -1 and 1: the upper half of xorshift64, started far from zero.
fn draws(seed: u64) -> impl Iterator<Item = f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as f64 / f64::from(1 << 31) - 1.0
    })
    .skip(5)
}

fn server(round_trip: f64, bias: f64) -> Server {
    let way = |delay| Some(Link::new(delay, Queueing::Exponential(2e-4)));
    let half = round_trip / 2.0;
    Server { up: way(half + bias), down: way(half - bias), ..Server::default() }
}

/// The error of the engine's clock is less than that of the servers' average.
pub fn run() -> Result<()> {
    let (mut ours, mut plain) = (0.0, 0.0);
    for seed in 1..=DRAWS {
        let biases: Vec<f64> = ROUND_TRIPS
            .iter()
            .zip(draws(seed))
            .map(|(round_trip, draw)| draw * GREATEST * round_trip / 2.0)
            .collect();
        let mut servers = ROUND_TRIPS.iter().zip(&biases).map(|(trip, bias)| server(*trip, *bias));
        let first = World::new(servers.next().unwrap_or_default());
        let report = servers
            .fold(first, World::server)
            .seed(seed)
            .oscillator(Oscillator { frequency: 1.2e-5, wander: 1e-9, ..Oscillator::default() })
            .duration(30_000.0, 10_000.0)
            .run();
        ours += report.rms * report.rms;
        plain += (biases.iter().sum::<f64>() / biases.len() as f64).powi(2);
        for server in &report.servers {
            ensure!(server.combined == 1.0, "seed {seed}: {} was left out\n{report}", server.name);
        }
        ensure!(report.likely_coverage == 1.0, "seed {seed}: it was worse than likely\n{report}");
    }
    let ratio = (ours / plain).sqrt();
    println!("static asymmetry: rms error {ratio:.3} of the plain average's in {DRAWS} draws");
    ensure!(ratio <= LIMIT, "{ratio} of the plain average's error is more than {LIMIT}");
    Ok(())
}
