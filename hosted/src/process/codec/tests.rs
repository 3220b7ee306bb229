//! What is encoded is decoded, and nothing else is.

use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::path::Path;
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::constraint::{self, Reading};
use crate::leap;
use crate::phc::Interface;
use crate::process::message::{
    Command, Configuration, Did, Done, Failure, Found, FromConstraint, FromDns, FromHelper, Kept,
    Leap, Opened, Refused, Rtc, Start, ToConstraint, ToDns, ToHelper, ToNtp, ToParent,
};
use crate::resolver::{Answer, Question};
use crate::sandbox::{Protection, User};
use crate::service::Notice;

const PUBLISHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/leap-seconds.list");

fn rate() -> impl Strategy<Value = f64> {
    any::<i32>().prop_map(|scaled| f64::from(scaled) / 65_536.0)
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        any::<i64>().prop_map(Command::Step),
        (rate(), rate()).prop_map(|(frequency, slew)| Command::Adjust { frequency, slew }),
        (option::of(rate()), any::<i64>(), any::<i8>())
            .prop_map(|(frequency, offset, poll)| Command::Lock { frequency, offset, poll }),
        any::<(bool, i64, i64)>().prop_map(|(synced, max_error, estimated_error)| {
            Command::Status { synced, max_error, estimated_error }
        }),
        (0..3usize, option::of(any::<i32>())).prop_map(|(leap, tai)| Command::Leap {
            leap: [Leap::None, Leap::Add, Leap::Delete][leap],
            tai,
        }),
    ]
}

fn notice() -> impl Strategy<Value = Notice> {
    prop_oneof![
        Just(Notice::Ready),
        any::<Duration>().prop_map(Notice::Reloading),
        Just(Notice::Stopping),
        Just(Notice::Alive),
        any::<String>().prop_map(Notice::Status),
    ]
}

fn protections() -> impl Strategy<Value = Vec<Protection>> {
    use Protection::{Capabilities, Chroot, Landlock, NoNewPrivileges, Pledge, Seccomp, Unveil};
    let all = vec![
        Protection::User,
        Chroot,
        Capabilities,
        NoNewPrivileges,
        Landlock,
        Seccomp,
        Pledge,
        Unveil,
    ];
    vec(proptest::sample::select(all), 0..9)
}

fn kept() -> impl Strategy<Value = Kept> {
    let parts = (option::of((rate(), rate())), option::of(any::<(i64, u32)>()));
    parts.prop_map(|(frequency, floor)| Kept { frequency, floor })
}

fn to_parent() -> impl Strategy<Value = ToParent> {
    prop_oneof![
        any::<bool>().prop_map(|control| ToParent::Open { control }),
        command().prop_map(ToParent::Clock),
        Just(ToParent::Read),
        (any::<bool>(), protections())
            .prop_map(|(control, protections)| ToParent::Ready { control, protections }),
        notice().prop_map(ToParent::Notice),
        (kept(), any::<(i64, u32)>()).prop_map(|(kept, now)| ToParent::Keep(kept, now)),
        Just(ToParent::Constrain),
        Just(ToParent::LeapSeconds),
        any::<(u8, String)>().prop_map(|(severity, text)| ToParent::Log(severity, text)),
    ]
}

fn refused() -> impl Strategy<Value = Refused> {
    prop_oneof![
        Just(Refused::NotPermitted),
        Just(Refused::Unsupported),
        any::<i32>().prop_map(Refused::Os),
        Just(Refused::NoReply),
    ]
}

fn failures() -> impl Strategy<Value = Vec<Failure>> {
    use Failure::{Read, ResetRate, ResetSlew, Set};
    vec(proptest::sample::select(vec![Read, Set, ResetRate, ResetSlew]), 0..5)
}

fn configuration() -> impl Strategy<Value = Configuration> {
    let parts = (any::<String>(), vec(any::<String>(), 0..4));
    parts.prop_map(|(toml, warnings)| Configuration { toml, warnings })
}

fn interface() -> impl Strategy<Value = Interface> {
    let parts = any::<(u32, u32, u16)>();
    parts.prop_map(|(index, speed, clock)| Interface { index, speed, clock })
}

