use std::net::Ipv4Addr;

use super::*;
use crate::phc::CardStamp;
use crate::phc::tests::steady;

/// A query that left just now, and the stamps of a card whose clock is the system's.
fn asked() -> (Asked, WallTime, Told, Hardware) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let sent = realtime();
    let (kernel, time) = (realtime(), realtime());
    let card = CardStamp { interface: 7, time, octets: 0 };
    let stamping = Stamping::default();
    let asked =
        Asked { socket, stamping, sent: Some(sent), left: None, disbelieved: 0, served_at: None };
    (asked, time, Told { kernel: Some(kernel), card: Some(card) }, steady(7))
}

fn is_near(stamp: Option<RawStamp>, expected: WallTime) -> bool {
    matches!(stamp, Some(RawStamp::Hardware(time)) if (time - expected).abs().as_nanos() < 1_000)
}

#[test]
fn the_card_has_the_last_word_once() {
    let (mut asked, time, told, mut hardware) = asked();
    let first = Told { card: None, ..told };
    let stamp = asked.heed(first, &mut hardware);
    assert!(matches!(stamp, Some(RawStamp::Kernel(_))));
    assert_eq!(asked.heed(Told::default(), &mut hardware), None);
    let last = Told { kernel: None, ..told };
    let stamp = asked.heed(last, &mut hardware);
    assert!(is_near(stamp, time), "{stamp:?}");
    assert_eq!(asked.heed(last, &mut hardware), None);
    assert_eq!(asked.disbelieved, 0);
}

#[test]
fn both_at_once_and_the_card_alone() {
    for kernel in [true, false] {
        let (mut asked, time, mut told, mut hardware) = asked();
        told.kernel = told.kernel.filter(|_| kernel);
        let stamp = asked.heed(told, &mut hardware);
        assert!(is_near(stamp, time), "{stamp:?}");
    }
}

#[test]
fn a_card_that_is_wrong_is_counted_and_the_kernel_heeded() {
    let (mut asked, time, mut told, mut hardware) = asked();
    let card = CardStamp { interface: 8, time, octets: 0 };
    told.card = Some(card);
    let stamp = asked.heed(told, &mut hardware);
    assert!(matches!(stamp, Some(RawStamp::Kernel(_))), "{stamp:?}");
    let kernel = RawStamp::Kernel(time);
    let (from, card) = (asked.socket.local_addr().unwrap(), Some(card));
    let mut message = Message { len: 0, from, stamp: kernel, card, local: None, defect: None };
    assert_eq!(asked.arrived(&message, &mut hardware), kernel);
    assert_eq!(asked.disbelieved, 2);
    message.card = Some(CardStamp { interface: 7, time, octets: 0 });
    assert!(is_near(Some(asked.arrived(&message, &mut hardware)), time));
    assert_eq!(asked.disbelieved, 2);
}

#[test]
fn without_a_card_nothing_more_is_waited_for() {
    let (mut asked, _, told, _) = asked();
    asked.heed(Told { card: None, ..told }, &mut Hardware::default());
    assert_eq!(asked.left, None);
}
