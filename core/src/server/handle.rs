//! One server: what it does with each datagram, and what it remembers.

use core::net::IpAddr;

use heapless::Vec;

use super::access::{Access, AccessList};
use super::client::{Name, Naming};
use super::config::Config;
use super::control::{ControlPacket, ControlQuery};
use super::counters::Counters;
use super::rate::{Client, ClientSet, Clients};
use super::refusal::Refusal;
use super::response::{Query, Response, smear};
use super::smear::LeapSecond;
use super::stamps::{StampSet, Stamps};
use super::template::{Template, served};
use crate::system::SystemState;
use crate::units::{Instant, Now, NtpTimestamp, Span, WallTime};
use crate::wire::{KissCode, LeapIndicator, Mode};

/// What is sent back.
#[derive(Debug)]
#[must_use]
pub enum Answer<'a> {
    /// The time or a Kiss-o'-Death, to be [emitted](Response::emit) as late as can be.
    Time(Response),
    /// What a control message asks for, to be given to [`Server::control`].
    Control(ControlQuery<'a>),
}

/// A server, or one worker of a server: each has its own tables and shares nothing.
///
/// `C` and `S` hold the tables of clients and of stamps: arrays in firmware, boxed slices on a
/// host. Without places in them there is no limit of rate and no interleaved mode. A client that
/// comes to several workers, as it does when the system distributes by its ports, has a bucket of
/// tokens in each of them, and answers in the basic mode where it was not before. `RULES` is the
/// room of the [`AccessList`]s.
///
/// For each datagram [`handle`](Self::handle); then, if there is an answer and it was sent,
/// [`sent`](Self::sent) with the best that is known of when it left. [`update`](Self::update) when
/// the system state changes, and once a second while a leap second is spread.
#[derive(Debug)]
pub struct Server<C, S, const RULES: usize> {
    config: Config,
    access: AccessList<RULES>,
    control: AccessList<RULES>,
    naming: Naming,
    clients: Clients<C>,
    stamps: Stamps<S>,
    counters: Counters,
    served: SystemState,
    template: Template,
    /// Since when there has been no source.
    without_source: Option<Instant>,
    /// A leap second that is spread, and when it begins by the counter.
    leap: Option<(LeapSecond, Instant)>,
}

