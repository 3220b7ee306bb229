//! One direction of the way between the client and a server.

use serde::Deserialize;

use super::number::{not_negative, positive, share};
use super::random::Random;

/// How long a datagram travels, and whether it arrives. Times are seconds.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Link {
    /// The least delay.
    #[serde(deserialize_with = "not_negative")]
    pub delay: f64,
    /// What waiting in queues adds.
    pub queueing: Queueing,
    /// The probability that a datagram is lost.
    #[serde(deserialize_with = "share")]
    pub loss: f64,
    /// The probability that one arrives twice, the second time after a delay of its own.
    #[serde(deserialize_with = "share")]
    pub duplication: f64,
    /// Datagrams that are overtaken by later ones.
    pub reordering: Option<Reordering>,
    /// New least delays from certain times on, in their order.
    pub route: Vec<Route>,
    /// Times of congestion.
    pub congestion: Vec<Congestion>,
}

/// What is added to the least delay of a datagram.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Queueing {
    /// Nothing.
    #[default]
    None,
    /// Exponential, of this mean.
    Exponential(#[serde(deserialize_with = "not_negative")] f64),
    /// Normal, of this standard deviation; a delay that would be less than nothing is none.
    Gaussian(#[serde(deserialize_with = "not_negative")] f64),
    /// The size of a normal one of this standard deviation.
    HalfGaussian(#[serde(deserialize_with = "not_negative")] f64),
    /// Heavy-tailed: beyond x with probability (1 + x/scale)^−shape, Pareto's distribution of the
    /// second kind. The mean is scale / (shape − 1); up to a shape of 1 there is none.
    Pareto {
        /// Where the tail begins.
        #[serde(deserialize_with = "not_negative")]
        scale: f64,
        /// How soon it ends.
        #[serde(deserialize_with = "positive")]
        shape: f64,
    },
    /// Exponential, of mean `scale`, and now and then `extra` as well.
    Bimodal {
        /// The mean of the first part.
        #[serde(deserialize_with = "not_negative")]
        scale: f64,
        /// What is added.
        #[serde(deserialize_with = "not_negative")]
        extra: f64,
        /// How often it is.
        #[serde(deserialize_with = "share")]
        probability: f64,
    },
}

/// Datagrams that are held back.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reordering {
    /// How often.
    #[serde(deserialize_with = "share")]
    pub probability: f64,
    /// For how long.
    #[serde(deserialize_with = "not_negative")]
    pub by: f64,
}

/// A change of the way that datagrams take.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// When.
    #[serde(deserialize_with = "not_negative")]
    pub at: f64,
    /// The least delay from then on.
    #[serde(deserialize_with = "not_negative")]
    pub delay: f64,
}

/// A time of long queues.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Congestion {
    /// Its beginning.
    #[serde(deserialize_with = "not_negative")]
    pub from: f64,
    /// Its end.
    #[serde(deserialize_with = "not_negative")]
    pub to: f64,
    /// What is added to every delay.
    #[serde(deserialize_with = "not_negative")]
    pub delay: f64,
    /// And at random.
    #[serde(default)]
    pub queueing: Queueing,
}

impl Link {
    /// `delay` seconds, and no more than `queueing` adds.
    #[must_use]
    pub fn new(delay: f64, queueing: Queueing) -> Self {
        Self { delay, queueing, ..Self::default() }
    }

    /// How long each copy of a datagram that is sent at `time` travels: one, none if it is lost,
    /// or two.
    pub fn travel(&self, time: f64, random: &mut Random) -> impl Iterator<Item = f64> + use<> {
        let lost = random.chance(self.loss);
        let doubled = random.chance(self.duplication);
        let first = (!lost).then(|| self.delay(time, random));
        let second = (!lost && doubled).then(|| self.delay(time, random));
        first.into_iter().chain(second)
    }

    fn delay(&self, time: f64, random: &mut Random) -> f64 {
        let route = self.route.iter().rev().find(|route| route.at <= time);
        let mut delay = route.map_or(self.delay, |route| route.delay);
        delay += self.queueing.draw(random);
        for congestion in &self.congestion {
            if (congestion.from..congestion.to).contains(&time) {
                delay += congestion.delay + congestion.queueing.draw(random);
            }
        }
        if let Some(Reordering { probability, by }) = self.reordering
            && random.chance(probability)
        {
            delay += by;
        }
        delay.max(0.0)
    }
}

