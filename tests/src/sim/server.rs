//! What is asked, honest or not.

use serde::Deserialize;
use truechimer_core::server::{Verdict, respond};
use truechimer_core::system::{Reference, SystemState};
use truechimer_core::units::{FreqOffset, Instant, Span, WallTime};
use truechimer_core::wire::{Header, KissCode, LeapIndicator, ReferenceId};

use super::link::{Link, Queueing};
use super::number::not_negative;
use super::{EPOCH, Time, seconds};

/// A datagram of either direction.
pub type Datagram = [u8; Header::LEN];

/// A server, the way to it, and how it is asked. Its clock is true but for its faults.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// What reports call it; its place if that is empty.
    pub name: String,
    /// What it claims.
    pub stratum: u8,
    /// Round trip to its own source, in seconds.
    #[serde(deserialize_with = "not_negative")]
    pub root_delay: f64,
    /// What it says of its greatest error but for half of that, in seconds.
    #[serde(deserialize_with = "not_negative")]
    pub root_dispersion: f64,
    /// Least poll interval, as a power of two seconds.
    pub minpoll: i8,
    /// Greatest poll interval, as a power of two seconds.
    pub maxpoll: i8,
    /// Whether it is first asked in a burst.
    pub iburst: bool,
    /// The way to it and back, unless one of these is given by itself.
    pub link: Link,
    /// The way to it.
    pub up: Option<Link>,
    /// The way back.
    pub down: Option<Link>,
    /// What is wrong with it.
    pub fault: Vec<Fault>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            name: String::new(),
            stratum: 1,
            root_delay: 0.0,
            root_dispersion: 0.0,
            minpoll: truechimer_core::config::DEFAULT_MIN_POLL,
            maxpoll: truechimer_core::config::DEFAULT_MAX_POLL,
            iburst: true,
            link: Link::new(1e-4, Queueing::None),
            up: None,
            down: None,
            fault: Vec::new(),
        }
    }
}

impl Server {
    /// An honest one, with the same delays there and back.
    #[must_use]
    pub fn new(link: Link) -> Self {
        Self { link, ..Self::default() }
    }

    /// Asked between every 2^`least` and every 2^`greatest` seconds.
    #[must_use]
    pub fn poll(self, least: i8, greatest: i8) -> Self {
        Self { minpoll: least, maxpoll: greatest, ..self }
    }

    /// It `does` something from `from` to `to`, in seconds.
    #[must_use]
    pub fn fault(mut self, from: f64, to: f64, does: Misdeed) -> Self {
        self.fault.push(Fault { from, to, does });
        self
    }

    /// The way to it.
    #[must_use]
    pub fn up(&self) -> &Link {
        self.up.as_ref().unwrap_or(&self.link)
    }

    /// The way back.
    #[must_use]
    pub fn down(&self) -> &Link {
        self.down.as_ref().unwrap_or(&self.link)
    }
}

/// Something wrong with a server for a while.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Its beginning, in seconds.
    #[serde(default, deserialize_with = "not_negative")]
    pub from: f64,
    /// Its end, in seconds; by default there is none.
    #[serde(default = "never", deserialize_with = "not_negative")]
    pub to: f64,
    /// What it is.
    pub does: Misdeed,
}

const fn never() -> f64 {
    f64::INFINITY
}

/// What a server does wrong.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Misdeed {
    /// Its clock is this many seconds ahead.
    Lie(f64),
    /// Its clock runs away at this rate from the beginning of the fault on.
    Drift(f64),
    /// It does not answer.
    Die,
    /// It says that it is not synchronised.
    Alarm,
    /// It claims this stratum, 0 to 15, or 16 for none.
    Stratum(u8),
    /// It answers with this Kiss-o'-Death, four letters.
    Kiss(#[serde(deserialize_with = "kiss_code")] KissCode),
    /// The first answer that it ever gave comes before each right one.
    Replay,
}

fn kiss_code<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<KissCode, D::Error> {
    let code = String::deserialize(deserializer)?;
    match <[u8; 4]>::try_from(code.as_bytes()) {
        Ok(code) if code.is_ascii() => Ok(KissCode::from_bytes(code)),
        _ => Err(serde::de::Error::custom(format!("kiss code \"{code}\" is not four letters"))),
    }
}

/// A running server.
#[derive(Debug)]
pub struct Responder {
    faults: Vec<Fault>,
    state: SystemState,
    /// The first answer, for a replay.
    first: Option<Datagram>,
}

impl Responder {
    /// It runs as `server` says.
    #[must_use]
    pub fn new(server: &Server) -> Self {
        let state = SystemState {
            leap: LeapIndicator::NoWarning,
            stratum: server.stratum,
            precision: PRECISION,
            root_delay: Span::from_secs_f64(server.root_delay),
            root_dispersion: Span::from_secs_f64(server.root_dispersion),
            drift: FreqOffset::ZERO,
            reference: Reference::Id(ReferenceId::from_bytes(*b"GPS\0")),
            reference_time: EPOCH,
            updated: Instant::default(),
        };
        Self { faults: server.fault.clone(), state, first: None }
    }

