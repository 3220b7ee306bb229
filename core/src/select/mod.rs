//! Who is right, and what they say together.
//!
//! Each valid peer claims that the truth lies within its root distance of its offset. Where the
//! intervals of more than half of them overlap, there it is, if the liars are a minority (RFC 5905
//! §11.2.1, after Marzullo). Within that much room liars could still do harm, and paths lie
//! without intent, by their asymmetry, so that
//!
//! - `suspects`: who runs away from the others or jumps is not listened to for a while;
//! - `intervals`: the majority, and the greatest group of others that overlap in it;
//! - `weights`: what each says of the level, and how far it is from it for good, so that the
//!   output neither follows one path's asymmetry nor jumps when peers come and go;
//! - `bounds`: how far off that may be.
//!
//! All in free-running time, so that control never enters. Source: `ALGORITHM` §9.

mod bounds;
mod intervals;
mod suspects;
#[cfg(test)]
mod tests;
mod weights;

use core::fmt;

use heapless::Vec;

pub use self::bounds::Bounds;
use self::intervals::{Hull, agreement, majority};
use self::suspects::{AMNESTY, Suspicion, frequency_departure};
use self::weights::{Bias, Term};
use crate::config::SelectOptions;
use crate::maths::sqrt;
use crate::units::{FreqOffset, Span, WallTime};

/// The peer that is followed stays so until another's reach is better by this factor. A choice of
/// ours: the age of a sample alone must not make peers take turns.
const LOYALTY: f64 = 1.5;
/// What the output is known to at best, in seconds.
const FLOOR: f64 = 1e-6;
/// No frequency is known better, as a ratio.
const LEAST_FREQUENCY_DEVIATION: f64 = 1e-12;

/// What becomes of a peer, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Standing {
    /// It has not answered often enough to be valid, or not lately.
    #[default]
    Invalid,
    /// Asked often, it has not answered.
    Unreachable,
    /// It denied access by a Kiss-o'-Death.
    Denied,
    /// It says itself that it is not synchronised, or is of the last stratum, behind which nobody
    /// is.
    Unsynchronised,
    /// It follows this host.
    Loop,
    /// As this host may, it serves without a source, and is only of use to those whose addresses are
    /// greater, while they have no other.
    Orphan,
    /// Its root distance is too great to be of use.
    TooDistant,
    /// It is only to be measured.
    NoSelect,
    /// For others, that have not had their chance to disagree before the first correction or are
    /// too few to agree.
    Waiting,
    /// Its interval does not overlap where those of the majority do.
    Falseticker,
    /// It jumped, or runs faster or slower than the others.
    Suspect,
    /// There is no majority.
    NoMajority,
    /// A truechimer, but others are preferred.
    NotPreferred,
    /// A truechimer that takes part in the average.
    Combined,
    /// The truechimer that is followed: one of the least root distance.
    Selected,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Invalid => "invalid",
            Self::Unreachable => "unreachable",
            Self::Denied => "denied",
            Self::Unsynchronised => "unsynchronised",
            Self::Loop => "loop",
            Self::Orphan => "orphan",
            Self::TooDistant => "too distant",
            Self::NoSelect => "noselect",
            Self::Waiting => "waiting",
            Self::Falseticker => "falseticker",
            Self::Suspect => "suspect",
            Self::NoMajority => "no majority",
            Self::NotPreferred => "not preferred",
            Self::Combined => "combined",
            Self::Selected => "selected",
        })
    }
}

/// A valid peer's claim.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Which peer.
    pub index: usize,
    /// True time minus free-running time, as it says.
    pub offset: Span,
    /// How far off it may be, with three standard deviations of the offset.
    pub distance: Span,
    /// Half of the way to the primary source and back, and the dispersion on it, in seconds: it is
    /// wrong for good by a few per cent of this.
    pub reach: f64,
    /// Standard deviation of the offset by its noise alone, in seconds.
    pub offset_deviation: f64,
    /// What it says of the frequency.
    pub frequency: FreqOffset,
    /// Standard deviation of that, as a plain ratio.
    pub frequency_deviation: f64,
    /// Random walk of the frequency, per root second.
    pub wander: f64,
    /// How often it is asked.
    pub interval: Span,
    /// What the operator wants.
    pub options: SelectOptions,
}

/// What the truechimers say together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Consensus {
    /// The truechimer that is followed.
    pub selected: Candidate,
    /// True time minus free-running time.
    pub offset: Span,
    /// Standard deviation of that by the sources' noise alone, in seconds.
    pub offset_deviation: f64,
    /// How fast that grows.
    pub frequency: FreqOffset,
    /// Standard deviation of that, as a plain ratio.
    pub frequency_deviation: f64,
    /// How far off the offset may be.
    pub bounds: Bounds,
}

/// What is remembered of a peer.
#[derive(Debug, Clone, Copy, Default)]
struct Record {
    standing: Standing,
    suspicion: Suspicion,
    bias: Bias,
    share: Option<f64>,
}

/// Those that agree.
struct Truechimers<const PEERS: usize> {
    /// All of them, or those that are preferred.
    heard: Vec<Candidate, PEERS>,
    passed_over: Vec<Candidate, PEERS>,
}