impl Queueing {
    fn draw(&self, random: &mut Random) -> f64 {
        match *self {
            Self::None => 0.0,
            Self::Exponential(mean) => mean * random.exponential(),
            Self::Gaussian(deviation) => deviation * random.normal(),
            Self::HalfGaussian(deviation) => deviation * random.normal().abs(),
            Self::Pareto { scale, shape } => scale * libm::expm1(random.exponential() / shape),
            Self::Bimodal { scale, extra, probability } => {
                let more = if random.chance(probability) { extra } else { 0.0 };
                scale * random.exponential() + more
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::random::Stream;

    const DRAWS: usize = 100_000;

    fn random() -> Random {
        Random::new(1, Stream::Up(0))
    }

    /// The delays of a hundred thousand datagrams at `time`, sorted.
    fn delays(link: &Link, time: f64) -> Vec<f64> {
        let mut random = random();
        let mut delays: Vec<f64> =
            (0..DRAWS).flat_map(|_| link.travel(time, &mut random)).collect();
        delays.sort_by(f64::total_cmp);
        delays
    }

    fn mean(delays: &[f64]) -> f64 {
        delays.iter().sum::<f64>() / delays.len() as f64
    }

    fn deviation(delays: &[f64]) -> f64 {
        let mean = mean(delays);
        let squares = delays.iter().map(|delay| (delay - mean).powi(2)).sum::<f64>();
        (squares / delays.len() as f64).sqrt()
    }

    #[track_caller]
    fn assert_near(found: f64, expected: f64, within: f64) {
        assert!((found - expected).abs() < within, "{found} is not {expected}");
    }

    /// Mean and standard deviation beyond the least delay, to 2 % of the latter.
    #[track_caller]
    fn assert_moments(queueing: Queueing, expected: [f64; 2]) {
        let found = delays(&Link::new(1.0, queueing), 0.0);
        assert_near(mean(&found) - 1.0, expected[0], 0.02 * expected[1]);
        assert_near(deviation(&found), expected[1], 0.02 * expected[1]);
    }

    #[test]
    fn without_queues_a_delay_is_a_delay() {
        assert!(delays(&Link::new(0.3, Queueing::None), 0.0).iter().all(|delay| *delay == 0.3));
    }

    #[test]
    fn queues_have_the_stated_moments() {
        let root = f64::sqrt;
        assert_moments(Queueing::Exponential(0.1), [0.1, 0.1]);
        assert_moments(Queueing::Gaussian(0.1), [0.0, 0.1]);
        let half = (2.0 / std::f64::consts::PI).sqrt();
        assert_moments(Queueing::HalfGaussian(0.1), [0.1 * half, 0.1 * root(1.0 - half * half)]);
        // Shape 8: mean 1/7, variance 8 / (49 * 6) of the scale.
        let pareto = Queueing::Pareto { scale: 0.7, shape: 8.0 };
        assert_moments(pareto, [0.1, 0.7 * root(8.0 / 294.0)]);
        let bimodal = Queueing::Bimodal { scale: 0.1, extra: 0.5, probability: 0.2 };
        assert_moments(bimodal, [0.2, root(0.01 + 0.25 * 0.16)]);
    }

    #[test]
    fn shapes_differ_where_it_matters() {
        let beyond = |queueing, limit: f64| {
            let found = delays(&Link::new(1.0, queueing), 0.0);
            found.iter().filter(|delay| **delay > 1.0 + limit).count() as f64 / DRAWS as f64
        };
        assert_near(beyond(Queueing::Exponential(0.1), 0.3), (-3.0f64).exp(), 0.004);
        assert_near(beyond(Queueing::Gaussian(0.1), 0.1), 0.1587, 0.006);
        assert_near(beyond(Queueing::HalfGaussian(0.1), 0.1), 0.3173, 0.007);
        let heavy = Queueing::Pareto { scale: 0.1, shape: 1.5 };
        assert_near(beyond(heavy, 9.9), 0.001, 0.000_5);
        let least = |queueing| delays(&Link::new(1.0, queueing), 0.0)[0] - 1.0;
        assert!((0.0..1e-4).contains(&least(Queueing::HalfGaussian(0.1))));
        assert!((0.0..1e-4).contains(&least(Queueing::Exponential(0.1))));
        assert!(least(Queueing::Gaussian(0.1)) < -0.3);
        assert_eq!(delays(&Link::new(0.1, Queueing::Gaussian(1.0)), 0.0)[0], 0.0);
    }

    #[test]
    fn datagrams_are_lost_and_doubled_as_often_as_stated() {
        let link = Link { loss: 0.1, duplication: 0.2, ..Link::new(1.0, Queueing::None) };
        let mut random = random();
        let mut copies = [0usize; 3];
        for _ in 0..DRAWS {
            copies[link.travel(0.0, &mut random).count()] += 1;
        }
        for (found, expected) in copies.into_iter().zip([0.1, 0.72, 0.18]) {
            assert_near(found as f64 / DRAWS as f64, expected, 0.007);
        }
    }

    #[test]
    fn some_are_held_back() {
        let reordering = Some(Reordering { probability: 0.25, by: 3.0 });
        let found = delays(&Link { reordering, ..Link::new(1.0, Queueing::None) }, 0.0);
        let late = found.iter().filter(|delay| **delay == 4.0).count();
        assert_near(late as f64 / DRAWS as f64, 0.25, 0.007);
        assert!(found.iter().all(|delay| [1.0, 4.0].contains(delay)));
    }

    #[test]
    fn routes_and_congestion_have_their_times() {
        let link = Link {
            route: vec![Route { at: 10.0, delay: 2.0 }, Route { at: 20.0, delay: 0.5 }],
            congestion: vec![Congestion {
                from: 15.0,
                to: 25.0,
                delay: 7.0,
                queueing: Queueing::None,
            }],
            ..Link::new(1.0, Queueing::None)
        };
        let at = |time| link.travel(time, &mut random()).next();
        for (time, delay) in
            [(9.9, 1.0), (10.0, 2.0), (15.0, 9.0), (20.0, 7.5), (24.9, 7.5), (25.0, 0.5)]
        {
            assert_eq!(at(time), Some(delay), "at {time}");
        }
    }
}
