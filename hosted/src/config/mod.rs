//! The configuration file of `chimed`.

mod address;

pub use address::{AddressError, ServerAddress};
