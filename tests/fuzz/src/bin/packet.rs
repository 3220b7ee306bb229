//! A datagram as a packet: nothing of it is lost, and nothing is read twice.
#![no_main]

use libfuzzer_sys::fuzz_target;
use truechimer_core::wire::{Header, Packet, ParseError};
use truechimer_fuzz::plant;

fuzz_target!(init: plant(seeds()), |data: &[u8]| {
    match Packet::parse(data) {
        Ok(packet) => assert_eq!(emit(&packet), data),
        Err(error) => {
            let _ = error.to_string();
            if let ParseError::Length(length) = error {
                assert_eq!(length, data.len());
            }
        }
    }
});

fn emit(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = packet.header().emit().to_vec();
    for field in packet.extensions() {
        bytes.extend(field.kind.to_be_bytes());
        bytes.extend(u16::try_from(field.body.len() + 4).unwrap().to_be_bytes());
        bytes.extend(field.body);
    }
    if let Some(mac) = packet.mac() {
        bytes.extend(mac.key_id.to_be_bytes());
        bytes.extend(mac.digest);
    }
    bytes
}

fn seeds() -> Vec<Vec<u8>> {
    let header = |flags| [&[flags], &[0x5a; Header::LEN - 1][..]].concat();
    let field =
        |length: u16| [&[1, 4], &length.to_be_bytes()[..], &vec![0; length.into()]].concat();
    vec![
        header(0b00_100_011),
        [header(0b11_011_100), vec![1; 20]].concat(),
        [header(0b00_100_011), field(16)[..16].to_vec(), field(28)[..28].to_vec()].concat(),
        [header(0b00_100_100), field(24)[..24].to_vec(), vec![2; 24]].concat(),
    ]
}
