//! The peers whose names are being looked up. A name that several peers have is asked for once.

use std::os::fd::BorrowedFd;

use truechimer_core::PeerId;
use truechimer_core::event::{Event, Level};
use truechimer_core::io::{Input, Output};

use super::DaemonNode;
use super::resolve::Names;
use crate::log::Log;
use crate::resolver::{Answer, Blocking, Question, Resolver};

#[derive(Debug)]
pub(super) struct Lookups {
    resolver: Box<dyn Resolver>,
    /// On their way.
    asked: Vec<Question>,
    /// For an answer.
    waiting: Vec<PeerId>,
}

impl Default for Lookups {
    fn default() -> Self {
        Self::new(Box::<Blocking>::default())
    }
}

impl Lookups {
    pub(super) const fn new(resolver: Box<dyn Resolver>) -> Self {
        Self { resolver, asked: Vec::new(), waiting: Vec::new() }
    }

    /// Has a peer's name looked up. It asks again if there are too many questions.
    pub(super) fn want(&mut self, peer: PeerId, names: &Names) {
        let Some(question) = names.question(peer).filter(|_| !self.waiting.contains(&peer)) else {
            return;
        };
        let is_same =
            |asked: &Question| (&asked.name, asked.port) == (&question.name, question.port);
        if !self.asked.iter().any(is_same) {
            if !self.resolver.ask(question.clone()) {
                return;
            }
            self.asked.push(question);
        }
        self.waiting.push(peer);
    }

    /// A peer does not wait any more.
    pub(super) fn forget(&mut self, peer: PeerId, names: &Names) {
        self.waiting.retain(|waiting| *waiting != peer);
        let waiting = &self.waiting;
        self.asked.retain(|asked| waiting.iter().any(|&peer| names.is_answered_by(peer, asked)));
    }

    /// Gives the next answer to all peers that wait for it. The resolver of this process looks a name
    /// up for that, and blocks.
    pub(super) fn serve(
        &mut self,
        node: &mut DaemonNode,
        names: &Names,
        log: &Log,
        outputs: &mut Vec<Output>,
    ) {
        if let Some(failure) = self.resolver.failure() {
            log.event(&failure);
        }
        let (peers, answer) = match self.next(names) {
            Some(Ok(served)) => served,
            Some(Err(event)) => return log.event(&event),
            None => return,
        };
        let found = answer.outcome.unwrap_or_else(|reason| {
            let name = peers.first().map_or("?", |&peer| names.name(peer));
            log.message(Level::Debug, &format_args!("cannot resolve {name}: {reason}"));
            Default::default()
        });
        for peer in peers {
            let input = Input::Resolved { peer, addresses: &found };
            node.input(input, &mut |output| outputs.push(output));
        }
    }

    /// The next answer and who waits for it; if nobody does, what is to be logged.
    fn next(&mut self, names: &Names) -> Option<Result<(Vec<PeerId>, Answer), Event<'static>>> {
        let answer = self.resolver.answer()?;
        let Some(place) = self.asked.iter().position(|asked| asked.id == answer.id) else {
            return Some(Err(match names.has(PeerId(answer.id)) {
                true => Event::HostDnsAddressKnown,
                false => Event::HostDnsInvalidPeer,
            }));
        };
        let question = self.asked.swap_remove(place);
        let served = |peer: &mut PeerId| names.is_answered_by(*peer, &question);
        Some(Ok((self.waiting.extract_if(.., served).collect(), answer)))
    }

    /// Whether there is something to do that is not to be waited for.
    pub(super) fn is_due(&self) -> bool {
        self.resolver.is_due()
    }

    /// What can be read when an answer comes.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.resolver.descriptor()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::config::Config;
    use crate::daemon::resolve::Entry;

    /// Another process, which the test plays.
    #[derive(Debug)]
    struct Elsewhere {
        questions: Sender<Question>,
        answers: Receiver<Answer>,
    }

    impl Resolver for Elsewhere {
        fn ask(&mut self, question: Question) -> bool {
            self.questions.send(question).is_ok()
        }

        fn answer(&mut self) -> Option<Answer> {
            self.answers.try_recv().ok()
        }
    }

    fn elsewhere() -> (Lookups, Receiver<Question>, Sender<Answer>) {
        let ((questions, asked), (answer, answers)) = (channel(), channel());
        (Lookups::new(Box::new(Elsewhere { questions, answers })), asked, answer)
    }

    fn names(text: &str) -> Names {
        let mut names = Names::default();
        for (place, entry) in Entry::all(&Config::parse(text, "test").unwrap()).enumerate() {
            names.add(PeerId(place as u16), entry);
        }
        names
    }

    const NAMES: &str = "[[server]]\naddress = \"a.example\"\n[[pool]]\naddress = \"b.example\"";

    fn empty(id: u16) -> Answer {
        Answer { id, outcome: Ok(Default::default()) }
    }

    #[test]
    fn a_name_is_asked_for_once() {
        let (mut lookups, asked, answer) = elsewhere();
        let names = names(NAMES);
        for peer in [0, 1, 2, 1, 4] {
            lookups.want(PeerId(peer), &names);
        }
        assert!(lookups.next(&names).is_none());
        let asked: Vec<_> = asked.try_iter().collect();
        let said: Vec<_> = asked.iter().map(|question| question.name.as_str()).collect();
        assert_eq!(said, ["a.example", "b.example"]);
        answer.send(empty(asked[1].id)).unwrap();
        let served = vec![PeerId(1), PeerId(2), PeerId(4)];
        assert_eq!(lookups.next(&names), Some(Ok((served, empty(1)))));
    }

    #[test]
    fn a_question_outlives_the_peer_that_asked_first_but_not_the_last() {
        let (mut lookups, asked, answer) = elsewhere();
        let mut names = names(NAMES);
        for peer in [1, 2] {
            lookups.want(PeerId(peer), &names);
        }
        lookups.forget(PeerId(1), &names);
        names.remove(PeerId(1));
        answer.send(empty(1)).unwrap();
        assert_eq!(lookups.next(&names), Some(Ok((vec![PeerId(2)], empty(1)))));
        lookups.want(PeerId(2), &names);
        lookups.forget(PeerId(2), &names);
        lookups.want(PeerId(3), &names);
        assert_eq!(asked.try_iter().map(|question| question.id).collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn what_nobody_waits_for_is_told() {
        let (mut lookups, _asked, answer) = elsewhere();
        let names = names(NAMES);
        lookups.want(PeerId(0), &names);
        for id in [0, 0, 9] {
            answer.send(empty(id)).unwrap();
        }
        assert!(matches!(lookups.next(&names), Some(Ok(_))));
        for text in ["IMSG_HOST_DNS but addr != NULL!", "IMSG_HOST_DNS with invalid peerID"] {
            let Some(Err(event)) = lookups.next(&names) else { panic!("{text}") };
            assert_eq!(event.to_string(), text);
        }
    }
}
