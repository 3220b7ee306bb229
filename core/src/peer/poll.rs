//! When to ask next.

use core::cmp::Ordering;

use chacha20::ChaCha8Rng;
use chacha20::rand_core::Rng;

use crate::config::{DEFAULT_MAX_POLL, MAX_POLL_LIMIT, MIN_POLL_LIMIT, PeerConfig};
use crate::estimate::{Estimate, Verdict};
use crate::maths::{power, sqrt};
use crate::units::{Instant, Span};

/// Distance of the queries of the start-up burst (RFC 5905 §13, BTIME).
const BURST_SPACING: Span = Span::from_secs(2);
/// Answers that the burst is for: enough to be trusted and to know a frequency roughly.
const BURST_ANSWERS: u32 = 4;
/// After the burst the distance grows by 13 % with each answer until it is the least interval.
const RAMP_PERMILLE: i64 = 1_130;
/// And by 20 % after a later one: then the offset was lost, not the frequency.
const LATER_RAMP_PERMILLE: i64 = 1_200;
/// The interval grows by at most 150 % with an answer, and falls at once.
const GROWTH_PERCENT: i64 = 250;
/// Queries that may go unanswered before the distance grows fourfold with each further one: what
/// asks a network that is gone is lost.
const PATIENCE: u32 = 2;
/// The first suspension after a server that cannot be used, doubled up to the longest.
const FIRST_SUSPENSION: Span = Span::from_secs(16);
/// The longest one: OpenNTPD's error interval.
const LONGEST_SUSPENSION: Span = Span::from_secs(1_200);
/// How long a server that denied access is left alone. DEVIATION: RFC 5905 §7.4 ends the
/// association for good; a daemon that runs for years asks again once a day.
pub const DENIED: Span = Span::from_secs(86_400);
/// How soon a server is asked again whose answer contradicts what is believed (`ALGORITHM` §7).
const VIOLATION_RETRY: Span = Span::from_secs(2);
/// Least intervals since the first answer, before which the interval does not grow: the estimate
/// is too young to say what another sample is worth.
const HOLD: i64 = 28;
/// Intervals in the time in which an estimate forgets, for an offset known to a microsecond.
const SAMPLES_AT_MICROSECOND: f64 = 0.46;
/// How that grows with the offset's deviation: where the error is large, packets buy more.
const SAMPLES_GROWTH: f64 = 0.2;
/// Its bounds.
const SAMPLES_RANGE: (f64, f64) = (0.6, 4.0);
/// What an answer is worth beside one of another source is bounded: sources that are alike would
/// else take turns at being asked, and no source is to be forgotten.
const WORTH_RANGE: (f64, f64) = (0.5, 2.0);
/// A jitter of up to 1/50 keeps the queries of many clients apart,
const JITTER_PARTS: i64 = 50;
/// and one of up to 1/4 those of all who have lost the same server: they are not to come back at once.
const BACK_OFF_JITTER_PARTS: i64 = 4;

/// What an answer means for the next query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// It stays when it was to be.
    Kept,
    /// It comes after this time.
    At(Span),
    /// It comes after this time at the latest.
    Within(Span),
}

/// The poll interval of one peer.
#[derive(Debug, Clone, Copy)]
pub struct Poll {
    min: i8,
    max: i8,
    interval: Span,
    iburst: bool,
    /// The burst's and the ramp's distance, while it is below the least interval.
    start: Option<Span>,
    packets: f64,
    /// Of the packets, beside the mean of the sources.
    worth: f64,
    first_answer: Option<Instant>,
    answers: u32,
    unanswered: u32,
    suspensions: u32,
}

impl Poll {
    /// At the least interval, with the start-up burst if there is to be one. Exponents are
    /// brought into their range, the greatest up to the least.
    pub fn new(config: &PeerConfig, packets: f64) -> Self {
        let min = config.min_poll.clamp(MIN_POLL_LIMIT, MAX_POLL_LIMIT);
        let interval = Span::from_log2_secs(min);
        Self {
            min,
            max: config.max_poll.clamp(min, MAX_POLL_LIMIT),
            interval,
            iburst: config.iburst,
            start: config.iburst.then_some(BURST_SPACING.min(interval)),
            packets,
            worth: 1.0,
            first_answer: None,
            answers: 0,
            unanswered: 0,
            suspensions: 0,
        }
    }

