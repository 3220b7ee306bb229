//! The list as it is published, one with a second left out, and damaged ones.

use std::fs;

use truechimer_core::units::Span;

use super::*;

/// What the IERS published in July 2025, but for what is there for people.
const PUBLISHED: &str = include_str!("../../../tests/vectors/leap-seconds.list");
/// As none was published; the hash begins with a zero.
const LIST: &str = "\
#\tATOMIC TIME
#$\t3676924800
#@\t3707596800
2272060800\t10\t# 1 Jan 1972
2287785600\t11\t# 1 Jul 1972

2303683200 10
#h\tc4a8cb8 b1cc440c 8a2955b5 72aa0364 bad08c0f
";
const JULY: WallTime = WallTime::from_unix(78_796_800, 0);
const JANUARY: WallTime = WallTime::from_unix(94_694_400, 0);
const SECOND: Span = Span::from_secs(1);

#[test]
fn what_is_published() {
    let list: List = PUBLISHED.parse().unwrap();
    assert_eq!(list.expires().to_string(), "2026-06-28 00:00:00");
    let now = list.at(WallTime::from_unix(1_767_225_600, 0)).unwrap();
    assert_eq!((now.tai, now.next), (37, None));
    let end = WallTime::from_unix(1_483_228_800, 0);
    let before = list.at(end + -SECOND).unwrap();
    assert_eq!((before.tai, before.next), (36, Some(LeapSecond { end, deleted: false })));
}

#[test]
fn what_it_says_at_a_time() {
    let list: List = LIST.parse().unwrap();
    let expires = WallTime::from_unix(1_498_608_000, 0);
    let said = |time, tai, next: Option<(WallTime, bool)>| {
        let next = next.map(|(end, deleted)| LeapSecond { end, deleted });
        assert_eq!(list.at(time), Some(LeapList { next, tai, expires }), "{time}");
    };
    assert_eq!(list.at(WallTime::UNIX_EPOCH), None);
    said(JULY + -SECOND, 10, Some((JULY, false)));
    said(JULY, 11, Some((JANUARY, true)));
    said(JANUARY + -SECOND, 11, Some((JANUARY, true)));
    said(JANUARY, 10, None);
    said(expires, 10, None);
}

#[test]
fn damage_is_named() {
    let lines = "are allowed";
    for (old, new, problem) in [
        ("#@\t3707596800\n", "", "it has no line `#@`".to_owned()),
        (
            "#@\t3707596800",
            "#@ never",
            "line 3: \"never\" is not a time: a whole number of seconds since 1900 is allowed".into(),
        ),
        ("#h", "#", "it has no line `#h`".into()),
        (
            "bad08c0f",
            "bad08c0g",
            "line 8: \"c4a8cb8 b1cc440c 8a2955b5 72aa0364 bad08c0g\" is not a SHA-1 hash: five words \
             of hexadecimal digits are allowed"
                .into(),
        ),
        (
            "2287785600\t11",
            "2287785600",
            format!(
                "line 5: \"2287785600\\t# 1 Jul 1972\" is not a leap second: seconds since 1900 and \
                 TAI - UTC, whole numbers, {lines}"
            ),
        ),
        (
            "2287785600",
            "2272060800",
            "line 5: 2272060800 is no later than the line before: only later times are allowed".into(),
        ),
        ("11", "12", "line 5: TAI - UTC goes from 10 to 12: 1 more or 1 less is allowed".into()),
        (
            "2303683200",
            "2303683201",
            "it is damaged: the SHA-1 hash of its numbers is \
             b455fd957bf0d4663811f670c6365cd6a6b0d6fb, by its line `#h` \
             0c4a8cb8b1cc440c8a2955b572aa0364bad08c0f"
                .into(),
        ),
    ] {
        let damaged = LIST.replacen(old, new, 1);
        assert_eq!(damaged.parse::<List>().unwrap_err().to_string(), problem);
    }
}

#[test]
fn files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("leap-seconds.list");
    assert_eq!(load(None), Ok(None));
    let problem = load(Some(&path)).unwrap_err();
    assert!(problem.starts_with(&format!("{}: cannot read it: ", path.display())), "{problem}");
    fs::write(&path, LIST).unwrap();
    assert_eq!(load(Some(&path)), Ok(Some(LIST.parse().unwrap())));
    fs::write(&path, "").unwrap();
    assert_eq!(load(Some(&path)), Err(format!("{}: it has no line `#@`", path.display())));
}
