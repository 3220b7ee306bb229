//! A cold start, asymmetric paths, liars and a congested way.

use truechimer_tests::sim::random::{Random, Stream};
use truechimer_tests::sim::report::Readable;
use truechimer_tests::sim::{Congestion, Link, Misdeed, Oscillator, Queueing, Server, World};

use crate::parallel;
use crate::table::{self, Verdict, mark, root_mean_square};

/// An ordinary crystal's random walk of the frequency, per root second.
const WANDER: f64 = 1e-9;

/// A figure beside its target.
struct Row {
    what: &'static str,
    found: String,
    target: String,
    verdict: Option<Verdict>,
}

impl Row {
    /// `found` seconds, of which there are to be `most` at most.
    fn secs(what: &'static str, found: f64, most: f64) -> Self {
        let target = format!("{} at most", Readable(most));
        let verdict =
            Verdict { what: format!("{what}: {}, {target}", Readable(found)), met: found < most };
        Self { what, found: Readable(found).to_string(), target, verdict: Some(verdict) }
    }

    fn ratio(what: &'static str, found: f64, most: f64) -> Self {
        Self {
            what,
            found: format!("{found:.3}"),
            target: format!("{most} at most"),
            verdict: Some(Verdict::at_most(what, found, most)),
        }
    }

    /// A figure without a target, to know the others by.
    fn beside(what: &'static str, found: f64) -> Self {
        Self { what, found: Readable(found).to_string(), target: "-".to_string(), verdict: None }
    }
}

/// Prints them beside their targets.
pub fn print(seeds: u64, full: bool) -> Vec<Verdict> {
    let (draws, votes) = if full { (200, 1_000) } else { (10 * seeds, 10 * seeds) };
    let rows: Vec<Row> = [cold_start(seeds), asymmetry(draws), liars(votes), congestion(seeds)]
        .into_iter()
        .flatten()
        .collect();
    let cells: Vec<_> = rows
        .iter()
        .map(|row| {
            let mark = row.verdict.as_ref().map_or("", |verdict| mark(verdict.met));
            vec![row.what.to_string(), row.found.clone(), row.target.clone(), mark.to_string()]
        })
        .collect();
    let title = format!("trials: {seeds} seeds, {draws} draws of asymmetry, {votes} of liars");
    table::print(&title, &["", "found", "target", ""], &cells);
    rows.into_iter().filter_map(|row| row.verdict).collect()
}

fn numbers(count: u64) -> Vec<u64> {
    (1..=count).collect()
}

fn crystal(frequency: f64) -> Oscillator {
    Oscillator { frequency, wander: WANDER, ..Oscillator::default() }
}

/// Half a second off and 50 ppm on a local network.
fn cold_start(seeds: u64) -> Vec<Row> {
    /// From when to when an error counts, in seconds: after the start, and long after it.
    const EARLY: (f64, f64) = (600.0, 1_200.0);
    const STEADY: (f64, f64) = (20_000.0, 40_000.0);
    let found = parallel::map(&numbers(seeds), |seed| {
        let world = World::new(Server::new(Link::new(1e-4, Queueing::Exponential(1e-5))))
            .seed(*seed)
            .offset(0.5)
            .oscillator(crystal(50e-6))
            .duration(STEADY.1, 0.0);
        let (mut early, mut steady) = (Vec::new(), Vec::new());
        let report = world.observe(|reading| {
            for ((from, to), errors) in [(EARLY, &mut early), (STEADY, &mut steady)] {
                if (from..to).contains(&reading.time) {
                    errors.push(reading.error);
                }
            }
        });
        let rms = [early, steady].map(|errors| root_mean_square(errors.into_iter()));
        (report.time_to_sync.unwrap_or(f64::INFINITY), rms)
    });
    let slowest = found.iter().map(|(time, _)| *time).fold(0.0, f64::max);
    let [early, steady] =
        [0, 1].map(|place| root_mean_square(found.iter().map(|(_, rms)| rms[place])));
    vec![
        Row::secs("cold start, 0.5 s and 50 ppm off: within 1 ms for good after", slowest, 20.0),
        Row::ratio("cold start: RMS from minute 10 to 20 over the steady one", early / steady, 5.0),
        Row::beside("cold start: steady RMS", steady),
    ]
}

