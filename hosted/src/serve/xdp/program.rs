//! The program: what it answers, and how.
//!
//! It answers a request that says nothing but what every client says, to an address of the
//! interface that time is served on, and what it is not sure of it passes on to the sockets, as
//! though it were not there: with options or extension headers, in fragments, in tags of VLANs, of
//! another length than 48 octets, of another mode than a client's. An answer is never longer than
//! its request, and never an answer to an answer.
//!
//! The sum over a request's UDP part is not looked at: what comes from a local interface has none
//! yet. What could be wrong in it is the client's own stamp, which the client looks at.

use std::net::IpAddr;
use std::os::fd::AsFd;

use super::assembler::Register::{self, R0, R1, R2, R3, R4, R5, R6, R7, R8, R9};
use super::assembler::Width::{self, U8, U16, U32, U64};
use super::assembler::{Assembler, Function, If, Label, Op};
use super::memory::{COUNTS, Count, LINE, RATE_BITS, ROWS, SLOT, SLOTS, Shared, place};
use crate::sys::bpf::Instruction;

/// `enum xdp_action`.
pub(super) const PASS: i32 = 2;
pub(super) const ANSWER: i32 = 3;

/// The packet is here all the time...
const PACKET: Register = R6;
/// ...and the memory that is shared.
const MEMORY: Register = R8;

// Offsets in a packet.
const TO_MAC: i16 = 0;
const FROM_MAC: i16 = 6;
const ETHERTYPE: i16 = 12;
const IP: i16 = 14;
/// UDP, with its header.
const PROTOCOL: u8 = 17;
const UDP_HEADER: i16 = 8;
const NTP_LEN: i16 = 48;
const UDP_LEN: i16 = UDP_HEADER + NTP_LEN;
/// RFC 1700's default, as the system's own.
const HOPS: u8 = 64;

/// What differs between the versions of the internet protocol.
struct Family {
    ethertype: u16,
    header: i16,
    /// Offsets in the header.
    from: i16,
    to: i16,
    /// Of addresses, in words of 32 bits.
    words: i16,
}

const V4: Family = Family { ethertype: 0x0800, header: 20, from: 12, to: 16, words: 1 };
const V6: Family = Family { ethertype: 0x86dd, header: 40, from: 8, to: 24, words: 4 };

impl Family {
    const fn udp(&self) -> i16 {
        IP + self.header
    }

    const fn ntp(&self) -> i16 {
        self.udp() + UDP_HEADER
    }

    const fn packet(&self) -> i16 {
        self.udp() + UDP_LEN
    }
}

/// Where to go with what is not answered; counted but for the first.
struct Exits {
    foreign: Label,
    other: Label,
    interleaved: Label,
    unready: Label,
    /// With the offset of a count in [`R7`] and the verdict in [`R9`].
    count: Label,
}

/// The program for an interface: answers what comes to these of its addresses, at these ports. None
/// if there are too many of them.
pub(super) fn program(shared: &Shared, addresses: &[(IpAddr, u16)]) -> Option<Vec<Instruction>> {
    let mut asm = Assembler::default();
    let exits = Exits {
        foreign: asm.label(),
        other: asm.label(),
        interleaved: asm.label(),
        unready: asm.label(),
        count: asm.label(),
    };
    asm.load(U32, PACKET, R1, 0);
    asm.load(U32, R7, R1, 4);
    asm.memory(MEMORY, shared.memory.as_fd());
    // Of the shorter family, which is less than what any answer takes.
    room(&mut asm, &V4, exits.foreign);
    asm.load(U16, R1, PACKET, ETHERTYPE);
    // The kernel takes no program with instructions that are never reached.
    let (v4, v6): (Vec<_>, Vec<_>) = addresses.iter().partition(|(address, _)| address.is_ipv4());
    if !v4.is_empty() {
        let next = asm.label();
        asm.jump_if(If::Different, R1, wire16(V4.ethertype), next);
        addressed_v4(&mut asm, &v4, &exits);
        plain_v4(&mut asm, &exits);
        answer(&mut asm, &V4, &exits);
        asm.here(next);
    }
    if !v6.is_empty() {
        asm.jump_if(If::Different, R1, wire16(V6.ethertype), exits.foreign);
        room(&mut asm, &V6, exits.foreign);
        addressed_v6(&mut asm, &v6, &exits);
        plain_v6(&mut asm, &exits);
        answer(&mut asm, &V6, &exits);
    } else {
        asm.jump(exits.foreign);
    }
    leave(&mut asm, &exits);
    asm.finish()
}

