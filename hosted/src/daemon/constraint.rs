//! The constraint: has it asked for when the engine wants it, and tells it what came of that.

use std::os::fd::BorrowedFd;

use truechimer_core::event::Level;
use truechimer_core::io::Input;
use truechimer_core::units::Span;

use super::{Daemon, Superior};
use crate::clock::realtime;
use crate::config::Config;
use crate::constraint::{Answer, Inquiry, MAX_ADDRESSES, MAX_SOURCES, Question};
use crate::log::Log;

/// The round that is under way, if this process has one done.
#[derive(Debug, Default)]
pub(super) struct Constraint(Option<Inquiry>);

impl Constraint {
    /// Asks in a process of its own, unless it is being asked: by the parent if there is one, as the
    /// ntp engine may start none.
    pub(super) fn ask(&mut self, superior: &Superior, config: &Config, log: &Log) {
        if let Superior::Parent(parent, _) = superior {
            return parent.constrain();
        }
        if self.0.is_some() {
            return;
        }
        let question = Question { sources: config.constraints.clone() };
        match Inquiry::start(&question) {
            Ok(inquiry) => self.0 = Some(inquiry),
            Err(error) => fail(log, &error),
        }
    }

    /// What came of it, once it has.
    pub(super) fn answer(&mut self, log: &Log) -> Option<Answer> {
        let taken = self.0.as_mut()?.take().transpose()?;
        self.0 = None;
        Some(taken.unwrap_or_else(|error| {
            fail(log, &error);
            Answer::default()
        }))
    }

    /// What can be read when there is news.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(Inquiry::descriptor)
    }
}

fn fail(log: &Log, error: &std::io::Error) {
    log.message(Level::Warning, &format_args!("cannot ask HTTPS servers for the time: {error}"));
}

impl Daemon {
    /// Heeds what HTTPS servers say.
    pub(super) fn constrain(&mut self, answer: &Answer) {
        for failure in answer.failures.iter().take(MAX_SOURCES * MAX_ADDRESSES) {
            self.log.message(Level::Debug, &format_args!("constraint: {failure}"));
        }
        let Some(median) = answer.median() else {
            let asked = answer.failures.len();
            let text = format_args!("none of {asked} HTTPS servers said what time it is");
            return self.log.message(Level::Warning, &text);
        };
        let (count, sense) = (answer.readings.len(), if median < 0.0 { "ahead" } else { "behind" });
        let off = median.abs();
        let text = format_args!("by {count} HTTPS servers the host's clock is {off:.0} s {sense}");
        self.log.message(Level::Info, &text);
        let time = realtime() + Span::from_secs_f64(median);
        let mut outputs = Vec::new();
        self.node.input(Input::Constrained { time }, &mut |output| outputs.push(output));
        self.take(outputs);
    }
}
