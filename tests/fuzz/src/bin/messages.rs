//! The processes' codec: the first octet says whose message the others are to be.
#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use truechimer::constraint::{self, Reading};
use truechimer::leap::List;
use truechimer::process::codec::{MAX_MESSAGE, Message, decode, encode};
use truechimer::process::message::{
    Command, Configuration, Done, Found, FromConstraint, FromDns, FromHelper, Kept, Opened,
    Refused, Rtc, Start, ToConstraint, ToDns, ToHelper, ToNtp, ToParent,
};
use truechimer::resolver::{Answer, Question};
use truechimer::service::Notice;
use truechimer::state::Started;
use truechimer_core::holdover::State;
use truechimer_core::units::WallTime;
use truechimer_fuzz::plant;

fuzz_target!(init: plant(seeds()), |data: &[u8]| {
    let Some((kind, bytes)) = data.split_first() else { return };
    match kind % 8 {
        0 => to_parent(bytes),
        1 => to_ntp(bytes),
        2 => drop(check::<ToHelper>(bytes)),
        3 => from_helper(bytes),
        4 => drop(check::<ToConstraint>(bytes)),
        5 => drop(check::<FromConstraint>(bytes).map(|message| match message {
            FromConstraint::Result(answer) => answer.median(),
            FromConstraint::Ready(_) => None,
        })),
        6 => drop(check::<ToDns>(bytes)),
        _ => drop(check::<FromDns>(bytes).map(|FromDns::HostDns(found)| address(found))),
    }
});

/// What is decoded is encoded as itself. Not octet by octet the same as it came: a number can be
/// written longer than need be; and not by comparison, for not every number is equal to itself.
fn check<M: Message + Debug>(bytes: &[u8]) -> Option<M> {
    let message = match decode::<M>(bytes) {
        Ok(message) => message,
        Err(invalid) => {
            assert!(invalid.0 == "imsg" || M::NAMES.contains(&invalid.0));
            return None;
        }
    };
    assert!(bytes.len() <= MAX_MESSAGE);
    assert!(M::NAMES.contains(&message.name()));
    let encoded = encode(&message).unwrap();
    assert!(encoded.len() <= bytes.len());
    let again = decode::<M>(&encoded).unwrap();
    assert_eq!(encode(&again).unwrap(), encoded);
    assert_eq!(format!("{again:?}"), format!("{message:?}"));
    assert!(decode::<M>(&[&encoded[..], &[0]].concat()).is_err());
    assert!(decode::<M>(&encoded[..encoded.len() - 1]).is_err());
    Some(message)
}

fn to_parent(bytes: &[u8]) {
    if let Some(ToParent::Keep(kept, (secs, nanos))) = check(bytes) {
        state(kept);
        let _ = WallTime::from_unix(secs, nanos).to_string();
    }
}

fn to_ntp(bytes: &[u8]) {
    match check(bytes) {
        Some(ToNtp::Start(start)) => {
            state(start.kept);
            if let Some(rtc) = start.rtc {
                let started = Started::from(rtc);
                assert_eq!(Started::from(Rtc::from(started)), started);
            }
        }
        Some(ToNtp::LeapSeconds(Ok(Some(list)))) => {
            for secs in [i64::MIN, -1, 0, 1_800_000_000, i64::MAX] {
                let _ = list.at(WallTime::from_unix(secs, 0));
            }
        }
        _ => {}
    }
}

/// What is taken over is what is kept from then on.
fn state(kept: Kept) {
    let state = State::from(kept);
    let again = State::from(Kept::from(state));
    assert_eq!(format!("{again:?}"), format!("{state:?}"));
}

fn from_helper(bytes: &[u8]) {
    if let Some(FromHelper::HostDns(found)) = check(bytes) {
        address(*found);
    }
}

fn address(found: Found) {
    let answer = Answer::from(found);
    assert_eq!(Answer::from(Found::from(answer.clone())), answer);
}

fn seeds() -> Vec<Vec<u8>> {
    fn seed(kind: u8, message: &impl Message) -> Vec<u8> {
        [&[kind], &encode(message).unwrap()[..]].concat()
    }
    let kept = Kept { frequency: Some((-12.5, 2e-7)), floor: Some((1_800_000_000, 7)) };
    let configuration = || Configuration {
        toml: "[[server]]\naddress = \"a\"\n".into(),
        warnings: vec!["b".into()],
    };
    let start = Start {
        configuration: configuration(),
        user: None,
        notify: true,
        beat: Some(std::time::Duration::from_secs(1)),
        kept,
        rtc: Some(Rtc { time: (1_800_000_000, 0), bound: Some(1), at: 2 }),
        hardware: Vec::new(),
    };
    let list: List = include_str!("../../../vectors/leap-seconds.list").parse().unwrap();
    let opened =
        Opened { rate: 1.5, synced: true, controlled: Err(Refused::Os(1)), failures: Vec::new() };
    let addresses = "[fe80::1%2]:123 192.0.2.1:123".split(' ').map(|text| text.parse().unwrap());
    let answer = Answer { id: 300, outcome: Ok(addresses.collect()) };
    let question = || Question { id: 300, name: "a.example".try_into().unwrap(), port: 123 };
    let reading = Reading { address: "192.0.2.1:443".parse().unwrap(), offset: -0.5 };
    let said = constraint::Answer { readings: vec![reading], failures: vec!["no".into()] };
    vec![
        seed(0, &ToParent::Clock(Command::Adjust { frequency: 1.0, slew: -500.0 })),
        seed(0, &ToParent::Clock(Command::Lock { frequency: Some(1.0), offset: -1, poll: 6 })),
        seed(0, &ToParent::Notice(Notice::Status("synchronised".into()))),
        seed(0, &ToParent::Keep(kept, (1_800_000_000, 999_999_999))),
        seed(0, &ToParent::Log(6, "peer is valid".into())),
        seed(1, &ToNtp::Start(start.into())),
        seed(1, &ToNtp::Opened(Ok(opened))),
        seed(1, &ToNtp::Done(Done::from(Refused::NotPermitted))),
        seed(1, &ToNtp::Configuration(Ok(configuration()))),
        seed(1, &ToNtp::LeapSeconds(Ok(Some(list)))),
        seed(2, &ToHelper::HostDns(question().into())),
        seed(3, &FromHelper::HostDns(Box::new(answer.clone().into()))),
        seed(4, &ToConstraint::Query(vec![Ok(vec!["::1".parse().unwrap()]), Err("none".into())])),
        seed(5, &FromConstraint::Result(said)),
        seed(6, &ToDns::HostDns(question())),
        seed(7, &FromDns::HostDns(answer.into())),
    ]
}
