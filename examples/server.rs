//! A minimal server: it tells whoever asks what this machine's clock shows.
//!
//! ```sh
//! cargo run -p truechimer-examples --example server -- 1123
//! cargo run -p truechimer-examples --example query -- 127.0.0.1:1123
//! ```
//!
//! Port 0 is any that is free. `core::server` decides what to answer; here are the socket and the
//! clock. A real server also limits how often a client may ask, which is `Verdict::Kiss`.

use std::env;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Instant as HostInstant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use truechimer_core::config::DRIFT_TOLERANCE;
use truechimer_core::server::{Verdict, respond};
use truechimer_core::system::{Reference, SystemState};
use truechimer_core::units::{Instant, Span, WallTime};
use truechimer_core::wire::{LeapIndicator, ReferenceId};

fn main() -> anyhow::Result<()> {
    let port = env::args().nth(1).context("usage: server PORT")?;
    let port: u16 = port.parse().with_context(|| format!("not a port: {port:?}"))?;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port))
        .with_context(|| format!("cannot listen on port {port}"))?;
    println!("serving time on {}", socket.local_addr()?);

    let start = HostInstant::now();
    let state = SystemState {
        leap: LeapIndicator::NoWarning,
        stratum: 10, // so low that anybody with a source of the time is preferred
        precision: -20,
        root_delay: Span::ZERO,
        root_dispersion: Span::from_millis(10),
        drift: DRIFT_TOLERANCE, // nobody disciplines this clock: its error grows from now on
        reference: Reference::Id(ReferenceId::from_bytes([127, 127, 1, 1])),
        reference_time: wall()?,
        updated: Instant::default(),
    };
    let mut buffer = [0; 1024]; // longer than any packet that is answered
    loop {
        let (len, client) = socket.recv_from(&mut buffer)?;
        let received = wall()?;
        let now = Instant::default() + Span::from_nanos(start.elapsed().as_nanos() as i64);
        match respond(&state, &buffer[..len], received, now, Verdict::Answer) {
            // The transmit stamp is taken as late as it can be.
            Ok(response) => match socket.send_to(&response.emit(wall()?), client) {
                Ok(_) => println!("{client}: answered"),
                Err(error) => println!("{client}: {error}"),
            },
            Err(refusal) => println!("{client}: refused ({refusal})"),
        }
    }
}

/// What this machine's clock shows.
fn wall() -> anyhow::Result<WallTime> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(WallTime::from_unix(since.as_secs() as i64, since.subsec_nanos()))
}
