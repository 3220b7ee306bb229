//! Runs a program again and again and notes what it does to the clock.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use libc::{CLOCK_MONOTONIC_RAW, CLOCK_REALTIME};
use serde_json::json;
use truechimer_tests::timex::fields::RawTimex;

use crate::scripts::use_tsc;
use crate::sys::{self, adjtimex, clock};

/// Runs `/program` with the arguments of each line of `arguments`.
pub fn run(arguments: &str) -> Result<()> {
    use_tsc()?;
    sys::start_loopback().context("no loopback")?;
    for line in arguments.lines() {
        let ahead = ahead();
        let mut command = Command::new("/program");
        // There is no /dev/null.
        command.args(line.split(' ')).stdin(Stdio::inherit());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().context("/program does not start")?;
        let ended = child.wait_with_output()?;
        let stepped = self::ahead() - ahead;
        let (_, after) = adjtimex(RawTimex::NOTHING)?;
        let object = json!({
            "code": ended.status.code(),
            "stdout": String::from_utf8_lossy(&ended.stdout),
            "stderr": String::from_utf8_lossy(&ended.stderr),
            "stepped": stepped,
            "after": after.to_string(),
        });
        sys::write_line(&object.to_string());
    }
    Ok(())
}

/// What to run it with, if that is what this guest is for.
pub fn arguments() -> Option<String> {
    fs::read_to_string("/arguments").ok()
}

/// By how much the clock is ahead of what nothing steps.
fn ahead() -> i64 {
    clock(CLOCK_REALTIME) - clock(CLOCK_MONOTONIC_RAW)
}