impl<const PEERS: usize> Truechimers<PEERS> {
    fn count(&self) -> usize {
        self.heard.len() + self.passed_over.len()
    }
}

/// The judgement of up to `PEERS` peers, and what it remembers.
#[derive(Debug)]
pub struct Selection<const PEERS: usize> {
    records: [Record; PEERS],
    /// The last consensus and the free-running time that it was made for.
    last: Option<(Consensus, WallTime)>,
    /// The free-running time at which most peers seemed to jump: for a while from then on none is
    /// suspected of it, and no bias is learned.
    amnesty: Option<WallTime>,
    /// So many truechimers there must be.
    min_sources: u8,
}

impl<const PEERS: usize> Selection<PEERS> {
    /// One that knows nobody, and says nothing until `min_sources` peers agree.
    #[must_use]
    pub fn new(min_sources: u8) -> Self {
        Self { records: [Record::default(); PEERS], last: None, amnesty: None, min_sources }
    }

    /// Forgets what a peer was like: at that place there may be another server from now on.
    pub fn forget(&mut self, index: usize) {
        if let Some(record) = self.records.get_mut(index) {
            *record = Record::default();
        }
    }

    /// Forgets a peer for good. What all said together stays.
    pub fn remove(&mut self, index: usize) {
        self.forget(index);
        if let Some((last, _)) = &mut self.last
            && last.selected.index == index
        {
            // Nobody's place: who has this one next is not the one that was followed.
            last.selected.index = PEERS;
        }
    }

    /// So many truechimers there must be from now on.
    pub const fn set_min_sources(&mut self, min_sources: u8) {
        self.min_sources = min_sources;
    }

    /// What was made of a candidate the last time.
    #[must_use]
    pub fn standing(&self, index: usize) -> Standing {
        self.records.get(index).map_or_else(Standing::default, |record| record.standing)
    }

    /// How much it had to say of the last consensus, where 1 is the mean of those that were heard;
    /// `None` if it was not.
    pub fn share(&self, index: usize) -> Option<f64> {
        self.records.get(index)?.share
    }

    /// The peer `current` has a new sample. What do the `candidates`, which say what is at
    /// free-running `time`, say together? `None` without a majority that agrees, or if they are too
    /// few.
    ///
    /// Those that are to be trusted, if there are any, are the only ones with a vote on where the
    /// truth is.
    #[must_use]
    pub fn update(
        &mut self,
        current: usize,
        time: WallTime,
        candidates: &[Candidate],
    ) -> Option<Consensus> {
        let predicted = self.last.map(|(last, made)| {
            let ahead = last.frequency.gain(time - made, 0).0;
            (last.offset + ahead, last.offset_deviation)
        });
        let any_trusted = candidates.iter().any(|one| one.options.trust);
        let voters = || candidates.iter().filter(|one| one.options.trust || !any_trusted);
        let voting: Vec<Candidate, PEERS> = voters().take(PEERS).copied().collect();
        self.suspect(current, time, candidates, &voting, predicted);
        for one in candidates {
            self.judge(
                one,
                if self.is_held(one) { Standing::Suspect } else { Standing::NoMajority },
            );
        }
        let hull = majority(&voting)?;
        let is_free = |one: &Candidate| !self.is_held(one);
        let point = agreement(&voting, is_free, predicted.map(|(offset, _)| offset))?;
        let truechimers = self.truechimers(candidates, point);
        let selected = self.choose(&truechimers.heard)?;
        let is_enough = truechimers.count() >= self.min_sources.into();
        for one in candidates {
            let is_in = |group: &[Candidate]| group.iter().any(|other| other.index == one.index);
            let (heard, passed_over) = (is_in(&truechimers.heard), is_in(&truechimers.passed_over));
            let standing = if (heard || passed_over) && !is_enough {
                Standing::Waiting
            } else if one.index == selected.index {
                Standing::Selected
            } else if heard {
                Standing::Combined
            } else if passed_over {
                Standing::NotPreferred
            } else if self.is_held(one) {
                Standing::Suspect
            } else {
                self.forget(one.index);
                Standing::Falseticker
            };
            self.judge(one, standing);
        }
        if !is_enough {
            return None;
        }
        let consensus = self.combine(current, time, &truechimers, selected, point, hull);
        self.last = Some((consensus, time));
        Some(consensus)
    }

    fn has_amnesty(&self, time: WallTime) -> bool {
        self.amnesty.is_some_and(|start| (Span::ZERO..=AMNESTY).contains(&(time - start)))
    }

    fn is_held(&self, candidate: &Candidate) -> bool {
        self.records.get(candidate.index).is_some_and(|record| record.suspicion.is_held())
    }

    fn judge(&mut self, candidate: &Candidate, standing: Standing) {
        if let Some(record) = self.records.get_mut(candidate.index) {
            record.standing = standing;
        }
    }

