//! One socket of many: which of its requests are on their way, and what an answer is worth.

use std::net::UdpSocket;

use truechimer_core::config::NOT_BEFORE;
use truechimer_core::units::{NtpTimestamp, Span, WallTime};
use truechimer_core::wire::{Header, LeapIndicator, Mode, Packet, ReferenceId};
use truechimer_core::{Reject, usable};

/// A request's stamps end in its place, after a bit that tells which stamp it is.
const PLACE_BITS: u32 = 17;
/// Set in a receive stamp, which an interleaved answer repeats, and not in a transmit stamp, which
/// a basic one does.
const RECEIVE: u64 = 1;
/// What both clocks may be read too coarsely by.
const PRECISION: Span = Span::from_micros(1);

/// A socket and its places for requests.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) socket: UdpSocket,
    places: Vec<Place>,
    free: Vec<u32>,
    interleaved: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// Transmit stamp of the request that is on its way from here.
    token: Option<u64>,
    sent: WallTime,
    /// The exchange before, which the next request continues in the interleaved mode.
    previous: Option<Previous>,
}

#[derive(Debug, Clone, Copy)]
struct Previous {
    /// The server's receive stamp.
    receive: u64,
    arrived: WallTime,
}

/// What a datagram is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    Valid {
        latency: Span,
        interleaved: bool,
        /// From a transmit stamp of the server to the arrival of the answer that left at it.
        transit: Span,
    },
    /// The answer to a request, but of no use.
    Invalid(Reject),
    /// Not an answer to a request that is on its way.
    Stray(Reject),
}

impl Source {
    pub(super) fn new(socket: UdpSocket, places: u32, interleaved: bool) -> Self {
        let places = places.min(1 << (PLACE_BITS - 1));
        Self {
            socket,
            places: vec![Place::default(); places as usize],
            free: (0..places).rev().collect(),
            interleaved,
        }
    }

    pub(super) fn room(&self) -> usize {
        self.free.len()
    }

    /// The request that the next free place is to send, if there is one; its random bits are of
    /// `random`.
    pub(super) fn request(&mut self, random: u64, now: WallTime) -> Option<[u8; Header::LEN]> {
        let number = self.free.pop()?;
        let place = &mut self.places[number as usize];
        let token = random << PLACE_BITS | u64::from(number) << 1;
        (place.token, place.sent) = (Some(token), now);
        let (origin, receive) = match place.previous.filter(|_| self.interleaved) {
            Some(previous) => (previous.receive, token | RECEIVE),
            None => (0, 0),
        };
        let header = Header {
            leap: LeapIndicator::NoWarning,
            version: 4,
            mode: Mode::Client,
            stratum: 0,
            poll: 0,
            precision: 0,
            root_delay: Default::default(),
            root_dispersion: Default::default(),
            reference_id: ReferenceId::from_bytes([0; 4]),
            reference_time: NtpTimestamp::ZERO,
            origin_time: NtpTimestamp::from_bits(origin),
            receive_time: NtpTimestamp::from_bits(receive),
            transmit_time: NtpTimestamp::from_bits(token),
        };
        Some(header.emit())
    }

    /// The request with this stamp did not leave.
    pub(super) fn take_back(&mut self, request: &[u8; Header::LEN]) {
        let stamp = Packet::parse(request).map(|packet| packet.header().transmit_time.to_bits());
        if let Ok(stamp) = stamp
            && let Some(number) = self.waiting(stamp)
        {
            self.release(number);
        }
    }

    /// Gives up what was sent before `since`; how many.
    pub(super) fn expire(&mut self, since: WallTime) -> u64 {
        let late = |place: &Place| place.token.is_some() && place.sent < since;
        let lost: Vec<_> =
            (0..self.places.len() as u32).filter(|&n| late(&self.places[n as usize])).collect();
        for &number in &lost {
            self.release(number);
            self.places[number as usize].previous = None;
        }
        lost.len() as u64
    }

    pub(super) fn judge(&mut self, bytes: &[u8], arrived: WallTime) -> Judgement {
        let Ok(packet) = Packet::parse(bytes) else {
            return Judgement::Stray(Reject::Malformed);
        };
        let header = packet.header();
        if header.mode != Mode::Server {
            return Judgement::Stray(Reject::Mode);
        }
        let origin = header.origin_time.to_bits();
        let Some(number) = self.waiting(origin & !RECEIVE) else {
            return Judgement::Stray(Reject::Bogus);
        };
        let Place { sent, previous, .. } = self.places[number as usize];
        let interleaved = origin & RECEIVE != 0;
        let before = previous.filter(|_| interleaved && self.interleaved);
        if interleaved && before.is_none() {
            return Judgement::Stray(Reject::Bogus);
        }
        self.release(number);
        // An interleaved answer has the transmit stamp of the one before, earlier than it arrived.
        let checked = match before {
            Some(_) => Header { transmit_time: header.receive_time, ..header },
            None => header,
        };
        if let Err(reason) = usable(&checked, sent, arrived, arrived.max(NOT_BEFORE), PRECISION) {
            self.places[number as usize].previous = None;
            return Judgement::Invalid(reason);
        }
        let receive = header.receive_time.to_bits();
        self.places[number as usize].previous = Some(Previous { receive, arrived });
        let left_for = before.map_or(arrived, |before| before.arrived);
        Judgement::Valid {
            latency: arrived - sent,
            interleaved,
            transit: left_for - header.transmit_time.unfold(left_for),
        }
    }