/// Whether the packet is long enough, and ends where the kernel says: in [`R7`].
fn room(asm: &mut Assembler, family: &Family, otherwise: Label) {
    asm.op(Op::Set, R2, PACKET);
    asm.op(Op::Add, R2, i32::from(family.packet()));
    asm.jump_if(If::Greater, R2, R7, otherwise);
}

/// Of IPv4 without options or fragments, UDP, to an address and port of ours.
fn addressed_v4(asm: &mut Assembler, addresses: &[(IpAddr, u16)], exits: &Exits) {
    const VERSION_AND_LENGTH: i32 = 0x45;
    const MORE_AND_OFFSET: u16 = 0x3fff;
    asm.load(U8, R1, PACKET, IP);
    asm.jump_if(If::Different, R1, VERSION_AND_LENGTH, exits.foreign);
    asm.load(U16, R1, PACKET, IP + 6);
    asm.op(Op::And, R1, wire16(MORE_AND_OFFSET));
    asm.jump_if(If::Different, R1, 0, exits.foreign);
    asm.load(U8, R1, PACKET, IP + 9);
    asm.jump_if(If::Different, R1, i32::from(PROTOCOL), exits.foreign);
    asm.load(U16, R1, PACKET, V4.udp() + 2);
    asm.load(U32, R2, PACKET, IP + V4.to);
    let ours = asm.label();
    for (address, port) in addresses {
        if let IpAddr::V4(address) = address {
            let next = asm.label();
            asm.constant(R3, u32::from_ne_bytes(address.octets()).into());
            asm.jump_if(If::Different, R2, R3, next);
            asm.jump_if(If::Equal, R1, wire16(*port), ours);
            asm.here(next);
        }
    }
    asm.jump(exits.foreign);
    asm.here(ours);
}

/// Of IPv6 and UDP, to an address and port of ours.
fn addressed_v6(asm: &mut Assembler, addresses: &[(IpAddr, u16)], exits: &Exits) {
    const VERSION: i32 = 0x60;
    asm.load(U8, R1, PACKET, IP);
    asm.op(Op::And, R1, 0xf0);
    asm.jump_if(If::Different, R1, VERSION, exits.foreign);
    asm.load(U8, R1, PACKET, IP + 6);
    asm.jump_if(If::Different, R1, i32::from(PROTOCOL), exits.foreign);
    asm.load(U16, R1, PACKET, V6.udp() + 2);
    asm.load(U64, R2, PACKET, IP + V6.to);
    asm.load(U64, R3, PACKET, IP + V6.to + 8);
    let ours = asm.label();
    for (address, port) in addresses {
        if let IpAddr::V6(address) = address {
            let next = asm.label();
            let octets = address.to_bits().to_be_bytes();
            for (half, read) in octets.as_chunks().0.iter().zip([R2, R3]) {
                asm.constant(R4, u64::from_ne_bytes(*half));
                asm.jump_if(If::Different, read, R4, next);
            }
            asm.jump_if(If::Equal, R1, wire16(*port), ours);
            asm.here(next);
        }
    }
    asm.jump(exits.foreign);
    asm.here(ours);
}

