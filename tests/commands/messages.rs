//! The table of log messages, row by row: the test that provokes it, or why there is none.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use truechimer_tests::chimed::{Chimed, server};
use truechimer_tests::free_port;

const LIMIT: Duration = Duration::from_secs(40);

/// What becomes of a row.
enum Row {
    /// A file and the test in it. The file has the text that the row was found by.
    By(&'static str, &'static str),
    /// It cannot come about, or does not end the process.
    Never(&'static str),
}
use Row::{By, Never};

const COMMANDS_LOG: &str = "tests/commands/log.rs";
const DAEMON: &str = "hosted/src/daemon/tests.rs";
const CONTROL: &str = "hosted/src/control/server/tests.rs";
const NET: &str = "hosted/src/net/tests.rs";
const JUMPS: &str = "core/src/engine/tests/jumps.rs";
const LOOKUPS: &str = "hosted/src/daemon/lookups.rs";
const STATE: &str = "hosted/src/state/tests.rs";
const LEAP: &str = "core/src/engine/tests/leap.rs";
const KERNEL: &str = "hosted/src/clock/kernel.rs";
const ENGINE: &str = "core/src/engine/tests/mod.rs";
const CLOCK: &str = "core/src/engine/tests/clock.rs";
const USER: &str = "hosted/src/sandbox/user.rs";
const LINK: &str = "hosted/src/process/link.rs";
const DNS: &str = "hosted/src/process/dns.rs";
const PARENT: &str = "hosted/src/process/parent/tests.rs";
const PROCESSES: &str = "tests/commands/processes.rs";
const SUSPENDED: &str = "tests/hostile/suspended.rs";

const GOES_ON: Row = Never("the daemon goes on without: the peer is not reached, and asked again");

/// The least that no other row has, in the table's order.
const ROWS: &[(&str, Row)] = &[
    ("bad peer ", By("tests/commands/messages.rs", "bad_peer")),
    (
        "LOG MESSAGES WERE TRIMMED",
        By(CONTROL, "a_follower_that_is_stuck_gets_the_rest_and_the_marker"),
    ),
    ("ntp engine ready", By(COMMANDS_LOG, "memory")),
    ("Terminating", By(COMMANDS_LOG, "journal")),
    ("adjusting local clock by ", By("core/src/run/tests.rs", "a_small_error_is_never_stepped")),
    ("adjusting clock frequency by ", By("tests/interop/client.rs", "of_chimed")),
    ("set local clock to ", By(CLOCK, "a_step_that_fails_is_tried_again")),
    ("not synced (", By(SUSPENDED, "by_kiss_rate")),
    ("negative delay ", By(SUSPENDED, "by_negative_delay")),
    (" now valid", By(SUSPENDED, "by_alarm")),
    (" now invalid", By(SUSPENDED, "by_kiss_deny")),
    ("clock is now synced", By(JUMPS, "nobody_may_rely_on_a_clock_that_was_moved")),
    ("clock is now unsynced", By(JUMPS, "nobody_may_rely_on_a_clock_that_was_moved")),
    (" peers valid", By(ENGINE, "four_answers_make_a_peer_valid_and_the_clock_synced")),
    ("ntp engine exiting", By("tests/commands/ending.rs", "quit")),
    ("local clock jumped by ", By(JUMPS, "what_another_program_did_is_undone")),
    ("local clock held: offset ", By("tests/commands/control.rs", "accept")),
    ("local clock no longer held", By("tests/commands/control.rs", "accept")),
    ("leap second ", By(LEAP, "the_clock_makes_what_the_sources_announce")),
    ("clock frequency was changed by another from ", By("tests/preload/simulated.rs", "touched")),
    (" messages suppressed: ", By("tests/hostile/flood.rs", "of_queries")),
    ("pipe write error (to child)", By(PARENT, "a_child_that_is_gone_is_told")),
    ("pipe write error (to parent)", By(LINK, "a_parent_that_is_gone_is_told")),
    ("pipe write error (to dns engine)", By(DNS, "a_dns_engine_that_is_gone_is_told_once")),
    ("pipe write error (to ntp engine)", By(DNS, "what_ends_it_is_told")),
    ("dispatch_imsg in main: pipe closed", By(PROCESSES, "without_the_ntp_engine")),
    ("ntp_dispatch_imsg in ntp engine: pipe closed", By(PROCESSES, "without_the_parent")),
    ("dns_dispatch_imsg in dns engine: pipe closed", By(DNS, "what_ends_it_is_told")),
    ("Lost child: <proc name> exited", By(PARENT, "a_child_that_is_gone_is_told")),
    ("Lost child: <proc name> terminated", By(PROCESSES, "without_the_dns_engine")),
    ("invalid <msg name> received", By(PARENT, "a_child_that_talks_nonsense_is_told")),
    ("IMSG_HOST_DNS with invalid peerID", By(LOOKUPS, "what_nobody_waits_for_is_told")),
    ("IMSG_HOST_DNS but addr != NULL!", By(LOOKUPS, "what_nobody_waits_for_is_told")),
    ("could not set priority", By(DNS, "a_priority_that_cannot_be_had_is_told")),
    ("poll error", By(DAEMON, "a_poll_that_fails_ends_it")),
    ("ntp_adjtime (1) failed", By(KERNEL, "calls_that_fail_are_told")),
    ("ntp_adjtime (2) failed", By(KERNEL, "calls_that_fail_are_told")),
    ("adjtime failed", By(CLOCK, "a_clock_that_begins_to_refuse_is_not_called_right")),
    ("adjfreq failed", By(CLOCK, "a_clock_that_begins_to_refuse_is_not_called_right")),
    (
        "adjfreq reset failed",
        Never("without a drift file the clock begins at the frequency that it has"),
    ),
    ("reset adjtime failed", By(DAEMON, "a_clock_that_cannot_be_adjusted_is_told")),
    ("reset adjfreq failed", By(KERNEL, "only_a_call_that_is_allowed_can_fail_at_the_start")),
    ("read adjfreq failed", By(DAEMON, "a_clock_that_cannot_be_read_ends_it")),
    (
        "gettimeofday",
        Never("clock_gettime knows both clocks on every system that this is built for"),
    ),
    ("settimeofday", By(CLOCK, "a_step_that_fails_is_tried_again")),
    ("can't open ", By(STATE, "what_cannot_be_opened_or_read_is_told")),
    ("can't read ", By(STATE, "damage_is_reported_and_ignored")),
    ("can't write ", By(STATE, "what_cannot_be_written_is_told_once_and_the_old_stays")),
    ("malformed packet received from ", By("tests/hostile/refused.rs", "malformed")),
    ("recvmsg <ip> <errmsg>", By(NET, "an_error_of_a_peer_is_told_once")),
    ("recvmsg packet ", By(NET, "what_is_cut_off_is_told")),
    ("recvmsg control data ", By(NET, "what_is_cut_off_is_told")),
    (
        "recvmsg control format ",
        Never("nix reads the stamp by its type, as the kernel has written it"),
    ),
    ("setsockopt IPTOS_LOWDELAY", By(DAEMON, "sockets_that_fail_are_told")),
    ("client_query socket", By(DAEMON, "sockets_that_fail_are_told")),
    ("sendto", By(DAEMON, "sockets_that_fail_are_told")),
    ("recvfrom <ip>", By(NET, "a_listener_that_cannot_receive_says_so")),
    (" failed, skipping", By(COMMANDS_LOG, "journal")),
    ("ntp_sendmsg: only ", Never("a datagram is sent whole or not at all")),
    ("control_init: socket", By(DAEMON, "a_control_socket_that_fails_is_told")),
    ("control_init: unlink ", By(DAEMON, "a_control_socket_that_fails_is_told")),
    ("control_init: bind: ", By(DAEMON, "a_control_socket_that_fails_is_told")),
    ("control_init: chmod", By(DAEMON, "a_control_socket_that_fails_is_told")),
    ("control_listen: listen", By(DAEMON, "a_control_socket_that_fails_is_told")),
    ("control_accept: accept", By(DAEMON, "a_control_socket_that_fails_is_told")),
    ("control_accept: calloc", By(CONTROL, "bounds_its_clients_and_forgets_those_that_leave")),
    ("control_close: ", Never("a connection is closed where it is served, never looked up")),
    ("control_dispatch_msg: ", Never("as closing: a request comes with its connection")),
    ("could not resize idx2peer from ", By(DAEMON, "too_many_peers_end_it")),
    (
        "could not resize pfd from ",
        Never("the table has a place for every socket that there can be"),
    ),
    ("fatal: client_query socket", GOES_ON),
    ("fatal: client_query connect", GOES_ON),
    ("fatal: setsockopt SO_TIMESTAMP", Never("the daemon goes on with stamps of its own")),
    ("fatal: recvmsg", GOES_ON),
    ("fatal: client_peer_init calloc", By(DAEMON, "too_many_peers_end_it")),
    (
        "fatal: king bula sez: wrong AF in client_addr_init",
        Never("a server's address has one of two types"),
    ),
    ("fatal: king bula sez: af borked", By(DAEMON, "a_host_without_sockets_ends_it")),
    ("fatal: setsid", By(PARENT, "what_cannot_be_had_to_start_a_child_is_told")),
    ("fatal: getservbyname", Never("the port is a constant, or configured as a number")),
    ("fatal: socketpair", By(PARENT, "what_cannot_be_had_to_start_a_child_is_told")),
    ("fatal: exiting", By(DAEMON, "a_poll_that_fails_ends_it")),
    ("fatal: can't drop privileges", By(USER, "privileges_that_cannot_be_dropped_are_told")),
    ("fatal: malloc", By(PARENT, "what_cannot_be_had_to_start_a_child_is_told")),
    ("fatal: cannot fork", By(PARENT, "what_cannot_be_had_to_start_a_child_is_told")),
    ("fatal: socket", By(DAEMON, "a_host_without_sockets_ends_it")),
    ("fatal: recvfrom", Never("a listener's error is told and the next datagram is taken")),
];

pub(crate) fn each_row() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let table = fs::read_to_string(root.join("tests/vectors/log-messages.md"))?;
    let rows: Vec<&str> =
        table.lines().filter(|line| line.starts_with('|')).filter_map(text).collect();
    let mut found = BTreeSet::new();
    for (fragment, row) in ROWS {
        let place = find(&rows, fragment)?;
        ensure!(found.insert(place), "`{}` is there twice", rows[place]);
        if let By(file, test) = row {
            check(&root.join(file), test, fragment.split('<').next().unwrap_or_default())
                .with_context(|| format!("`{}`: {file}: {test}", rows[place]))?;
        }
    }
    let missing: Vec<_> = (0..rows.len()).filter(|place| !found.contains(place)).collect();
    ensure!(
        missing.is_empty(),
        "no test: {:?}",
        missing.iter().map(|&place| rows[place]).collect::<Vec<_>>()
    );
    for (text, row) in ROWS {
        if let Never(reason) = row {
            println!("`{text}`: {reason}");
        }
    }
    Ok(())
}

