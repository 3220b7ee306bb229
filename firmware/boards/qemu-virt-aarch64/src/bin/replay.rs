//! A recorded network, replayed: are the results the host's?

#![no_std]
#![no_main]

use core::panic::PanicInfo;

use aarch64_rt::{ExceptionHandlers, entry, exception_handlers, initial_pagetable};
use truechimer_boards::{host, replay};
use truechimer_qemu_virt_aarch64::memory;

initial_pagetable!(memory::MAP);

entry!(main);
fn main(_: u64, _: u64, _: u64, _: u64) -> ! {
    replay::file::run()
}

struct Handlers;
exception_handlers!(Handlers);
impl ExceptionHandlers for Handlers {}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    host::fail()
}
