//! One round: all servers at once, so that it takes no longer than the slowest.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::fetch::fetch;
use super::{Addresses, Answer, MAX_ADDRESSES, MAX_SOURCES, Question, Reading, Source};
use crate::config::ServerAddress;

/// A server, and all that has to be read of files to ask it.
#[derive(Debug, Clone)]
pub struct Prepared {
    source: Source,
    roots: Result<Arc<RootCertStore>, String>,
}

impl Prepared {
    /// Reads who may vouch for it.
    #[must_use]
    pub fn new(source: Source) -> Self {
        let roots = roots(&source).map(Arc::new).map_err(|error| error.to_string());
        Self { source, roots }
    }

    /// The port that it is asked at.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.source.url.port()
    }
}

/// Asks every server and blocks until the last has answered or its time is up.
#[must_use]
pub fn ask(question: &Question) -> Answer {
    let sources = question.sources.iter().take(MAX_SOURCES);
    at_once(sources, |source| {
        let found = addresses(source).map_err(|error| error.to_string());
        ask_source(&Prepared::new(source.clone()), &found)
    })
}

/// As [`ask`], but opens no file and looks no name up: the addresses are those of each server in turn,
/// or why there are none.
#[must_use]
pub fn ask_at(sources: &[Prepared], addresses: &[Addresses]) -> Answer {
    at_once(sources.iter().zip(addresses), |(prepared, found)| {
        let at = |ip: &IpAddr| SocketAddr::new(*ip, prepared.port());
        let found = found.as_ref().map(|ips| ips.iter().map(at).collect());
        ask_source(prepared, &found.map_err(String::clone))
    })
}

fn at_once<T: Send>(sources: impl Iterator<Item = T>, ask: impl Fn(T) -> Answer + Sync) -> Answer {
    let ask = &ask;
    let rounds: Vec<Answer> = thread::scope(|scope| {
        let threads: Vec<_> = sources.map(|source| scope.spawn(move || ask(source))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_default()).collect()
    });
    let mut all = Answer::default();
    for Answer { readings, failures } in rounds {
        all.readings.extend(readings);
        all.failures.extend(failures);
    }
    all
}

fn ask_source(prepared: &Prepared, addresses: &Result<Vec<SocketAddr>, String>) -> Answer {
    let mut answer = Answer::default();
    let Prepared { source, roots } = prepared;
    let url = &source.url;
    let (roots, addresses) = match (roots, addresses) {
        (Ok(roots), Ok(addresses)) => (roots, addresses.iter().take(MAX_ADDRESSES).copied()),
        (Err(error), _) => {
            answer.failures.push(format!("{url}: {error}"));
            return answer;
        }
        (_, Err(error)) => {
            answer.failures.push(format!("{url}: cannot resolve the name: {error}"));
            return answer;
        }
    };
    let ask = |address: SocketAddr| {
        let outcome = fetch(url, address, Arc::clone(roots));
        outcome.map_err(|error| format!("{url} at {}: {error}", address.ip()))
    };
    let mut take = |outcome: Result<Reading, String>| match outcome {
        Ok(reading) => answer.readings.push(reading),
        Err(failure) => answer.failures.push(failure),
    };
    if source.all {
        thread::scope(|scope| {
            let threads: Vec<_> =
                addresses.map(|address| scope.spawn(move || ask(address))).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).for_each(take);
        });
    } else {
        for address in addresses {
            let outcome = ask(address);
            let answered = outcome.is_ok();
            take(outcome);
            if answered {
                break;
            }
        }
    }
    answer
}

fn addresses(source: &Source) -> io::Result<Vec<SocketAddr>> {
    let port = source.url.port();
    let found: Vec<SocketAddr> = match source.url.host() {
        _ if !source.addresses.is_empty() => {
            source.addresses.iter().map(|ip| SocketAddr::new(*ip, port)).collect()
        }
        ServerAddress::Ip(ip) => vec![SocketAddr::new(*ip, port)],
        name => (name.to_string().as_str(), port).to_socket_addrs()?.collect(),
    };
    Ok(found)
}

/// Who may vouch for the server.
fn roots(source: &Source) -> io::Result<RootCertStore> {
    let Some(path) = &source.ca else {
        let roots = webpki_roots::TLS_SERVER_ROOTS.to_vec();
        return Ok(RootCertStore { roots });
    };
    let wrong = |error| io::Error::other(format!("{}: {error}", path.display()));
    let mut roots = RootCertStore::empty();
    for certificate in
        CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?
    {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    Ok(roots)
}
