//! Whether the clock is right, and what is known of how far it may be off.
//!
//! It is synchronised once its reading lies within the root distance of the source it follows,
//! and stays so until it is found far outside or the error bound, growing by 15 ppm while no
//! source answers, is no longer worth the name.

use crate::clock::ClockStatus;
use crate::config::{Config, DRIFT_TOLERANCE, MAX_DISTANCE, MAX_STRATUM, drift_bound};
use crate::maths::{power, sqrt};
use crate::peer::Peer;
use crate::select::Consensus;
use crate::system::{Reference, SystemState};
use crate::units::{FreqOffset, Instant, Now, Span};
use crate::wire::{LeapIndicator, ReferenceId};

/// Within this the clock counts as right even if the source claims to be better than that.
const CLOSE: Span = Span::from_millis(1);
/// Beyond this, and the source's root distance, it is wrong (RFC 5905 §7.2, STEPT).
const FAR: Span = Span::from_millis(128);
/// The likely error grows by this many standard deviations, as `ALGORITHM` §9 has it.
const LIKELY_DEVIATIONS: f64 = 5.0;
/// How many samples are lately: with 16, cells of the grid of wander and jitter stay within the likely
/// error for 99.0 % of the time only.
const LATELY: f64 = 64.0;
/// The reference id of a local clock above stratum 1, as ntpd and chrony give it.
const LOCAL_ADDRESS: [u8; 4] = [127, 127, 1, 1];
/// Others are told how good the clock is as often as this at least: what the kernel tells grows by
/// 500 ppm meanwhile.
const TELL_EVERY: Span = Span::from_secs(64);

#[derive(Debug)]
pub(super) struct Sync {
    synced: bool,
    /// It has been.
    trusted: bool,
    /// When others were told last how good the clock is.
    told: Instant,
    local_stratum: Option<u8>,
    precision: i8,
    /// What would be served if the clock had no error of its own.
    followed: Option<SystemState>,
    /// How far the clock was from what it follows when it was last compared.
    offset: Span,
    likely: Likely,
}

/// How far what is followed is likely off, and how that grows.
#[derive(Debug, Default)]
struct Likely {
    /// In seconds.
    error: Lately,
    frequency_deviation: Lately,
    /// Per root second.
    wander: Lately,
}

/// A figure as it is or was on average lately, whichever is greater: for many samples in a row an
/// estimate may be too sure of itself, by a factor of two.
#[derive(Debug, Default)]
struct Lately(f64);

impl Lately {
    fn take(&mut self, figure: f64) {
        self.0 = figure.max(self.0 * power(figure / self.0, 1.0 / LATELY));
    }
}

impl Likely {
    /// After so many seconds.
    fn error_after(&self, secs: f64) -> Span {
        let walk = self.wander.0 * sqrt(secs * secs * secs / 3.0);
        let grown = LIKELY_DEVIATIONS * (self.frequency_deviation.0 * secs + walk);
        Span::from_secs_f64(self.error.0 + grown)
    }
}

