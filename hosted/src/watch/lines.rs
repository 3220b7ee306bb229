//! What is watched, a line each time.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{Sample, WatchError, wait};
use crate::table::seconds;
use crate::{output, sys};

pub(super) fn watch(path: &Path, interval: Duration, json: bool) -> Result<(), WatchError> {
    let mut next = Instant::now();
    while !sys::termination_requested() {
        if next <= Instant::now() {
            next += interval;
            let sample = Sample::take(path)?;
            let line = if json { in_json(&sample)? } else { in_words(&sample) };
            if !output::print_on(&line).map_err(WatchError::Output)? {
                break;
            }
        }
        wait(None, next)?;
    }
    Ok(())
}

fn in_json(sample: &Sample) -> Result<String, WatchError> {
    let json = serde_json::to_string(sample);
    json.map(|json| json + "\n").map_err(|error| WatchError::Output(error.into()))
}

fn in_words(Sample { time, status, .. }: &Sample) -> String {
    format!(
        "{time}  {:<8}  offset {:>13}  error bound {:>13}  likely {:>13}  frequency {:+.3} ppm  \
         {} of {} peers valid\n",
        if status.synced { "synced" } else { "unsynced" },
        seconds(status.offset),
        seconds(status.error_bound),
        seconds(status.likely_error),
        status.frequency,
        status.peers_valid,
        status.peers,
    )
}