impl<C, S, const RULES: usize> Server<C, S, RULES>
where
    C: AsRef<[ClientSet]> + AsMut<[ClientSet]>,
    S: AsMut<[StampSet]>,
{
    /// A server that is not synchronised until its first [`update`](Self::update). `access` says
    /// who may ask for the time, `control` who may ask with control messages. `seed` must be
    /// unpredictable to whoever can send datagrams here.
    pub fn new(
        config: &Config,
        access: AccessList<RULES>,
        control: AccessList<RULES>,
        clients: C,
        stamps: S,
        seed: [u8; 32],
    ) -> Self {
        let limit = config.rate.unwrap_or_default();
        let state = SystemState::unsynchronised(0, Instant::default());
        Self {
            config: *config,
            access,
            control,
            naming: Naming::new(&limit, seed),
            clients: Clients::new(clients, &limit),
            stamps: Stamps::new(stamps),
            counters: Counters::default(),
            served: state,
            template: Template::new(&state, config.max_error, config.beyond),
            without_source: None,
            leap: None,
        }
    }

    /// Takes over what the clock says of itself.
    pub fn update(&mut self, state: &SystemState, now: Now) {
        let without_source = match (state.is_synchronised(), self.without_source) {
            (true, _) => None,
            (false, since) => Some(since.unwrap_or(now.mono)),
        };
        self.without_source = without_source;
        self.update_leap(state, now);
        let idle = without_source.map_or(Span::ZERO, |since| now.mono - since);
        let smeared = self.smeared(now.wall, now.mono);
        self.served = served(state, &self.config, idle, smeared);
        self.template = Template::new(&self.served, self.config.max_error, self.config.beyond);
    }

    /// The clock was stepped: no stamp from before fits one from after.
    pub fn stepped(&mut self) {
        self.stamps.clear();
    }

    /// What to answer to a datagram `from` that address, which arrived at `received` by the served
    /// clock, `now` by the counter.
    ///
    /// # Errors
    /// Why there is no answer; it has been counted.
    pub fn handle<'a>(
        &mut self,
        request: &'a [u8],
        from: IpAddr,
        received: WallTime,
        now: Instant,
    ) -> Result<Answer<'a>, Refusal> {
        let flags = self.counters.receive(request);
        let answer = if flags & 0b111 == Mode::Control as u8 {
            self.control_query(request, from).map(Answer::Control)
        } else {
            self.time(request, from, received, now).map(Answer::Time)
        };
        if let Err(refusal) = answer {
            self.counters.refuse(refusal);
        }
        answer
    }

    /// Counts a datagram that may have arrived before a step of the clock and is read after it.
    pub fn drop_stale(&mut self, request: &[u8]) {
        self.counters.receive(request);
        self.counters.refuse(Refusal::Stale);
    }

    /// The answer to a control message that [`handle`](Self::handle) let pass.
    #[must_use]
    pub fn control(&self, query: &ControlQuery<'_>, now: Now) -> ControlPacket {
        query.answer(&self.served, now.wall, self.served.root_dispersion_at(now.mono))
    }

    /// Notes that an answer left, at `departed` if that is known better than by a guess before it
    /// was sent.
    pub fn sent(&mut self, answer: &Answer<'_>, departed: Option<WallTime>) {
        self.counters.answered += 1;
        if let (Answer::Time(response), Some(departed)) = (answer, departed) {
            self.departed(response, departed);
        }
    }

    /// Notes when an answer left, once more if that is known better later.
    pub fn departed(&mut self, response: &Response, departed: WallTime) {
        if let Some(ticket) = response.ticket {
            let departed = NtpTimestamp::from_wall(smear(departed, response.smeared));
            self.stamps.departed(ticket, response.receive(), departed);
        }
    }

    /// What was counted so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Up to `COUNT` clients, those that asked most first; none unless there is a limit of rate.
    #[must_use]
    pub fn top<const COUNT: usize>(&self) -> Vec<Client, COUNT> {
        self.clients.top()
    }

    fn control_query<'a>(
        &self,
        request: &'a [u8],
        from: IpAddr,
    ) -> Result<ControlQuery<'a>, Refusal> {
        match self.control.of(from) {
            Access::Allow => ControlQuery::parse(request).ok_or(Refusal::Control),
            Access::Deny => Err(Refusal::Control),
        }
    }

    #[inline]
    fn time(
        &mut self,
        request: &[u8],
        from: IpAddr,
        received: WallTime,
        now: Instant,
    ) -> Result<Response, Refusal> {
        let query = Query::parse(request)?;
        let from = from.to_canonical();
        if self.access.of_canonical(from) == Access::Deny {
            let count = self.counters.refused(Refusal::Denied) + 1;
            return self.refuse(&query, Refusal::Denied, KissCode::DENY, count, received, now);
        }
        let name = self.naming.name(from);
        if self.config.rate.is_some()
            && let Err(count) = self.clients.admit(name, now)
            && !self.leaks(name, received)
        {
            return self.refuse(&query, Refusal::Rate, KissCode::RATE, count.into(), received, now);
        }
        let words = self.template.words(now)?;
        let smeared = self.smeared(received, now).unwrap_or_default();
        let receive = NtpTimestamp::from_wall(smear(received, smeared)).to_bits();
        let mut response = Response::basic(&query, words, receive);
        response.smeared = smeared;
        if self.config.interleaved
            && let Some(exchange) = self.stamps.exchange(name.hash, receive, query.previous)
        {
            response.continues(&exchange, &query);
            self.counters.interleaved += u64::from(response.is_interleaved());
        }
        Ok(response)
    }

    /// Tells every so manieth that it is refused.
    fn refuse(
        &mut self,
        query: &Query,
        refusal: Refusal,
        code: KissCode,
        count: u64,
        received: WallTime,
        now: Instant,
    ) -> Result<Response, Refusal> {
        if count.checked_rem(self.config.kiss_one_in.into()) != Some(0) {
            return Err(refusal);
        }
        self.counters.refuse(refusal);
        self.counters.kisses += 1;
        let receive = NtpTimestamp::from_wall(received).to_bits();
        Ok(Response::basic(query, self.template.kiss(now, code), receive))
    }

    fn leaks(&self, name: Name, received: WallTime) -> bool {
        let one_in = self.config.rate.map_or(0, |rate| rate.leak_one_in);
        self.naming.one_in(one_in, name, NtpTimestamp::from_wall(received).to_bits())
    }

    /// Keeps an announced leap second in mind until its window is over, for it is announced no
    /// longer than until it comes.
    fn update_leap(&mut self, state: &SystemState, now: Now) {
        let Some(smear) = self.config.smear else { return };
        let over = |leap: LeapSecond| now.wall - leap.end >= smear.window;
        let withdrawn = state.is_synchronised() && state.leap == LeapIndicator::NoWarning;
        match self.leap {
            Some((_, begin)) if withdrawn && now.mono < begin => self.leap = None,
            Some((leap, _)) if over(leap) || leap.end - now.wall > smear.window => self.leap = None,
            // The counter knows better when it comes than the clock does in the second that is
            // shown twice.
            Some((leap, begin)) if now.mono < begin => {
                self.leap = Some((leap, now.mono + (leap.end - now.wall)));
            }
            Some(_) => {}
            None => {
                let leap = LeapSecond::announced(state.leap, now.wall);
                let near = leap.filter(|leap| leap.end - now.wall <= smear.window);
                self.leap = near.map(|leap| (leap, now.mono + (leap.end - now.wall)));
            }
        }
    }

    fn smeared(&self, time: WallTime, now: Instant) -> Option<Span> {
        let (leap, begin) = self.leap?;
        let repeated = !leap.deleted && now >= begin && time < leap.end;
        self.config.smear?.offset(leap, time, repeated)
    }
}

#[cfg(test)]
mod tests;
