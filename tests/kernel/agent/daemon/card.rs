//! Two network cards with a cable between them, if the guest has any: one is this host's, behind the other
//! are the servers, of which the first one answers.

use std::fs;
use std::net::Ipv4Addr;
use std::thread;

use anyhow::{Context, Result, bail};
use truechimer_tests::fake::Query;
use truechimer_tests::guest::CARD_MODULES;
use truechimer_tests::guest::scenario::{BEHIND_CARD, CARD};

use super::reference::Servers;
use crate::sys;
use crate::sys::cable::{Frames, load_module, set_address, set_neighbour};

/// The card of the servers.
const OTHER: &str = "eth1";
/// This host, by the first card; its network is 192.0.2.0/24.
const OWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Where IP's header begins in a frame, UDP's, and what it bears.
const IP: usize = 14;
const UDP: usize = IP + 20;
const PAYLOAD: usize = UDP + 8;
const QUERY: usize = 48;
const NTP: u16 = 123;

/// Starts it.
pub fn start(servers: &Servers) -> Result<()> {
    let Ok(modules) = fs::read_to_string(CARD_MODULES) else { return Ok(()) };
    for module in modules.lines() {
        load_module(&fs::File::open(module)?).with_context(|| module.to_owned())?;
    }
    set_address(CARD, OWN).context("no address")?;
    for card in [CARD, OTHER] {
        sys::start_interface(card).context(card)?;
    }
    let frames = Frames::of(OTHER)?;
    set_neighbour(CARD, BEHIND_CARD, frames.card()).context("no neighbour")?;
    let mut answer = servers.answers(0);
    thread::spawn(move || {
        let _ = sys::hurry();
        let mut buffer = [0; 2048];
        loop {
            let Ok(length) = frames.receive(&mut buffer) else { continue };
            let frame = &mut buffer[..length];
            if is_query(frame) && reply(frame, &mut answer).is_some() {
                let _ = frames.send(frame);
            }
        }
    });
    wait_for_link(CARD)?;
    wait_for_link(OTHER)
}

fn wait_for_link(name: &str) -> Result<()> {
    for _ in 0..100 {
        if fs::read_to_string(format!("/sys/class/net/{name}/carrier")).is_ok_and(|it| it == "1\n")
        {
            return Ok(());
        }
        sys::sleep(100_000_000);
    }
    bail!("{name} has no link")
}

/// Makes an answer of a query.
fn reply(frame: &mut [u8], answer: &mut impl FnMut(&Query) -> Option<Vec<u8>>) -> Option<()> {
    let query = Query { received: 0, bytes: frame[PAYLOAD..].to_vec() };
    let reply = answer(&query)?;
    // Who sends and who receives change places, which changes no checksum of IP; UDP's is left out.
    for (place, length) in [(0, 6), (IP + 12, 4), (UDP, 2)] {
        let (one, other) = frame[place..].split_at_mut(length);
        one.swap_with_slice(&mut other[..length]);
    }
    frame[UDP + 6..PAYLOAD].fill(0);
    frame[PAYLOAD..].copy_from_slice(&reply);
    Some(())
}

/// IPv4 without options, UDP, NTP's port.
fn is_query(frame: &[u8]) -> bool {
    let is = |place: usize, octets: &[u8]| frame[place..].starts_with(octets);
    frame.len() == PAYLOAD + QUERY
        && is(IP - 2, &[8, 0, 0x45])
        && is(IP + 9, &[17])
        && is(IP + 16, &BEHIND_CARD.octets())
        && is(UDP + 2, &NTP.to_be_bytes())
}
