//! Asks one server what the time is, as `chimed query` does; the clock is only read.
//!
//! ```sh
//! cargo run -p truechimer-examples --example query -- pool.ntp.org
//! ```
//!
//! A server on another port is `HOST:PORT`; the example `server` is one.

use std::env;
use std::time::Duration;

use anyhow::Context;
use truechimer::query::{Target, query};
use truechimer_core::units::Span;

/// How long to wait for the answer.
const TIMEOUT: Duration = Duration::from_secs(2);

fn main() -> anyhow::Result<()> {
    let server = env::args().nth(1).context("usage: query HOST[:PORT]")?;
    let target: Target = server.parse().with_context(|| format!("not a server: {server:?}"))?;

    // Each server has its own answer: another may be right where this one fails.
    let answers = query(&[target], TIMEOUT)?;
    let answer = answers.into_iter().next().context("asked nobody")?;
    let reading = answer.with_context(|| format!("cannot ask {server}"))?;

    let side = if reading.offset > Span::ZERO { "behind" } else { "ahead" };
    let header = reading.header;
    println!("server     {}", reading.address);
    println!("offset     {:+.6} s: this clock is {side}", reading.offset);
    println!("error      {:.6} s at most, if the server is honest", reading.error);
    println!("delay      {:.6} s", reading.delay);
    println!("stratum    {}", header.stratum);
    println!("leap       {:?}", header.leap);
    println!("reference  {}", header.reference_id.display(header.stratum));
    Ok(())
}