    /// What it answers to a query that arrives at `time`.
    pub fn answer(
        &mut self,
        time: Time,
        query: &Datagram,
    ) -> impl Iterator<Item = Datagram> + use<> {
        let now = seconds(time);
        let mut clock = EPOCH + Span::from_nanos(time);
        let mut state = self.state;
        let mut verdict = Some(Verdict::Answer);
        let mut replayed = None;
        for fault in self.faults.iter().filter(|fault| (fault.from..fault.to).contains(&now)) {
            match fault.does {
                Misdeed::Lie(ahead) => clock += Span::from_secs_f64(ahead),
                Misdeed::Drift(rate) => clock += Span::from_secs_f64(rate * (now - fault.from)),
                Misdeed::Die => verdict = None,
                Misdeed::Alarm => state.leap = LeapIndicator::Alarm,
                Misdeed::Stratum(stratum) => state.stratum = stratum,
                Misdeed::Kiss(code) => verdict = Some(Verdict::Kiss(code)),
                Misdeed::Replay => replayed = self.first,
            }
        }
        state.reference_time = clock;
        let answer = verdict.and_then(|verdict| emit(&state, query, clock, verdict));
        self.first = self.first.or(answer);
        replayed.filter(|_| answer.is_some()).into_iter().chain(answer)
    }
}

/// How finely a server reads its clock: 2^-23 s, as most say.
const PRECISION: i8 = -23;

fn emit(
    state: &SystemState,
    query: &Datagram,
    clock: WallTime,
    verdict: Verdict,
) -> Option<Datagram> {
    let response = respond(state, query, clock, Instant::default(), verdict).ok()?;
    Some(response.emit(clock))
}

#[cfg(test)]
mod tests {
    use super::*;
    use truechimer_core::Query;
    use truechimer_core::units::NtpTimestamp;
    use truechimer_core::wire::Packet;

    fn query(stamp: u64) -> Datagram {
        Query::new(stamp, WallTime::UNIX_EPOCH, Instant::default()).to_bytes()
    }

    /// The headers of the answers to a query at `secs`.
    fn answers(responder: &mut Responder, secs: i64) -> Vec<Header> {
        let answers = responder.answer(secs * crate::sim::NANOS, &query(secs.cast_unsigned()));
        answers.map(|bytes| Packet::parse(&bytes).unwrap().header()).collect()
    }

    fn faulty(from: f64, to: f64, does: Misdeed) -> Responder {
        Responder::new(&Server::default().fault(from, to, does))
    }

    #[test]
    fn an_honest_one_tells_true_time() {
        let found = answers(&mut Responder::new(&Server::default()), 77);
        assert_eq!(found.len(), 1);
        let expected = NtpTimestamp::from_wall(EPOCH + Span::from_secs(77));
        assert_eq!((found[0].receive_time, found[0].transmit_time), (expected, expected));
        assert_eq!((found[0].stratum, found[0].origin_time.to_bits()), (1, 77));
    }

    #[test]
    fn liars_lie_in_their_time() {
        let ahead = |does: Misdeed, secs| {
            let found = answers(&mut faulty(100.0, 200.0, does), secs);
            found[0].transmit_time.unfold(EPOCH) - (EPOCH + Span::from_secs(secs))
        };
        for (secs, lie, drift) in [(99, 0, 0), (100, 250, 0), (150, 250, 500), (200, 0, 0)] {
            assert_eq!(ahead(Misdeed::Lie(0.25), secs), Span::from_millis(lie));
            assert_eq!(ahead(Misdeed::Drift(0.01), secs), Span::from_millis(drift));
        }
    }

    #[test]
    fn faults_of_other_kinds() {
        let one = |does: Misdeed| answers(&mut faulty(0.0, 10.0, does), 5);
        assert!(one(Misdeed::Die).is_empty());
        assert_eq!(one(Misdeed::Alarm)[0].leap, LeapIndicator::Alarm);
        assert_eq!(one(Misdeed::Stratum(15))[0].stratum, 15);
        let kiss = &one(Misdeed::Kiss(KissCode::RATE))[0];
        assert_eq!((kiss.stratum, kiss.reference_id.to_bytes()), (0, *b"RATE"));
    }

    #[test]
    fn the_first_answer_is_replayed_before_the_right_one() {
        let mut responder = faulty(10.0, 20.0, Misdeed::Replay);
        let first = answers(&mut responder, 5);
        let found = answers(&mut responder, 15);
        assert_eq!(found[0], first[0]);
        assert_eq!(found[1].origin_time.to_bits(), 15);
        assert_eq!(answers(&mut responder, 25).len(), 1);
    }
}
