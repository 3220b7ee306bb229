//! A world as data: from a file of TOML, or built in Rust.

use serde::Deserialize;
use serde::de::Error;
use truechimer_core::config::DisciplineMode;

use super::limits::Limits;
use super::number::{not_negative, positive};
use super::oscillator::Oscillator;
use super::server::Server;

/// Servers that a world may have.
pub const MAX_SERVERS: usize = 16;

/// A client's host, its servers and the ways between them. Times are seconds, rates plain ratios.
///
/// ```
/// use truechimer_tests::sim::{Link, Oscillator, Queueing, Server, World};
///
/// let world = World::new(Server::new(Link::new(1e-4, Queueing::Exponential(1e-5))))
///     .seed(7)
///     .offset(0.01)
///     .oscillator(Oscillator { frequency: 1e-5, wander: 1e-9, ..Oscillator::default() })
///     .duration(7_200.0, 3_600.0);
/// assert!(world.run().rms < 1e-3);
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct World {
    /// What it is about.
    #[serde(default)]
    pub about: String,
    /// Where its randomness comes from.
    #[serde(default = "one")]
    pub seed: u64,
    /// How long it lasts.
    #[serde(deserialize_with = "positive")]
    pub duration: f64,
    /// How long the clock may take before its errors count.
    #[serde(default, deserialize_with = "not_negative")]
    pub settle: f64,
    /// Below which error the clock counts as right, for the time that it took.
    #[serde(default = "millisecond", deserialize_with = "positive")]
    pub right: f64,
    /// By how much the clock is ahead at the start.
    #[serde(default)]
    pub offset: f64,
    /// What drives it.
    #[serde(default)]
    pub oscillator: Oscillator,
    /// How many packets accuracy is worth to the client, as in its configuration.
    #[serde(default = "ordinary", deserialize_with = "positive")]
    pub packets: f64,
    /// Who takes offsets away, as in its configuration.
    #[serde(default, deserialize_with = "Mode::deserialize")]
    pub discipline: DisciplineMode,
    /// What happens to the host, in any order.
    #[serde(default)]
    pub happening: Vec<Happening>,
    /// When there is a network; by default always.
    pub network: Option<Network>,
    /// Whom it asks, 1 to [`MAX_SERVERS`].
    #[serde(deserialize_with = "servers")]
    pub server: Vec<Server>,
    /// What must come of it.
    #[serde(default)]
    pub limits: Limits,
}

/// Something that happens to the host.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Happening {
    /// When.
    #[serde(deserialize_with = "not_negative")]
    pub at: f64,
    /// What.
    pub what: Event,
}

/// What can happen to a host.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The oscillator's frequency jumps.
    FrequencyStep(f64),
    /// The counter jumps, and the clock with it. It does not go back: for a negative jump it
    /// stands still for as long.
    PhaseStep(f64),
    /// Another program steps the clock. The counter is as it was.
    ClockStep(f64),
    /// The operator accepts the offset for which the clock is held.
    Accept,
    /// The host sleeps: it handles nothing, and what arrives is lost.
    Suspend {
        /// For how long.
        #[serde(deserialize_with = "positive")]
        lasts: f64,
        /// What its clocks do meanwhile.
        clocks: Sleep,
    },
}

/// What the clocks of a sleeping host do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sleep {
    /// Both go on: Linux' CLOCK_BOOTTIME, or a paused virtual machine with the host's counter.
    Run,
    /// Both stop, and the clock is behind by the whole gap: a virtual machine that was saved.
    Stop,
    /// The counter stops and the clock is put forward by a real-time clock on waking: Linux'
    /// CLOCK_MONOTONIC and CLOCK_REALTIME.
    Restore,
}

/// A network that comes and goes: what is sent without it is lost.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// It comes back after this time.
    #[serde(deserialize_with = "positive")]
    pub every: f64,
    /// And stays for this one.
    #[serde(deserialize_with = "positive")]
    pub lasts: f64,
}

impl Network {
    /// Whether it is there.
    #[must_use]
    pub fn is_up(&self, time: f64) -> bool {
        libm::fmod(time, self.every) < self.lasts
    }
}

/// As serde reads it.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", remote = "DisciplineMode")]
enum Mode {
    Native,
    Kernel,
}

const fn one() -> u64 {
    1
}

const fn ordinary() -> f64 {
    1.0
}

const fn millisecond() -> f64 {
    1e-3
}

fn servers<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Server>, D::Error> {
    let servers = Vec::deserialize(deserializer)?;
    match servers.len() {
        1..=MAX_SERVERS => Ok(servers),
        count => Err(D::Error::custom(format!("{count} servers: 1 to {MAX_SERVERS} are allowed"))),
    }
}

