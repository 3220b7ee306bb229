//! Readings as comma-separated values.

use std::io::{self, Write};

use super::report::Reading;

/// The first line.
const HEADER: &str =
    "time,error,estimate,bound,frequency_error,frequency,counter_rate,packets,synced";

/// Writes readings, a line each: times in seconds, rates as plain ratios; what the engine does not
/// know yet is left empty.
#[derive(Debug)]
pub struct Writer<W: Write>(W);

impl<W: Write> Writer<W> {
    /// Begins with the names of the columns.
    ///
    /// # Errors
    /// The output's.
    pub fn new(mut output: W) -> io::Result<Self> {
        writeln!(output, "{HEADER}")?;
        Ok(Self(output))
    }

    /// Adds a reading.
    ///
    /// # Errors
    /// The output's.
    pub fn write(&mut self, reading: &Reading) -> io::Result<()> {
        let known =
            |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.9}"));
        writeln!(
            self.0,
            "{},{:.9},{},{},{:.6e},{:.6e},{:.6e},{},{}",
            reading.time,
            reading.error,
            known(reading.estimate),
            known(reading.bound),
            reading.frequency_error,
            reading.frequency,
            reading.counter_rate,
            reading.packets,
            u8::from(reading.synced),
        )
    }

    /// Returns the output.
    pub fn into_inner(self) -> W {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_stated() {
        let reading = Reading {
            time: 61.0,
            error: -0.000_001_25,
            estimate: None,
            bound: Some(0.001),
            likely: None,
            frequency_error: -1.5e-8,
            frequency: 2e-5,
            counter_rate: -2e-5,
            packets: 9,
            synced: true,
        };
        let mut writer = Writer::new(Vec::new()).unwrap();
        writer.write(&reading).unwrap();
        let text = String::from_utf8(writer.into_inner()).unwrap();
        assert_eq!(
            text,
            format!(
                "{HEADER}\n61,-0.000001250,,0.001000000,-1.500000e-8,2.000000e-5,-2.000000e-5,9,1\n"
            )
        );
    }
}
