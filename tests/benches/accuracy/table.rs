//! Figures beside their targets.

use std::fmt;

/// Whether a target is met.
#[derive(Debug)]
pub struct Verdict {
    /// The figure and its target.
    pub what: String,
    /// Whether the one is within the other.
    pub met: bool,
}

impl Verdict {
    /// `found` is to be `least` at least.
    pub fn at_least(what: &str, found: f64, least: f64) -> Self {
        Self { what: format!("{what}: {found:.6} is to be {least} at least"), met: found >= least }
    }

    /// `found` is to be `most` at most.
    pub fn at_most(what: &str, found: f64, most: f64) -> Self {
        // A figure that is none does not meet anything.
        Self { what: format!("{what}: {found:.3} is to be {most} at most"), met: found <= most }
    }
}

/// The mark of a figure in a table.
pub fn mark(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

/// Prints a table in Markdown.
pub fn print<C: fmt::Display>(title: &str, head: &[&str], rows: &[Vec<C>]) {
    println!("\n{title}\n\n| {} |\n|{}", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        let cells: Vec<String> = row.iter().map(C::to_string).collect();
        println!("| {} |", cells.join(" | "));
    }
}

/// The square root of the mean of squares.
pub fn root_mean_square(values: impl Iterator<Item = f64>) -> f64 {
    mean(values.map(|value| value * value)).sqrt()
}

/// The mean.
pub fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (count, sum) = values.fold((0u32, 0.0), |(count, sum), value| (count + 1, sum + value));
    sum / f64::from(count)
}

/// The geometric mean.
pub fn geometric_mean(values: impl Iterator<Item = f64>) -> f64 {
    mean(values.map(f64::ln)).exp()
}
