//! A server of an appliance: whoever asks for the time gets it, in the interleaved mode too. There is
//! nothing to choose and nothing else to ask for.

use core::net::IpAddr;

use super::client::Naming;
use super::config::{Beyond, RateLimit};
use super::refusal::Refusal;
use super::response::{Query, Response};
use super::stamps::{StampSet, Stamps};
use super::template::Template;
use crate::config::MAX_DISTANCE;
use crate::system::SystemState;
use crate::units::{Instant, NtpTimestamp, WallTime};
use crate::wire::Mode;

/// What a [`Server`](super::Server) of the default configuration is, without limits of access or rate,
/// control messages or counters. `S` holds the table of stamps, as there.
#[derive(Debug)]
pub struct OpenServer<S> {
    naming: Naming,
    stamps: Stamps<S>,
    /// What `template` was made of.
    state: SystemState,
    template: Template,
}

impl<S: AsMut<[StampSet]>> OpenServer<S> {
    /// A server that is not synchronised until its first [`update`](Self::update). `seed` must be
    /// unpredictable to whoever can send datagrams here.
    pub fn new(stamps: S, seed: [u8; 32]) -> Self {
        let state = SystemState::unsynchronised(0, Instant::default());
        Self {
            naming: Naming::new(&RateLimit::default(), seed),
            stamps: Stamps::new(stamps),
            template: template(&state),
            state,
        }
    }

    /// Takes over what the clock says of itself.
    pub fn update(&mut self, state: &SystemState) {
        if self.state != *state {
            (self.state, self.template) = (*state, template(state));
        }
    }

    /// The clock was stepped: no stamp from before fits one from after.
    pub fn stepped(&mut self) {
        self.stamps.clear();
    }

    /// What to answer to a datagram `from` that address, which arrived at `received` by the served
    /// clock, `now` by the counter.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn handle(
        &mut self,
        request: &[u8],
        from: IpAddr,
        received: WallTime,
        now: Instant,
    ) -> Result<Response, Refusal> {
        if request.first().is_some_and(|flags| flags & 0b111 == Mode::Control as u8) {
            return Err(Refusal::Control);
        }
        let query = Query::parse(request)?;
        let receive = NtpTimestamp::from_wall(received).to_bits();
        let mut response = Response::basic(&query, self.template.words(now)?, receive);
        let name = self.naming.name(from.to_canonical());
        if let Some(exchange) = self.stamps.exchange(name.hash, receive, query.previous) {
            response.continues(&exchange, &query);
        }
        Ok(response)
    }

    /// Notes that an answer left, at `departed`.
    pub fn sent(&mut self, response: &Response, departed: WallTime) {
        if let Some(ticket) = response.ticket {
            let departed = NtpTimestamp::from_wall(departed);
            self.stamps.departed(ticket, response.receive(), departed);
        }
    }
}

fn template(state: &SystemState) -> Template {
    Template::new(state, MAX_DISTANCE, Beyond::Unsynchronised)
}