    /// Tests the peer that has a new sample, against those that are `voting`.
    fn suspect(
        &mut self,
        current: usize,
        time: WallTime,
        candidates: &[Candidate],
        voting: &[Candidate],
        predicted: Option<(Span, f64)>,
    ) {
        let amnesty = self.has_amnesty(time);
        let found = candidates.iter().find(|one| one.index == current);
        let (Some(one), Some(record)) = (found, self.records.get_mut(current)) else { return };
        if let Some(departure) = frequency_departure(voting, one) {
            record.suspicion.frequency(departure);
        }
        let Some((offset, deviation)) = predicted else { return };
        if !amnesty {
            let departure = libm::fabs((one.offset - offset).as_secs_f64() - record.bias.offset);
            record.suspicion.shift(one, departure, deviation + FLOOR, time, &mut record.bias);
        }
        let shifted = |one: &&Candidate| {
            self.records.get(one.index).is_some_and(|record| record.suspicion.is_shifted())
        };
        if 2 * voting.iter().filter(shifted).count() > voting.len() {
            for record in &mut self.records {
                record.suspicion.pardon();
                record.bias = Bias::default();
            }
            self.amnesty = Some(time);
        }
    }

    /// Those in whose intervals the point is, without the suspects if there are others.
    fn truechimers(&self, candidates: &[Candidate], point: Span) -> Truechimers<PEERS> {
        let agreeing = || candidates.iter().filter(|one| one.contains(point));
        let any_free = agreeing().any(|one| !self.is_held(one));
        let free = || agreeing().filter(|one| !any_free || !self.is_held(one));
        let any_preferred = free().any(|one| one.options.prefer);
        let group = |heard: bool| {
            let is_heard = |one: &&Candidate| one.options.prefer || !any_preferred;
            free().filter(|one| is_heard(one) == heard).take(PEERS).copied().collect()
        };
        Truechimers { heard: group(true), passed_over: group(false) }
    }

    /// The one to follow: the nearest, or the one that was followed if it is nearly as near.
    fn choose(&self, truechimers: &[Candidate]) -> Option<Candidate> {
        let nearest =
            truechimers.iter().min_by(|one, other| one.near().total_cmp(&other.near()))?;
        let followed = self.last.map(|(last, _)| last.selected.index);
        let loyal = truechimers
            .iter()
            .find(|one| Some(one.index) == followed && one.near() <= LOYALTY * nearest.near());
        loyal.or(Some(nearest)).copied()
    }

    /// What the truechimers say together; differences are taken to the `point` in all their
    /// intervals, and so are exact in `f64`.
    fn combine(
        &mut self,
        current: usize,
        time: WallTime,
        truechimers: &Truechimers<PEERS>,
        selected: Candidate,
        point: Span,
        hull: Hull,
    ) -> Consensus {
        let Truechimers { heard, passed_over } = truechimers;
        let bias =
            |index: usize| self.records.get(index).map_or_else(Bias::default, |one| one.bias);
        let mut terms: Vec<Term, PEERS> = Vec::new();
        for one in heard {
            // There is a place for every peer.
            let _ = terms.push(Term::new(one, point, bias(one.index)));
        }
        let level = weights::weigh(&mut terms);
        let (offset, offset_deviation) = weights::average(&terms).unwrap_or(level);
        // Some may not have had a sample since the clock jumped.
        if !self.has_amnesty(time) {
            for term in &mut terms {
                term.bias.learn(term.offset - offset, term.index == current);
            }
            // For the day on which they have a say.
            for one in passed_over {
                if let Some(record) = self.records.get_mut(one.index) {
                    let difference = (one.offset - point).as_secs_f64() - offset;
                    record.bias.learn(difference, one.index == current);
                }
            }
        }
        let anchor = weights::anchor(&terms);
        for term in &terms {
            if let Some(record) = self.records.get_mut(term.index) {
                record.bias = term.bias;
            }
        }
        for record in &mut self.records {
            record.bias.lower(anchor);
            record.share = None;
        }
        let known: f64 = terms.iter().map(Term::information).sum();
        for term in &terms {
            if let Some(record) = self.records.get_mut(term.index) {
                record.share = Some(term.information() / known * terms.len() as f64);
            }
        }
        let (frequency, frequency_deviation) = frequency(heard, &selected);
        let offset = (point + Span::from_secs_f64(offset)).max(hull.low).min(hull.high);
        Consensus {
            selected,
            offset,
            offset_deviation,
            frequency,
            frequency_deviation,
            bounds: Bounds::new(hull, offset, &terms),
        }
    }
}

impl Candidate {
    /// How far off it may be but for what the age of its sample adds, in seconds.
    fn near(&self) -> f64 {
        self.reach + self.offset_deviation
    }
}

/// The mean frequency by inverse variance, and its standard deviation.
fn frequency(truechimers: &[Candidate], selected: &Candidate) -> (FreqOffset, f64) {
    let (mut weights, mut sum) = (0.0, 0.0);
    for one in truechimers {
        let deviation = one.frequency_deviation.max(LEAST_FREQUENCY_DEVIATION);
        let weight = 1.0 / (deviation * deviation);
        weights += weight;
        sum += weight * (one.frequency - selected.frequency).as_ratio();
    }
    (selected.frequency + FreqOffset::from_ratio(sum / weights), sqrt(1.0 / weights))
}
