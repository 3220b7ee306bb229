//! One answer of one HTTPS server, bounded in time and size.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{InvalidDnsNameError, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};

use super::verify::Deferred;
use super::{Reading, Url};
use crate::config::ServerAddress;

/// From connecting to the end of the headers (OpenNTPD's `CONSTRAINT_SCAN_TIMEOUT`).
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest status line and headers together (OpenNTPD's `MAXHEADERLENGTH`).
const MAX_HEADERS: usize = 8_192;
/// The most octets that are read in all: a chain of certificates, the headers, and what TLS adds.
const MAX_READ: usize = 128 * 1_024;
/// A `Date` is cut to the second: on average it is by this much.
const HALF_A_SECOND: f64 = 0.5;

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0}")]
    Tls(#[from] rustls::Error),
    #[error("no name that a certificate could have: {0}")]
    Name(#[from] InvalidDnsNameError),
    #[error("there is nobody to vouch for it: {0}")]
    Roots(#[from] rustls::client::VerifierBuilderError),
    #[error("the headers have more than {MAX_HEADERS} octets")]
    TooLong,
    #[error("the answer ends within the headers")]
    Incomplete,
    #[error("the answer is not HTTP/1")]
    NoHttp,
    #[error("the answer has no Date that can be read")]
    NoDate,
    #[error("at the time that it claims its certificate is not to be believed: {0}")]
    Certificate(rustls::Error),
}

/// Asks for the time.
pub(super) fn fetch(
    url: &Url,
    address: SocketAddr,
    roots: Arc<RootCertStore>,
) -> Result<Reading, FetchError> {
    let provider = Arc::new(rustls_rustcrypto::provider());
    let judge =
        WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build()?;
    let verifier = Arc::new(Deferred::new(judge));
    let mut connection = connection(provider, url, &verifier)?;
    let mut socket = Bounded::connect(address)?;
    let mut stream = Stream::new(&mut connection, &mut socket);
    let request = format!(
        "HEAD {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: truechimer\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        url.path(),
        url.authority()
    );
    stream.write_all(request.as_bytes())?;
    let date = read_date(&mut stream)?;
    let now = SystemTime::now();
    let since = date.duration_since(UNIX_EPOCH).map_err(|_| FetchError::NoDate)?;
    verifier.judge_at(UnixTime::since_unix_epoch(since)).map_err(FetchError::Certificate)?;
    let ahead = match date.duration_since(now) {
        Ok(ahead) => ahead.as_secs_f64(),
        Err(behind) => -behind.duration().as_secs_f64(),
    };
    Ok(Reading { address, offset: ahead + HALF_A_SECOND })
}

fn connection(
    provider: Arc<CryptoProvider>,
    url: &Url,
    verifier: &Arc<Deferred>,
) -> Result<ClientConnection, FetchError> {
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::<Deferred>::clone(verifier))
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    let name = match url.host() {
        ServerAddress::Ip(ip) => ServerName::from(*ip),
        name => ServerName::try_from(name.to_string().trim_end_matches('.').to_owned())?,
    };
    Ok(ClientConnection::new(Arc::new(config), name)?)
}

/// The time that an answer bears, of which no more is read than its status line and its headers.
///
/// # Errors
/// They end too early or too late, are none of HTTP/1, or say no time.
pub fn read_date(answer: &mut impl Read) -> Result<SystemTime, FetchError> {
    date(&read_headers(answer)?)
}

/// The status line and the headers.
fn read_headers(stream: &mut impl Read) -> Result<Vec<u8>, FetchError> {
    let mut headers = Vec::new();
    let mut buffer = [0; 1_024];
    loop {
        let len = match stream.read(&mut buffer) {
            Ok(0) => return Err(FetchError::Incomplete),
            // Without the end that TLS asks for: not all send it.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(FetchError::Incomplete);
            }
            read => read?,
        };
        headers.extend_from_slice(&buffer[..len]);
        if let Some(end) = headers.windows(4).position(|end| end == b"\r\n\r\n") {
            headers.truncate(end);
            return if end > MAX_HEADERS { Err(FetchError::TooLong) } else { Ok(headers) };
        }
        if headers.len() > MAX_HEADERS {
            return Err(FetchError::TooLong);
        }
    }
}

/// The `Date` (RFC 9110 §6.6.1), whatever the status: an error has one too.
fn date(headers: &[u8]) -> Result<SystemTime, FetchError> {
    let text = str::from_utf8(headers).map_err(|_| FetchError::NoHttp)?;
    let mut lines = text.split("\r\n");
    if !lines.next().is_some_and(|status| status.starts_with("HTTP/1.")) {
        return Err(FetchError::NoHttp);
    }
    let mut fields = lines.filter_map(|line| line.split_once(':'));
    let date = fields.find(|(name, _)| name.eq_ignore_ascii_case("date"));
    let parsed = date.and_then(|(_, date)| httpdate::parse_http_date(date.trim()).ok());
    parsed.ok_or(FetchError::NoDate)
}

/// A connection that ends when the time or the allowance is used up.
struct Bounded {
    stream: TcpStream,
    deadline: Instant,
    allowance: usize,
}

impl Bounded {
    fn connect(address: SocketAddr) -> io::Result<Self> {
        let deadline = Instant::now() + TIMEOUT;
        let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        Ok(Self { stream, deadline, allowance: MAX_READ })
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(timed_out()) } else { Ok(Some(left)) }
    }
}

fn timed_out() -> io::Error {
    let text = format!("no answer within {} s", TIMEOUT.as_secs());
    io::Error::new(io::ErrorKind::TimedOut, text)
}

/// A time-out of the socket is told as the one of the whole.
fn told(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { timed_out() } else { error }
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        let room = buffer.len().min(self.allowance);
        if room == 0 {
            return Err(io::Error::other(format!("the answer has more than {MAX_READ} octets")));
        }
        let len = self.stream.read(&mut buffer[..room]).map_err(told)?;
        self.allowance -= len;
        Ok(len)
    }
}

impl Write for Bounded {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(buffer).map_err(told)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates() {
        let at = |headers: &str| date(headers.as_bytes()).ok();
        let expected = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        for headers in [
            "HTTP/1.1 200 OK\r\nDate: Fri, 15 Jan 2027 08:00:00 GMT",
            "HTTP/1.0 503 no\r\nX: Date\r\ndATE:Fri, 15 Jan 2027 08:00:00 GMT \r\nA: b",
        ] {
            assert_eq!(at(headers), Some(expected), "{headers}");
        }
        for headers in [
            "",
            "HTTP/2 200\r\nDate: Fri, 15 Jan 2027 08:00:00 GMT",
            "HTTP/1.1 200 OK",
            "HTTP/1.1 200 OK\r\nDate: now",
            "HTTP/1.1 200 OK\r\nX-Date: Fri, 15 Jan 2027 08:00:00 GMT",
        ] {
            assert_eq!(at(headers), None, "{headers}");
        }
    }

    proptest! {
        #[test]
        fn any_headers(headers: Vec<u8>) {
            let _ = date(&headers);
        }
    }
}