/// The text of a row, if it is one.
fn text(line: &str) -> Option<&str> {
    line.split('|').nth(2)?.trim().strip_prefix('`')?.strip_suffix('`')
}

/// The row that is the fragment, or the only one that has it.
fn find(rows: &[&str], fragment: &str) -> Result<usize> {
    if let Some(place) = rows.iter().position(|row| row == &fragment) {
        return Ok(place);
    }
    let having: Vec<_> = (0..rows.len()).filter(|&place| rows[place].contains(fragment)).collect();
    match having[..] {
        [place] => Ok(place),
        _ => bail!("{} rows have `{fragment}`", having.len()),
    }
}

/// Whether there is such a test, and what it looks for.
fn check(file: &Path, test: &str, fragment: &str) -> Result<()> {
    let source = fs::read_to_string(file)?;
    ensure!(source.contains(fragment.trim()), "`{fragment}` is not there");
    let place = source.find(&format!("fn {test}(")).context("there is no such function")?;
    let trial = || -> Result<bool> {
        let module = file.file_stem().and_then(|stem| stem.to_str()).context("no name")?;
        let main: PathBuf = file.with_file_name("main.rs");
        Ok(main.exists() && fs::read_to_string(main)?.contains(&format!("{module}::{test})")))
    };
    ensure!(source[..place].trim_end().ends_with("#[test]") || trial()?, "it is no test");
    Ok(())
}

/// A server that does not answer.
pub(crate) fn bad_peer() -> Result<()> {
    let mut chimed = Chimed::start(&server(free_port()?, -4))?;
    let line = chimed.process.wait_for_line("bad peer 127.0.0.1 (127.0.0.1)", LIMIT)?;
    ensure!(line.contains(" warning "), "{line}");
    Ok(())
}
