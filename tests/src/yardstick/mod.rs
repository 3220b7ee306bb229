//! The estimator as it was first measured: 60 filters in double precision, every wander of the
//! grid at once, nothing left out to save time. What is built is held against it.
//!
//! It is written in the terms of `ALGORITHM`, apart from the product on purpose: its offset is
//! theta = U − t, the negative of the product's, its state is [theta, omega, base delay], and its
//! unit is the second.

mod world;

use libm::{erfc, exp, log, log10, sqrt};

pub use world::{Errors, Fault, Subject, World};

const WANDERS: [f64; 10] = [3e-11, 1e-10, 3e-10, 1e-9, 3e-9, 1e-8, 3e-8, 1e-7, 3e-7, 1e-6];
const OUTLIER_SCALES: [f64; 4] = [10.0, 100.0, 1e3, 1e4];
/// How theta enters what is seen of a direction, there and back.
const SIGNS: [f64; 2] = [-1.0, 1.0];

#[derive(Debug, Clone, Copy)]
struct Kind {
    gaussian: bool,
    rho: f64,
    shared: bool,
    base_steps: f64,
}

const fn queueing(rho: f64, shared: bool, base_steps: f64) -> Kind {
    Kind { gaussian: false, rho, shared, base_steps }
}

const KINDS: [Kind; 6] = [
    queueing(0.01, true, 0.0),
    Kind { gaussian: true, rho: 1.0, shared: true, base_steps: 0.0 },
    queueing(0.01, false, 0.0),
    queueing(0.4, true, 0.0),
    Kind { gaussian: true, rho: 1.0, shared: true, base_steps: 3.0 },
    queueing(0.01, true, 1.0),
];

fn erfcx(x: f64) -> f64 {
    if x < 20.0 {
        return exp(x * x) * erfc(x);
    }
    let i = 1.0 / (x * x);
    0.564_189_583_547_756_3 / x * (1.0 - 0.5 * i * (1.0 - 1.5 * i))
}

/// Hazard, variance and ln Φ of a normal variable below z, the last without −z²/2 for z < 0.
fn truncated(z: f64) -> (f64, f64, f64) {
    let root = std::f64::consts::SQRT_2;
    if z >= 0.0 {
        let mass = 0.5 * erfc(-z / root);
        let hazard = 0.398_942_280_401_432_7 * exp(-0.5 * z * z) / mass;
        return (hazard, 1.0 - hazard * (z + hazard), log(mass));
    }
    let tail = erfcx(-z / root);
    let hazard = 0.797_884_560_802_865_4 / tail;
    let i = 1.0 / (z * z);
    let variance = if z < -100.0 { i * (1.0 - 6.0 * i) } else { 1.0 - hazard * (z + hazard) };
    (hazard, variance, log(0.5 * tail))
}

/// The sample: its time, u = t2 − U1, d = U4 − t3, and half of U4 − U1.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// When, in seconds.
    pub time: f64,
    /// There and back.
    pub seen: [f64; 2],
    /// Half of the time that it took.
    pub half: f64,
}

#[derive(Debug, Clone, Copy)]
struct Filter {
    kind: Kind,
    wander: f64,
    prior: f64,
    x: [f64; 3],
    p: [[f64; 3]; 3],
    jitter: [f64; 2],
    outliers: [f64; 2],
    log_weight: f64,
}

/// Log evidence, probability of the inlier, and what that is worth for the jitter.
type Seen = (f64, f64, f64);

impl Filter {
    fn jitter_product(&self) -> f64 {
        self.jitter[0] * self.jitter[1]
    }

    fn predict(&mut self, dt: f64) {
        let (x, p, q) = (&mut self.x, &mut self.p, self.wander * self.wander);
        x[0] += dt * x[1];
        p[0][0] += 2.0 * dt * p[0][1] + dt * dt * p[1][1] + q * dt * dt * dt / 3.0 + 1e-20 * dt;
        p[0][1] += dt * p[1][1] + q * dt * dt / 2.0;
        p[1][0] = p[0][1];
        p[0][2] += dt * p[1][2];
        p[2][0] = p[0][2];
        p[1][1] += q * dt;
        let steps = self.kind.base_steps;
        self.p[2][2] += (1e-8 * dt + steps * steps) * self.jitter_product();
    }

