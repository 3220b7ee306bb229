//! Decodes a packet and prints each of its fields, its extension fields and its MAC.
//!
//! ```sh
//! cargo run -p truechimer-examples --example decode
//! cargo run -p truechimer-examples --example decode -- 230006e8 0000...
//! ```
//!
//! The packet is the UDP payload in hexadecimal digits, in as many arguments as you like. Without
//! one it is a reply of chronyd 4.3 with an extension field.

use std::env;

use anyhow::{Context, ensure};
use truechimer_core::config::NOT_BEFORE;
use truechimer_core::units::NtpTimestamp;
use truechimer_core::wire::Packet;

/// Captured on loopback: stratum 1, and chrony's experimental extension field.
const CAPTURED: &str = "\
    240106e7 00000000 00000000 7f7f0101 eead909a01dae72c e931e28a624a3fbc \
    eead909df24e466d eead909df25008f8 \
    f323001c f5bedd9a 00000000 00000000 eead909df24e4649 e4de63d7";

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let text = if arguments.is_empty() { CAPTURED.to_owned() } else { arguments.join(" ") };
    let bytes = from_hex(&text)?;
    let packet = Packet::parse(&bytes).context("not an NTP packet")?;

    let header = packet.header();
    let reference = header.reference_id;
    let shown = reference.display(header.stratum);
    println!("leap             {} ({:?})", header.leap as u8, header.leap);
    println!("version          {}", header.version);
    println!("mode             {} ({:?})", header.mode as u8, header.mode);
    println!("stratum          {}", header.stratum);
    println!("poll             2^{} s", header.poll);
    println!("precision        2^{} s", header.precision);
    println!("root delay       {:.6} s", header.root_delay.to_span());
    println!("root dispersion  {:.6} s", header.root_dispersion.to_span());
    println!("reference id     {} ({shown})", hex(&reference.to_bytes()));
    println!("reference time   {}", time(header.reference_time));
    println!("origin time      {}", time(header.origin_time));
    println!("receive time     {}", time(header.receive_time));
    println!("transmit time    {}", time(header.transmit_time));
    for field in packet.extensions() {
        println!("extension field  type {:#06x}  {}", field.kind, hex(field.body));
    }
    if let Some(mac) = packet.mac() {
        println!("MAC              key {}  {}", mac.key_id, hex(mac.digest));
    }
    Ok(())
}

/// A stamp of the wire is a time only near some other: here within 68 years of 2026. In a request,
/// and so as the origin of a reply, it may be any random number.
fn time(stamp: NtpTimestamp) -> String {
    match stamp {
        NtpTimestamp::ZERO => "unknown".to_owned(),
        _ => format!("{:016x} ({:.9})", stamp.to_bits(), stamp.unfold(NOT_BEFORE)),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> anyhow::Result<Vec<u8>> {
    let digits = text.chars().filter(|character| !character.is_whitespace()).map(|character| {
        let digit = character.to_digit(16).map(|digit| digit as u8);
        digit.with_context(|| format!("not a hexadecimal digit: {character:?}"))
    });
    let digits: Vec<u8> = digits.collect::<Result<_, _>>()?;
    ensure!(
        digits.len().is_multiple_of(2),
        "{} hexadecimal digits, but two make an octet",
        digits.len()
    );
    Ok(digits.as_chunks().0.iter().map(|[high, low]| high << 4 | low).collect())
}
