//! One request and its answer by HTTP/1.1 (RFC 9112); then the connection is closed.
//!
//! A request is at most [`MOST`] octets and its body is not read. Neither it nor its answer may take
//! longer than [`PATIENCE`].

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant, SystemTime};

/// Octets of a request.
const MOST: usize = 8_192;
/// Fields of its header.
const FIELDS: usize = 64;
/// How long a request may take to come, and its answer to leave.
const PATIENCE: Duration = Duration::from_secs(5);
/// For how long, and up to how many octets, what comes after the request is thrown away: a
/// connection that is closed before that may take the answer with it (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(1);
const LEFT: u64 = 65_536;

/// What is answered.
#[derive(Debug)]
pub(super) struct Content {
    media_type: &'static str,
    body: String,
}

impl Content {
    pub(super) fn html(body: String) -> Self {
        Self { media_type: "text/html; charset=utf-8", body }
    }

    /// Prometheus' text format.
    pub(super) fn metrics(body: String) -> Self {
        Self { media_type: "text/plain; version=0.0.4; charset=utf-8", body }
    }

    fn text(body: String) -> Self {
        Self { media_type: "text/plain; charset=utf-8", body }
    }
}

/// What is wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Malformed,
    Unknown,
    Method,
    Slow,
    Long,
    Busy,
}

impl Fault {
    /// RFC 9110 §15, and RFC 6585 §5.
    const fn status(self) -> &'static str {
        match self {
            Self::Malformed => "400 Bad Request",
            Self::Unknown => "404 Not Found",
            Self::Method => "405 Method Not Allowed",
            Self::Slow => "408 Request Timeout",
            Self::Long => "431 Request Header Fields Too Large",
            Self::Busy => "503 Service Unavailable",
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Request {
    method: String,
    path: String,
}

/// Answers what is asked by what `find` has for its path, if it has something.
pub(super) fn serve(stream: &TcpStream, find: impl FnOnce(&str) -> Option<Content>) {
    // What cannot be sent is nobody's loss but the client's.
    let _ = talk(stream, find);
}

fn talk(stream: &TcpStream, find: impl FnOnce(&str) -> Option<Content>) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    let (bodiless, found) = match read(&mut Timed::new(stream, PATIENCE)) {
        Ok(None) => return Ok(()),
        Ok(Some(Request { method, path })) => {
            let known = matches!(method.as_str(), "GET" | "HEAD");
            let found = if known { find(&path).ok_or(Fault::Unknown) } else { Err(Fault::Method) };
            (method == "HEAD", found)
        }
        Err(fault) => (false, Err(fault)),
    };
    Timed::new(stream, PATIENCE).write_all(answer(bodiless, found).as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    io::copy(&mut Timed::new(stream, LINGER).take(LEFT), &mut io::sink()).map(drop)
}

/// Says that there are too many, without waiting for anything.
pub(super) fn refuse(mut stream: &TcpStream) {
    let busy = answer(false, Err(Fault::Busy));
    let _ = stream.set_nonblocking(true).and_then(|()| stream.write_all(busy.as_bytes()));
}

fn answer(bodiless: bool, found: Result<Content, Fault>) -> String {
    let (status, allow, Content { media_type, body }) = match found {
        Ok(content) => ("200 OK", "", content),
        Err(fault) => {
            let allow = if fault == Fault::Method { "Allow: GET, HEAD\r\n" } else { "" };
            (fault.status(), allow, Content::text(format!("{}\n", fault.status())))
        }
    };
    let (date, length) = (httpdate::fmt_http_date(SystemTime::now()), body.len());
    let body = if bodiless { "" } else { &body };
    format!(
        "HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Type: {media_type}\r\n\
         Content-Length: {length}\r\n{allow}Cache-Control: no-store\r\n\
         Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n\
         X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n{body}"
    )
}

/// None if there is none.
fn read(from: &mut impl Read) -> Result<Option<Request>, Fault> {
    let (mut octets, mut length) = ([0; MOST], 0);
    loop {
        let free = octets.get_mut(length..).unwrap_or_default();
        if free.is_empty() {
            return Err(Fault::Long);
        }
        match from.read(free) {
            Ok(0) if length == 0 => return Ok(None),
            Ok(0) => return Err(Fault::Malformed),
            Ok(more) => length += more,
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => continue,
                ErrorKind::WouldBlock | ErrorKind::TimedOut => return Err(Fault::Slow),
                // Gone.
                _ => return Ok(None),
            },
        }
        if let Some(request) = parse(octets.get(..length).unwrap_or_default())? {
            return Ok(Some(request));
        }
    }
}

/// None if it is not complete.
fn parse(octets: &[u8]) -> Result<Option<Request>, Fault> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(octets) {
        Ok(httparse::Status::Partial) => return Ok(None),
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Fault::Long),
        Err(_) => return Err(Fault::Malformed),
    }
    let (Some(method), Some(target), Some(version)) =
        (request.method, request.path, request.version)
    else {
        return Err(Fault::Malformed);
    };
    let hosts = request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case("host"));
    // RFC 9112 §3.2.
    if !matches!((version, hosts.count()), (0, 0 | 1) | (1, 1)) {
        return Err(Fault::Malformed);
    }
    Ok(Some(Request { method: method.to_owned(), path: path(target).to_owned() }))
}