/// Whole, and from somewhere that can be answered: what the system looks at before a socket gets it.
fn plain_v4(asm: &mut Assembler, exits: &Exits) {
    const LOOPBACK: i32 = 127;
    const MULTICAST: i32 = 224;
    asm.load(U16, R1, PACKET, IP + 2);
    asm.jump_if(If::Different, R1, wire16((V4.header + UDP_LEN) as u16), exits.other);
    asm.load(U32, R1, PACKET, IP + V4.from);
    asm.load(U32, R2, PACKET, IP + V4.to);
    asm.jump_if(If::Equal, R1, R2, exits.other);
    asm.load(U8, R1, PACKET, IP + V4.from);
    asm.jump_if(If::Equal, R1, 0, exits.other);
    asm.jump_if(If::Equal, R1, LOOPBACK, exits.other);
    // And what is reserved, and broadcasts.
    asm.jump_if(If::NotLess, R1, MULTICAST, exits.other);
    asm.op(Op::Set, R1, 0);
    add_words(asm, IP, V4.header / 4);
    fold(asm, R1);
    asm.jump_if(If::Different, R1, 0xffff, exits.other);
    plain_udp(asm, &V4, exits);
}

fn plain_v6(asm: &mut Assembler, exits: &Exits) {
    const MULTICAST: i32 = 0xff;
    asm.load(U16, R1, PACKET, IP + 4);
    asm.jump_if(If::Different, R1, wire16(UDP_LEN as u16), exits.other);
    asm.load(U8, R1, PACKET, IP + V6.from);
    asm.jump_if(If::Equal, R1, MULTICAST, exits.other);
    // Unspecified, loopback, and IPv4 in disguise.
    asm.load(U64, R1, PACKET, IP + V6.from);
    asm.jump_if(If::Equal, R1, 0, exits.other);
    let different = asm.label();
    asm.load(U64, R2, PACKET, IP + V6.to);
    asm.jump_if(If::Different, R1, R2, different);
    asm.load(U64, R1, PACKET, IP + V6.from + 8);
    asm.load(U64, R2, PACKET, IP + V6.to + 8);
    asm.jump_if(If::Equal, R1, R2, exits.other);
    asm.here(different);
    plain_udp(asm, &V6, exits);
}

fn plain_udp(asm: &mut Assembler, family: &Family, exits: &Exits) {
    // Nothing behind it either, which would be sent back.
    asm.op(Op::Set, R1, PACKET);
    asm.op(Op::Add, R1, i32::from(family.packet()));
    asm.jump_if(If::Less, R1, R7, exits.other);
    // Neither is from or to a group.
    for mac in [TO_MAC, FROM_MAC] {
        asm.load(U8, R1, PACKET, mac);
        asm.op(Op::And, R1, 1);
        asm.jump_if(If::Different, R1, 0, exits.other);
    }
    asm.load(U16, R1, PACKET, family.udp());
    asm.jump_if(If::Equal, R1, 0, exits.other);
    asm.load(U16, R1, PACKET, family.udp() + 4);
    asm.jump_if(If::Different, R1, wire16(UDP_LEN as u16), exits.other);
}