fn to_ntp() -> impl Strategy<Value = ToNtp> {
    let user = option::of(Just(User::named("root").unwrap()));
    let rtc = any::<((i64, u32), Option<i64>, u64)>();
    let rtc = option::of(rtc.prop_map(|(time, bound, at)| Rtc { time, bound, at }));
    let notify = (any::<bool>(), option::of(any::<Duration>()));
    let start = (configuration(), user, notify, kept(), rtc, vec(interface(), 0..4));
    let start = start.prop_map(|(configuration, user, (notify, beat), kept, rtc, hardware)| {
        Start { configuration, user, notify, beat, kept, rtc, hardware }
    });
    let opened =
        (rate(), any::<bool>(), proptest::result::maybe_ok(Just(()), refused()), failures());
    let opened = opened.prop_map(|(rate, synced, controlled, failures)| Opened {
        rate,
        synced,
        controlled,
        failures,
    });
    let did = prop_oneof![
        any::<i64>().prop_map(Did::Stepped),
        rate().prop_map(Did::Runs),
        Just(Did::Told)
    ];
    let done =
        (proptest::result::maybe_ok(did, refused()), option::of((rate(), rate())), failures());
    let done = done.prop_map(|(outcome, found, failures)| Done { outcome, found, failures });
    prop_oneof![
        start.prop_map(|start| ToNtp::Start(start.into())),
        vec((any::<String>(), protections()), 0..4).prop_map(ToNtp::Run),
        proptest::result::maybe_ok(opened, refused()).prop_map(ToNtp::Opened),
        done.prop_map(ToNtp::Done),
        proptest::result::maybe_ok(configuration(), any::<String>()).prop_map(ToNtp::Configuration),
        Just(ToNtp::Reload),
        Just(ToNtp::Stop),
        said().prop_map(ToNtp::Constrained),
        any::<String>().prop_map(|text| ToNtp::LeapSeconds(Err(text))),
        Just(ToNtp::LeapSeconds(leap::load(Some(Path::new(PUBLISHED))))),
    ]
}

fn said() -> impl Strategy<Value = constraint::Answer> {
    let reading = (any::<(IpAddr, u16)>(), rate())
        .prop_map(|(address, offset)| Reading { address: address.into(), offset });
    let parts = (vec(reading, 0..4), vec(any::<String>(), 0..4));
    parts.prop_map(|(readings, failures)| constraint::Answer { readings, failures })
}

fn question() -> impl Strategy<Value = Question> {
    let parts = (any::<u16>(), "[a-z0-9.:%-]{0,254}", any::<u16>());
    parts.prop_map(|(id, name, port)| Question {
        id,
        name: name.as_str().try_into().unwrap(),
        port,
    })
}

fn answer() -> impl Strategy<Value = Answer> {
    let address = any::<(IpAddr, u16, u32)>().prop_map(|(ip, port, scope)| match ip {
        IpAddr::V4(v4) => SocketAddr::V4(SocketAddrV4::new(v4, port)),
        IpAddr::V6(v6) => SocketAddr::V6(SocketAddrV6::new(v6, port, 0, scope)),
    });
    let found = (any::<u16>(), vec(address, 0..=32)).prop_map(|(id, found): (_, Vec<_>)| Answer {
        id,
        outcome: Ok(found.into_iter().collect()),
    });
    let reason = (any::<u16>(), "[ -~]{0,120}")
        .prop_map(|(id, reason)| Answer { id, outcome: Err(reason.as_str().try_into().unwrap()) });
    prop_oneof![found, reason]
}

/// Whole it is itself; cut off, or with more behind it, it is an invalid message of its name.
fn check<M: Message + PartialEq + std::fmt::Debug>(
    message: &M,
    cut: prop::sample::Index,
) -> Result<(), TestCaseError> {
    let mut bytes = encode(message).unwrap();
    prop_assert_eq!(&decode::<M>(&bytes).unwrap(), message);
    let name = M::NAMES[usize::from(bytes[0])];
    let cut = cut.index(bytes.len());
    let invalid = Invalid(if cut == 0 { "imsg" } else { name });
    prop_assert_eq!(decode::<M>(&bytes[..cut]).unwrap_err(), invalid);
    bytes.push(0);
    prop_assert_eq!(decode::<M>(&bytes).unwrap_err(), Invalid(name));
    Ok(())
}

