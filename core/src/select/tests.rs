//! Selection as a whole: fixed claims, and any.

use proptest::prelude::*;
use std::vec::Vec;

use super::*;

/// One that is asked every minute, `offset` ms from the truth and `distance` ms from it at most.
pub(super) fn candidate(index: usize, offset: i64, distance: i64) -> Candidate {
    Candidate {
        index,
        offset: Span::from_millis(offset),
        distance: Span::from_millis(distance),
        reach: distance as f64 * 1e-3,
        offset_deviation: 1e-6,
        frequency: FreqOffset::from_ppm(10),
        frequency_deviation: 1e-9,
        wander: 1e-10,
        interval: Span::from_secs(64),
        options: SelectOptions::default(),
    }
}

/// Free-running time after so many seconds.
fn at(secs: i64) -> WallTime {
    WallTime::UNIX_EPOCH + Span::from_secs(secs)
}

/// What offset the candidates' frequency of 10 ppm makes of one at the beginning.
fn later(candidate: &Candidate, secs: i64) -> Candidate {
    let ahead = candidate.frequency.gain(Span::from_secs(secs), 0).0;
    Candidate { offset: candidate.offset + ahead, ..*candidate }
}

/// Rounds in which each candidate has a sample, 64 s apart, from `from` on; `tell` changes what
/// they say. Returns the outputs' distances from the truth in ms.
fn rounds(
    selection: &mut Selection<8>,
    from: i64,
    count: i64,
    candidates: &[Candidate],
) -> Vec<f64> {
    let mut errors = Vec::new();
    for secs in (0..count).map(|round| 64 * (from + round)) {
        let told: Vec<_> = candidates.iter().map(|one| later(one, secs)).collect();
        for one in candidates {
            if let Some(consensus) = selection.update(one.index, at(secs), &told) {
                let truth = later(&candidate(0, 0, 0), secs).offset;
                errors.push((consensus.offset - truth).as_secs_f64() * 1e3);
            }
        }
    }
    errors
}

fn standings(selection: &Selection<8>, count: usize) -> Vec<Standing> {
    (0..count).map(|index| selection.standing(index)).collect()
}

use Standing::{Combined, Falseticker, NoMajority, NotPreferred, Selected, Suspect, Waiting};

#[test]
fn shares_are_relative_to_the_mean_of_those_heard() {
    let mut selection = Selection::<8>::new(1);
    assert_eq!(selection.share(0), None);
    rounds(&mut selection, 0, 1, &[candidate(0, 0, 10)]);
    assert_eq!(selection.share(0), Some(1.0));
    // A reach of 10 ms counts for 30 us of the deviation.
    let noisy = Candidate { offset_deviation: 4e-5, ..candidate(1, 0, 10) };
    rounds(&mut selection, 1, 1, &[candidate(0, 0, 10), noisy, candidate(2, 900, 10)]);
    let [good, bad] = [1.0 / 901.0, 1.0 / 2_500.0];
    for (index, share) in [(0, good), (1, bad)] {
        let found = selection.share(index).unwrap();
        assert!((found - 2.0 * share / (good + bad)).abs() < 1e-9, "{index}: {found}");
    }
    assert_eq!(selection.share(2), None);
}

#[test]
fn one_alone_is_believed_to_the_nanosecond() {
    let mut selection = Selection::<8>::new(1);
    let offset = Span::from_nanos(-1_234_567_890_123_456_789);
    let one = Candidate { offset, ..candidate(3, 0, 10) };
    for secs in 0..3 {
        let consensus = selection.update(3, at(secs), &[later(&one, secs)]).unwrap();
        assert_eq!(consensus.offset, later(&one, secs).offset);
        assert_eq!((consensus.selected.index, consensus.frequency), (3, one.frequency));
    }
    assert_eq!(selection.standing(3), Selected);
}