    fn update(&mut self, sample: &Sample, direction: usize) -> Seen {
        let h = [SIGNS[direction], sample.half, 1.0];
        let (jitter, outliers) = (self.jitter[direction], self.outliers[direction]);
        let dot = |a: &[f64; 3]| a[0] * h[0] + a[1] * h[1] + a[2] * h[2];
        let ph = self.p.each_ref().map(dot);
        let s0 = dot(&ph);
        let nu = sample.seen[direction] - dot(&self.x);
        let r2 = (self.kind.rho * jitter) * (self.kind.rho * jitter) + 3e-8 * 3e-8;
        let s = s0 + r2;
        let root = sqrt(s);
        let delayed = |jitter: f64| {
            let rate = 1.0 / jitter;
            let z = nu / root - rate * root;
            let (hazard, variance, log_mass) = truncated(z);
            let power =
                if z < 0.0 { -0.5 * nu * nu / s } else { -rate * nu + 0.5 * rate * rate * s };
            (power + log_mass - log(jitter), root * (rate * root - hazard), s * variance)
        };
        let mut parts = Vec::new();
        if self.kind.gaussian {
            let power = -0.5 * nu * nu / s - 0.5 * log(std::f64::consts::TAU * s);
            parts.push((power, nu, 0.0));
        } else {
            parts.push(delayed(jitter));
        }
        let inlier = parts[0].1;
        parts[0].0 += log(1.0 - outliers);
        for scale in OUTLIER_SCALES {
            let (power, shift, variance) = delayed(jitter * scale);
            parts.push((power + log(outliers / 4.0), shift, variance));
        }
        let greatest = parts.iter().map(|part| part.0).fold(f64::MIN, f64::max);
        let total: f64 = parts.iter().map(|part| exp(part.0 - greatest)).sum();
        let weight = |part: &(f64, f64, f64)| exp(part.0 - greatest) / total;
        let shift: f64 = parts.iter().map(|part| weight(part) * part.1).sum();
        let spread = |part: &(f64, f64, f64)| part.2 + (part.1 - shift) * (part.1 - shift);
        let variance: f64 = parts.iter().map(|part| weight(part) * spread(part)).sum();
        for i in 0..3 {
            self.x[i] += ph[i] / s * shift;
            for k in 0..3 {
                self.p[i][k] -= ph[i] * ph[k] * (s - variance) / (s * s);
            }
        }
        let residual = nu * r2 / s;
        let excess =
            if self.kind.gaussian { residual * residual + s0 * r2 / s } else { nu - inlier };
        (greatest + log(total), weight(&parts[0]), excess)
    }

    fn learn(&mut self, seen: [Seen; 2], gain: f64) {
        for (outliers, (_, inlier, _)) in self.outliers.iter_mut().zip(seen) {
            *outliers += gain * (1.0 - inlier - *outliers);
        }
        let learnt = |jitter: f64, share: f64, excess: f64| {
            let moved = |value: f64| value + gain * share * (excess - value);
            if self.kind.gaussian { sqrt(moved(jitter * jitter)) } else { moved(jitter) }
        };
        let [(_, forth, one), (_, back, other)] = seen;
        if self.kind.shared {
            let excess = (forth * one + back * other) / (forth + back + 1e-9);
            self.jitter = [learnt(self.jitter[0], 0.5 * (forth + back), excess); 2];
            self.outliers = [0.5 * (self.outliers[0] + self.outliers[1]); 2];
        } else {
            self.jitter = [learnt(self.jitter[0], forth, one), learnt(self.jitter[1], back, other)];
        }
        self.jitter = self.jitter.map(|jitter| jitter.max(1e-8));
        self.outliers = self.outliers.map(|share| share.clamp(0.005, 0.5));
    }
}

/// The bank.
#[derive(Debug)]
pub struct Yardstick {
    filters: Vec<Filter>,
    first: Vec<Sample>,
    time: f64,
    averaged: f64,
    back_first: bool,
    violations: u32,
    since_step: u32,
    window: Vec<[f64; 2]>,
}

impl Default for Yardstick {
    fn default() -> Self {
        Self::new()
    }
}