/// Octets that are a message stand for one that is the same when it is encoded and decoded.
fn check_bytes<M: Message>(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(message) = decode::<M>(bytes) {
        // Not octet by octet: a number can be written longer than need be.
        let encoded = encode(&message).unwrap();
        prop_assert_eq!(encode(&decode::<M>(&encoded).unwrap()).unwrap(), encoded);
    }
    Ok(())
}

proptest! {
    #[test]
    fn to_the_parent(message in to_parent(), cut: prop::sample::Index) {
        check(&message, cut)?;
    }

    #[test]
    fn to_the_ntp_engine(message in to_ntp(), cut: prop::sample::Index) {
        check(&message, cut)?;
    }

    #[test]
    fn questions_and_answers(
        question in question(),
        answer in answer(),
        text: String,
        protections in protections(),
        cut: prop::sample::Index,
    ) {
        check(&ToDns::HostDns(question.clone()), cut)?;
        check(&ToHelper::HostDns(question.into()), cut)?;
        check(&FromHelper::HostDns(Box::new(answer.clone().into())), cut)?;
        check(&FromDns::HostDns(answer.clone().into()), cut)?;
        prop_assert_eq!(Answer::from(Found::from(answer.clone())), answer);
        check(&ToHelper::Start(text, None), cut)?;
        check(&ToHelper::Stop, cut)?;
        check(&FromHelper::Ready(protections), cut)?;
    }

    #[test]
    fn constraints(
        addresses in vec(proptest::result::maybe_ok(vec(any::<IpAddr>(), 0..9), any::<String>()), 0..9),
        answer in said(),
        text: String,
        protections in protections(),
        cut: prop::sample::Index,
    ) {
        check(&ToConstraint::Start(text, None), cut)?;
        check(&ToConstraint::Query(addresses), cut)?;
        check(&FromConstraint::Ready(protections), cut)?;
        check(&FromConstraint::Result(answer), cut)?;
    }

    #[test]
    fn any_octets(bytes in vec(any::<u8>(), 0..200), kind in 0_u8..8) {
        let mut named = vec![kind];
        named.extend(&bytes);
        for bytes in [&bytes, &named] {
            check_bytes::<ToParent>(bytes)?;
            check_bytes::<ToNtp>(bytes)?;
            check_bytes::<ToHelper>(bytes)?;
            check_bytes::<FromHelper>(bytes)?;
            check_bytes::<ToConstraint>(bytes)?;
            check_bytes::<FromConstraint>(bytes)?;
            check_bytes::<ToDns>(bytes)?;
            check_bytes::<FromDns>(bytes)?;
        }
    }
}

/// Zigzag varints and fields in order, as postcard writes them.
#[test]
fn octets_of_messages() {
    assert_eq!(encode(&ToParent::Open { control: true }).unwrap(), [0, 1]);
    assert_eq!(encode(&ToParent::Clock(Command::Step(-2))).unwrap(), [1, 0, 3]);
    assert_eq!(encode(&ToNtp::Stop).unwrap(), [6]);
    let question = Question { id: 300, name: "a.b".try_into().unwrap(), port: 123 };
    let bytes = [0, 0xac, 2, 3, b'a', b'.', b'b', 123];
    assert_eq!(encode(&ToDns::HostDns(question)).unwrap(), bytes);
}

#[test]
fn unknown_kinds_and_lengths() {
    assert_eq!(decode::<ToParent>(&[]), Err(Invalid("imsg")));
    assert_eq!(decode::<ToParent>(&[9]), Err(Invalid("imsg")));
    assert_eq!(decode::<ToParent>(&[1]), Err(Invalid("IMSG_ADJTIME")));
    assert_eq!(decode::<ToDns>(&[0, 1, 255, 255, 3]), Err(Invalid("IMSG_HOST_DNS")));
    let long = ToHelper::Start("x".repeat(MAX_MESSAGE), None);
    assert_eq!(encode(&long), Err(Invalid("IMSG_START")));
    assert!(encode(&ToHelper::Start("x".repeat(MAX_MESSAGE - 5), None)).is_ok());
}