/// If it is a client's request for the time and there is a time to serve: the answer.
fn answer(asm: &mut Assembler, family: &Family, exits: &Exits) {
    const MODE: i32 = 7;
    const CLIENT: i32 = 3;
    const SERVER: i32 = 4;
    const VERSION: i32 = 0x38;
    const VERSIONS: [(i32, Count); 2] = [(0x18, Count::Version3), (0x20, Count::Version4)];
    let ntp = family.ntp();
    let (known, time) = (asm.label(), asm.label());
    asm.load(U8, R2, PACKET, ntp);
    asm.op(Op::Set, R1, R2);
    asm.op(Op::And, R1, MODE);
    asm.jump_if(If::Different, R1, CLIENT, exits.other);
    asm.op(Op::And, R2, VERSION);
    for (version, count) in VERSIONS {
        asm.op(Op::Set, R7, offset(count as usize));
        asm.jump_if(If::Equal, R2, version, known);
    }
    asm.jump(exits.other);
    asm.here(known);

    // As soon as can be: it is when the request arrived.
    asm.call(Function::Monotonic);
    asm.load(U64, R9, MEMORY, 0);
    slot(asm, R1, R9);
    asm.load(U64, R2, R1, offset_in_slot(place::SINCE));
    asm.op(Op::Sub, R0, R2);
    asm.load(U64, R2, R1, offset_in_slot(place::LIFE));
    asm.jump_if(If::NotLess, R0, R2, exits.unready);

    // RFC 9769 §2: only there do receive and transmit stamp differ, and an origin is said.
    asm.load(U64, R2, R1, offset_in_slot(place::INTERLEAVED));
    asm.jump_if(If::Equal, R2, 0, time);
    asm.load(U64, R2, PACKET, ntp + 24);
    asm.jump_if(If::Equal, R2, 0, time);
    asm.load(U64, R2, PACKET, ntp + 32);
    asm.load(U64, R3, PACKET, ntp + 40);
    asm.jump_if(If::Different, R2, R3, exits.interleaved);

    asm.here(time);
    asm.load(U64, R2, R1, offset_in_slot(place::RATE));
    asm.op(Op::Mul, R0, R2);
    asm.op(Op::Shr, R0, RATE_BITS);
    asm.load(U64, R2, R1, offset_in_slot(place::STAMP));
    asm.op(Op::Add, R0, R2);
    asm.network_order(R0, 64);
    // Version, mode and poll in one word, as all of it is read again for the sum.
    asm.load(U64, R2, R1, offset_in_slot(place::TEMPLATE));
    asm.load(U8, R3, PACKET, ntp);
    asm.op(Op::And, R3, VERSION);
    asm.op(Op::Or, R3, SERVER);
    asm.op(Op::Shl, R3, octet_shift(0));
    asm.op(Op::Or, R2, R3);
    asm.load(U8, R3, PACKET, ntp + 2);
    asm.op(Op::Shl, R3, octet_shift(2));
    asm.op(Op::Or, R2, R3);
    asm.load(U64, R3, R1, offset_in_slot(place::TEMPLATE + 1));
    asm.load(U64, R4, R1, offset_in_slot(place::TEMPLATE + 2));
    asm.load(U64, R5, PACKET, ntp + 40);
    // Was it written meanwhile, or soon?
    asm.load(U64, R1, MEMORY, 0);
    asm.op(Op::Sub, R1, R9);
    asm.jump_if(If::Greater, R1, SLOTS as i32 / 2, exits.unready);
    for (place, word) in [R2, R3, R4, R5, R0, R0].into_iter().enumerate() {
        asm.store(U64, PACKET, ntp + 8 * place as i16, word);
    }

    send_back(asm, family);
    asm.op(Op::Set, R9, ANSWER);
    asm.jump(exits.count);
}

/// `number` is that of a slot; where it is.
fn slot(asm: &mut Assembler, to: Register, number: Register) {
    asm.op(Op::Set, to, number);
    asm.op(Op::And, to, SLOTS as i32 - 1);
    asm.op(Op::Mul, to, offset(LINE));
    asm.op(Op::Add, to, MEMORY);
    asm.op(Op::Add, to, offset(SLOT));
}

