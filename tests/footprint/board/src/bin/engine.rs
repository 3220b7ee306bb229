#![no_std]
#![no_main]

use truechimer_core::Engine;
use truechimer_footprint::{board, subjects};

#[cortex_m_rt::entry]
fn main() -> ! {
    board::run(size_of::<Engine<{ subjects::PEERS }>>(), subjects::engine)
}
