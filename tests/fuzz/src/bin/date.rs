//! What an HTTPS server answers, in pieces: of it no more is read than there may be, and its date is one
//! that can be written.
#![no_main]

use std::io::{self, Read};
use std::time::{Duration, UNIX_EPOCH};

use libfuzzer_sys::fuzz_target;
use truechimer::constraint::{Url, read_date};
use truechimer_fuzz::plant;

/// The end of the year 9999, as far as a date of HTTP goes.
const LATEST: Duration = Duration::from_secs(253_402_300_799);

fuzz_target!(init: plant(SEEDS), |data: &[u8]| {
    let Some((&step, rest)) = data.split_first() else { return };
    let mut answer = Pieces { rest, step: usize::from(step) + 1 };
    if let Ok(date) = read_date(&mut answer) {
        assert!(date.duration_since(UNIX_EPOCH).is_ok_and(|since| since <= LATEST));
        assert!(rest.windows(4).any(|end| end == b"\r\n\r\n"));
    }
    if let Ok(url) = String::from_utf8_lossy(rest).parse::<Url>() {
        let whole = url.to_string();
        assert!(whole.bytes().all(|octet| octet.is_ascii_graphic()), "{whole}");
        assert_eq!(whole.parse(), Ok(url));
    }
});

struct Pieces<'a> {
    rest: &'a [u8],
    step: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.rest.len().min(self.step).min(buffer.len());
        let (piece, rest) = self.rest.split_at(length);
        buffer[..length].copy_from_slice(piece);
        self.rest = rest;
        Ok(length)
    }
}

const SEEDS: [&str; 5] = [
    "\u{40}HTTP/1.1 200 OK\r\nServer: a\r\nDate: Fri, 15 Jan 2027 08:00:00 GMT\r\n\r\n",
    "\0HTTP/1.0 503 no\r\ndATE:Friday, 15-Jan-27 08:00:00 GMT \r\nA: b\r\n\r\nbody",
    "\u{7f}HTTP/1.1 301 M\r\ndate: Fri Jan 15 08:00:00 2027\r\n\r\n",
    "\0https://www.example.org:8443/a?b=c",
    "\0https://[2620:fe::fe]/",
];
