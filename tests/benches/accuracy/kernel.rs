//! The engine's own discipline beside the kernel's loop: clock wander against network jitter, one
//! server every 64 s, in the worlds of chrony's published comparison.

use truechimer_core::config::DisciplineMode;

use crate::parallel;
use crate::published::{CASES, Case, JITTERS};
use crate::table::{self, mean};

/// Those that ask at this interval alone, at which the loop has its time constant.
const POLL: (i8, i8) = (6, 6);

/// Prints the mean RMS errors of as many worlds of each kind.
pub fn print(seeds: u64) {
    let cases: Vec<&Case> = CASES.iter().filter(|case| case.poll == POLL).collect();
    let jobs: Vec<_> = cases
        .iter()
        .flat_map(|case| JITTERS.map(|jitter| (*case, jitter)))
        .flat_map(|(case, jitter)| {
            [DisciplineMode::Native, DisciplineMode::Kernel].map(|mode| (case, jitter, mode))
        })
        .flat_map(|(case, jitter, mode)| (1..=seeds).map(move |seed| (case, jitter, mode, seed)))
        .collect();
    let found = parallel::map(&jobs, |(case, jitter, mode, seed)| {
        case.world(*jitter, *seed).discipline(*mode).run().rms
    });
    let means: Vec<f64> =
        found.chunks(seeds as usize).map(|found| mean(found.iter().copied())).collect();
    let kinds = cases.iter().flat_map(|case| JITTERS.map(|jitter| (case, jitter)));
    let rows: Vec<_> = kinds
        .zip(means.chunks(2))
        .map(|((case, jitter), means)| {
            let micros = |secs: f64| format!("{:.1}", secs * 1e6);
            let ratio = means[1] / means[0];
            let name = format!("{}, wander {:e}", case.name, case.wander);
            vec![
                name,
                format!("{jitter:e}"),
                micros(means[0]),
                micros(means[1]),
                format!("{ratio:.2}"),
            ]
        })
        .collect();
    table::print(
        &format!("discipline: mean of the RMS errors of {seeds} worlds, in us"),
        &["", "jitter, s", "native", "kernel", "kernel / native"],
        &rows,
    );
}
