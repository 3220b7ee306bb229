//! On an emulated Cortex-M33 the core gives the same bits as here, and stays within limits; so does
//! the appliance as a whole.

use anyhow::{Context, Result, ensure};
use truechimer_tests::appliance::{self, Figures, VARIANTS, Variant};
use truechimer_tests::footprint::{Build, Part, measure};
use truechimer_tests::peers::Need;
use truechimer_tests::trial::{conclude, trial};

/// The most that a part may take, as it was measured and a tenth more: compilers differ. The name,
/// then octets of flash, RAM and stack, instructions of a call, and functions that panic: sorting
/// has them for orders that are none.
const LIMITS: [(&str, u64, u64, u64, u64, usize); 4] = [
    ("estimator20", 29_200, 1_470, 6_300, 1_074_000, 0),
    ("estimator8", 28_600, 872, 3_930, 415_000, 0),
    ("clock", 7_100, 280, 920, 1_450, 0),
    ("engine", 88_500, 12_700, 7_140, 3_282_000, 1),
];

/// The most that the appliance may take: octets of flash, of RAM with its stack, and places that may
/// panic.
const APPLIANCE: [(Variant, u64, u64, usize); 2] =
    [(VARIANTS[0], 96 * 1024, 24 * 1024, 75), (VARIANTS[1], 128 * 1024, 32 * 1024, 115)];

/// Whose code may panic as far as the compiler can see, built for size, and why it does not.
const PANICS: [(&str, &str); 9] = [
    ("byteorder", "fields of packets whose length smoltcp has looked at"),
    ("chacha20", "blocks of a constant length"),
    ("core/src", "places among the filters of a kind, which `from_fn` and `zip` bound"),
    ("critical-section", "arrivals of frames, borrowed where no interrupt comes"),
    ("firmware/src", "sockets that were added, at the start"),
    ("heapless", "places that were looked up just before"),
    ("rand_core", "as chacha20"),
    ("smoltcp", "fields of packets whose length it has looked at, and sockets by their handles"),
    ("static_cell", "memory that is taken once, at the start"),
];

fn main() {
    let mut trials = vec![
        trial("soft_float", &[Need::QemuArm], || is_within_limits(false)),
        trial("hard_float", &[Need::QemuArm], || is_within_limits(true)),
    ];
    trials.extend(APPLIANCE.map(|limits| {
        trial(&format!("appliance_{}", limits.0.name), &[Need::QemuArm], move || {
            appliance_is_within_limits(limits)
        })
    }));
    conclude(trials, 1);
}

fn is_within_limits(hard_float: bool) -> Result<()> {
    let parts = measure(Build { hard_float, fast: false })?;
    for (name, flash, ram, stack, instructions, panics) in LIMITS {
        let part = parts.iter().find(|part| part.name == name);
        let part = part.with_context(|| format!("{name} was not measured"))?;
        let Part { flash: f, ram: r, stack: s, instructions: i, .. } = *part;
        ensure!(f <= flash && r <= ram && s <= stack && i <= instructions, "{part:?}");
        ensure!(part.panics.len() <= panics, "{part:?}");
        ensure!(f > 0 && r > 0 && s > 0 && i > 0, "{part:?}");
    }
    Ok(())
}

fn appliance_is_within_limits(
    (variant, flash, ram, places): (Variant, u64, u64, usize),
) -> Result<()> {
    let figures = appliance::measure(variant)?;
    eprintln!("{figures:#?}");
    let Figures { flash: f, statics: r, stack: s, .. } = figures;
    ensure!(f <= flash && r + s <= ram, "{figures:?}");
    ensure!(f > 0 && r > 0 && s > 0, "{figures:?}");
    for name in figures.panics.keys() {
        ensure!(PANICS.iter().any(|(known, _)| known == name), "{name} may panic: {figures:?}");
    }
    ensure!(figures.panics.values().sum::<usize>() <= places, "{figures:?}");
    Ok(())
}