impl Sync {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            synced: false,
            trusted: false,
            told: Instant::default(),
            local_stratum: local_stratum(config),
            precision: config.precision,
            followed: None,
            offset: Span::ZERO,
            likely: Likely::default(),
        }
    }

    pub(super) fn configure(&mut self, config: &Config) {
        self.local_stratum = local_stratum(config);
    }

    pub(super) const fn is_synced(&self) -> bool {
        self.synced
    }

    /// Whether the clock has been synchronised since the start.
    pub(super) const fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// The clock follows `consensus`, of which `peer` is the selected one.
    pub(super) fn follow<const KINDS: usize>(
        &mut self,
        now: Now,
        consensus: &Consensus,
        peer: &Peer<KINDS>,
    ) {
        let (Some(remote), Some(address)) = (&peer.remote, peer.address()) else { return };
        let Some(delay) = peer.estimator.estimate().map(|estimate| estimate.delay) else { return };
        let header = &remote.header;
        let precision = Span::from_log2_secs(self.precision);
        // No path is shorter than what can be measured (RFC 5905 §8).
        let root_delay = header.root_delay.to_span() + delay.max(precision);
        self.likely.error.take((consensus.bounds.likely + precision).as_secs_f64());
        self.likely.frequency_deviation.take(consensus.frequency_deviation);
        self.likely.wander.take(consensus.selected.wander);
        self.followed = Some(SystemState {
            // What is announced is not of one source: `system` says it.
            leap: LeapIndicator::NoWarning,
            stratum: header.stratum.saturating_add(1).min(MAX_STRATUM),
            precision: self.precision,
            root_delay,
            // No less than the error that is possible, whatever part of it is called delay.
            root_dispersion: (consensus.bounds.guaranteed - root_delay.half()).max(Span::ZERO)
                + precision,
            drift: drift_bound(consensus.frequency_deviation),
            reference: Reference::Server(address.ip()),
            reference_time: now.wall,
            updated: now.mono,
        });
    }

    /// The clock is `offset` behind what it follows, which may be for a leap second. Says whether that
    /// made it synchronised or unsynchronised.
    pub(super) fn update(&mut self, now: Now, offset: Span, leaping: bool) -> Option<bool> {
        let followed = self.followed.as_mut()?;
        followed.reference_time = now.wall;
        self.offset = offset;
        let distance = followed.root_distance_at(now.mono);
        let synced = if distance + offset.abs() > MAX_DISTANCE {
            false
        } else if self.synced {
            offset.abs() <= distance + FAR || leaping
        } else {
            offset.abs() <= distance.max(CLOSE)
        };
        self.trusted |= synced;
        (synced != core::mem::replace(&mut self.synced, synced)).then_some(synced)
    }

    /// Nobody knows what the clock is worth, until it follows something again; says whether it was
    /// synchronised.
    pub(super) const fn lose(&mut self) -> bool {
        self.followed = None;
        core::mem::replace(&mut self.synced, false)
    }

    /// When the error bound becomes too great, if no source answers.
    pub(super) fn deadline(&self) -> Instant {
        let Some(followed) = self.followed.as_ref().filter(|_| self.synced) else {
            return Instant::NEVER;
        };
        let distance = followed.root_distance_at(followed.updated) + self.offset.abs();
        let room = MAX_DISTANCE - distance;
        followed.updated + Span::from_secs_f64(room.as_secs_f64() / followed.drift.as_ratio())
    }

    /// Whether the clock has just become unsynchronised by growing too old.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        let expired = self.deadline() <= now;
        if expired {
            self.synced = false;
        }
        expired
    }

    /// What a server tells its clients of a clock that is `offset` behind what it follows, or not
    /// even that is known.
    pub(super) fn system(
        &self,
        now: Now,
        offset: Span,
        doubtful: bool,
        leap: LeapIndicator,
    ) -> SystemState {
        match (&self.followed, self.local_stratum) {
            (Some(followed), _) if self.synced && !doubtful => {
                let root_dispersion = followed.root_dispersion + offset.abs();
                SystemState { leap, root_dispersion, ..*followed }
            }
            (_, Some(stratum)) => SystemState {
                leap: LeapIndicator::NoWarning,
                stratum,
                precision: self.precision,
                root_delay: Span::ZERO,
                // It is its own reference: no more is wrong with it than how it is read.
                root_dispersion: Span::from_log2_secs(self.precision),
                drift: DRIFT_TOLERANCE,
                reference: Reference::Id(match stratum {
                    1 => ReferenceId::LOCAL,
                    _ => ReferenceId::from_bytes(LOCAL_ADDRESS),
                }),
                reference_time: now.wall,
                updated: now.mono,
            },
            _ => SystemState::unsynchronised(self.precision, now.mono),
        }
    }

    /// When a synchronised clock's status is to be told again.
    pub(super) fn tell_deadline(&self) -> Instant {
        if self.synced { self.told + TELL_EVERY } else { Instant::NEVER }
    }

    /// What the kernel tells those who ask, and is told now.
    pub(super) fn tell(&mut self, now: Now) -> ClockStatus {
        self.told = now.mono;
        let errors = self.errors(now.mono, self.offset);
        let (max_error, estimated_error) = errors.unwrap_or((MAX_DISTANCE, self.offset.abs()));
        ClockStatus { synced: self.synced, max_error, estimated_error }
    }

    /// The greatest error at `now` of a clock that is `offset` behind what it follows.
    pub(super) fn error_bound(&self, now: Instant, offset: Span) -> Option<Span> {
        self.followed.as_ref().map(|followed| followed.root_distance_at(now) + offset.abs())
    }

    /// How fast that bound grows.
    pub(super) fn drift(&self) -> Option<FreqOffset> {
        self.followed.as_ref().map(|followed| followed.drift)
    }

    /// How sure the frequency is of what is followed: its standard deviation.
    pub(super) fn skew(&self) -> Option<FreqOffset> {
        let deviation = self.likely.frequency_deviation.0;
        self.followed.as_ref().map(|_| FreqOffset::from_ppm_f64(deviation * 1e6))
    }

    /// What the error at `now` of a clock that is `offset` behind what it follows hardly exceeds.
    pub(super) fn likely_error(&self, now: Instant, offset: Span) -> Option<Span> {
        self.errors(now, offset).map(|(_, likely)| likely)
    }

    /// The greatest error and the likely one.
    fn errors(&self, now: Instant, offset: Span) -> Option<(Span, Span)> {
        let followed = self.followed.as_ref()?;
        let secs = (now - followed.updated).as_secs_f64().max(0.0);
        let likely = self.likely.error_after(secs) + offset.abs();
        let bound = followed.root_distance_at(now) + offset.abs();
        Some((bound, bound.min(likely)))
    }
}

fn local_stratum(config: &Config) -> Option<u8> {
    config.local_stratum.map(|stratum| stratum.clamp(1, MAX_STRATUM - 1))
}
