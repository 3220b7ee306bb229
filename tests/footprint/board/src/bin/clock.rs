#![no_std]
#![no_main]

use truechimer_core::timex::SoftwareClock;
use truechimer_footprint::{board, subjects};

#[cortex_m_rt::entry]
fn main() -> ! {
    board::run(size_of::<SoftwareClock>(), subjects::clock)
}
