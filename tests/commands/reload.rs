//! Another configuration for a daemon that runs.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use truechimer_tests::chimed::{Chimed, Peer, Status, listen, server};
use truechimer_tests::fake::FakeServer;
use truechimer_tests::process::{Ended, finish};
use truechimer_tests::{free_port, wait_for};

use super::{SOON, chimectl};

const LIMIT: Duration = Duration::from_secs(20);

fn ask(chimed: &Chimed, arguments: &[&str]) -> Result<Ended> {
    finish(chimectl()?.arg("-s").arg(chimed.control()).args(arguments), SOON)
}

/// Asks, and expects this and nothing else.
fn answers(chimed: &Chimed, arguments: &[&str], stdout: &str, stderr: &str) -> Result<()> {
    let ended = ask(chimed, arguments)?;
    let code = i32::from(stdout.is_empty());
    let all = ended.code == Some(code) && ended.stdout == stdout && ended.stderr == stderr;
    ensure!(all, "{arguments:?}: {ended:?}, not {stdout:?} and {stderr:?}");
    Ok(())
}

fn used(peers: &[Peer]) -> Result<Vec<u64>> {
    peers.iter().map(|peer| peer.count("used")).collect()
}

/// Who stays keeps what is known of it, who goes is asked no more, and who comes is asked.
pub(crate) fn by_signal() -> Result<()> {
    let [stays, goes, comes] =
        [FakeServer::honest()?, FakeServer::honest()?, FakeServer::honest()?];
    let mut chimed = Chimed::start(&(server(goes.port, -2) + &server(stays.port, -2)))?;
    let before = wait_for("ten answers", LIMIT, || {
        let peers = chimed.peers()?;
        Ok(used(&peers)?.iter().all(|&used| used >= 10).then_some(peers))
    })?;
    let stayed = before[1].count("used")?;

    chimed.rewrite(&(server(stays.port, -2) + &server(comes.port, -2)))?;
    chimed.process.signal(Signal::SIGHUP)?;
    let line = "configuration reloaded: peers: 1 added, 1 removed, 0 changed, 1 as before";
    chimed.process.wait_for_line(line, SOON)?;
    let peers = chimed.peers()?;
    let ports: Vec<f64> = peers.iter().map(|peer| peer.number("port")).collect::<Result<_>>()?;
    ensure!(ports == [f64::from(stays.port), f64::from(comes.port)], "{peers:?}");
    ensure!(peers[0].count("used")? >= stayed && peers[0].is_valid()?, "{peers:?}");
    // An answer may be late; who came anew would have few so far.
    ensure!((peers[0].number("reach")? as u8).count_ones() >= 6, "{peers:?}");
    ensure!(chimed.status()?.is_synced()?, "{:?}", chimed.status()?);

    let asked = goes.queries();
    wait_for("the new one's answers", LIMIT, || {
        Ok((chimed.peers()?[1].count("used")? >= 5).then_some(()))
    })?;
    ensure!(goes.queries() <= asked + 1, "who is gone is still asked");
    ensure!(chimed.process.transcript.count("clock is now unsynced") == 0, "it was unsynchronised");
    ensure!(used(&chimed.peers()?)?.iter().all(|&used| used >= 5), "{:?}", chimed.peers()?);
    Ok(())
}

/// Options, limits and places to serve change; what cannot is named.
pub(crate) fn in_place() -> Result<()> {
    let (fake, ports) = (FakeServer::honest()?, [free_port()?, free_port()?, free_port()?]);
    let listening = |ports: &[u16]| ports.iter().map(|port| listen(*port)).collect::<String>();
    let chimed = Chimed::start(&(server(fake.port, -2) + &listening(&ports[..2])))?;
    chimed.wait_until("a synchronised clock", LIMIT, Status::is_synced)?;
    let before = chimed.peer()?.count("used")?;

    let changed = server(fake.port, -1) + "prefer = true\n" + &listening(&ports[1..]);
    let file = chimed.rewrite(&("packets = 2\n".to_owned() + &changed))?;
    let peers = "peers: 0 added, 0 removed, 1 changed, 0 as before\n";
    answers(&chimed, &["reload"], peers, "")?;
    let (peer, status) = (chimed.peer()?, chimed.status()?);
    ensure!(peer.count("used")? >= before && peer.number("interval")? == 0.5, "{peer:?}");
    ensure!(peer.options() == ["prefer"] && peer.is_valid()?, "{peer:?}");
    let served: Vec<String> = ports[1..].iter().map(|port| format!("127.0.0.1:{port}")).collect();
    ensure!(status.texts("listening")? == served, "{status:?}");
    let again = "peers: 0 added, 0 removed, 0 changed, 1 as before\n";
    answers(&chimed, &["reload"], again, "")?;

    let text = std::fs::read_to_string(&file)?;
    let control = chimed.control().display().to_string();
    let stays = |keys: &[&str]| -> String {
        let line =
            |key| format!("chimed: warning: {key} stays as it is until chimed is started again\n");
        keys.iter().map(line).collect()
    };
    let tables = "[software_clock]\noffset = 1.0\n[log]\nlevel = \"error\"\n[timestamps]\nhardware = [\"lo\"]\n[[constraint]]\n\
                  url = \"https://www.example.org/\"\n";
    let keys = "discipline = \"kernel\"\nstate = \"/nowhere\"\nrtc = \"/nowhere\"\n\
                control_group = \"adm\"\nuser = \"other\"\n";
    let fixed = keys.to_owned() + &text.replace(&control, "/nowhere/chimed.sock") + tables;
    std::fs::write(&file, fixed)?;
    let fixed = [
        "discipline",
        "state",
        "rtc",
        "control",
        "control_group",
        "user",
        "software_clock",
        "log",
        "timestamps",
        "constraint",
    ];
    answers(&chimed, &["reload"], again, &stays(&fixed))?;
    std::fs::write(&file, text.replace("\"software\"", "\"kernel\""))?;
    answers(&chimed, &["reload"], again, &stays(&["clock", "state"]))?;
    ensure!(chimed.status()?.is_synced()?, "{:?}", chimed.status()?);
    let ended = ask(&chimed, &["reload", "--json"])?;
    let done: serde_json::Value = serde_json::from_str(&ended.stdout)?;
    ensure!(done["kept"] == 1 && done["warnings"][0].is_string(), "{ended:?}");
    Ok(())
}

