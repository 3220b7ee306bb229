//! Lists of leap seconds as the IERS publishes them.

use std::fmt::Write;

use sha1::{Digest, Sha1};

/// From 1900 to 1970, s.
const NTP_TO_UNIX: i64 = 2_208_988_800;

/// One that expires and has TAI − UTC from certain times on, all in seconds since 1970.
#[must_use]
pub fn list(expires: i64, offsets: &[(i64, i32)]) -> String {
    let ntp = |secs: i64| (secs + NTP_TO_UNIX).to_string();
    let lines: Vec<_> = offsets.iter().map(|(from, tai)| (ntp(*from), tai.to_string())).collect();
    let mut hash = Sha1::new();
    hash.update(ntp(expires));
    let mut text = format!("# made for a test\n#@ {}\n", ntp(expires));
    for (from, tai) in lines {
        hash.update(&from);
        hash.update(&tai);
        let _ = writeln!(text, "{from} {tai}");
    }
    let digest = hash.finalize();
    let words = digest
        .chunks(4)
        .map(|word| word.iter().fold(" ".to_owned(), |text, octet| text + &format!("{octet:02x}")));
    text + "#h" + &words.collect::<String>() + "\n"
}
