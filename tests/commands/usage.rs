//! Command lines that ask for help or need it.

use std::process::Command;

use anyhow::{Result, ensure};
use truechimer_tests::process::finish;

use super::{SOON, chimectl, chimed};

type Program = fn() -> Result<Command>;

pub(crate) fn help() -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    for (program, name, words) in [
        (chimed as Program, "chimed", &["query", "demo", "--single-process"][..]),
        (
            chimectl,
            "chimectl",
            &[
                "status",
                "tracking",
                "peers",
                "wait",
                "kernel",
                "bench",
                "--socket",
                "--json",
                "/run/chimed/chimed.sock",
            ],
        ),
    ] {
        for help in ["-h", "--help"] {
            let ended = finish(program()?.arg(help), SOON)?;
            ensure!(ended.code == Some(0) && ended.stderr.is_empty(), "{ended:?}");
            let usage = format!("Usage: {name} ");
            let all = words.iter().all(|word| ended.stdout.contains(word));
            ensure!(ended.stdout.contains(&usage) && all, "{ended:?}");
            ensure!(!ended.stdout.contains('\x1b'), "escape codes: {ended:?}");
        }
        for option in ["-V", "--version"] {
            let ended = finish(program()?.arg(option), SOON)?;
            ensure!(ended.code == Some(0) && ended.stderr.is_empty(), "{ended:?}");
            ensure!(ended.stdout == format!("{name} {version}\n"), "{ended:?}");
        }
    }
    // Without arguments the help is what is wrong.
    let ended = finish(&mut chimectl()?, SOON)?;
    ensure!(ended.code == Some(2) && ended.stdout.is_empty(), "{ended:?}");
    ensure!(ended.stderr.contains("tracking"), "{ended:?}");
    Ok(())
}

/// Nothing starts, and it is said what is missing or allowed.
pub(crate) fn wrong() -> Result<()> {
    let cases: [(Program, &[&str], &str); 9] = [
        (chimed, &["-d", "-f"], "a value is required for '--config <FILE>'"),
        (chimed, &["-d", "--log-profile", "loud"], "[possible values: unix, appliance]"),
        (chimed, &["-d", "query", "localhost"], "cannot be used with '--single-process'"),
        (chimed, &["query"], "<HOST[:PORT]>..."),
        (chimed, &["serve"], "unrecognized subcommand 'serve'"),
        (chimectl, &["reboot"], "unrecognized subcommand 'reboot'"),
        (chimectl, &["wait", "-t=-1"], "0 to 1000000 are allowed"),
        (chimectl, &["wait", "--until", "noon"], "[possible values: synced, reachable]"),
        (chimectl, &["--json"], "requires a subcommand"),
    ];
    for (program, arguments, message) in cases {
        let ended = finish(program()?.args(arguments), SOON)?;
        ensure!(ended.code == Some(2) && ended.stdout.is_empty(), "{arguments:?}: {ended:?}");
        ensure!(ended.stderr.contains(message), "{arguments:?}: {ended:?}");
    }
    Ok(())
}