/// Of a target in origin form or absolute form (RFC 9112 §3.2.2), without its query.
fn path(target: &str) -> &str {
    let path = match target.split_once("://") {
        Some((_, rest)) if !target.starts_with('/') => {
            rest.find(['/', '?']).map_or("/", |start| rest.get(start..).unwrap_or_default())
        }
        _ => target,
    };
    match path.split_once('?').map_or(path, |(path, _)| path) {
        "" => "/",
        path => path,
    }
}

/// A stream that fails from some time on.
struct Timed<'a> {
    stream: &'a TcpStream,
    until: Instant,
}

impl<'a> Timed<'a> {
    fn new(stream: &'a TcpStream, limit: Duration) -> Self {
        Self { stream, until: Instant::now() + limit }
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(octets)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nearly_requests(
            target in "[ -~]{0,30}",
            rest in "( HTTP/1\\.[0-2]\r?\n)?(host: [ -~]{0,9}\r\n){0,2}(\r\n)?",
        ) {
            if let Ok(Some(Request { path, .. })) = read_of(&format!("GET {target}{rest}")) {
                prop_assert!(!path.is_empty() && !path.contains(['?', ' ']), "{path:?}");
            }
        }
    }

    fn read_of(text: &str) -> Result<Option<Request>, Fault> {
        read(&mut text.as_bytes())
    }

    fn asked(text: &str) -> (String, String) {
        let Request { method, path } = read_of(text).unwrap().unwrap();
        (method, path)
    }

    #[test]
    fn paths_of_targets() {
        for (target, expected) in [
            ("/", "/"),
            ("/metrics", "/metrics"),
            ("/metrics?a=/b://c", "/metrics"),
            ("/?", "/"),
            ("http://host:1/metrics", "/metrics"),
            ("http://host", "/"),
            ("http://host?query", "/"),
            ("/a://b/c", "/a://b/c"),
            ("*", "*"),
        ] {
            let request = format!("GET {target} HTTP/1.1\r\nhost: here\r\n\r\n");
            assert_eq!(asked(&request), ("GET".to_owned(), expected.to_owned()));
        }
    }

    #[test]
    fn what_is_no_request() {
        for text in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n",
            "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
            "GET  HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n",
            "\u{1}\u{2}\r\n\r\n",
        ] {
            assert_eq!(read_of(text), Err(Fault::Malformed), "{text:?}");
        }
        assert_eq!(read_of(""), Ok(None));
        assert_eq!(asked("HEAD / HTTP/1.0\r\n\r\n"), ("HEAD".to_owned(), "/".to_owned()));
    }

    #[test]
    fn lengths() {
        let request = |pad: usize| {
            let empty = "GET / HTTP/1.0\r\nx: \r\n\r\n".len();
            format!("GET / HTTP/1.0\r\nx: {}\r\n\r\n", "a".repeat(pad - empty))
        };
        assert!(read_of(&request(MOST)).unwrap().is_some());
        assert_eq!(read_of(&request(MOST + 1)), Err(Fault::Long));
        let many = format!("GET / HTTP/1.0\r\n{}\r\n", "x: y\r\n".repeat(FIELDS + 1));
        assert_eq!(read_of(&many), Err(Fault::Long));
    }
}
