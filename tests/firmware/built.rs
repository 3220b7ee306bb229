//! A board that nobody emulates is built, and its boot ROM would start the program.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSection};
use truechimer_tests::bare;

const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../firmware/boards/w5500-evb-pico2");
/// Where the ROM looks for the block that describes the program (RP2350 datasheet §5.9.5).
const FLASH: u64 = 0x1000_0000;
const LOOKED_AT: u64 = 4096;
const BLOCK_BEGINS: [u8; 4] = 0xFFFF_DED3_u32.to_le_bytes();
const BLOCK_ENDS: [u8; 4] = 0xAB12_3579_u32.to_le_bytes();

pub fn w5500_evb_pico2() -> Result<()> {
    let target = "thumbv8m.main-none-eabihf";
    let folder = bare::build(Path::new(PACKAGE), "boards", target, "release", &[])?;
    let image = fs::read(folder.join("truechimer-w5500-evb-pico2"))?;
    let program = object::File::parse(&*image)?;
    let block = program.section_by_name(".start_block").context("no block for the ROM")?;
    ensure!((FLASH..FLASH + LOOKED_AT - block.size()).contains(&block.address()), "{block:?}");
    let octets = block.data()?;
    ensure!(octets.starts_with(&BLOCK_BEGINS) && octets.ends_with(&BLOCK_ENDS), "{octets:x?}");
    // The processor begins where the flash does: the stack, then the address of the first instruction.
    let vectors = program.section_by_name(".vector_table").context("no vectors")?;
    ensure!(vectors.address() == FLASH, "vectors at {:x}", vectors.address());
    Ok(())
}
