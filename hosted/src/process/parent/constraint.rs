//! The parent's part in having HTTPS servers asked: it has their names looked up by the dns engine, and
//! asks the process that may ask them. Whatever either answers goes no further unless it was asked for.

use std::net::SocketAddr;

use super::{FromHelper, Parent, ParentError, Process, Role, ToHelper, lost, spawn};
use crate::config::{Config, Detail, ServerAddress};
use crate::constraint::{Addresses, Source};
use crate::log::Log;
use crate::process::channel::{Channel, ChannelError};
use crate::process::codec::{Invalid, Message};
use crate::process::message::{FromConstraint, ToConstraint, ToNtp};
use crate::resolver::{Answer, Question};
use crate::sandbox::{Protection, User};

/// The process that asks, and how far it has come.
pub(super) struct Constraint {
    pub(super) process: Process<ToConstraint, FromConstraint>,
    sources: Vec<Source>,
    round: Round,
    /// How it is confined, once it is ready.
    pub(super) ready: Option<Vec<Protection>>,
}

enum Round {
    /// None is under way.
    Idle,
    /// Names are looked up: what is known of each server.
    Resolving(Vec<Option<Addresses>>),
    Asking,
}

impl Constraint {
    /// Starts the process, if there is a server to ask.
    pub(super) fn start(
        config: &Config,
        user: Option<&User>,
        log: &Log,
    ) -> Result<Option<Self>, ParentError> {
        if config.constraints.is_empty() {
            return Ok(None);
        }
        let process: Process<ToConstraint, _> = spawn(Role::Constraint, None, log)?;
        let sources = config.constraints.clone();
        let its = Config { log: config.log, constraints: sources.clone(), ..Config::default() };
        // Who is gone already is found out when it is listened to.
        let _ = process
            .channel
            .try_send(&ToConstraint::Start(its.to_toml(Detail::Brief), user.cloned()));
        Ok(Some(Self::new(process, sources)))
    }

    pub(super) const fn new(
        process: Process<ToConstraint, FromConstraint>,
        sources: Vec<Source>,
    ) -> Self {
        Self { process, sources, round: Round::Idle, ready: None }
    }

    /// Begins a round, unless one is under way.
    pub(super) fn begin(&mut self, dns: &Channel<ToHelper, FromHelper>) {
        if let Round::Idle = self.round {
            let known = self.sources.iter().enumerate();
            let known = known.map(|(place, source)| addresses(source, place, dns)).collect();
            self.round = Round::Resolving(known);
            self.go_on();
        }
    }

    /// The dns engine has looked a name up.
    pub(super) fn resolved(&mut self, answer: Answer) {
        let Round::Resolving(known) = &mut self.round else { return };
        if let Some(place @ None) = known.get_mut(usize::from(answer.id)) {
            let found = answer.outcome.map(|found| found.iter().map(SocketAddr::ip).collect());
            *place = Some(found.map_err(|reason| reason.as_str().to_owned()));
            self.go_on();
        }
    }

    /// Asks, once all names are known.
    fn go_on(&mut self) {
        let Round::Resolving(known) = &self.round else { return };
        if let Some(addresses) = known.iter().cloned().collect() {
            let _ = self.process.channel.try_send(&ToConstraint::Query(addresses));
            self.round = Round::Asking;
        }
    }

    /// Takes what it says: what is for the ntp engine.
    fn take(&mut self, message: FromConstraint) -> Result<Option<ToNtp>, ChannelError> {
        match (message, &self.round) {
            (FromConstraint::Ready(protections), _) => self.ready = Some(protections),
            (FromConstraint::Result(answer), Round::Asking) => {
                self.round = Round::Idle;
                return Ok(Some(ToNtp::Constrained(answer)));
            }
            (other, _) => return Err(Invalid(other.name()).into()),
        }
        Ok(None)
    }
}

/// Those of a server, if they are known without asking the dns engine.
fn addresses(
    source: &Source,
    place: usize,
    dns: &Channel<ToHelper, FromHelper>,
) -> Option<Addresses> {
    let name = match source.url.host() {
        _ if !source.addresses.is_empty() => return Some(Ok(source.addresses.clone())),
        ServerAddress::Ip(ip) => return Some(Ok(vec![*ip])),
        name => name.to_string(),
    };
    let question = Question {
        id: place as u16,
        name: name.as_str().try_into().unwrap_or_default(),
        port: source.url.port(),
    };
    let asked = dns.try_send(&ToHelper::HostDns(question.into()));
    asked.err().map(|error| Err(error.to_string()))
}

impl Parent<'_> {
    /// All that the process says that asks.
    pub(super) fn serve_constraint(&mut self) -> Result<(), ParentError> {
        let Some(constraint) = &mut self.constraint else { return Ok(()) };
        let said = constraint.process.channel.try_receive();
        let taken = said.and_then(|said| said.map_or(Ok(None), |said| constraint.take(said)));
        match taken {
            Ok(Some(message)) => self.tell(&message),
            Ok(None) => {}
            Err(error) => return Err(lost(&mut constraint.process, error, &self.log)),
        }
        Ok(())
    }
}
