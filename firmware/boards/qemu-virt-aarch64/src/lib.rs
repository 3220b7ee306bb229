//! QEMU's machine `virt` with a 64-bit processor: its devices and memory map.

#![no_std]

pub mod interrupts;
pub mod memory;
pub mod timer;
pub mod virtio;
