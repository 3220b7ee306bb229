#![no_std]
#![no_main]

use truechimer_footprint::{board, subjects};

#[cortex_m_rt::entry]
fn main() -> ! {
    board::run(0, subjects::baseline)
}
