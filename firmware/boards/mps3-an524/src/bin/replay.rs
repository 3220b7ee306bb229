//! A recorded network, replayed: are the results the host's?

#![no_std]
#![no_main]

use core::panic::PanicInfo;

use truechimer_boards::{host, replay};
use truechimer_mps3_an524 as _; // The vectors.

#[cortex_m_rt::entry]
fn main() -> ! {
    replay::file::run()
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    host::fail()
}