#[test]
fn of_two_that_disagree_none_is_believed() {
    let mut selection = Selection::<8>::new(1);
    assert_eq!(rounds(&mut selection, 0, 9, &[candidate(0, 0, 10), candidate(1, 30, 10)]), []);
    assert_eq!(standings(&selection, 2), [NoMajority; 2]);
}

#[test]
fn the_majority_outvotes_liars() {
    let five = [
        candidate(0, 1, 10),
        candidate(1, 900, 10),
        candidate(2, -1, 20),
        candidate(3, 900, 1),
        candidate(4, 0, 8),
    ];
    let mut selection = Selection::new(1);
    let errors = rounds(&mut selection, 0, 1, &five);
    assert_eq!(standings(&selection, 5), [Combined, Falseticker, Combined, Falseticker, Selected]);
    assert!(errors.iter().all(|error| (0.0..0.6).contains(error)), "{errors:?}");
}

#[test]
fn who_is_followed_stays_so_unless_another_is_much_better() {
    let mut selection = Selection::new(1);
    rounds(&mut selection, 0, 1, &[candidate(0, 0, 10), candidate(1, 0, 12)]);
    rounds(&mut selection, 1, 1, &[candidate(0, 0, 12), candidate(1, 0, 10)]);
    assert_eq!(standings(&selection, 2), [Selected, Combined]);
    rounds(&mut selection, 2, 1, &[candidate(0, 0, 16), candidate(1, 0, 10)]);
    assert_eq!(standings(&selection, 2), [Combined, Selected]);
}

/// Well within its interval.
#[test]
fn who_jumps_is_suspect_and_the_output_stays() {
    let honest = [candidate(0, 0, 10), candidate(1, 0, 10), candidate(2, 0, 10)];
    let mut selection = Selection::new(1);
    rounds(&mut selection, 0, 20, &honest);
    let jumped = [candidate(0, 5, 10), honest[1], honest[2]];
    let errors = rounds(&mut selection, 20, 50, &jumped);
    assert_eq!(standings(&selection, 3), [Suspect, Selected, Combined]);
    assert!(errors.iter().all(|error| error.abs() < 1e-4), "{errors:?}");
    // It is what it is by now.
    let errors = rounds(&mut selection, 70, 200, &jumped);
    assert_eq!(standings(&selection, 3), [Combined, Selected, Combined]);
    assert!(errors.iter().all(|error| error.abs() < 0.5), "{errors:?}");
}

#[test]
fn if_most_jump_it_was_the_local_clock() {
    let mut told = [candidate(0, 0, 10), candidate(1, 0, 10), candidate(2, 0, 10)];
    let mut selection = Selection::<8>::new(1);
    rounds(&mut selection, 0, 20, &told);
    let mut jump = |index: usize| {
        told[index].offset = Span::from_millis(900);
        let told = told.map(|one| later(&one, 64 * 20));
        let consensus = selection.update(index, at(64 * 20), &told);
        let start = later(&candidate(0, 0, 0), 64 * 20).offset;
        let offset = consensus.map(|consensus| (consensus.offset - start).as_secs_rounded());
        (offset, standings(&selection, 3))
    };
    assert_eq!(jump(0), (Some(0), [Suspect, Selected, Combined].to_vec()));
    assert_eq!(jump(1), (Some(1), [Combined, Selected, Falseticker].to_vec()));
    assert_eq!(jump(2), (Some(1), [Combined, Selected, Combined].to_vec()));
}

/// Nothing is learned from those that have not had a sample since.
#[test]
fn a_jump_of_the_local_clock_leaves_no_bias() {
    let told = |offsets: [i64; 4]| [0, 1, 2, 3].map(|index| candidate(index, offsets[index], 500));
    let mut selection = Selection::new(1);
    rounds(&mut selection, 0, 20, &told([0; 4]));
    for (round, offsets) in
        [[200, 0, 0, 0], [200, 200, 0, 0], [200, 200, 200, 0]].iter().enumerate()
    {
        rounds(&mut selection, 20 + 2 * round as i64, 2, &told(*offsets));
    }
    rounds(&mut selection, 26, 6, &told([200, 200, 200, 0]));
    let errors = rounds(&mut selection, 32, 100, &told([200; 4]));
    assert!(!standings(&selection, 4).contains(&Suspect));
    assert!(errors.iter().all(|error| (error - 200.0).abs() < 1e-3), "{errors:?}");
}

