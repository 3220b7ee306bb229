//! Systems without batches of datagrams have no workers.

use std::convert::Infallible;
use std::io;
use std::net::UdpSocket;
use std::sync::Arc;

use super::{Published, Report, Responder};

/// None of them.
#[derive(Debug)]
pub struct Workers(Infallible);

impl Workers {
    /// Fails.
    ///
    /// # Errors
    /// Always; the configuration allows none.
    pub fn start(
        _: &Published,
        _: impl IntoIterator<Item = (Responder, Vec<Arc<UdpSocket>>)>,
    ) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// There is nobody to tell.
    pub fn publish(&mut self, _: &Published) {
        match self.0 {}
    }

    /// There is nobody to ask.
    pub fn reports(&mut self) -> Vec<Report> {
        match self.0 {}
    }

    /// There is nobody to end.
    #[must_use]
    pub fn end(self) -> Vec<Report> {
        match self.0 {}
    }
}
