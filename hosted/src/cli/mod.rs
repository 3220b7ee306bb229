//! The command lines of both programs, of which their help, their manual pages and the completions
//! of shells are made (`examples/manual.rs`).

pub mod chimectl;
pub mod chimed;
