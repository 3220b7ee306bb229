//! What parts of the core and the appliance take on a Cortex-M33:
//! `cargo bench -p truechimer-tests --bench footprint`.
//!
//! It needs `qemu-system-arm` and a toolchain for the target, which `tests/run` installs. The same
//! figures come out on each machine with the same compiler.

use anyhow::Result;
use truechimer_tests::appliance::{self, Figures, VARIANTS};
use truechimer_tests::footprint::{Build, Part, measure};

fn main() -> Result<()> {
    for hard_float in [false, true] {
        for fast in [false, true] {
            let float = if hard_float { "hardware" } else { "software" };
            let aim = if fast { "speed" } else { "size" };
            println!("Floating point in {float}, built for {aim}");
            println!(
                "  {:12} {:>8} {:>7} {:>7} {:>13} {:>13}",
                "", "octets", "", "", "instructions", ""
            );
            println!(
                "  {:12} {:>8} {:>7} {:>7} {:>13} {:>13}",
                "", "of flash", "RAM", "stack", "per call", "at most"
            );
            for part in measure(Build { hard_float, fast })? {
                let Part { name, flash, ram, stack, instructions, most, panics } = part;
                println!(
                    "  {name:12} {flash:>8} {ram:>7} {stack:>7} {instructions:>13} {most:>13}"
                );
                for panic in panics {
                    println!("    may panic: {panic}");
                }
            }
        }
    }
    println!("The appliance on mps3-an524, octets");
    println!("  {:12} {:>8} {:>10} {:>7}", "", "of flash", "static RAM", "stack");
    for variant in VARIANTS {
        let Figures { flash, statics, stack, panics } = appliance::measure(variant)?;
        println!("  {:12} {flash:>8} {statics:>10} {stack:>7}", variant.name);
        for (name, places) in panics {
            println!("    may panic: {name}, {places} places");
        }
    }
    Ok(())
}