impl Yardstick {
    /// One that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        let mut filters = Vec::new();
        for (place, kind) in KINDS.into_iter().enumerate() {
            for wander in WANDERS {
                let decades = log10(wander) + 9.5;
                let prior = -0.3 * decades * decades - if place == 0 { 0.0 } else { 1.0 };
                let (x, p) = ([0.0; 3], [[0.0; 3]; 3]);
                let (jitter, outliers) = ([0.0; 2], [0.02; 2]);
                let log_weight = prior;
                filters.push(Filter { kind, wander, prior, x, p, jitter, outliers, log_weight });
            }
        }
        Self {
            filters,
            first: Vec::new(),
            time: 0.0,
            averaged: 4.0,
            back_first: false,
            violations: 0,
            since_step: 0,
            window: Vec::new(),
        }
    }

    /// Takes a sample in; false if it was skipped.
    pub fn update(&mut self, sample: Sample) -> bool {
        if self.first.len() < 4 {
            self.first.push(sample);
            if self.first.len() == 4 {
                self.start();
            }
            return true;
        }
        self.step(&sample)
    }

    fn start(&mut self) {
        let first = self.first.clone();
        let round_trips = || first.iter().map(|sample| sample.seen[0] + sample.seen[1]);
        let least = round_trips().fold(f64::MAX, f64::min);
        let mean = round_trips().sum::<f64>() / 4.0;
        let jitter = (mean - least).max(5e-8);
        let [forth, back] = first[0].seen;
        let deviation = (forth + back - least) / 2.0 + 2.0 * jitter;
        for filter in &mut self.filters {
            let base = if filter.kind.gaussian { mean / 2.0 } else { least / 2.0 - 0.4 * jitter };
            filter.x = [(back - forth) / 2.0, 0.0, base];
            let diagonal = [deviation * deviation, 1e-8, jitter * jitter];
            for (place, variance) in diagonal.into_iter().enumerate() {
                filter.p[place][place] = variance;
            }
            filter.jitter = [jitter; 2];
        }
        self.time = first[0].time;
        for sample in &first {
            self.step(sample);
        }
    }

    fn best(&self) -> usize {
        let weight = |place: &usize| self.filters[*place].log_weight;
        (0..self.filters.len()).max_by(|a, b| weight(a).total_cmp(&weight(b))).unwrap_or_default()
    }

    fn step(&mut self, sample: &Sample) -> bool {
        let dt = sample.time - self.time;
        self.since_step += 1;
        if !self.guard(dt, sample) {
            return false;
        }
        self.time = sample.time;
        self.mix();
        let best = self.best();
        self.averaged = f64::min(self.averaged + 1.0, 200.0);
        self.back_first = !self.back_first;
        let (mut evidence, mut trusted) = (Vec::new(), 0.1);
        for (place, filter) in self.filters.iter_mut().enumerate() {
            filter.predict(dt);
            let seen = if self.back_first {
                let back = filter.update(sample, 1);
                [filter.update(sample, 0), back]
            } else {
                let forth = filter.update(sample, 0);
                [forth, filter.update(sample, 1)]
            };
            filter.learn(seen, 1.0 / self.averaged);
            let told = seen[0].0 + seen[1].0;
            evidence.push(if told.is_finite() { told } else { -1e9 });
            if place == best {
                trusted = seen[0].1.max(seen[1].1).max(0.1);
            }
        }
        let greatest = evidence.iter().copied().fold(f64::MIN, f64::max);
        for (filter, told) in self.filters.iter_mut().zip(evidence) {
            let told = (told - greatest).max(-10.0);
            filter.log_weight = 0.99 * filter.log_weight + 0.01 * filter.prior + trusted * told;
        }
        let greatest = self.filters[self.best()].log_weight;
        for filter in &mut self.filters {
            filter.log_weight = (filter.log_weight - greatest).max(-30.0);
        }
        self.respawn();
        true
    }

    /// Mixes neighbouring wanders of a kind.
    fn mix(&mut self) {
        for kind in self.filters.chunks_mut(WANDERS.len()) {
            let before = kind.to_vec();
            for (place, filter) in kind.iter_mut().enumerate() {
                let share = |(other, it): (usize, &Filter)| match other.abs_diff(place) {
                    0 => 0.996 * exp(it.log_weight) + 1e-30,
                    1 => 0.002 * exp(it.log_weight),
                    _ => 0.0,
                };
                let shares: Vec<f64> = before.iter().enumerate().map(share).collect();
                let total: f64 = shares.iter().sum();
                let parts = || before.iter().zip(&shares).map(|(it, share)| (it, share / total));
                let mut x = [0.0; 3];
                for (it, share) in parts() {
                    for (sum, value) in x.iter_mut().zip(it.x) {
                        *sum += share * value;
                    }
                }
                let mut p = [[0.0; 3]; 3];
                for (it, share) in parts() {
                    for a in 0..3 {
                        for b in 0..3 {
                            let spread = (it.x[a] - x[a]) * (it.x[b] - x[b]);
                            p[a][b] += share * (it.p[a][b] + spread);
                        }
                    }
                }
                (filter.x, filter.p, filter.log_weight) = (x, p, log(total));
            }
        }
    }

    fn respawn(&mut self) {
        for kind in self.filters.chunks_mut(WANDERS.len()) {
            let by_weight = |a: &&Filter, b: &&Filter| a.log_weight.total_cmp(&b.log_weight);
            let Some(heir) = kind.iter().max_by(by_weight).copied() else { continue };
            for filter in kind {
                let finite = filter.x[0].is_finite() && filter.p[0][0].is_finite();
                if filter.log_weight < heir.log_weight - 15.0 || !finite {
                    (filter.x, filter.p) = (heir.x, heir.p);
                    (filter.jitter, filter.outliers) = (heir.jitter, heir.outliers);
                }
            }
        }
    }

    fn guard(&mut self, dt: f64, sample: &Sample) -> bool {
        let place_of_best = self.best();
        let best = self.filters[place_of_best];
        let mut fast = [true; 2];
        let mut nu = [0.0; 2];
        for (place, filter) in self.filters.iter().enumerate() {
            if filter.log_weight < best.log_weight - 10.0 {
                continue;
            }
            let mut after = *filter;
            after.predict(dt);
            for (direction, sign) in SIGNS.into_iter().enumerate() {
                let p = &after.p;
                let s0 = p[0][0] + p[2][2] + 2.0 * sign * p[0][2];
                let expected = after.x[2] + sign * after.x[0] + sample.half * after.x[1];
                let excess = sample.seen[direction] - expected;
                let r = after.kind.rho * after.jitter[direction];
                fast[direction] &= excess < -(8.0 * sqrt(s0 + r * r) + 1e-6);
                if place == place_of_best {
                    nu[direction] = excess;
                }
            }
        }
        if fast[0] || fast[1] {
            self.violations += 1;
            if self.violations == 3 {
                self.admit_step(nu, dt);
            }
            return self.violations == 0;
        }
        self.violations = 0;
        self.window.push(nu);
        if self.window.len() > 6 {
            self.window.remove(0);
        }
        if self.window.len() == 6 && best.kind.base_steps == 0.0 {
            self.follow_route(best.jitter[0] + best.jitter[1]);
        }
        true
    }

    fn admit_step(&mut self, nu: [f64; 2], dt: f64) {
        let again = self.since_step < 12;
        (self.since_step, self.violations) = (0, 0);
        let (theta, base) = (0.5 * (nu[1] - nu[0]), 0.5 * (nu[1] + nu[0]));
        let rate = theta / dt.max(16.0);
        for filter in &mut self.filters {
            filter.p[0][0] += theta * theta;
            filter.p[2][2] += base * base + 4.0 * filter.jitter_product();
            if again || rate.abs() < 1e-5 {
                filter.p[1][1] += rate * rate;
            }
            if again {
                filter.log_weight = filter.prior;
            }
            if base.abs() > theta.abs() {
                filter.x[2] += base;
            }
        }
        self.window.clear();
    }

    fn follow_route(&mut self, jitters: f64) {
        let least = |i: usize| self.window.iter().map(|nu| nu[i]).fold(f64::MAX, f64::min);
        let least = [least(0), least(1)];
        let limit = least[0] + least[1] + 6.0 * jitters;
        let agreeing = self.window.iter().filter(|nu| nu[0] + nu[1] < limit).count();
        if least[0] > 5.0 * jitters && least[1] > 5.0 * jitters && agreeing >= 4 {
            self.window.clear();
            for filter in &mut self.filters {
                filter.x[2] += least[0].min(least[1]);
                filter.p[2][2] += 4.0 * filter.jitter_product();
            }
        }
    }

    /// Theta at the free-running time `time`, and omega; once four samples were taken.
    #[must_use]
    pub fn output(&self, time: f64) -> (f64, f64) {
        let (mut total, mut theta, mut omega) = (0.0, 0.0, 0.0);
        for filter in &self.filters {
            let weight = exp(filter.log_weight);
            total += weight;
            theta += weight * filter.x[0];
            omega += weight * filter.x[1];
        }
        ((theta + (time - self.time) * omega) / total, omega / total)
    }
}
