//! Looks names up in this process, which does nothing else in the meantime.

use std::collections::VecDeque;

use super::{Answer, Question, Resolver, look_up};
use crate::config::MAX_PEERS;

/// Blocks in [`answer`](Resolver::answer), for one question each time.
#[derive(Debug, Default)]
pub struct Blocking {
    questions: VecDeque<Question>,
}

impl Resolver for Blocking {
    fn ask(&mut self, question: Question) -> bool {
        let has_room = self.questions.len() < MAX_PEERS;
        if has_room {
            self.questions.push_back(question);
        }
        has_room
    }

    fn answer(&mut self) -> Option<Answer> {
        self.questions.pop_front().map(|question| look_up(&question))
    }

    fn is_due(&self) -> bool {
        !self.questions.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_in_order_and_takes_no_more_than_there_are_peers() {
        let mut resolver = Blocking::default();
        let question = |id| Question { id, name: "127.0.0.1".try_into().unwrap(), port: 123 };
        let taken = (0..=MAX_PEERS as u16).filter(|&id| resolver.ask(question(id))).count();
        assert_eq!(taken, MAX_PEERS);
        for id in 0..MAX_PEERS as u16 {
            assert!(resolver.is_due());
            let answer = resolver.answer().unwrap();
            assert_eq!((answer.id, answer.outcome.unwrap()[0].port()), (id, 123));
        }
        assert!(!resolver.is_due() && resolver.answer().is_none());
    }
}