#[test]
fn who_runs_away_is_suspect_long_before_its_interval_is_left() {
    let mut selection = Selection::<8>::new(1);
    let honest = candidate(0, 0, 500);
    for round in 0..40 {
        let runs = Candidate {
            index: 2,
            frequency: FreqOffset::from_ratio(10.02e-6),
            ..later(&honest, 64 * round)
        };
        let told = [
            later(&honest, 64 * round),
            Candidate { index: 1, ..later(&honest, 64 * round) },
            runs,
        ];
        for index in 0..3 {
            let _ = selection.update(index, at(64 * round), &told);
        }
        assert_eq!(standings(&selection, 3)[2] == Suspect, round >= 31, "{round}");
    }
}

#[test]
fn a_place_is_forgotten() {
    let mut selection = Selection::new(1);
    let two = [candidate(0, 0, 10), candidate(1, 0, 10)];
    rounds(&mut selection, 0, 20, &two);
    selection.forget(1);
    let other = [two[0], candidate(1, 9, 10)];
    let errors = rounds(&mut selection, 20, 1, &other);
    assert_eq!(standings(&selection, 2), [Selected, Combined], "no jump, but another server");
    assert!(errors[0].abs() < 1e-3, "{errors:?}");
}

fn preferred(one: Candidate) -> Candidate {
    Candidate { options: SelectOptions { prefer: true, ..one.options }, ..one }
}

fn trusted(one: Candidate) -> Candidate {
    Candidate { options: SelectOptions { trust: true, ..one.options }, ..one }
}

#[test]
fn a_preferred_truechimer_alone_says_what_the_time_is() {
    let (near, far) = (candidate(0, -1, 5), candidate(2, 0, 6));
    let mut selection = Selection::new(1);
    let errors = rounds(&mut selection, 0, 9, &[near, preferred(candidate(1, 3, 40)), far]);
    assert_eq!(standings(&selection, 3), [NotPreferred, Selected, NotPreferred]);
    assert!(errors.iter().all(|error| (error - 3.0).abs() < 1e-6), "{errors:?}");

    let mut selection = Selection::new(1);
    let (one, other) = (preferred(candidate(1, 2, 40)), preferred(candidate(2, 2, 20)));
    let errors = rounds(&mut selection, 0, 9, &[near, one, other]);
    assert_eq!(standings(&selection, 3), [NotPreferred, Combined, Selected]);
    assert!(errors.iter().all(|error| (error - 2.0).abs() < 1e-6), "{errors:?}");
}

#[test]
fn preference_makes_no_truechimer() {
    let three = [candidate(0, 0, 10), candidate(1, 1, 10), preferred(candidate(2, 100, 10))];
    let mut selection = Selection::new(1);
    let errors = rounds(&mut selection, 0, 9, &three);
    assert_eq!(standings(&selection, 3), [Selected, Combined, Falseticker]);
    assert!(errors.iter().all(|error| (0.0..1.0).contains(error)), "{errors:?}");
}

/// The others' differences from it have been learned.
#[test]
fn when_the_preferred_one_goes_the_output_does_not_jump() {
    let three = [preferred(candidate(0, 0, 10)), candidate(1, 2, 10), candidate(2, 2, 10)];
    let mut selection = Selection::new(1);
    rounds(&mut selection, 0, 40, &three);
    let errors = rounds(&mut selection, 40, 1, &three[1..]);
    assert!(errors.iter().all(|error| error.abs() < 0.2), "{errors:?}");
    let errors = rounds(&mut selection, 41, 200, &three[1..]);
    assert!((errors.last().unwrap() - 2.0).abs() < 0.01, "{:?}", errors.last());
}

