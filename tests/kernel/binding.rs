//! `chimectl kernel` as root of a guest: every mode of `ntp_adjtime` by way of the binding.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use truechimer_core::timex::{Reply, Request, Resolution, Settings, SoftwareClock, Status};
use truechimer_core::units::{Instant, Span, WallTime};
use truechimer_tests::binaries;
use truechimer_tests::guest::Guest;
use truechimer_tests::timex::fields::RawTimex;

const LIMIT: Duration = Duration::from_secs(300);

/// What is set, one call after the other, and what the kernel clamps of it.
const CALLS: [(&str, &[[&str; 3]]); 17] = [
    ("maxerror=1s esterror=500us status=PLL,FREQHOLD", &[]),
    ("freq=-12.5ppm", &[]),
    ("freq=600ppm", &[["freq", "600.000000 ppm", "500.000000 ppm"]]),
    ("freq=0ppm tick=10001", &[]),
    ("tick=9000", &[]),
    ("tick=10000", &[]),
    ("resolution=nano", &[]),
    ("constant=6", &[]),
    ("offset=-1.5ms", &[]),
    ("offset=600ms", &[["offset", "600000.000 us", "500000.000 us"]]),
    ("offset=0s constant=3", &[]),
    ("resolution=micro constant=9", &[["constant", "13 (log2 s)", "10 (log2 s)"]]),
    ("tai=37", &[]),
    ("setoffset=-1.5s", &[]),
    ("setoffset=3.000000500s resolution=nano", &[]),
    ("setoffset=0.75s resolution=micro", &[]),
    ("singleshot=20ms", &[]),
];
/// What the clock may gain by its rate and what is read later than it should be, ns.
const STEP_TOLERANCE: i64 = 5_000_000;

/// Each call does to the kernel what it does to the software clock, as the agent's own system call
/// and as `chimectl` itself read it.
pub(crate) fn chimectl() -> Result<()> {
    let calls = CALLS.map(|(words, _)| format!("kernel set {words} --json"));
    let guest = Guest::new(&binaries::guest_agent()?)?
        .with_program(&binaries::chimectl()?)?
        .with_file("arguments", calls.join("\n"));
    let lines = guest.run(LIMIT)?;
    ensure!(lines.len() == CALLS.len(), "{lines:#?}");
    let mut clock = SoftwareClock::new(Instant::default(), WallTime::from_unix(1_767_225_600, 0));
    for ((words, clamped), line) in CALLS.into_iter().zip(&lines) {
        check(&mut clock, words, clamped, line).with_context(|| format!("{words}: {line}"))?;
    }
    println!("{} calls of chimectl kernel set", CALLS.len());
    Ok(())
}

fn check(clock: &mut SoftwareClock, words: &str, clamped: &[[&str; 3]], line: &str) -> Result<()> {
    let line: Value = serde_json::from_str(line)?;
    ensure!(line["code"] == 0 && line["stderr"] == "", "it failed");
    let shown: Value = serde_json::from_str(line["stdout"].as_str().context("no output")?)?;
    let raw = RawTimex::parse(line["after"].as_str().context("no reading")?.split(' '))?;

    let at = Instant::default();
    let read = |clock: &mut SoftwareClock, request: &Request| clock.ntp_adjtime(at, request);
    let present = read(clock, &Request::READ)?.timex.status;
    let request = words.split(' ').try_fold(Request::READ, |request, word| {
        let (name, value) = word.split_once('=').context("no pair")?;
        request.with(name, value, present).map_err(|error| anyhow::anyhow!("{error}"))
    })?;
    read(clock, &request)?;
    let singleshot = read(clock, &Request::SingleShotRemaining)?.timex.offset;
    let Reply { timex, state } = read(clock, &Request::READ)?;

    let asked_and_got = clamped
        .iter()
        .map(|[field, asked, got]| json!({"field": field, "asked": asked, "got": got}));
    ensure!(shown["clamped"] == asked_and_got.collect::<Value>(), "clamped: {}", shown["clamped"]);
    let names: Value = timex.status.iter_names().map(|(name, _)| name).collect();
    let nano = timex.status.contains(Status::NANO);
    for (key, expected) in [
        ("freq_ppm", json!(timex.freq.as_ppm())),
        ("esterror_us", json!(timex.esterror.as_nanos() / 1_000)),
        ("status", names),
        ("constant_log2_s", json!(timex.constant)),
        ("tick_us", json!(timex.tick.as_nanos() / 1_000)),
        ("tai_s", json!(timex.tai)),
        ("resolution", json!(if nano { "nano" } else { "micro" })),
        ("state", json!(state.to_string())),
    ] {
        ensure!(shown[key] == expected, "{key} is {}, not {expected}", shown[key]);
    }
    for (name, expected, got) in [
        ("freq", timex.freq.as_scaled_ppm(), raw.freq),
        ("esterror", timex.esterror.as_nanos() / 1_000, raw.esterror),
        ("status", timex.status.bits().into(), raw.status),
        ("constant", timex.constant.into(), raw.constant),
        ("tick", timex.tick.as_nanos() / 1_000, raw.tick),
        ("tai", timex.tai.into(), raw.tai),
    ] {
        ensure!(got == expected, "{name} is {got}, not {expected}");
    }
    // These change each second: by a quarter of 2^-constant, by 500 us, by 500 us.
    for (key, expected, least, most) in [
        ("offset_ns", timex.offset.as_nanos(), timex.offset.as_nanos().abs() / 8, 0),
        ("maxerror_us", timex.maxerror.as_nanos() / 1_000, 0, 1_000),
        ("singleshot_us", singleshot.as_nanos() / 1_000, 1_000, 0),
    ] {
        let got = shown[key].as_i64().context(key)?;
        let lost = (expected - got) * expected.signum();
        ensure!((-most..=least).contains(&lost), "{key} is {got}, not {expected}");
    }
    let by = match request {
        Request::Set(Settings { set_offset: Some(by), resolution, .. }) => {
            let unit = if resolution == Some(Resolution::Nano) { 1 } else { 1_000 };
            by.as_nanos() / unit * unit
        }
        _ => Span::ZERO.as_nanos(),
    };
    let stepped = line["stepped"].as_i64().context("no step")?;
    ensure!((stepped - by).abs() <= STEP_TOLERANCE, "stepped by {stepped} ns, not {by}");
    Ok(())
}
