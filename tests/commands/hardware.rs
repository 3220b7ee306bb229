//! Interfaces that are to stamp packets and cannot.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use truechimer_tests::chimed::{Chimed, Status, server};
use truechimer_tests::fake::FakeServer;
use truechimer_tests::process::output;

use super::{SOON, chimectl};

const LIMIT: Duration = Duration::from_secs(30);

/// It is told by whom packets are stamped instead, once, and the kernel stamps them.
pub(crate) fn not_there() -> Result<()> {
    let fake = FakeServer::honest()?;
    let table = "[timestamps]\nhardware = [\"lo\", \"nothing\"]\n";
    let configuration = server(fake.port, -2) + table;
    for mut chimed in
        [Chimed::start_separated(&[], &configuration)?, Chimed::start(&configuration)?]
    {
        for (name, why) in [("lo", "it has no clock for that"), ("nothing", "it is not there")] {
            let text = format!("warning  packets of {name} are stamped by the kernel: {why}");
            chimed.process.wait_for_line(&text, SOON)?;
            ensure!(chimed.process.transcript.count(&text) == 1, "`{text}` more than once");
        }
        chimed.wait_until("a synchronised clock", LIMIT, Status::is_synced)?;
        let mut command = chimectl()?;
        let sources = command.arg("-s").arg(chimed.control()).args(["sources", "-v", "--json"]);
        let peers: Value = serde_json::from_str(&output(sources)?)?;
        let peer = peers.get(0).context("no peer")?;
        ensure!(peer["stamps"] == "kernel" && peer["transmit_stamps"] == "kernel", "{peer}");
        ensure!(peer["stamps_by"] == "SO_TIMESTAMPING" && peer["hardware_refused"] == 0, "{peer}");
    }
    Ok(())
}