/// A file that is wrong changes nothing, and it is said where it is wrong.
pub(crate) fn refused() -> Result<()> {
    let fake = FakeServer::honest()?;
    let mut chimed = Chimed::start(&server(fake.port, -2))?;
    chimed.wait_until("a synchronised clock", LIMIT, Status::is_synced)?;
    let before = chimed.peer()?.count("used")?;
    for (text, line, message) in [
        ("packets = 17\n", 3, "11: packets = 17 is out of range: 0.1 to 16 are allowed\n"),
        ("include = \"gone.toml\"\n", 3, "11: include = \"gone.toml\": "),
    ] {
        let file = chimed.rewrite(text)?;
        let ended = ask(&chimed, &["reload"])?;
        let expected = format!("chimectl: chimed refused: {file}:{line}:{message}");
        let all = ended.code == Some(1) && ended.stderr.starts_with(&expected);
        ensure!(all && ended.stdout.is_empty(), "{ended:?}, not {expected}");
        let expected = expected.replace("chimectl: chimed refused", "nothing is reloaded");
        chimed.process.wait_for_line(expected.trim_end(), SOON)?;
    }
    chimed.process.signal(Signal::SIGHUP)?;
    wait_for("the refusal of the signal", SOON, || {
        Ok((chimed.process.transcript.count("nothing is reloaded: ") == 3).then_some(()))
    })?;
    let peer = chimed.peer()?;
    ensure!(peer.count("used")? >= before && peer.is_valid()?, "{peer:?}");
    Ok(())
}

pub(crate) fn by_the_operator() -> Result<()> {
    let [configured, added] = [FakeServer::honest()?, FakeServer::honest()?];
    let chimed = Chimed::start(&server(configured.port, -2))?;
    let [first, second] = [configured.port, added.port].map(|port| format!("127.0.0.1:{port}"));
    let one = "peers: 1 added, 0 removed, 0 changed, 0 as before\n";
    answers(&chimed, &["add", &second], one, "")?;
    wait_for("the added one's answers", LIMIT, || {
        let peers = chimed.peers()?;
        Ok((peers.get(1).context("one peer")?.count("used")? >= 4).then_some(()))
    })?;
    let already = "chimectl: chimed refused: 127.0.0.1 is asked already\n";
    answers(&chimed, &["add", &second], "", already)?;
    let kept = "peers: 0 added, 0 removed, 0 changed, 2 as before\n";
    answers(&chimed, &["reload"], kept, "")?;

    let one_changed = "peers: 0 added, 0 removed, 1 changed, 0 as before\n";
    answers(&chimed, &["offline", &second], one_changed, "")?;
    let asked = added.queries();
    answers(&chimed, &["burst"], "peers: 0 added, 0 removed, 2 changed, 0 as before\n", "")?;
    let others = configured.queries();
    wait_for("the other's answers", LIMIT, || {
        Ok((configured.queries() > others + 8).then_some(()))
    })?;
    ensure!(added.queries() <= asked + 1, "who is offline is asked");
    answers(&chimed, &["online", &second], one_changed, "")?;
    wait_for("its answers", LIMIT, || Ok((added.queries() > asked + 4).then_some(())))?;

    let gone = "peers: 0 added, 1 removed, 0 changed, 0 as before\n";
    for server in [&first, &second] {
        answers(&chimed, &["remove", server], gone, "")?;
    }
    let port = added.port;
    let unknown = format!("chimectl: chimed refused: 127.0.0.1 with port {port} is not asked\n");
    answers(&chimed, &["remove", &second], "", &unknown)?;
    ensure!(chimed.peers()?.is_empty(), "{:?}", chimed.peers()?);
    answers(&chimed, &["reload"], one, "")?;
    ensure!(chimed.peer()?.number("port")? == f64::from(configured.port), "{:?}", chimed.peer()?);
    Ok(())
}