impl World {
    /// An hour with one server, a perfect oscillator and a right clock.
    #[must_use]
    pub fn new(server: Server) -> Self {
        Self {
            about: String::new(),
            seed: one(),
            duration: 3_600.0,
            settle: 0.0,
            right: millisecond(),
            offset: 0.0,
            oscillator: Oscillator::default(),
            packets: ordinary(),
            discipline: DisciplineMode::Native,
            happening: Vec::new(),
            network: None,
            server: vec![server],
            limits: Limits::default(),
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// What is wrong, with the line and the column.
    pub fn from_toml(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// Where its randomness comes from.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// It lasts `duration` seconds, of which the first `settle` do not count.
    #[must_use]
    pub fn duration(self, duration: f64, settle: f64) -> Self {
        Self { duration, settle, ..self }
    }

    /// By how much the clock is ahead at the start.
    #[must_use]
    pub fn offset(self, offset: f64) -> Self {
        Self { offset, ..self }
    }

    /// What drives the clock.
    #[must_use]
    pub fn oscillator(self, oscillator: Oscillator) -> Self {
        Self { oscillator, ..self }
    }

    /// How many packets accuracy is worth to the client.
    #[must_use]
    pub fn packets(self, packets: f64) -> Self {
        Self { packets, ..self }
    }

    /// Who takes offsets away.
    #[must_use]
    pub fn discipline(self, discipline: DisciplineMode) -> Self {
        Self { discipline, ..self }
    }

    /// Something happens.
    #[must_use]
    pub fn happening(mut self, at: f64, what: Event) -> Self {
        self.happening.push(Happening { at, what });
        self
    }

    /// When there is a network.
    #[must_use]
    pub fn network(self, every: f64, lasts: f64) -> Self {
        Self { network: Some(Network { every, lasts }), ..self }
    }

    /// One more server.
    ///
    /// # Panics
    /// If there are [`MAX_SERVERS`] already.
    #[must_use]
    pub fn server(mut self, server: Server) -> Self {
        assert!(self.server.len() < MAX_SERVERS, "no more than {MAX_SERVERS} servers");
        self.server.push(server);
        self
    }

    /// What the server at `place` is called.
    #[must_use]
    pub fn server_name(&self, place: usize) -> String {
        match self.server.get(place) {
            Some(server) if !server.name.is_empty() => server.name.clone(),
            _ => format!("server {}", place + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::link::{Link, Queueing};
    use crate::sim::server::Misdeed;

    #[test]
    fn a_file_and_a_builder_make_the_same_world() {
        let text = r#"
            seed = 7
            duration = 7_200
            settle = 3600.0
            offset = 0.01
            oscillator = { frequency = 1e-5, wander = 1e-9 }
            packets = 2
            discipline = "kernel"
            network = { every = 86_400, lasts = 1800 }
            [[happening]]
            at = 1000
            what = { suspend = { lasts = 60, clocks = "restore" } }
            [[server]]
            link = { delay = 1e-4, queueing = { exponential = 1e-5 } }
            [[server]]
            minpoll = 4
            maxpoll = 6
            link = { delay = 0.01, queueing = { pareto = { scale = 1e-3, shape = 3 } } }
            [[server.fault]]
            from = 3600
            does = { lie = 1.0 }
        "#;
        let read = World::from_toml(text).unwrap();
        let sleep = Event::Suspend { lasts: 60.0, clocks: Sleep::Restore };
        let pareto = Queueing::Pareto { scale: 1e-3, shape: 3.0 };
        let built = World::new(Server::new(Link::new(1e-4, Queueing::Exponential(1e-5))))
            .seed(7)
            .duration(7_200.0, 3_600.0)
            .offset(0.01)
            .oscillator(Oscillator { frequency: 1e-5, wander: 1e-9, ..Oscillator::default() })
            .packets(2.0)
            .discipline(DisciplineMode::Kernel)
            .network(86_400.0, 1_800.0)
            .happening(1_000.0, sleep)
            .server(Server::new(Link::new(0.01, pareto)).poll(4, 6).fault(
                3_600.0,
                f64::INFINITY,
                Misdeed::Lie(1.0),
            ));
        assert_eq!(read, built);
        assert_eq!(built.server_name(1), "server 2");
    }

    #[test]
    fn errors_tell_the_place() {
        let valid = "duration = 1\n[[server]]\nlink = { delay = 1 }\n";
        World::from_toml(valid).unwrap();
        for (text, place, told) in [
            ("duration = -1\n[[server]]", "line 1, column 12", "a number greater than 0"),
            ("duration = nan\n[[server]]", "line 1, column 12", "a number greater than 0"),
            ("duration = 1\nlifetime = 2\n[[server]]", "line 2, column 1", "unknown field"),
            ("duration = 1\nserver = []", "line 2, column 10", "1 to 16 are allowed"),
            (
                "duration = 1\n[[server]]\nlink = { loss = 1.5 }",
                "line 3, column 17",
                "a number from 0 to 1",
            ),
            (
                "duration = 1\n[[server]]\nlink = { queueing = { poisson = 1 } }",
                "line 3, column 23",
                "expected one of `none`, `exponential`",
            ),
            (
                "duration = 1\n[[server]]\n[[server.fault]]\ndoes = { kiss = \"RATES\" }",
                "line 4, column 8",
                "not four letters",
            ),
        ] {
            let error = World::from_toml(text).unwrap_err().to_string();
            assert!(error.contains(place) && error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn the_network_comes_and_goes() {
        let network = Network { every: 100.0, lasts: 30.0 };
        let up: Vec<_> = [0.0, 29.9, 30.0, 99.9, 100.0, 1_229.0].map(|at| network.is_up(at)).into();
        assert_eq!(up, [true, true, false, false, true, true]);
    }
}
