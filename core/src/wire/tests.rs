//! Packets as servers and clients really sent them, captured on loopback; the expected values were
//! decoded apart from this code, with Python's `struct`.

extern crate std;

use super::*;
use crate::units::{NtpShort, NtpTimestamp, WallTime};
use md5::{Digest, Md5};
use std::string::ToString;
use std::vec::Vec;

/// A script's request of version 4 and the reply of chronyd 4.3 with `local stratum 1`.
const CHRONY_V4: [&str; 2] = [
    "23000000000000000000000000000000000000000000000000000000000000000000000000000000143c25120facb574",
    "240100e700000000000000007f7f0101eead909a01dae72c143c25120facb574eead909b1a947149eead909b1a9a7746",
];
/// The same in version 3.
const CHRONY_V3: [&str; 2] = [
    "1b0000000000000000000000000000000000000000000000000000000000000000000000000000004cbf445189cfb717",
    "1c0100e700000000000000007f7f0101eead909a01dae72c4cbf445189cfb717eead909b1aa8f9ffeead909b1aa9b7ba",
];
/// The reply of a chronyd 4.3 that is synchronised to another on `::1`.
const CHRONY_STRATUM_2: &str = "240206e70000000100000001cf404dc8eead92480b78c7d68c0e7bb2f135aa9deead9249b8feefd7eead9249b9030a3c";
/// chronyd 4.3 to chronyd 4.3 with `key 7`, MD5, [`KEY`].
const CHRONY_MD5: [&str; 2] = [
    "2300062000000000000000000000000000000000000000000000000000000000000000000000000037642941b2be40eb000000078fa988e3610ab6359f4b498b517543ea",
    "240106e700000000000000007f7f0101eead909a01dae72c37642941b2be40ebeead909b8252e02feead909b8254d470000000079e16b012722afd6a25cdc2417bf9b8fe",
];
const KEY: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
/// chronyd 4.3 to chronyd 4.3 with `extfield F323`.
const CHRONY_EXTENSION: [&str; 2] = [
    "23000620000000000000000000000000000000000000000000000000000000000000000000000000e931e28a624a3fbcf323001cf5bedd9a0000000000000000000000000000000000000000",
    "240106e700000000000000007f7f0101eead909a01dae72ce931e28a624a3fbceead909df24e466deead909df25008f8f323001cf5bedd9a0000000000000000eead909df24e4649e4de63d7",
];
/// The reply of OpenNTPD 6.2p3 to a request of version 3, not yet synchronised.
const OPENNTPD_UNSYNCHRONISED: &str = "dc0000e3000000000000000000000000000000000000000091503ff0ca8be54deead913c5cdf77ffeead913c5cdf87ff";
/// The reply of ntpd (NTPsec 1.2.2), not yet synchronised.
const NTPSEC_INIT: &str = "e40006e800000000000000b5494e4954000000000000000099353732726d72a5eead9247ea70e2daeead9247ea7618f9";
/// A script's request and the kiss-o'-death of ntpd (NTPsec 1.2.2) with `restrict default kod
/// limited` and `limit average 1.0 burst 4 kod 1.0`, after more requests within a millisecond.
const NTPSEC_RATE: [&str; 2] = [
    "230006e80000000000000000000000000000000000000000000000000000000000000000000000000038cc6bcf2c152c",
    "e40006e800000000000000005241544500000000000000000038cc6bcf2c152c0038cc6bcf2c152c0038cc6bcf2c152c",
];

/// What a client sends that gives nothing away: all zero but mode and transmit stamp.
const REQUEST: Header = Header {
    leap: LeapIndicator::NoWarning,
    version: 4,
    mode: Mode::Client,
    stratum: 0,
    poll: 0,
    precision: 0,
    root_delay: NtpShort::from_bits(0),
    root_dispersion: NtpShort::from_bits(0),
    reference_id: ReferenceId::from_bytes([0; 4]),
    reference_time: NtpTimestamp::ZERO,
    origin_time: NtpTimestamp::ZERO,
    receive_time: NtpTimestamp::ZERO,
    transmit_time: NtpTimestamp::ZERO,
};

fn stamp(bits: u64) -> NtpTimestamp {
    NtpTimestamp::from_bits(bits)
}

