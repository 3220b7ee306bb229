//! The memory map: devices, then memory.

use aarch64_rt::InitialPagetable;

/// Blocks of 1 GiB (Arm DDI 0487, D8.3): valid, accessed, never executed below; of the first
/// memory type, devices', or the second, shared by all cores.
const DEVICES: usize = 1 | 1 << 10 | 1 << 54;
const MEMORY: usize = 1 | 1 << 2 | 3 << 8 | 1 << 10;
/// Where the memory begins.
const RAM: usize = 0x4000_0000;

/// Each address is where it seems to be.
pub const MAP: InitialPagetable = {
    let mut blocks = [0; 512];
    blocks[0] = DEVICES;
    blocks[1] = MEMORY | RAM;
    InitialPagetable(blocks)
};
