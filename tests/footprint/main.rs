//! On an emulated Cortex-M33 the core gives the same bits as here, and stays within limits.

use anyhow::{Context, Result, ensure};
use truechimer_tests::footprint::{Build, Part, measure};
use truechimer_tests::peers::Need;
use truechimer_tests::trial::{conclude, trial};

/// The most that a part may take, as it was measured and a tenth more: compilers differ. The name,
/// then octets of flash, RAM and stack, instructions of a call, and functions that panic: sorting
/// has them for orders that are none.
const LIMITS: [(&str, u64, u64, u64, u64, usize); 4] = [
    ("estimator20", 32_700, 1_460, 6_300, 1_063_000, 0),
    ("estimator8", 32_000, 860, 3_760, 410_000, 0),
    ("clock", 9_200, 280, 920, 1_220, 0),
    ("engine", 116_500, 12_700, 8_200, 3_725_000, 1),
];

fn main() {
    let trials = vec![
        trial("soft_float", &[Need::QemuArm], || is_within_limits(false)),
        trial("hard_float", &[Need::QemuArm], || is_within_limits(true)),
    ];
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