/// Four servers, each with a static asymmetry of its own.
fn asymmetry(draws: u64) -> Vec<Row> {
    /// Each way, in seconds.
    const DELAYS: [f64; 4] = [0.01, 0.02, 0.03, 0.04];
    /// What one way may take more, and the other less.
    const GREATEST: f64 = 0.05;
    let found = parallel::map(&numbers(draws), |seed| {
        let mut random = Random::new(*seed, Stream::World);
        let offsets = DELAYS.map(|delay| delay * GREATEST * (2.0 * random.uniform() - 1.0));
        let way = |delay| Some(Link::new(delay, Queueing::Exponential(1e-4)));
        let server = |place: usize| Server {
            up: way(DELAYS[place] + offsets[place]),
            down: way(DELAYS[place] - offsets[place]),
            ..Server::default()
        };
        let report = (1..DELAYS.len())
            .fold(World::new(server(0)), |world, place| world.server(server(place)))
            .seed(*seed)
            .oscillator(crystal(1.2e-5))
            .duration(21_600.0, 7_200.0)
            .run();
        (report.rms, table::mean(offsets.into_iter()))
    });
    let ours = root_mean_square(found.iter().map(|(rms, _)| *rms));
    let average = root_mean_square(found.iter().map(|(_, average)| *average));
    vec![
        Row::ratio(
            "asymmetry: RMS over that of the four offsets' plain average",
            ours / average,
            0.7,
        ),
        Row::beside("asymmetry: RMS", ours),
    ]
}

/// Two servers of five agree on another time.
fn liars(draws: u64) -> Vec<Row> {
    let found = parallel::map(&numbers(draws), |seed| {
        let mut random = Random::new(*seed, Stream::World);
        // From 0.1 s, which is beyond all root distances, to 10 s, either way.
        let size = 0.1 * 100f64.powf(random.uniform());
        let lie = if random.chance(0.5) { size } else { -size };
        let first = (5.0 * random.uniform()) as usize;
        let second = (first + 1 + (4.0 * random.uniform()) as usize) % 5;
        let mut server = |place: usize| {
            let delay = 0.005 + 0.03 * random.uniform();
            let server = Server::new(Link::new(delay, Queueing::Exponential(5e-4)));
            if [first, second].contains(&place) {
                server.fault(0.0, f64::INFINITY, Misdeed::Lie(lie))
            } else {
                server
            }
        };
        let world = World::new(server(0));
        let report = (1..5)
            .fold(world, |world, place| world.server(server(place)))
            .seed(*seed)
            .oscillator(crystal(1.2e-5))
            .duration(7_200.0, 0.0)
            .run();
        [first, second].iter().any(|place| report.servers[*place].combined > 0.0)
    });
    let fooled = found.iter().filter(|fooled| **fooled).count();
    let what = "liars, two of five: worlds in which one was ever listened to";
    vec![Row {
        what,
        found: fooled.to_string(),
        target: "0".to_string(),
        verdict: Some(Verdict { what: format!("{what}: {fooled}"), met: fooled == 0 }),
    }]
}

/// The way back is congested by 50 ms for ten minutes.
fn congestion(seeds: u64) -> Vec<Row> {
    const BURST: (f64, f64) = (20_000.0, 20_600.0);
    /// For so long after it what it left behind counts too, in seconds.
    const AFTERMATH: f64 = 3_600.0;
    /// A greatest error of a few worlds says little.
    const LEAST_SEEDS: u64 = 20;
    let seeds = seeds.max(LEAST_SEEDS);
    let greatest = |poll: (i8, i8), delay| {
        let found = parallel::map(&numbers(seeds), |seed| {
            let way = Link::new(0.01, Queueing::Exponential(1e-3));
            let queueing = Queueing::None;
            let burst = Congestion { from: BURST.0, to: BURST.1, delay, queueing };
            let back = Link { congestion: vec![burst], ..way.clone() };
            let server = Server { up: Some(way), down: Some(back), ..Server::default() };
            let mut greatest = 0.0_f64;
            World::new(server.poll(poll.0, poll.1))
                .seed(*seed)
                .oscillator(crystal(1.2e-5))
                .duration(BURST.1 + AFTERMATH, BURST.0)
                .observe(|reading| {
                    if reading.time >= BURST.0 {
                        greatest = greatest.max(reading.error.abs());
                    }
                });
            greatest
        });
        let mean = table::mean(found.iter().copied());
        (found.into_iter().fold(0.0, f64::max), mean)
    };
    let [often, often_free] = [0.05, 0.0].map(|delay| greatest((6, 6), delay).0);
    let [rarely, rarely_free] = [0.05, 0.0].map(|delay| greatest((6, 10), delay));
    vec![
        Row::secs("congestion, polls of 2^6 s: greatest error of all worlds", often, 1e-3),
        Row::beside("the same without congestion", often_free),
        Row::secs(
            "congestion, polls of 2^6 to 2^10 s: greatest error, mean of the worlds",
            rarely.1,
            1e-3,
        ),
        Row::beside("the same without congestion", rarely_free.1),
        Row::beside("greatest of all worlds", rarely.0),
        Row::beside("the same without congestion", rarely_free.0),
    ]
}
