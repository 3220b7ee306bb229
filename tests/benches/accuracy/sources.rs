//! What it gains that sources share the packets by what each has to say.

use truechimer_tests::sim::{Link, Oscillator, Queueing, Server, World};

use crate::parallel;
use crate::table::{self, Verdict, geometric_mean, mean};

/// How many packets accuracy is worth to us.
const PACKETS: [f64; 2] = [0.8, 1.25];
/// Runs of each case, with the seeds of those that they are compared with: others differ by 5 %.
const SEEDS: u64 = 5;
/// Seconds that a world lasts, and those of them that do not count.
const DURATION: (f64, f64) = (86_400.0, 20_000.0);
/// The error is to be at most this share of what it is with as many packets where each source is
/// asked by its own estimate alone.
const GAIN: f64 = 0.97;

/// A way: seconds each way, and the mean queueing delay.
type Way = (f64, f64);
const LAN: Way = (1e-4, 1e-5);
const NEAR: Way = (5e-3, 2e-4);
const FAR: Way = (2e-2, 1e-3);
const GRADED: [Way; 4] = [(5e-3, 5e-5), (1e-2, 2e-4), (2e-2, 5e-4), (4e-2, 2e-3)];

struct Case {
    name: &'static str,
    /// Random walk of the frequency, per root second.
    wander: f64,
    ways: &'static [Way],
    /// RMS error in seconds and packets where each source is asked by its own estimate alone, at
    /// `packets` of 0.8, 1.4, 2.4 and 4: geometric means of 5 runs with the same seeds.
    own: [(f64, f64); 4],
}

const CASES: [Case; 8] = [
    Case {
        name: "2 equal",
        wander: 1e-9,
        ways: &[NEAR; 2],
        own: [(6.93e-05, 268.0), (5.51e-05, 317.0), (3.74e-05, 532.0), (2.61e-05, 975.0)],
    },
    Case {
        name: "8 equal",
        wander: 1e-9,
        ways: &[NEAR; 8],
        own: [(4.85e-05, 1_065.0), (3.90e-05, 1_232.0), (2.73e-05, 2_088.0), (1.80e-05, 3_835.0)],
    },
    Case {
        name: "LAN, 3 far",
        wander: 1e-9,
        ways: &[LAN, FAR, FAR, FAR],
        own: [(1.27e-05, 612.0), (7.61e-06, 802.0), (4.38e-06, 1_290.0), (3.12e-06, 2_136.0)],
    },
    Case {
        name: "2 LAN, 2 far",
        wander: 1e-9,
        ways: &[LAN, LAN, FAR, FAR],
        own: [(8.80e-06, 698.0), (5.23e-06, 1_055.0), (3.10e-06, 1_885.0), (2.19e-06, 3_111.0)],
    },
    Case {
        name: "LAN, 3 far, wander 1e-8",
        wander: 1e-8,
        ways: &[LAN, FAR, FAR, FAR],
        own: [(1.32e-05, 1_308.0), (8.32e-06, 2_135.0), (7.64e-06, 2_962.0), (7.57e-06, 4_266.0)],
    },
    Case {
        name: "near, far",
        wander: 1e-9,
        ways: &[NEAR, FAR],
        own: [(8.54e-05, 265.0), (7.81e-05, 293.0), (5.51e-05, 443.0), (3.43e-05, 787.0)],
    },
    Case {
        name: "4 graded",
        wander: 1e-9,
        ways: &GRADED,
        own: [(4.18e-05, 538.0), (2.71e-05, 645.0), (1.83e-05, 1_001.0), (1.22e-05, 1_815.0)],
    },
    Case {
        name: "4 graded, wander 1e-8",
        wander: 1e-8,
        ways: &GRADED,
        own: [(4.94e-05, 1_045.0), (2.89e-05, 1_878.0), (2.02e-05, 3_325.0), (1.81e-05, 4_626.0)],
    },
];

impl Case {
    fn world(&self, packets: f64, seed: u64) -> World {
        let mut servers = self
            .ways
            .iter()
            .map(|&(delay, jitter)| Server::new(Link::new(delay, Queueing::Exponential(jitter))));
        let first = servers.next().expect("a case has servers");
        servers
            .fold(World::new(first), World::server)
            .seed(seed)
            .packets(packets)
            .offset(0.01)
            .oscillator(Oscillator {
                frequency: 1e-5,
                wander: self.wander,
                ..Oscillator::default()
            })
            .duration(DURATION.0, DURATION.1)
    }

    /// The error with so many packets where each source is asked by its own estimate alone: a power
    /// of them between those that were measured, and beyond.
    fn own_error(&self, packets: f64) -> f64 {
        let pairs = || self.own.windows(2).map(|pair| (pair[0], pair[1]));
        let around = pairs().find(|(_, (_, most))| packets <= *most).or(pairs().next_back());
        let ((before, least), (after, most)) = around.expect("there are four");
        let part = (packets / least).ln() / (most / least).ln();
        before * (after / before).powf(part)
    }
}

/// Prints the errors, and what share they are of those without a look at the others.
pub fn print() -> Vec<Verdict> {
    let jobs: Vec<_> = CASES
        .iter()
        .flat_map(|case| PACKETS.map(|packets| (case, packets)))
        .flat_map(|(case, packets)| (1..=SEEDS).map(move |seed| (case, packets, seed)))
        .collect();
    let reports = parallel::map(&jobs, |(case, packets, seed)| case.world(*packets, *seed).run());
    let mut shares = Vec::new();
    let mut rows = Vec::new();
    for (jobs, reports) in jobs.chunks(SEEDS as usize).zip(reports.chunks(SEEDS as usize)) {
        let (case, worth, _) = jobs[0];
        let error = geometric_mean(reports.iter().map(|report| report.rms));
        let packets = geometric_mean(reports.iter().map(|report| report.packets as f64));
        let share = error / case.own_error(packets);
        let each: Vec<_> = (0..case.ways.len())
            .map(|place| {
                let sent = reports.iter().map(|report| report.servers[place].counters.sent as f64);
                format!("{:.0}", mean(sent))
            })
            .collect();
        rows.push(vec![
            case.name.to_string(),
            worth.to_string(),
            format!("{:.2}", error * 1e6),
            format!("{packets:.0}"),
            each.join(", "),
            format!("{share:.3}"),
        ]);
        shares.push(share);
    }
    table::print(
        &format!("several sources, {SEEDS} seeds: RMS error in us, packets"),
        &[
            "",
            "`packets`",
            "error",
            "packets",
            "to each",
            "error over each one's own, equal packets",
        ],
        &rows,
    );
    let what = "several sources, error over each one's own at equal packets";
    let all = geometric_mean(shares.into_iter());
    println!("\nsources, geometric mean: {all:.3}");
    vec![Verdict::at_most(what, all, GAIN)]
}
