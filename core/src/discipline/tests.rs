use super::*;
use crate::clock::ClockError;
use crate::config::SelectOptions;
use crate::select::{Candidate, Selection};
use crate::timex::SoftwareClock;

fn consensus(offset: Span, frequency: FreqOffset) -> Consensus {
    let candidate = Candidate {
        index: 0,
        offset,
        distance: Span::from_millis(1),
        reach: 1e-3,
        frequency,
        // Of which 0.4 are 8 s: the time that a slew takes.
        offset_deviation: 2e-7,
        frequency_deviation: 1e-8,
        wander: 1e-10,
        interval: Span::from_secs(64),
        options: SelectOptions::default(),
    };
    Selection::<1>::new(1).update(0, now(0).wall, &[candidate]).unwrap()
}

fn now(secs: i64) -> Now {
    Now {
        mono: Instant::from_nanos(secs as u64 * 1_000_000_000),
        wall: WallTime::from_unix(1_800_000_000 + secs, 0),
    }
}

fn discipline() -> Discipline<true> {
    Discipline::new(&Config::default(), now(0))
}

#[test]
fn steps_only_at_the_start() {
    let mut discipline = discipline();
    let far = consensus(Span::from_millis(-1_500), FreqOffset::ZERO);
    let command = discipline.steer(now(1), &far, now(1).wall, Span::from_secs(2), true).unwrap();
    assert_eq!(command, ClockCommand::Step(Span::from_millis(-1_500)));
    assert!(discipline.is_stepping());
    assert_eq!(discipline.steer(now(1), &far, now(1).wall, Span::from_secs(2), true), None);
    let stepped = Span::from_millis(-1_500);
    discipline.handle_reply(
        now(0).mono,
        &ClockReply::Stepped { by: stepped, now: now(1).wall + stepped },
    );
    assert_eq!(discipline.offset(now(1).wall + stepped), Some(Span::ZERO));

    let farther = consensus(Span::from_millis(-3_000), FreqOffset::ZERO);
    let later = Now { wall: now(5).wall + stepped, ..now(5) };
    let command =
        discipline.steer(later, &farther, now(5).wall, Span::from_secs(64), true).unwrap();
    let expected = -FreqOffset::from_ppm(500);
    assert_eq!(command, ClockCommand::Adjust { frequency: FreqOffset::ZERO, slew: expected });
}

#[test]
fn slews_what_is_small_and_ends_it_in_time() {
    let mut discipline = discipline();
    let behind = consensus(Span::from_millis(1), FreqOffset::from_ppm(20));
    let command =
        discipline.steer(now(10), &behind, now(10).wall, Span::from_secs(64), true).unwrap();
    let ClockCommand::Adjust { frequency, slew } = command else { panic!("{command:?}") };
    assert_eq!(frequency, FreqOffset::from_ppm(20));
    assert!((slew.as_ppm() - 125.0).abs() < 1e-6);
    assert_eq!(discipline.deadline(), now(20).mono, "for the clock to answer");
    discipline.handle_reply(
        now(0).mono,
        &ClockReply::Adjusted { at: now(10).wall, rate: frequency + slew },
    );

    assert_eq!(discipline.deadline(), now(18).mono);
    assert_eq!(discipline.handle_timeout(now(17)), None);
    let command = discipline.handle_timeout(now(18)).unwrap();
    assert_eq!(command, ClockCommand::Adjust { frequency, slew: FreqOffset::ZERO });
    // The clock has gained 8 s at 145 ppm by now, of which 20 were due.
    let local = now(18).wall + Span::from_micros(8 * 145);
    discipline.handle_reply(now(0).mono, &ClockReply::Adjusted { at: local, rate: frequency });
    assert!(discipline.offset(local).unwrap().abs() < Span::from_nanos(30));
    assert_eq!(discipline.frequency(), frequency);
}

#[test]
fn believes_what_the_clock_returned() {
    let mut discipline = discipline();
    let behind = consensus(Span::from_millis(1), FreqOffset::ZERO);
    discipline.steer(now(0), &behind, now(0).wall, Span::from_secs(16), true).unwrap();
    // It could only give a tenth.
    let rate = FreqOffset::from_ppm_f64(12.5);
    discipline.handle_reply(now(0).mono, &ClockReply::Adjusted { at: now(0).wall, rate });
    let local = now(8).wall + Span::from_micros(100);
    let left = discipline.offset(local).unwrap();
    assert!((left - Span::from_micros(900)).abs() < Span::from_nanos(30), "{left:.9}");
}

#[test]
fn only_watches_without_permission() {
    let mut discipline = discipline();
    let behind = consensus(Span::from_secs(1), FreqOffset::ZERO);
    let command =
        discipline.steer(now(1), &behind, now(1).wall, Span::from_secs(16), true).unwrap();
    let error = ClockError::NotPermitted;
    discipline.handle_reply(now(0).mono, &ClockReply::Failed { command, error });
    assert!(!discipline.is_controlling());
    assert_eq!(discipline.steer(now(2), &behind, now(2).wall, Span::from_secs(16), true), None);
    assert_eq!(discipline.offset(now(2).wall), Some(Span::from_secs(1)));
}