/// Turns all of the headers round.
fn send_back(asm: &mut Assembler, family: &Family) {
    let udp = family.udp();
    for (width, at) in [(U32, 0), (U16, 4)] {
        swap(asm, width, TO_MAC + at, FROM_MAC + at);
    }
    for word in 0..family.words {
        swap(asm, U32, IP + family.from + 4 * word, IP + family.to + 4 * word);
    }
    swap(asm, U16, udp, udp + 2);
    let mut set = |at: i16, octets: [u8; 4]| {
        asm.op(Op::Set, R1, i32::from_ne_bytes(octets));
        asm.store(U32, PACKET, at, R1);
    };
    let [high, low] = (UDP_LEN as u16).to_be_bytes();
    // The sum is added up over zeros.
    set(udp + 4, [high, low, 0, 0]);
    if family.words == V4.words {
        let [high, low] = (V4.header as u16 + UDP_LEN as u16).to_be_bytes();
        const DO_NOT_FRAGMENT: u8 = 0x40;
        set(IP, [0x45, 0, high, low]);
        set(IP + 4, [0, 0, DO_NOT_FRAGMENT, 0]);
        set(IP + 8, [HOPS, PROTOCOL, 0, 0]);
        asm.op(Op::Set, R1, 0);
        add_words(asm, IP, V4.header / 4);
        fold(asm, R1);
        asm.op(Op::Xor, R1, 0xffff);
        asm.store(U16, PACKET, IP + 10, R1);
    } else {
        set(IP, [0x60, 0, 0, 0]);
        set(IP + 4, [high, low, PROTOCOL, HOPS]);
    }

    // The pseudo header (RFC 768, RFC 8200 §8.1), header and packet.
    asm.op(Op::Set, R1, i32::from_ne_bytes([0, PROTOCOL, high, low]));
    add_words(asm, IP + family.from, family.words);
    add_words(asm, IP + family.to, family.words);
    add_words(asm, udp, UDP_LEN / 4);
    fold(asm, R1);
    asm.op(Op::Xor, R1, 0xffff);
    // Zero would say that there is none.
    let sum = asm.label();
    asm.jump_if(If::Different, R1, 0, sum);
    asm.op(Op::Set, R1, 0xffff);
    asm.here(sum);
    asm.store(U16, PACKET, udp + 6, R1);
}

fn swap(asm: &mut Assembler, width: Width, one: i16, other: i16) {
    asm.load(width, R1, PACKET, one);
    asm.load(width, R2, PACKET, other);
    asm.store(width, PACKET, one, R2);
    asm.store(width, PACKET, other, R1);
}

/// Adds so many words of 32 bits to [`R1`]: their sum modulo 2^16 - 1 is that of their halves, in
/// either order of octets (RFC 1071).
fn add_words(asm: &mut Assembler, first: i16, count: i16) {
    for word in 0..count {
        asm.load(U32, R2, PACKET, first + 4 * word);
        asm.op(Op::Add, R1, R2);
    }
}

/// To 16 bits.
fn fold(asm: &mut Assembler, sum: Register) {
    // What is left after the first is below 2^32 + 2^8, after the second below 2^17 and so on.
    for bits in [32, 16, 16, 16] {
        asm.op(Op::Set, R2, sum);
        asm.op(Op::Shr, R2, bits);
        match bits {
            32 => {
                asm.op(Op::Shl, sum, 32);
                asm.op(Op::Shr, sum, 32);
            }
            _ => asm.op(Op::And, sum, 0xffff),
        }
        asm.op(Op::Add, sum, R2);
    }
}

/// Counts, and ends.
fn leave(asm: &mut Assembler, exits: &Exits) {
    let passed = [
        (exits.other, Count::Other),
        (exits.interleaved, Count::Interleaved),
        (exits.unready, Count::Unready),
    ];
    for (exit, count) in passed {
        asm.here(exit);
        asm.op(Op::Set, R7, offset(count as usize));
        asm.op(Op::Set, R9, PASS);
        asm.jump(exits.count);
    }
    asm.here(exits.count);
    asm.call(Function::Processor);
    asm.op(Op::And, R0, ROWS as i32 - 1);
    asm.op(Op::Mul, R0, offset(LINE));
    asm.op(Op::Add, R0, R7);
    asm.op(Op::Add, MEMORY, R0);
    asm.op(Op::Set, R1, 1);
    asm.add_atomically(MEMORY, offset(COUNTS) as i16, R1);
    asm.op(Op::Set, R0, R9);
    asm.exit();
    asm.here(exits.foreign);
    asm.op(Op::Set, R0, PASS);
    asm.exit();
}

/// As it is loaded from a packet.
fn wire16(value: u16) -> i32 {
    u16::from_ne_bytes(value.to_be_bytes()).into()
}

/// By how much an octet of a word in memory is shifted.
const fn octet_shift(octet: i32) -> i32 {
    if cfg!(target_endian = "little") { 8 * octet } else { 56 - 8 * octet }
}

/// Of so many words, in octets.
const fn offset(words: usize) -> i32 {
    8 * words as i32
}

const fn offset_in_slot(word: usize) -> i16 {
    offset(word) as i16
}
