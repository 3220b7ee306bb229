#![no_std]
#![no_main]

use truechimer_core::Estimator;
use truechimer_footprint::{board, subjects};

#[cortex_m_rt::entry]
fn main() -> ! {
    board::run(size_of::<Estimator<2>>(), subjects::estimator::<2>)
}