    /// The place that waits for an answer to this transmit stamp.
    fn waiting(&self, token: u64) -> Option<u32> {
        let number = (token as u32 % (1 << PLACE_BITS)) >> 1;
        let place = self.places.get(number as usize)?;
        (place.token == Some(token)).then_some(number)
    }

    fn release(&mut self, number: u32) {
        self.places[number as usize].token = None;
        self.free.push(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(interleaved: bool) -> Source {
        Source::new(UdpSocket::bind("127.0.0.1:0").unwrap(), 4, interleaved)
    }

    fn at(nanos: u32) -> WallTime {
        WallTime::from_unix(1_800_000_000, nanos)
    }

    /// Of a server that receives at `receive` and says that the answer left at `transmit`.
    fn answer(origin: NtpTimestamp, receive: u32, transmit: u32) -> Header {
        Header {
            leap: LeapIndicator::NoWarning,
            version: 4,
            mode: Mode::Server,
            stratum: 1,
            poll: 0,
            precision: -20,
            root_delay: Default::default(),
            root_dispersion: Default::default(),
            reference_id: ReferenceId::from_bytes(*b"TEST"),
            reference_time: NtpTimestamp::ZERO,
            origin_time: origin,
            receive_time: NtpTimestamp::from_wall(at(receive)),
            transmit_time: NtpTimestamp::from_wall(at(transmit)),
        }
    }

    fn ask(source: &mut Source, random: u64, now: u32) -> Header {
        Packet::parse(&source.request(random, at(now)).unwrap()).unwrap().header()
    }

    fn valid(latency: i64, interleaved: bool, transit: i64) -> Judgement {
        let [latency, transit] = [latency, transit].map(Span::from_nanos);
        Judgement::Valid { latency, interleaved, transit }
    }

    #[test]
    fn the_interleaved_mode_goes_on_from_the_answer_before() {
        let mut source = source(true);
        let first = ask(&mut source, 5, 1_000);
        assert!(first.origin_time.is_zero() && first.receive_time.is_zero());
        let reply = answer(first.transmit_time, 2_000, 3_000);
        assert_eq!(source.judge(&reply.emit(), at(4_000)), valid(3_000, false, 1_000));

        let second = ask(&mut source, 6, 5_000);
        assert_eq!(second.origin_time, reply.receive_time);
        assert!(second.receive_time != second.transmit_time && !second.receive_time.is_zero());
        // The first one left at 3,500.
        let reply = answer(second.receive_time, 6_000, 3_500);
        assert_eq!(source.judge(&reply.emit(), at(9_000)), valid(4_000, true, 500));

        let third = ask(&mut source, 7, 10_000);
        let reply = answer(third.transmit_time, 11_000, 12_000);
        assert_eq!(source.judge(&reply.emit(), at(13_000)), valid(3_000, false, 1_000));
    }

    #[test]
    fn what_answers_nothing_leaves_the_request_waiting() {
        let mut source = source(false);
        let request = ask(&mut source, 5, 1_000);
        let good = answer(request.transmit_time, 2_000, 3_000);
        let other = NtpTimestamp::from_bits(request.transmit_time.to_bits() ^ 1 << 40);
        let receive = NtpTimestamp::from_bits(request.transmit_time.to_bits() | RECEIVE);
        for (header, reason) in [
            (Header { mode: Mode::Client, ..good }, Reject::Mode),
            (Header { origin_time: other, ..good }, Reject::Bogus),
            (Header { origin_time: receive, ..good }, Reject::Bogus),
        ] {
            assert_eq!(source.judge(&header.emit(), at(4_000)), Judgement::Stray(reason));
        }
        let malformed = Judgement::Stray(Reject::Malformed);
        assert_eq!(source.judge(&good.emit()[..47], at(4_000)), malformed);
        assert_eq!(source.room(), 3);
        assert_eq!(source.judge(&good.emit(), at(4_000)), valid(3_000, false, 1_000));
        assert_eq!(source.judge(&good.emit(), at(4_000)), Judgement::Stray(Reject::Bogus));
        assert_eq!(source.room(), 4);
    }

    #[test]
    fn answers_of_no_use_are_answers() {
        let mut source = source(false);
        let alarm = |header| Header { leap: LeapIndicator::Alarm, ..header };
        let kiss = |header| Header {
            stratum: 0,
            reference_id: ReferenceId::from_bytes(*b"RATE"),
            ..header
        };
        let request = ask(&mut source, 5, 1_000);
        let reply = alarm(answer(request.transmit_time, 2_000, 3_000));
        assert_eq!(source.judge(&reply.emit(), at(4_000)), Judgement::Invalid(Reject::Alarm));
        let request = ask(&mut source, 6, 5_000);
        let reply = kiss(answer(request.transmit_time, 6_000, 7_000));
        let refused = source.judge(&reply.emit(), at(8_000));
        assert!(matches!(refused, Judgement::Invalid(Reject::Kiss(_))), "{refused:?}");
        assert_eq!(source.room(), 4);
    }

    #[test]
    fn requests_are_lost_in_time_and_places_run_out() {
        let mut source = source(false);
        let sent: Vec<_> = (0..4).map(|n| source.request(n, at(n as u32)).unwrap()).collect();
        assert_eq!(source.request(9, at(9)), None);
        assert_eq!(source.expire(at(2)), 2);
        assert_eq!(source.room(), 2);
        source.take_back(&sent[3]);
        source.take_back(&sent[3]);
        assert_eq!(source.room(), 3);
    }
}
