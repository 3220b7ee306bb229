//! The constraint: has it asked for when the engine wants it, and tells it what came of that.

use std::os::fd::BorrowedFd;

use truechimer_core::event::Level;
use truechimer_core::io::{Input, Output};
use truechimer_core::units::Span;

use super::{DaemonNode, Superior};
use crate::clock::realtime;
use crate::config::Config;
use crate::constraint::{Answer, Inquiry, Question};
use crate::log::Log;

/// Whether the process that asks can be started; if not that is told. To be called if one is wanted.
pub(super) fn is_possible(superior: &Superior, log: &Log) -> bool {
    let is_possible = !superior.is_parent();
    if !is_possible {
        let text = "[[constraint]] is ignored: the ntp engine may not start a process; -d heeds it";
        log.message(Level::Warning, &text);
    }
    is_possible
}

/// The round that is under way, if one is.
#[derive(Debug, Default)]
pub(super) struct Constraint(Option<Inquiry>);

impl Constraint {
    /// Asks in a process of its own, unless it is being asked.
    pub(super) fn ask(&mut self, config: &Config, log: &Log) {
        if self.0.is_some() {
            return;
        }
        let question = Question { sources: config.constraints.clone() };
        match Inquiry::start(&question) {
            Ok(inquiry) => self.0 = Some(inquiry),
            Err(error) => fail(log, &error),
        }
    }

    /// Takes the answer if there is one.
    pub(super) fn serve(&mut self, node: &mut DaemonNode, log: &Log, outputs: &mut Vec<Output>) {
        let answer = match self.0.as_mut().map(Inquiry::take) {
            None | Some(Ok(None)) => return,
            Some(Ok(Some(answer))) => answer,
            Some(Err(error)) => {
                fail(log, &error);
                Answer::default()
            }
        };
        self.0 = None;
        for failure in &answer.failures {
            log.message(Level::Debug, &format_args!("constraint: {failure}"));
        }
        let Some(median) = answer.median() else {
            let asked = answer.failures.len();
            let text = format_args!("none of {asked} HTTPS servers said what time it is");
            return log.message(Level::Warning, &text);
        };
        let (count, sense) = (answer.readings.len(), if median < 0.0 { "ahead" } else { "behind" });
        let off = median.abs();
        let text = format_args!("by {count} HTTPS servers the host's clock is {off:.0} s {sense}");
        log.message(Level::Info, &text);
        let time = realtime() + Span::from_secs_f64(median);
        node.input(Input::Constrained { time }, &mut |output| outputs.push(output));
    }

    /// What can be read when there is news.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(Inquiry::descriptor)
    }
}

fn fail(log: &Log, error: &std::io::Error) {
    log.message(Level::Warning, &format_args!("cannot ask HTTPS servers for the time: {error}"));
}
