//! What parts of truechimer-core take on a Cortex-M33: a program for each part in `src/bin`, of
//! which `cargo bench -p truechimer-tests --bench footprint` makes a table.

#![no_std]

pub mod board;
pub mod subjects;
