//! Whether a certificate is to be believed, judged at the time that its server claims.
//!
//! The host's clock may be wrong, which is why the server is asked, and would call a good certificate
//! expired or not yet valid. So the chain is kept until the `Date` has come, and must be valid at that
//! time, as OpenNTPD has it: who claims a time must have had a certificate then. That the server has the
//! key of the certificate is proven at once.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

/// Keeps the chain of one connection.
#[derive(Debug)]
pub(super) struct Deferred {
    judge: Arc<WebPkiServerVerifier>,
    shown: Mutex<Option<Shown>>,
}

#[derive(Debug)]
struct Shown {
    end_entity: CertificateDer<'static>,
    intermediates: Vec<CertificateDer<'static>>,
    name: ServerName<'static>,
}

impl Deferred {
    pub(super) const fn new(judge: Arc<WebPkiServerVerifier>) -> Self {
        Self { judge, shown: Mutex::new(None) }
    }

    /// Judges what was shown.
    ///
    /// # Errors
    /// At that time it was not valid; it does not name the server; nobody trusted vouches for it.
    pub(super) fn judge_at(&self, time: UnixTime) -> Result<(), Error> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Shown { end_entity, intermediates, name }) = &*shown else {
            return Err(CertificateError::BadEncoding.into());
        };
        self.judge.verify_server_cert(end_entity, intermediates, name, &[], time).map(drop)
    }
}

impl ServerCertVerifier for Deferred {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = Shown {
            end_entity: end_entity.clone().into_owned(),
            intermediates: intermediates.iter().map(|it| it.clone().into_owned()).collect(),
            name: name.to_owned(),
        };
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}
