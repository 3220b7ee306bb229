//! Datagrams that nobody honest sends: they change nothing, are counted by reason, and do not
//! fill the log; servers that say themselves that they cannot be used; and servers that lie.

mod flood;
mod outvoted;
mod refused;
mod served;
mod suspended;

use truechimer_tests::trial::{conclude, trial};

/// The trials wait more than they work.
const THREADS: usize = 6;

fn main() {
    let trials = vec![
        trial("flood::of_queries", &[], flood::of_queries),
        trial("flood::of_answers", &[], flood::of_answers),
        trial("flood::of_kisses", &[], flood::of_kisses),
        trial("flood::of_negative_delays", &[], flood::of_negative_delays),
        trial("outvoted::from_the_start", &[], outvoted::from_the_start),
        trial("outvoted::later", &[], outvoted::later),
        trial("outvoted::without_a_majority", &[], outvoted::without_a_majority),
        trial("refused::malformed", &[], refused::malformed),
        trial("refused::oversized", &[], refused::oversized),
        trial("refused::of_another_mode", &[], refused::of_another_mode),
        trial("refused::with_a_guessed_origin", &[], refused::with_a_guessed_origin),
        trial("refused::replayed", &[], refused::replayed),
        trial("refused::answered_twice", &[], refused::answered_twice),
        trial("refused::from_elsewhere", &[], refused::from_elsewhere),
        trial("refused::noise", &[], refused::noise),
        trial("suspended::by_kiss_rate", &[], suspended::by_kiss_rate),
        trial("suspended::by_kiss_deny", &[], suspended::by_kiss_deny),
        trial("suspended::by_alarm", &[], suspended::by_alarm),
        trial("suspended::by_stratum", &[], suspended::by_stratum),
        trial("suspended::by_negative_delay", &[], suspended::by_negative_delay),
        trial("served::queries_only", &[], served::queries_only),
    ];
    conclude(trials, THREADS);
}
