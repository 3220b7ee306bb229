//! HTTPS servers on loopback, and an authority that vouches for them.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};

/// How often a server looks whether it is to end.
const TICK: Duration = Duration::from_millis(20);

/// Who signs certificates.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub pem: String,
}

/// A certificate and its key.
#[derive(Debug)]
pub struct Certified {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// What a server does once it has been asked.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Sends headers with the date of so many seconds ago and closes.
    Dated(u64),
    /// Sends this and closes.
    Text(String),
    /// Sends this over and over.
    Endless(String),
    /// Sends this again and again, slowly.
    Drip(String),
    /// Sends this without TLS.
    Plain(String),
}

impl Authority {
    /// Makes one.
    ///
    /// # Errors
    /// If that fails.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// Makes a certificate for these names or addresses that is valid from the beginning of one year
    /// to that of another.
    ///
    /// # Errors
    /// If that fails.
    pub fn certify(&self, names: &[&str], from: i32, to: i32) -> Result<Certified> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Ok(Certified { chain: vec![certificate.der().clone()], key })
    }
}

/// A server, which ends on drop.
#[derive(Debug)]
pub struct HttpsServer {
    /// Where it listens.
    pub address: SocketAddr,
    ends: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl HttpsServer {
    /// Starts one.
    ///
    /// # Errors
    /// If there is no socket for it, or its certificate is none.
    pub fn start(ip: IpAddr, certified: Certified, reply: Reply) -> Result<Self> {
        let provider = Arc::new(rustls_rustcrypto::provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(certified.chain, certified.key)?;
        let config = Arc::new(config);
        let listener = TcpListener::bind((ip, 0)).context("no socket")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let ends = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let ends = Arc::clone(&ends);
            move || {
                thread::scope(|scope| {
                    while !ends.load(Ordering::Relaxed) {
                        let Ok((stream, _)) = listener.accept() else {
                            thread::sleep(TICK);
                            continue;
                        };
                        // What the client does not like it tells itself.
                        scope.spawn(|| serve(stream, Arc::clone(&config), &reply, &ends));
                    }
                });
            }
        });
        Ok(Self { address, ends, thread: Some(thread) })
    }
}

impl Drop for HttpsServer {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn dated(ago: u64) -> String {
    let date = httpdate::fmt_http_date(SystemTime::now() - Duration::from_secs(ago));
    format!("HTTP/1.1 301 Moved Permanently\r\nServer: test\r\nDate: {date}\r\n\r\n")
}

fn serve(
    mut stream: TcpStream,
    config: Arc<ServerConfig>,
    reply: &Reply,
    ends: &AtomicBool,
) -> Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    if let Reply::Plain(text) = reply {
        return Ok(stream.write_all(text.as_bytes())?);
    }
    let mut connection = ServerConnection::new(config)?;
    let mut stream = Stream::new(&mut connection, &mut stream);
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut buffer = [0; 1_024];
        let len = stream.read(&mut buffer)?;
        request.extend(&buffer[..len]);
    }
    let is_head = request.starts_with(b"HEAD / HTTP/1.1\r\nHost: localhost:");
    match reply {
        Reply::Dated(ago) if is_head => stream.write_all(dated(*ago).as_bytes())?,
        Reply::Text(text) if is_head => stream.write_all(text.as_bytes())?,
        Reply::Dated(_) | Reply::Text(_) => {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")?;
        }
        Reply::Endless(text) | Reply::Drip(text) => {
            let pause = if let Reply::Drip(_) = reply { 20 * TICK } else { Duration::ZERO };
            while !ends.load(Ordering::Relaxed) {
                stream.write_all(text.as_bytes())?;
                thread::sleep(pause);
            }
        }
        Reply::Plain(_) => {}
    }
    stream.conn.send_close_notify();
    Ok(stream.flush()?)
}
