//! Names looked up by the dns engine, seen from the ntp engine.

use std::os::fd::{AsFd, BorrowedFd};

use truechimer_core::event::Event;

use super::channel::{Channel, ChannelError};
use super::message::{FromDns, ToDns};
use crate::resolver::{Answer, Question, Resolver};

/// The ntp engine's end of its pair with the dns engine. Without that there are no answers any more,
/// until the parent ends the whole.
#[derive(Debug)]
pub(super) struct DnsEngine {
    channel: Option<Channel<ToDns, FromDns>>,
    failure: Option<Event<'static>>,
}

impl DnsEngine {
    pub(super) const fn new(channel: Channel<ToDns, FromDns>) -> Self {
        Self { channel: Some(channel), failure: None }
    }

    fn lose(&mut self, event: Event<'static>) {
        (self.channel, self.failure) = (None, Some(event));
    }
}

impl Resolver for DnsEngine {
    fn ask(&mut self, question: Question) -> bool {
        let Some(channel) = &self.channel else { return false };
        match channel.try_send(&ToDns::HostDns(question)) {
            Ok(()) => true,
            Err(ChannelError::Stuck) => false,
            Err(_) => {
                self.lose(Event::PipeWriteToDnsEngine);
                false
            }
        }
    }

    fn answer(&mut self) -> Option<Answer> {
        match self.channel.as_ref()?.try_receive() {
            Ok(message) => message.map(|FromDns::HostDns(found)| found.into()),
            Err(error) => {
                self.lose(match error {
                    ChannelError::Invalid(invalid) => Event::InvalidMessage { message: invalid.0 },
                    _ => Event::NtpEnginePipeClosed,
                });
                None
            }
        }
    }

    fn failure(&mut self) -> Option<Event<'static>> {
        self.failure.take()
    }

    fn is_due(&self) -> bool {
        self.failure.is_some()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.channel.as_ref().map(AsFd::as_fd)
    }
}
