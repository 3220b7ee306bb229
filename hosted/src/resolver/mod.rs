//! Names and their addresses: what is asked, what comes back, and who looks it up.
//!
//! [`look_up`] asks the system, and blocks. [`Blocking`] calls it in this process; a process of its own
//! calls it for a [`Resolver`] that passes questions and answers on. Both are bounded in length, so
//! that one datagram holds either.

mod blocking;

use std::fmt::Debug;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::BorrowedFd;

use heapless::{String, Vec};
use serde::{Deserialize, Serialize};
use truechimer_core::event::Event;

pub use blocking::Blocking;

/// The longest name to look up, octets: 253, a final dot, and what a zone adds to an address is less.
pub const MAX_NAME: usize = 254;
/// Addresses of one answer; a name that has more has enough.
pub const MAX_ANSWERED: usize = 32;
/// The longest explanation of a failure, octets; what is longer is cut off.
pub const MAX_REASON: usize = 120;

/// A name to look up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The asker's number for it, which the answer bears.
    pub id: u16,
    /// A host name or an address in the system's notation.
    pub name: String<MAX_NAME>,
    /// The port of the addresses to answer with.
    pub port: u16,
}

/// What became of a [`Question`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The question's.
    pub id: u16,
    /// The addresses, in the order in which to try them (RFC 6724), or why there are none.
    pub outcome: Result<Vec<SocketAddr, MAX_ANSWERED>, String<MAX_REASON>>,
}

/// Who looks names up.
pub trait Resolver: Debug + Send {
    /// Takes a question; `false` if there are too many already, and it has to be asked again.
    fn ask(&mut self, question: Question) -> bool;

    /// The next answer, if there is one yet.
    fn answer(&mut self) -> Option<Answer>;

    /// What failed since this was last asked, to be logged.
    fn failure(&mut self) -> Option<Event<'static>> {
        None
    }

    /// Whether [`answer`](Self::answer) has something to do that is not to be waited for.
    fn is_due(&self) -> bool {
        false
    }

    /// What can be read when an answer comes.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// Asks the system's resolver, which may take many seconds.
#[must_use]
pub fn look_up(question: &Question) -> Answer {
    let found = (question.name.as_str(), question.port).to_socket_addrs();
    let outcome = match found {
        Ok(found) => {
            let mut addresses = Vec::new();
            for address in found {
                if !addresses.contains(&address) && addresses.push(address).is_err() {
                    break;
                }
            }
            Ok(addresses)
        }
        Err(error) => Err(reason(&error)),
    };
    Answer { id: question.id, outcome }
}

fn reason(error: &io::Error) -> String<MAX_REASON> {
    let mut reason = String::new();
    for character in error.to_string().chars() {
        if reason.push(character).is_err() {
            break;
        }
    }
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &str) -> Question {
        Question { id: 7, name: name.try_into().unwrap(), port: 1123 }
    }

    #[test]
    fn the_system_knows_this_host() {
        let Answer { id, outcome } = look_up(&question("localhost"));
        let addresses = outcome.unwrap();
        assert_eq!(id, 7);
        assert!(!addresses.is_empty());
        assert!(addresses.iter().all(|it| it.ip().is_loopback() && it.port() == 1123));
        let alike = |it| addresses.iter().filter(|other| *other == it).count();
        assert!(addresses.iter().all(|it| alike(it) == 1), "{addresses:?}");
    }

    #[test]
    fn reasons_are_cut_between_characters() {
        let text = "ä".repeat(MAX_REASON);
        let reason = reason(&io::Error::other(text.as_str()));
        assert_eq!(reason.as_str(), &text[..MAX_REASON]);
    }
}
