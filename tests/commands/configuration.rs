//! Configuration files that cannot be used. None of them names a server, so that the machine's
//! clock were only watched if one was accepted.

use std::fs;

use anyhow::{Result, ensure};
use truechimer_tests::process::finish;
use truechimer_tests::{scratch, write};

use super::{SOON, chimed};

pub(crate) fn unreadable() -> Result<()> {
    let directory = scratch()?;
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (missing, folder, bytes) = (path("missing.toml"), path("folder"), path("bytes.toml"));
    fs::create_dir(&folder)?;
    fs::write(&bytes, b"clock = \"software\" # \xff\n")?;
    refused(
        &missing,
        &format!("{missing}: cannot be read: No such file or directory (os error 2)"),
    )?;
    refused(&folder, &format!("{folder}: cannot be read: Is a directory (os error 21)"))?;
    refused(&bytes, &format!("{bytes}: cannot be read: stream did not contain valid UTF-8"))
}

pub(crate) fn wrong() -> Result<()> {
    let directory = scratch()?;
    for (text, message) in [
        (
            "clock = software\n",
            ":1:9: software: string values must be quoted, expected literal string\n  \
             |\n1 | clock = software\n  |         ^^^^^^^^",
        ),
        (
            "clock = \"software\"\nslew = 1\n",
            ":2:1: unknown key `slew`, expected one of `clock`, `discipline`, `leap`, `leap_list`, `state`, `rtc`, `control`, `control_group`, `user`, `step_threshold`, \
             `step`, `panic_threshold`, `max_slew`, `packets`, `minsources`, `server`, `pool`, `constraint`, \
             `listen`, `serve`, `timestamps`, `software_clock`, `local`, `log`, `include`\n  \
             |\n2 | slew = 1\n  | ^^^^",
        ),
        (
            "clock = \"software\"\n[local]\nstratum = 16\n",
            ":3:11: stratum = 16 is out of range: 1 to 15 are allowed\n  \
             |\n3 | stratum = 16\n  |           ^^",
        ),
        (
            "clock = \"sundial\"\n",
            ":1:9: clock = \"sundial\" is unknown: \"kernel\" and \"software\" are allowed\n  \
             |\n1 | clock = \"sundial\"\n  |         ^^^^^^^^^",
        ),
        (
            "clock = \"software\"\n[[listen]]\naddress = \"localhost\"\n",
            ":3:11: address = \"localhost\" is not an IP address: one without a port (a key of its \
             own: port = 123), or \"*\" for all, is allowed\n  \
             |\n3 | address = \"localhost\"\n  |           ^^^^^^^^^^^",
        ),
    ] {
        let path = write(directory.path(), "chimed.toml", text)?;
        refused(&path, &format!("{path}{message}"))?;
    }
    Ok(())
}

/// With this and nothing else.
fn refused(path: &str, message: &str) -> Result<()> {
    let ended = finish(chimed()?.args(["-d", "-v", "-f", path]), SOON)?;
    ensure!(ended.code == Some(1) && ended.stdout.is_empty(), "{ended:?}");
    ensure!(ended.stderr == format!("chimed: {message}\n"), "{ended:?}, not {message:?}");
    Ok(())
}