    /// Keeps within other limits from now on, and says whether the interval became shorter by that.
    /// What a server asked for by a kiss is forgotten.
    pub fn configure(&mut self, config: &PeerConfig) -> bool {
        let before = self.interval;
        self.min = config.min_poll.clamp(MIN_POLL_LIMIT, MAX_POLL_LIMIT);
        self.max = config.max_poll.clamp(self.min, MAX_POLL_LIMIT);
        let (least, greatest) = (Span::from_log2_secs(self.min), Span::from_log2_secs(self.max));
        self.interval = before.max(least).min(greatest);
        self.iburst = config.iburst;
        self.start = self.start.filter(|start| config.iburst && *start < least);
        self.interval < before
    }

    /// So many packets accuracy is worth from now on.
    pub const fn set_packets(&mut self, packets: f64) {
        self.packets = packets;
    }

    /// The present interval, without jitter or back-off.
    pub const fn interval(&self) -> Span {
        self.interval
    }

    /// How many queries in a row had no answer.
    pub const fn unanswered(&self) -> u32 {
        self.unanswered
    }

    /// The interval as the power of two next to it, as packets and people state it.
    pub fn exponent(&self) -> i8 {
        // The exponent whose neighbours' geometric means enclose the interval: 2^e / √2 ≤ T.
        let is_below = |exponent: i8| {
            let power = i128::from(Span::from_log2_secs(exponent).as_nanos());
            let interval = i128::from(self.interval.as_nanos());
            interval * interval < power * power / 2
        };
        (self.min..=self.max).rev().find(|&exponent| !is_below(exponent)).unwrap_or(self.min)
    }

    /// Whether it has not been usable since its last answer that was.
    pub const fn is_suspended(&self) -> bool {
        self.suspensions > 0
    }

    /// As at the start, if there was a burst then: the clock was moved, and answers are wanted soon.
    pub fn burst(&mut self) {
        let least = Span::from_log2_secs(self.min);
        self.start = self.iburst.then_some(BURST_SPACING.min(least));
    }

    /// Another server is asked from now on: what is known of the one before is void. Silence may be the
    /// network's, and still counts.
    pub fn renew(&mut self) {
        self.interval = Span::from_log2_secs(self.min);
        self.first_answer = None;
        self.answers = 0;
        self.suspensions = 0;
        self.worth = 1.0;
        self.burst();
    }

    /// It has this share in what the sources say together, where 1 is their mean; `None` if it is not
    /// heard. Who says more is worth more packets (`ALGORITHM` §8).
    pub fn set_share(&mut self, share: Option<f64>) {
        let worth = share.map_or(1.0, sqrt);
        self.worth = worth.clamp(WORTH_RANGE.0, WORTH_RANGE.1);
    }

    /// From this query to the next.
    pub fn next(&self, rng: &mut ChaCha8Rng) -> Span {
        let least = Span::from_log2_secs(self.min);
        let (base, longest) = match self.start {
            Some(start) => (start, least),
            None => (self.interval, Span::from_log2_secs(self.max)),
        };
        let fourfolds = self.unanswered.saturating_sub(PATIENCE).min(10);
        let span = base.times(1 << (2 * fourfolds)).min(longest.max(base));
        match fourfolds {
            0 => jittered(span, rng),
            _ => stretched(span, BACK_OFF_JITTER_PARTS, rng),
        }
    }

    /// A usable answer came, with this effect on the estimate. Says what that means for the next
    /// query.
    pub fn answered(
        &mut self,
        verdict: Verdict,
        estimate: Option<&Estimate>,
        now: Instant,
    ) -> Schedule {
        self.unanswered = 0;
        self.suspensions = 0;
        self.answers = self.answers.saturating_add(1);
        let first = *self.first_answer.get_or_insert(now);
        let least = Span::from_log2_secs(self.min);
        let young = now - first < least.times(HOLD);
        if let Some(start) = self.start.filter(|_| self.answers >= BURST_ANSWERS) {
            let permille = if young { RAMP_PERMILLE } else { LATER_RAMP_PERMILLE };
            let ramped = Span::from_nanos(start.as_nanos() / 1_000 * permille);
            self.start = (ramped < least).then_some(ramped);
        }
        let wanted = match (verdict, estimate) {
            (Verdict::Violated, _) => return Schedule::Within(VIOLATION_RETRY),
            (Verdict::Taken, Some(estimate)) if !young => {
                worthwhile(estimate, self.packets * self.worth)
            }
            _ => least,
        };
        let before = self.interval;
        let highest = Span::from_nanos(before.as_nanos() / 100 * GROWTH_PERCENT);
        self.interval = wanted.min(highest).max(least).min(Span::from_log2_secs(self.max));
        match self.interval.cmp(&before) {
            _ if self.start.is_some() => Schedule::Kept,
            Ordering::Greater => Schedule::At(self.interval),
            Ordering::Less => Schedule::Within(self.interval),
            Ordering::Equal => Schedule::Kept,
        }
    }

