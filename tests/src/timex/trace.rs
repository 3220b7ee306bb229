//! Scripts for the agent and traces of what the kernel did with them.
//!
//! A script:
//!
//! ```text
//! sequence NAME SECOND          with CLOCK_REALTIME set to SECOND and a half
//! NS REQUEST                    at NS of CLOCK_MONOTONIC_RAW since then, or a little later
//! ```
//!
//! A trace of it:
//!
//! ```text
//! sequence NAME FROM UNTIL REAL TAI
//! FROM UNTIL REQUEST -> RESULT ANSWER @ FROM UNTIL REAL TAI
//! ```
//!
//! `FROM` and `UNTIL` are ns of CLOCK_MONOTONIC_RAW since some moment, just before and just after
//! a call or a reading; `REAL` is ns of CLOCK_REALTIME and `TAI` what CLOCK_TAI is ahead of it, s.
//! `REQUEST` and `ANSWER` are words `field=value`, left out where 0; `RESULT` is the call's or,
//! negative, its error number.

use std::fmt;

use anyhow::{Context, Result, ensure};

use super::fields::RawTimex;

/// A call that is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// When, ns since the start of the sequence.
    pub at: i64,
    /// With what.
    pub request: RawTimex,
}

/// Calls that are to be made one after another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// One word.
    pub name: String,
    /// What CLOCK_REALTIME shows at the start, s since 1970, and half a second.
    pub second: i64,
    /// In order.
    pub steps: Vec<Step>,
}

/// What the clocks showed at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Not before this of CLOCK_MONOTONIC_RAW, ns.
    pub from: i64,
    /// Not after this.
    pub until: i64,
    /// CLOCK_REALTIME, ns since 1970.
    pub real: i64,
    /// CLOCK_TAI minus CLOCK_REALTIME, s.
    pub tai: i64,
}

/// A call that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Not before this of CLOCK_MONOTONIC_RAW, ns.
    pub from: i64,
    /// Not after this.
    pub until: i64,
    /// With what.
    pub request: RawTimex,
    /// What it returned, or the error number, negative.
    pub result: i64,
    /// What the structure held then.
    pub answer: RawTimex,
    /// What the clocks showed just after it.
    pub after: Reading,
}

/// Calls that were made one after another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The script's.
    pub name: String,
    /// What the clocks showed before the first of them.
    pub start: Reading,
    /// In order.
    pub calls: Vec<Call>,
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "sequence {} {}", self.name, self.second)?;
        self.steps.iter().try_for_each(|step| writeln!(f, "{} {}", step.at, step.request))
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.from, self.until, self.real, self.tai)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, until, request, result, answer, after } = self;
        write!(f, "{from} {until} {request} -> {result} {answer} @ {after}")
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "sequence {} {}", self.name, self.start)?;
        self.calls.iter().try_for_each(|call| writeln!(f, "{call}"))
    }
}

impl Script {
    /// All scripts of a text.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse_all(text: &str) -> Result<Vec<Self>> {
        sequences(text, |header, lines| {
            let (name, second) = header.split_once(' ').context("no second")?;
            let steps = lines.iter().map(|line| Step::parse(line)).collect::<Result<_>>()?;
            Ok(Self { name: name.to_owned(), second: second.parse()?, steps })
        })
    }
}

impl Step {
    fn parse(line: &str) -> Result<Self> {
        let mut words = line.split_whitespace();
        let at = number(words.next())?;
        Ok(Self { at, request: RawTimex::parse(words)? })
    }
}

impl Trace {
    /// All traces of a text.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse_all(text: &str) -> Result<Vec<Self>> {
        sequences(text, |header, lines| {
            let (name, start) = header.split_once(' ').context("no reading")?;
            let calls = lines.iter().map(|line| Call::parse(line)).collect::<Result<_>>()?;
            Ok(Self { name: name.to_owned(), start: Reading::parse(start)?, calls })
        })
    }
}

impl Call {
    fn parse(line: &str) -> Result<Self> {
        let (asked, rest) = line.split_once(" -> ").context("no answer")?;
        let (answered, after) = rest.split_once('@').context("no reading")?;
        let (mut asked, mut answered) = (asked.split_whitespace(), answered.split_whitespace());
        Ok(Self {
            from: number(asked.next())?,
            until: number(asked.next())?,
            request: RawTimex::parse(asked)?,
            result: number(answered.next())?,
            answer: RawTimex::parse(answered)?,
            after: Reading::parse(after)?,
        })
    }
}

impl Reading {
    fn parse(text: &str) -> Result<Self> {
        let mut words = text.split_whitespace();
        let mut next = || number(words.next());
        Ok(Self { from: next()?, until: next()?, real: next()?, tai: next()? })
    }
}

fn number(word: Option<&str>) -> Result<i64> {
    let word = word.context("too short")?;
    word.parse().with_context(|| format!("not a number: {word}"))
}

/// What `parse` makes of each header and its lines. An error names the line.
fn sequences<T>(text: &str, parse: impl Fn(&str, &[&str]) -> Result<T>) -> Result<Vec<T>> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let mut sequences = Vec::new();
    let mut rest = &lines[..];
    while let [first, tail @ ..] = rest {
        let header = first.strip_prefix("sequence ");
        let header = header.with_context(|| format!("not a sequence: {first}"))?;
        let length = tail.iter().take_while(|line| !line.starts_with("sequence ")).count();
        let (own, others) = tail.split_at(length);
        ensure!(!header.is_empty(), "a sequence without a name");
        sequences.push(parse(header, own).with_context(|| format!("in sequence {header}"))?);
        rest = others;
    }
    Ok(sequences)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn script_is_read_as_written() {
        let text = "sequence a 1767225600\n0 \n2500000000 modes=0x11 offset=-5 status=0x2001\n";
        let scripts = Script::parse_all(text).unwrap();
        assert_eq!(scripts[0].steps[1].request.status, 0x2001);
        assert_eq!(scripts[0].to_string(), text);
        let error = Script::parse_all("sequence a 1\n0 mode=1\n").unwrap_err();
        assert_eq!(format!("{error:#}"), "in sequence a 1: no field of timex: mode=1");
    }

    #[test]
    fn trace_is_read_as_written() {
        let text = "sequence b 1 2 1767225600500000000 0\n\
                    9 12 modes=0x4000 tick=1 -> -22 modes=0x4000 tick=1 @ 13 14 1767225600500000012 37\n";
        let traces = Trace::parse_all(text).unwrap();
        assert_eq!(traces[0].calls[0].result, -22);
        assert_eq!(traces[0].calls[0].after.tai, 37);
        assert_eq!(traces[0].to_string(), text);
    }
}
