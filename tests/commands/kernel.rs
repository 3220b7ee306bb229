//! `chimectl kernel`. Whatever would set the clock runs where it can only be refused, or where the
//! clock is the simulator's.

use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use truechimer_tests::binaries;
use truechimer_tests::namespace::Namespace;
use truechimer_tests::process::{Ended, finish};

use super::{SOON, neutral};

const ROWS: [&str; 22] = [
    "offset",
    "freq",
    "maxerror",
    "esterror",
    "status",
    "constant",
    "precision",
    "tolerance",
    "time",
    "tick",
    "ppsfreq",
    "jitter",
    "shift",
    "stabil",
    "jitcnt",
    "calcnt",
    "errcnt",
    "stbcnt",
    "tai",
    "singleshot",
    "resolution",
    "state",
];

const KEYS: [&str; 22] = [
    "calcnt",
    "constant_log2_s",
    "errcnt",
    "esterror_us",
    "freq_ppm",
    "jitcnt",
    "jitter_ns",
    "maxerror_us",
    "offset_ns",
    "ppsfreq_ppm",
    "precision_ns",
    "resolution",
    "shift_log2_s",
    "singleshot_us",
    "stabil_ppm",
    "state",
    "status",
    "stbcnt",
    "tai_s",
    "tick_us",
    "time",
    "tolerance_ppm",
];

/// The machine's own, without privilege and without a daemon; as a table and as JSON the same.
pub(crate) fn reading() -> Result<()> {
    let namespace = Namespace::new()?;
    let table = succeeded(unprivileged(&namespace, &["kernel"])?)?;
    let rows = rows(&table)?;
    let names: Vec<_> = rows.iter().map(|(name, _)| *name).collect();
    ensure!(names == ROWS, "{table}");
    ensure!(value(&rows, "tolerance")? == "500 ppm", "{table}");

    let json: Value =
        serde_json::from_str(&succeeded(unprivileged(&namespace, &["kernel", "--json"])?)?)?;
    let keys: Vec<_> = json.as_object().context("no object")?.keys().collect();
    ensure!(keys == KEYS, "{keys:?}");
    ensure!(json["tolerance_ppm"] == 500.0, "{json}");
    // What nobody changes meanwhile, and what always changes.
    let tick = json["tick_us"].as_i64().context("no tick")?;
    ensure!(value(&rows, "tick")? == format!("{tick}.000 us"), "{table}{json}");
    let names = json["status"].as_array().context("no list")?;
    let names: Vec<_> = names.iter().filter_map(Value::as_str).collect();
    ensure!(value(&rows, "status")?.ends_with(&format!(" ({})", names.join(","))), "{table}{json}");
    let now = SystemTime::UNIX_EPOCH.elapsed()?.as_secs();
    let time = json["time"].as_str().context("no time")?;
    let mut date = Command::new("date");
    let read = finish(date.args(["-u", "+%s", "-d", time]), SOON)?.stdout.trim().parse::<u64>()?;
    ensure!(now.abs_diff(read) <= SOON.as_secs(), "{time}: {read}, not {now}");
    Ok(())
}

/// Each thing that can be set.
pub(crate) fn not_permitted() -> Result<()> {
    let namespace = Namespace::new()?;
    for word in [
        "offset=1us",
        "freq=-12.5ppm",
        "maxerror=1s",
        "esterror=1s",
        "status=+INS",
        "constant=6",
        "tick=10000",
        "tai=37",
        "setoffset=1ns",
        "singleshot=1us",
        "resolution=nano",
    ] {
        let ended = unprivileged(&namespace, &["kernel", "set", word])?;
        let message = "chimectl: not permitted: to change this clock takes the privilege to set \
                       the time; run as root or with CAP_SYS_TIME\n";
        failed(&ended, 1, message)?;
    }
    Ok(())
}

/// What is wrong is said before the privilege is missed.
pub(crate) fn wrong() -> Result<()> {
    let namespace = Namespace::new()?;
    for (words, code, messages) in [
        (&["frq=1ppm"][..], 2, ["nothing to set is called \"frq\"", " freq "]),
        (&["jitter=1us"], 2, ["nothing to set is called \"jitter\"", " singleshot "]),
        (&["freq=12Hz"], 2, ["freq cannot be \"12Hz\"", "a rate such as -12.5ppm"]),
        (&["tick=8999"], 2, ["tick cannot be \"8999\"", "9000us to 11000us"]),
        (&["status=+NANO"], 2, ["status cannot be \"+NANO\"", "PLL,PPSFREQ"]),
        (&["tai=37", "constant=6"], 2, ["constant cannot be set together", "before it"]),
        (&["freq=1ppm", "singleshot=1us"], 2, ["singleshot cannot be set", "before it"]),
        (&["freq"], 2, ["invalid value 'freq'", "it is not NAME=VALUE"]),
        (&[], 2, ["required arguments were not provided", "<NAME=VALUE>..."]),
        (&["setoffset=-9000000000s"], 1, ["setoffset -9000000000", "between 1970 and 2232"]),
    ] {
        let ended = unprivileged(&namespace, &[&["kernel", "set"], words].concat())?;
        ensure!(ended.code == Some(code) && ended.stdout.is_empty(), "{words:?}: {ended:?}");
        let all = messages.iter().all(|message| ended.stderr.contains(message));
        ensure!(all, "{words:?}: {ended:?}");
    }
    Ok(())
}