    /// No answer came in time.
    pub fn lost(&mut self) {
        self.unanswered = self.unanswered.saturating_add(1);
    }

    /// The server cannot be used for now: how long to leave it alone, longer each time.
    pub fn suspend(&mut self, rng: &mut ChaCha8Rng) -> Span {
        let pause = FIRST_SUSPENSION.times(1 << self.suspensions.min(10)).min(LONGEST_SUSPENSION);
        self.suspensions = self.suspensions.saturating_add(1);
        jittered(pause.max(self.interval), rng)
    }

    /// The server wants to be asked less often: twice the interval from now on, but no more than
    /// the usual greatest one, and a pause.
    pub fn slow_down(&mut self, rng: &mut ChaCha8Rng) -> Span {
        self.min = self.min.saturating_add(1).min(self.max.max(DEFAULT_MAX_POLL));
        self.max = self.max.max(self.min);
        self.interval = self.interval.times(2).min(Span::from_log2_secs(self.max));
        self.start = None;
        self.iburst = false;
        self.suspend(rng)
    }

    /// The server denied access: how long until it may be asked whether that still holds.
    pub fn denied(&mut self, rng: &mut ChaCha8Rng) -> Span {
        jittered(DENIED, rng)
    }
}

/// The interval at which each further packet gains about as much as any other would (`ALGORITHM`
/// §8): the time in which the estimate forgets, which is how long the uncertain frequency takes to
/// spoil the offset, divided by the samples wanted in it.
fn worthwhile(estimate: &Estimate, packets: f64) -> Span {
    let memory = estimate.offset_deviation / estimate.frequency_deviation;
    let growth = power(estimate.offset_deviation / 1e-6, SAMPLES_GROWTH);
    let samples = (SAMPLES_AT_MICROSECOND * growth).clamp(SAMPLES_RANGE.0, SAMPLES_RANGE.1);
    Span::from_secs_f64(memory / (samples * packets))
}

/// `span`, or up to 2 % more.
fn jittered(span: Span, rng: &mut ChaCha8Rng) -> Span {
    stretched(span, JITTER_PARTS, rng)
}