#[test]
fn the_trusted_are_believed_against_a_majority() {
    let liars = [1, 2, 3].map(|index| candidate(index, 90, 10));
    let four = [trusted(candidate(0, 0, 20)), liars[0], liars[1], liars[2]];
    let mut selection = Selection::new(1);
    let errors = rounds(&mut selection, 0, 20, &four);
    assert_eq!(standings(&selection, 4), [Selected, Falseticker, Falseticker, Falseticker]);
    assert!(errors.iter().all(|error| error.abs() < 1e-6), "{errors:?}");
    // Nor do they make a suspect of it by jumping all at once.
    let jumped = four.map(|one| match one.index {
        0 => one,
        _ => Candidate { offset: Span::from_millis(18), distance: Span::from_millis(90), ..one },
    });
    rounds(&mut selection, 20, 20, &jumped);
    assert_eq!(standings(&selection, 4)[0], Combined);
    // Without it they have their say.
    rounds(&mut selection, 40, 20, &liars);
    assert_eq!(standings(&selection, 4)[1..], [Selected, Combined, Combined]);
}

#[test]
fn of_two_trusted_that_disagree_none_is_believed_nor_anybody_else() {
    let four = [
        trusted(candidate(0, 0, 10)),
        trusted(candidate(1, 90, 10)),
        candidate(2, 0, 10),
        candidate(3, 0, 10),
    ];
    let mut selection = Selection::new(1);
    assert_eq!(rounds(&mut selection, 0, 9, &four), []);
    assert_eq!(standings(&selection, 4), [NoMajority; 4]);
}

#[test]
fn so_many_must_agree() {
    let four =
        [candidate(0, 0, 10), candidate(1, 1, 10), candidate(2, 900, 10), candidate(3, 2, 10)];
    let mut selection = Selection::new(4);
    assert_eq!(rounds(&mut selection, 0, 9, &four), []);
    assert_eq!(standings(&selection, 4), [Waiting, Waiting, Falseticker, Waiting]);
    let mut selection = Selection::new(3);
    assert_eq!(rounds(&mut selection, 0, 9, &four).len(), 36);
    // Those that are passed over agree all the same.
    let mut selection = Selection::new(3);
    let mut with_preference = four;
    with_preference[0] = preferred(four[0]);
    assert_eq!(rounds(&mut selection, 0, 9, &with_preference).len(), 36);
}

proptest! {
    // f liars among 2f + 1 never move the output out of the honest intervals, nor the truth out of
    // the guaranteed bound, whatever they say when.
    #[test]
    fn liars_in_the_minority_fail(
        honest in prop::collection::vec((-100i64..=100, 100i64..200), 3..5),
        lies in prop::collection::vec((prop::collection::vec(-400i64..400, 40), 1i64..300), 0..4),
    ) {
        prop_assume!(lies.len() < honest.len());
        let honest: Vec<_> = honest
            .iter()
            .enumerate()
            .map(|(index, (error, distance))| candidate(index, *error, *distance))
            .collect();
        let low = honest.iter().map(Candidate::low).min().unwrap();
        let high = honest.iter().map(Candidate::high).max().unwrap();
        let mut selection = Selection::<8>::new(1);
        for round in 0..40 {
            let liars = lies.iter().enumerate().map(|(place, (told, distance))| {
                candidate(honest.len() + place, told[round as usize], *distance)
            });
            let all: Vec<_> = honest.iter().copied().chain(liars).collect();
            let now: Vec<_> = all.iter().map(|one| later(one, 64 * round)).collect();
            let truth = later(&candidate(0, 0, 0), 64 * round).offset;
            for one in &all {
                let consensus = selection.update(one.index, at(64 * round), &now).unwrap();
                let error = consensus.offset - truth;
                prop_assert!(low <= error && error <= high, "{}", error);
                prop_assert!(error.abs() <= consensus.bounds.guaranteed);
                prop_assert!(consensus.bounds.likely <= consensus.bounds.guaranteed);
            }
        }
    }
}