fn octets(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
    hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// The header, after seeing that nothing follows it and that it is sent as it came.
fn bare_header(hex: &str) -> Header {
    let bytes = octets(hex);
    let packet = Packet::parse(&bytes).unwrap();
    assert_eq!(packet.extensions().count(), 0);
    assert_eq!(packet.mac(), None);
    assert_eq!(packet.header().emit()[..], bytes);
    packet.header()
}

#[test]
fn chrony_version_4() {
    let [request, reply] = CHRONY_V4.map(bare_header);
    assert_eq!(request, Header { transmit_time: stamp(0x143c_2512_0fac_b574), ..REQUEST });
    let expected = Header {
        leap: LeapIndicator::NoWarning,
        version: 4,
        mode: Mode::Server,
        stratum: 1,
        poll: 0,
        precision: -25,
        root_delay: NtpShort::from_bits(0),
        root_dispersion: NtpShort::from_bits(0),
        reference_id: ReferenceId::from_bytes([127, 127, 1, 1]),
        reference_time: stamp(0xeead_909a_01da_e72c),
        origin_time: request.transmit_time,
        receive_time: stamp(0xeead_909b_1a94_7149),
        transmit_time: stamp(0xeead_909b_1a9a_7746),
    };
    assert_eq!(reply, expected);
    // Received and sent within 92 us, on 2026-11-22 at 16:02:35 UTC by chronyd's log.
    let received = WallTime::from_unix(1_795_363_355, 103_827_553);
    let sent = WallTime::from_unix(1_795_363_355, 103_919_462);
    let pivot = WallTime::from_unix(1_700_000_000, 0);
    assert_eq!(reply.transmit_time.unfold(pivot), sent);
    assert_eq!(reply.receive_time.unfold(pivot), received);
}

#[test]
fn chrony_version_3() {
    let [request, reply] = CHRONY_V3.map(bare_header);
    let transmit_time = stamp(0x4cbf_4451_89cf_b717);
    assert_eq!(request, Header { version: 3, transmit_time, ..REQUEST });
    assert_eq!((reply.version, reply.mode, reply.stratum), (3, Mode::Server, 1));
    assert_eq!(reply.origin_time, transmit_time);
}

#[test]
fn chrony_at_stratum_2() {
    let reply = bare_header(CHRONY_STRATUM_2);
    assert_eq!((reply.leap, reply.stratum), (LeapIndicator::NoWarning, 2));
    assert_eq!((reply.poll, reply.precision), (6, -25));
    assert_eq!((reply.root_delay.to_bits(), reply.root_dispersion.to_bits()), (1, 1));
    assert_eq!(reply.reference_id, ReferenceId::from_addr("::1".parse().unwrap()));
    assert_eq!(reply.reference_id.display(2).to_string(), "207.64.77.200");
}

#[test]
fn md5_macs_verify() {
    for hex in CHRONY_MD5 {
        let bytes = octets(hex);
        let packet = Packet::parse(&bytes).unwrap();
        let digest = Md5::new().chain_update(KEY).chain_update(packet.header().emit()).finalize();
        assert_eq!(packet.mac(), Some(Mac { key_id: 7, digest: &digest[..] }));
        assert_eq!(packet.extensions().count(), 0);
    }
}

#[test]
fn extension_fields_of_chrony() {
    let mut magic_and_zeros = [0; 24];
    magic_and_zeros[..4].copy_from_slice(&[0xf5, 0xbe, 0xdd, 0x9a]);
    let [request, reply] = CHRONY_EXTENSION.map(octets);
    let request = Packet::parse(&request).unwrap();
    let extension = Extension { kind: 0xf323, body: &magic_and_zeros };
    assert_eq!(request.extensions().collect::<Vec<_>>(), [extension]);
    assert_eq!(request.mac(), None);
    assert_eq!((request.header().poll, request.header().precision), (6, 32));

    // After magic, root delay and dispersion chronyd repeats the receive stamp, undisciplined.
    let reply = Packet::parse(&reply).unwrap();
    let body = reply.extensions().next().unwrap().body;
    assert_eq!(
        body[12..],
        [0xee, 0xad, 0x90, 0x9d, 0xf2, 0x4e, 0x46, 0x49, 0xe4, 0xde, 0x63, 0xd7]
    );
    assert_eq!(reply.header().receive_time, stamp(0xeead_909d_f24e_466d));
    assert_eq!(reply.header().origin_time, request.header().transmit_time);
}

#[test]
fn unsynchronised_servers() {
    let openntpd = bare_header(OPENNTPD_UNSYNCHRONISED);
    assert_eq!((openntpd.leap, openntpd.version), (LeapIndicator::Alarm, 3));
    assert_eq!((openntpd.stratum, openntpd.precision), (0, -29));
    assert_eq!(openntpd.reference_id.display(0).to_string(), "");
    assert_eq!(openntpd.transmit_time, stamp(0xeead_913c_5cdf_87ff));

    let ntpsec = bare_header(NTPSEC_INIT);
    assert_eq!((ntpsec.leap, ntpsec.version), (LeapIndicator::Alarm, 4));
    assert_eq!((ntpsec.poll, ntpsec.precision), (6, -24));
    assert_eq!(ntpsec.root_dispersion.to_bits(), 181);
    assert_eq!((ntpsec.stratum, ntpsec.reference_id.kiss()), (0, KissCode::INIT));
}

#[test]
fn kiss_o_death() {
    let [request, reply] = NTPSEC_RATE.map(bare_header);
    assert_eq!((reply.leap, reply.stratum), (LeapIndicator::Alarm, 0));
    assert_eq!(reply.reference_id.kiss(), KissCode::RATE);
    assert_eq!(reply.reference_time, NtpTimestamp::ZERO);
    // ntpd gives back the request's stamp in all three places.
    for time in [reply.origin_time, reply.receive_time, reply.transmit_time] {
        assert_eq!(time, request.transmit_time);
    }
}