/// `span`, or more by up to one of so many parts of it.
pub fn stretched(span: Span, parts: i64, rng: &mut ChaCha8Rng) -> Span {
    let part = i64::from(rng.next_u32());
    let most = span.as_nanos() / parts;
    let more = (i128::from(most) * i128::from(part)) >> 32;
    span + Span::from_nanos(more as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chacha20::rand_core::SeedableRng;

    fn rng() -> ChaCha8Rng {
        ChaCha8Rng::from_seed([1; 32])
    }

    fn about(span: Span, secs: f64) -> bool {
        let ratio = span.as_secs_f64() / secs;
        (1.0..=1.0201).contains(&ratio)
    }

    /// Long remembered: another sample is worth little.
    const CALM: (f64, f64) = (1e-6, 1e-11);

    /// Answers one after another, each when it is due; the gaps to the next ones.
    fn answers(
        poll: &mut Poll,
        from: Instant,
        count: usize,
        known_to: (f64, f64),
    ) -> std::vec::Vec<Span> {
        let (mut now, mut rng) = (from, rng());
        let estimate = Estimate::known_to(known_to.0, known_to.1);
        let mut gaps = std::vec::Vec::new();
        for _ in 0..count {
            let gap = poll.next(&mut rng);
            gaps.push(match poll.answered(Verdict::Taken, Some(&estimate), now) {
                Schedule::Kept => gap,
                Schedule::At(span) => span,
                Schedule::Within(span) => gap.min(span),
            });
            now = now + gaps[gaps.len() - 1];
        }
        gaps
    }

    #[test]
    fn bursts_ramps_and_grows() {
        let mut poll = Poll::new(&PeerConfig::default(), 1.0);
        let gaps = answers(&mut poll, Instant::default(), 70, CALM);
        for (gap, secs) in gaps.iter().zip([2.0, 2.0, 2.0, 2.0, 2.26, 2.554, 2.886, 3.261]) {
            assert!(about(*gap, secs), "{gap} is not about {secs}");
        }
        let falls = |pair: &[Span]| pair[1] + pair[1].half() < pair[0];
        assert!(!gaps.windows(2).any(falls));
        assert!(about(gaps[69], 1_024.0));
        assert_eq!(poll.exponent(), 10);
        // Held at the least interval for 28 of them, the time of the ramp included.
        let held = gaps.iter().filter(|gap| about(**gap, 64.0)).count();
        assert!((20..=24).contains(&held), "{held}");
    }

    #[test]
    fn falls_at_once_and_asks_again_soon() {
        let mut poll = Poll::new(&PeerConfig::default(), 1.0);
        answers(&mut poll, Instant::default(), 60, CALM);
        let later = Instant::from_nanos(1_000_000_000_000_000);
        let shaken = Estimate::known_to(1e-6, 1e-8);
        let schedule = poll.answered(Verdict::Taken, Some(&shaken), later);
        // 100 s of memory hold 1/0.6 of the interval.
        let Schedule::Within(span) = schedule else { panic!("{schedule:?}") };
        assert!((span.as_secs_f64() - 100.0 / 0.6).abs() < 0.01, "{span}");
        let calm = Estimate::known_to(CALM.0, CALM.1);
        let Schedule::At(grown) = poll.answered(Verdict::Taken, Some(&calm), later) else {
            panic!()
        };
        assert_eq!(grown.as_nanos(), span.as_nanos() / 100 * 250);
        let violated = poll.answered(Verdict::Violated, Some(&calm), later);
        assert_eq!(violated, Schedule::Within(Span::from_secs(2)));
        assert_eq!(poll.interval(), grown);
        let reset = poll.answered(Verdict::Reset, Some(&calm), later);
        assert_eq!(reset, Schedule::Within(Span::from_secs(64)));
    }

    #[test]
    fn a_greater_error_is_worth_more_packets() {
        let wanted =
            |deviation: f64| worthwhile(&Estimate::known_to(deviation, deviation / 1e3), 1.0);
        assert!((wanted(1e-6).as_secs_f64() - 1e3 / 0.6).abs() < 0.01);
        assert!((wanted(1e-4).as_secs_f64() - 1e3 / (0.46 * 100f64.powf(0.2))).abs() < 0.01);
        assert!((wanted(10.0).as_secs_f64() - 1e3 / 4.0).abs() < 0.01);
        let twice = worthwhile(&Estimate::known_to(1e-6, 1e-9), 2.0);
        assert!((twice.as_secs_f64() - 1e3 / 1.2).abs() < 0.01);
    }

    #[test]
    fn who_says_more_is_asked_more() {
        let wanted = |share| {
            let mut poll = Poll::new(&PeerConfig::default(), 1.0);
            poll.set_share(share);
            // 180 s for the mean source.
            answers(&mut poll, Instant::default(), 100, (1e-6, 1e-6 / 108.0));
            poll.interval().as_secs_f64()
        };
        assert!((wanted(None) - 180.0).abs() < 1e-6);
        for (share, interval) in [(1.0, 180.0), (2.25, 120.0), (100.0, 90.0), (0.0, 360.0)] {
            assert!((wanted(Some(share)) - interval).abs() < 1e-6, "a share of {share}");
        }
    }

    #[test]
    fn silence_backs_off_within_the_greatest_interval() {
        let mut poll = Poll::new(&PeerConfig { iburst: false, ..PeerConfig::default() }, 1.0);
        let mut rng = rng();
        let gaps: std::vec::Vec<_> = (0..10)
            .map(|_| {
                poll.lost();
                poll.next(&mut rng).as_secs_f64() / 1.02
            })
            .collect();
        assert!(gaps[..2].iter().all(|gap| *gap <= 64.0));
        assert!(gaps[2] > 250.0 && gaps[3] > 1_000.0);
        // Up to a quarter more, so that not all come back at once.
        let (least, most) = gaps[3..]
            .iter()
            .fold((f64::MAX, 0.0f64), |(least, most), gap| (least.min(*gap), most.max(*gap)));
        assert!(most > 1.1 * least && most * 1.02 <= 1_280.0, "{least} to {most}");
    }

    #[test]
    fn a_burst_without_answers_stays_polite() {
        let mut poll = Poll::new(&PeerConfig::default(), 1.0);
        for _ in 0..30 {
            poll.lost();
        }
        let gap = poll.next(&mut rng());
        assert!((Span::from_secs(64)..=Span::from_secs(80)).contains(&gap), "{gap}");
    }

    #[test]
    fn kisses_slow_down() {
        let mut poll = Poll::new(&PeerConfig { max_poll: 6, ..PeerConfig::default() }, 1.0);
        let mut rng = rng();
        assert!(poll.slow_down(&mut rng) >= Span::from_secs(64));
        assert_eq!(poll.interval(), Span::from_secs(128));
        assert!(poll.start.is_none());
        assert!(poll.denied(&mut rng) >= Span::from_secs(86_400));
        let pauses: std::vec::Vec<_> = (0..9).map(|_| poll.suspend(&mut rng)).collect();
        assert!(pauses.windows(2).all(|pair| pair[1] > pair[0].half()));
        assert!(about(pauses[8], 1_200.0));
    }
}
