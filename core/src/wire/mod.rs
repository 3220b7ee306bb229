//! The packet format.

mod kiss;

pub use kiss::KissCode;