/// The simulator's clock obeys, within its limits, which are told.
pub(crate) fn setting() -> Result<()> {
    let namespace = Namespace::new()?;
    let words = ["kernel", "set", "freq=600ppm", "tick=10001", "status=PLL,INS", "maxerror=20us"];
    let table = succeeded(simulated(&namespace, &words)?)?;
    let rows = rows(&table)?;
    for (name, expected) in [
        ("freq", "500.000000 ppm"),
        ("tick", "10001.000 us"),
        ("status", "0x0011 (PLL,INS)"),
        ("state", "TIME_OK (clock synchronised, no leap second)"),
    ] {
        ensure!(value(&rows, name)? == expected, "{name} is not {expected}: {table}");
    }
    // It takes no notice of the maximum error.
    let clamped = [
        ("clamped", "freq: asked for 600.000000 ppm, got 500.000000 ppm"),
        ("clamped", "maxerror: asked for 20.000 us, got 0.000 us"),
    ];
    ensure!(rows[ROWS.len()..] == clamped, "{table}");

    let words = ["kernel", "set", "freq=-500.5ppm", "status=+DEL", "--json"];
    let json: Value = serde_json::from_str(&succeeded(simulated(&namespace, &words)?)?)?;
    let clamped = serde_json::json!([{"field": "freq", "asked": "-500.500000 ppm", "got": "-500.000000 ppm"}]);
    ensure!(json["clamped"] == clamped && json["freq_ppm"] == -500.0, "{json}");
    // The simulator starts unsynchronised.
    ensure!(json["status"] == serde_json::json!(["DEL", "UNSYNC"]), "{json}");
    let words = ["kernel", "set", "freq=-12.5ppm", "--json"];
    let json: Value = serde_json::from_str(&succeeded(simulated(&namespace, &words)?)?)?;
    ensure!(json["clamped"] == serde_json::json!([]) && json["freq_ppm"] == -12.5, "{json}");

    // It knows no time constant.
    let ended = simulated(&namespace, &["kernel", "set", "constant=6"])?;
    failed(&ended, 1, "chimectl: the kernel's clock: Invalid argument\n")
}

fn unprivileged(namespace: &Namespace, arguments: &[&str]) -> Result<Ended> {
    let mut command = neutral(namespace.command_without_clock(binaries::chimectl()?));
    finish(command.args(arguments), SOON)
}

fn simulated(namespace: &Namespace, arguments: &[&str]) -> Result<Ended> {
    let mut command = neutral(namespace.command_without_clock("env"));
    command.arg(format!("LD_PRELOAD={}", binaries::preload_simulator()?.display()));
    command.arg("SIMULATOR=0 0 60");
    finish(command.arg(binaries::chimectl()?).args(arguments), SOON)
}

fn succeeded(ended: Ended) -> Result<String> {
    ensure!(ended.code == Some(0) && ended.stderr.is_empty(), "{ended:?}");
    ensure!(!ended.stdout.contains('\x1b'), "escape codes: {ended:?}");
    Ok(ended.stdout)
}

fn failed(ended: &Ended, code: i32, message: &str) -> Result<()> {
    ensure!(ended.code == Some(code) && ended.stdout.is_empty(), "{ended:?}");
    ensure!(ended.stderr == message, "{ended:?}, not {message:?}");
    Ok(())
}

fn rows(table: &str) -> Result<Vec<(&str, &str)>> {
    let row = |line| -> Result<_> {
        let (name, value) = str::split_once(line, ": ").context("no row")?;
        Ok((name.trim_start(), value))
    };
    table.lines().map(|line| row(line).context(line.to_owned())).collect()
}

fn value<'a>(rows: &[(&str, &'a str)], name: &str) -> Result<&'a str> {
    let row = rows.iter().find(|row| row.0 == name);
    Ok(row.with_context(|| format!("no {name} in {rows:?}"))?.1)
}
