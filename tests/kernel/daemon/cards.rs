//! Network cards of which QEMU emulates the clock and its stamps: Intel's 82576. It stamps what leaves, and of
//! what arrives nothing that is of NTP.

use anyhow::{Context, Result, ensure};
use truechimer_tests::binaries;
use truechimer_tests::guest::Guest;
use truechimer_tests::guest::scenario::{BEHIND_CARD, CARD, Happening, Run, Scenario};

use super::{Case, event, honest, perform_in, within};

const SETTLED: f64 = 600.0;
const END: f64 = 1_800.0;
/// It takes two readings to know a clock, and the second one is at the first stamp.
const REFUSED: u64 = 1;
/// The clock is never more wrong, s: each way takes 0.2 ms, and some microseconds of the guest.
const RIGHT: f64 = 60e-6;

pub(crate) fn cards() -> Result<()> {
    let scenario = |name: &str, separated: bool, hardware: &str| Scenario {
        name: format!("cards: {name}"),
        configuration: format!(
            "[[server]]\naddress = \"{BEHIND_CARD}\"\nminpoll = 4\nmaxpoll = 6\n\
             [timestamps]\nhardware = [{hardware}]\n"
        ),
        separated,
        secs: END,
        ahead: -0.02,
        events: vec![event(END - 1.0, Happening::Peers)],
        ..Scenario::default()
    };
    let card = format!("\"{CARD}\"");
    let guest = Guest::new(&binaries::guest_agent()?)?.with_cards()?;
    perform_in(
        guest,
        "cards",
        &[
            Case { scenario: scenario("the kernel's stamps", false, ""), check: kernel },
            Case { scenario: scenario("one process", false, &card), check: stamped },
            Case { scenario: scenario("several", true, &card), check: stamped },
        ],
    )
}

fn kernel(run: &Run) -> Result<String> {
    judge(run, "kernel")
}

fn stamped(run: &Run) -> Result<String> {
    let told = format!("what leaves {CARD} is stamped by its clock, /dev/ptp0");
    ensure!(run.has_logged(&told, 0.0, END), "not told: {:?}", run.log);
    judge(run, "hardware")
}

/// Whose stamps the last ones were, and the true error.
fn judge(run: &Run, departures: &str) -> Result<String> {
    honest(run, SETTLED, END)?;
    let (_, peers) = run.peers.last().context("no peers")?;
    let peer = &peers[0];
    ensure!(peer["transmit_stamps"] == departures, "{peer}");
    ensure!(peer["stamps"] == "kernel" && peer["stamps_by"] == "SO_TIMESTAMPING", "{peer}");
    let refused = peer["hardware_refused"].as_u64().context("none are counted")?;
    ensure!(refused <= REFUSED, "{peer}");
    let error = run.error(SETTLED, END)?;
    within("error", error, RIGHT)?;
    let (sent, error) = (&peer["sent"], error * 1e6);
    Ok(format!("error {error:.1} us; {sent} queries, {refused} stamps of the card not believed"))
}
