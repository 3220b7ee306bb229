//! What is on the wire, as another decoder sees it.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Result, ensure};
use truechimer_tests::capture::{Capture, Captured};
use truechimer_tests::chimed::Chimed;
use truechimer_tests::peers::{self, Chronyd};
use truechimer_tests::{free_port, wait_for};

/// Wireshark's word for what cannot be right, and its warnings and errors.
const WRONG: &str = "_ws.malformed || _ws.expert.severity >= 6291456";
/// A control message that asks for the system variables.
const VARIABLES: [u8; 12] = [0x16, 2, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0];

/// Answers of every kind, in both modes and versions, from both who serve.
pub(crate) fn nothing_is_malformed() -> Result<()> {
    for workers in [0, 1] {
        let port = free_port()?;
        let capture = Capture::start(port)?;
        let chimed = Chimed::start(&format!(
            "[[listen]]\naddress = \"*\"\nport = {port}\n[local]\nstratum = 3\n[serve]\n\
             workers = {workers}\nmonitoring = [\"127.0.0.1\"]\ndeny = [\"127.0.0.2\"]\n\
             kiss_one_in = 1\n"
        ))?;
        Chronyd::query(port)?;
        for version in [3, 4] {
            peers::ntplib(port, version)?;
        }
        let client = Chronyd::follow_interleaved(port)?;
        wait_for("interleaved answers", Duration::from_secs(20), || {
            Ok(client.view()?.interleaved.then_some(()))
        })?;
        for (from, to) in [("127.0.0.1", "127.0.0.1"), ("127.0.0.2", "127.0.0.1"), ("::1", "::1")] {
            let mut query = [0; 48];
            query[0] = 0o43;
            for question in [&query[..], &VARIABLES] {
                ask(from, to, port, question)?;
            }
        }
        drop(client);
        let answers = chimed.status()?.number("answers")?;
        drop(chimed);
        is_right(&capture.end()?, port, answers as usize, workers)?;
    }
    Ok(())
}

/// Whether there is an answer matters not.
fn ask(from: &str, to: &str, port: u16, question: &[u8]) -> Result<()> {
    let socket = UdpSocket::bind((from, 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(300)))?;
    socket.send_to(question, (to, port))?;
    let _ = socket.recv(&mut [0; 512]);
    Ok(())
}

fn is_right(captured: &Captured, port: u16, answers: usize, workers: u16) -> Result<()> {
    let wrong = captured.shown(WRONG)?;
    ensure!(wrong.is_empty(), "{workers} workers: {wrong:#?}");
    let of_server = format!("udp.srcport == {port}");
    let shown =
        |filter: &str| anyhow::Ok(captured.shown(&format!("{of_server} && {filter}"))?.len());
    let all = shown("ntp")?;
    ensure!(all == answers, "{all} of {answers} answers, {workers} workers");
    let (time, control) = (shown("ntp.flags.mode == 4")?, shown("ntp.flags.mode == 6")?);
    ensure!(control == 1 && time + control == all, "{time} and {control} of {all}");
    ensure!(shown("ntp.flags.vn == 3")? == 5, "{} in version 3", shown("ntp.flags.vn == 3")?);
    ensure!(shown("ntp.stratum == 0")? == 1, "{} kisses", shown("ntp.stratum == 0")?);
    ensure!(shown("ipv6 && ntp.stratum == 3")? == 1, "IPv6");
    // Workers' answers need no identification.
    let unidentified = shown("ip.id == 0 && ip.flags.df == 1")?;
    ensure!(workers == 0 || unidentified == shown("ip")?, "only {unidentified} without");
    Ok(())
}