#[test]
fn a_late_reply_is_not_taken_for_the_next_one() {
    let mut discipline = discipline();
    let behind = consensus(Span::from_millis(1), FreqOffset::from_ppm(20));
    let given_up =
        discipline.steer(now(0), &behind, now(0).wall, Span::from_secs(16), true).unwrap();
    assert_eq!(discipline.overdue(now(9).mono), None);
    assert_eq!(discipline.overdue(now(10).mono), Some(given_up));
    let failed = ClockReply::Failed { command: given_up, error: ClockError::NoReply };
    discipline.handle_reply(now(10).mono, &failed);
    assert!(discipline.is_doubtful() && discipline.is_changing(now(10).mono));
    assert_eq!(discipline.handle_timeout(now(25)), None);
    let ends = discipline.handle_timeout(now(26)).unwrap();
    let slew = FreqOffset::ZERO;
    assert_eq!(ends, ClockCommand::Adjust { frequency: FreqOffset::ZERO, slew });

    let late = FreqOffset::from_ppm(145);
    discipline.handle_reply(now(27).mono, &ClockReply::Adjusted { at: now(0).wall, rate: late });
    assert_eq!(discipline.frequency(), FreqOffset::ZERO);
    assert!(discipline.is_doubtful(), "the next one is still with the clock");
    let rate = FreqOffset::ZERO;
    discipline.handle_reply(now(27).mono, &ClockReply::Adjusted { at: now(26).wall, rate });
    assert!(!discipline.is_doubtful());
    // What it gained meanwhile is known.
    let gained = Span::from_micros(26 * 145);
    let free = discipline.free_run(now(26).wall);
    assert!((free + gained - now(26).wall).abs() < Span::from_micros(1));
}

/// A clock with a loop of its own, told what a discipline says.
fn obey(clock: &mut SoftwareClock, at: Instant, command: ClockCommand) -> ClockReply {
    match command {
        ClockCommand::Step(by) => {
            clock.step(at, by);
            ClockReply::Stepped { by, now: clock.read(at) }
        }
        ClockCommand::Adjust { frequency, slew } => {
            let rate = clock.unlock(at, frequency + slew);
            ClockReply::Adjusted { at: clock.read(at), rate }
        }
        ClockCommand::Lock { frequency, offset, poll } => {
            let frequency = clock.lock(at, frequency, offset, poll);
            ClockReply::Locked { at: clock.read(at), offset, poll, frequency }
        }
        ClockCommand::Status(_) | ClockCommand::Leap(_) => ClockReply::StatusSet,
    }
}

#[test]
fn the_loop_of_a_clock_is_given_what_is_left() {
    let config = Config { discipline: DisciplineMode::Kernel, ..Config::default() };
    let mut discipline = Discipline::<true>::new(&config, now(0));
    let mut clock = SoftwareClock::new(now(0).mono, now(0).wall);
    let fast = FreqOffset::from_ppm(-20);
    // At the start 40 ms behind, and 20 ppm fast.
    let truth = Consensus { frequency_deviation: 5e-9, ..consensus(Span::from_millis(40), fast) };
    let mut commands = std::vec::Vec::new();
    for count in 1..=100 {
        let at = now(64 * count).mono;
        while discipline.deadline() < at {
            let due = discipline.deadline();
            let local = Now { mono: due, wall: clock.read(due) };
            assert_eq!(discipline.watch(local, None).0, None);
            let command = discipline.handle_timeout(local).unwrap();
            let reply = obey(&mut clock, due, command);
            discipline.handle_reply(due, &reply);
        }
        let read = |clock: &SoftwareClock| Now { mono: at, wall: clock.read(at) };
        assert_eq!(discipline.watch(read(&clock), None).0, None, "{count}");
        let time = discipline.free_run(clock.read(at));
        let apart = time - now(64 * count).wall;
        assert!(apart.abs() < Span::from_nanos(100), "the books are {apart:.9} off");
        // What the sources say of free-running time, at this time.
        let elapsed = Span::from_secs(64 * count);
        // From the middle on, 5 ms more.
        let later = if count > 50 { Span::from_millis(5) } else { Span::ZERO };
        let offset = Span::from_millis(40) + later + fast.gain(elapsed, 0).0;
        let consensus = Consensus { offset, ..truth };
        let interval = Span::from_secs(64);
        let command =
            discipline.steer(read(&clock), &consensus, time, interval, count > 8).unwrap();
        commands.push(command);
        let reply = obey(&mut clock, at, command);
        discipline.handle_reply(at, &reply);
    }
    let locked = |command: &&ClockCommand| matches!(command, ClockCommand::Lock { .. });
    let first = commands.iter().find(locked).unwrap();
    let ClockCommand::Lock { frequency: Some(frequency), poll: 4, .. } = *first else {
        panic!("{first:?}")
    };
    assert_eq!(frequency, fast, "it begins where the frequency is known to be");
    let open = commands.iter().position(|command| locked(&command)).unwrap();
    assert!(open >= 8 && commands[open..].iter().all(|command| locked(&command)), "{commands:?}");
    assert_eq!(discipline.mode(), DisciplineMode::Kernel);
    let left = discipline.offset(clock.read(now(6_400).mono)).unwrap();
    assert!(left.abs() < Span::from_millis(1), "{left:.9}");

    // Half a second is more than it takes.
    let far = Consensus { offset: truth.offset + Span::from_millis(510), ..truth };
    let at = now(6_464);
    let local = Now { mono: at.mono, wall: clock.read(at.mono) };
    let time = discipline.free_run(local.wall);
    let far = Consensus { offset: far.offset + fast.gain(Span::from_secs(6_464), 0).0, ..far };
    let command = discipline.steer(local, &far, time, Span::from_secs(64), true).unwrap();
    assert!(matches!(command, ClockCommand::Adjust { .. }), "{command:?}");
    let reply = obey(&mut clock, at.mono, command);
    discipline.handle_reply(at.mono, &reply);
    assert_eq!(discipline.mode(), DisciplineMode::Native);
    let later = clock.read(now(6_500).mono);
    let apart = discipline.free_run(later) - now(6_500).wall;
    assert!(apart.abs() < Span::from_nanos(100), "the books are {apart:.9} off");
}
