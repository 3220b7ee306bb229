//! Other systems have no programs in drivers.

use std::convert::Infallible;

use truechimer_core::units::Span;

use super::{Done, Published};
use crate::config::{Config, Serve};
use crate::log::Log;

/// None of them.
#[derive(Debug)]
pub struct Xdp(Infallible);

impl Xdp {
    /// There is none; the configuration allows none.
    pub fn attach(_: &Config, _: [u8; 32], _: &Log) -> Option<Self> {
        None
    }

    /// There is nobody to tell.
    pub fn configure(&mut self, _: &Serve, _: [u8; 32]) {
        match self.0 {}
    }

    /// There is nobody to tell.
    pub fn publish(&mut self, _: &Published) {
        match self.0 {}
    }

    /// There is nobody to tell.
    pub fn left(&self) -> Span {
        match self.0 {}
    }

    /// There is nobody to ask.
    pub fn done(&self) -> Done {
        match self.0 {}
    }
}
