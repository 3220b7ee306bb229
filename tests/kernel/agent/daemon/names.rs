//! A name server that says of every name that it is this host's.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use truechimer_tests::guest::scenario::Names;

use crate::sys;

/// Octets of a header.
const HEADER: usize = 12;
/// Of an answer: standard query, recursion desired and available.
const ANSWER: u16 = 0x8180;
const SERVER_FAILURE: u16 = 2;
/// Type A in class IN, at the end of a question.
const ADDRESS: [u8; 4] = [0, 1, 0, 1];

/// Runs until the guest ends.
pub struct NameServer(Arc<Mutex<Names>>);

impl NameServer {
    /// Starts it.
    pub fn start() -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53)).context("no name server")?;
        let how = Arc::new(Mutex::new(Names::Known));
        let shared = Arc::clone(&how);
        thread::spawn(move || {
            let _ = sys::hurry();
            let mut buffer = [0; 512];
            loop {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                let how = *shared.lock().unwrap_or_else(PoisonError::into_inner);
                let query = buffer.get(..length).unwrap_or_default();
                if let Some(answer) = answer(query, how) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Ok(Self(how))
    }

    /// It answers in this way from now on.
    pub fn set(&self, how: Names) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = how;
    }
}

fn answer(query: &[u8], how: Names) -> Option<Vec<u8>> {
    let (header, rest) = query.split_at_checked(HEADER)?;
    let name = rest.iter().position(|&label| label == 0)? + 1;
    let question = rest.get(..name + ADDRESS.len())?;
    let known = how == Names::Known && question.ends_with(&ADDRESS);
    let flags = match how {
        Names::Silent => return None,
        Names::Failing => ANSWER | SERVER_FAILURE,
        Names::Known => ANSWER,
    };
    let mut answer = header.get(..2)?.to_vec();
    for number in [flags, 1, known.into(), 0, 0] {
        answer.extend(number.to_be_bytes());
    }
    answer.extend(question);
    if known {
        // The name of the question, for a minute, four octets.
        answer.extend([0xc0, HEADER as u8, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(Ipv4Addr::LOCALHOST.octets());
    }
    Some(answer)
}
