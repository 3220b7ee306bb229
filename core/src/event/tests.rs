//! Every row of the specification against exactly one event, and every event against a row.

extern crate std;

use std::format;
use std::mem::discriminant;
use std::string::{String, ToString};
use std::vec::Vec;

use super::Level::{Critical, Debug, Error, Info, Warning};
use super::*;

const SPECIFICATION: &str = include_str!("../../../tests/vectors/log-messages.md");

/// A line of the specification's tables: the appliance's level, and the text with its `<…>`.
struct Row {
    level: Level,
    text: &'static str,
}

impl Row {
    /// The text with the values put in place of the placeholders, if there are as many.
    fn filled(&self, values: &[&str]) -> Option<String> {
        let (mut rest, mut filled) = (self.text, String::new());
        for value in values {
            let (before, from) = rest.split_once('<')?;
            let (_, after) = from.split_once('>')?;
            filled = filled + before + value;
            rest = after;
        }
        (!rest.contains('<')).then(|| filled + rest)
    }
}

fn rows() -> Vec<Row> {
    SPECIFICATION
        .lines()
        .filter(|line| line.starts_with('|') && line.contains('`'))
        .map(|line| {
            let mut columns = line.split('|').skip(1).map(str::trim);
            let level = match columns.next() {
                Some("debug") => Debug,
                Some("info") => Info,
                Some("warn") => Warning,
                other => panic!("{other:?} is no level: {line}"),
            };
            let text = columns.next().expect("a text").trim_matches('`');
            Row { level, text }
        })
        .collect()
}

/// An event, the values for the placeholders of its row, its text, its level under Unix.
pub(super) type Sample = (Event<'static>, &'static [&'static str], &'static str, Level);

const V4: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 1));
const V6: IpAddr = IpAddr::V6(core::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
const DRIFT: &str = "/var/db/ntpd.drift";
const SOCKET: &str = "/var/run/ntpd.sock";
const HOUR: Span = Span::from_secs(3_600);

#[rustfmt::skip] // a row a line
pub(super) fn samples() -> Vec<Sample> {
    use Event::*;
    std::vec![
        // Operation
        (BadPeer { name: "ntp.example", address: Some(V4), pool: false }, &["ntp.example", "192.0.2.1"],
            "bad peer ntp.example (192.0.2.1)", Warning),
        (LogTrimmed, &[], "== OLDER \"ntp\" LOG MESSAGES WERE TRIMMED ==", Info),
        (EngineReady, &[], "ntp engine ready", Info),
        (Terminating, &[], "Terminating", Info),
        (AdjustingClock { offset: Span::from_micros(-128_500) }, &["-0.128500"],
            "adjusting local clock by -0.128500s", Info),
        (AdjustingFrequency { from: FreqOffset::from_ppm(-3), to: FreqOffset::from_ppm_f64(12.5) },
            &["-3.000000", "12.500000"], "adjusting clock frequency by -3.000000 to 12.500000ppm", Info),
        (ClockSet { date: WallTime::from_unix(951_782_400, 999_999_999), offset: Span::from_millis(61_250) },
            &["2000-02-29 00:00:00", "61.250000"],
            "set local clock to 2000-02-29 00:00:00 (offset 61.250000s)", Info),
        (NotSynced { address: V4, reason: NotSyncedReason::Kiss(KissCode::RATE), next: HOUR },
            &["192.0.2.1", "KoD RATE", "3600"],
            "reply from 192.0.2.1: not synced (KoD RATE), next query 3600s", Info),
        (NegativeDelay { address: V6, delay: Span::from_micros(-42), next: HOUR },
            &["2001:db8::1", "-0.000042", "3600"],
            "reply from 2001:db8::1: negative delay -0.000042s, next query 3600s", Info),
        (PeerValid { address: V4 }, &["192.0.2.1"], "peer 192.0.2.1 now valid", Info),
        (PeerInvalid { address: V6 }, &["2001:db8::1"], "peer 2001:db8::1 now invalid", Info),
        (ClockSynced, &[], "clock is now synced", Info),
        (ClockUnsynced, &[], "clock is now unsynced", Info),
        (PeersValid { valid: 3, all: 4 }, &["3", "4"], "3 out of 4 peers valid", Debug),
        (EngineExiting, &[], "ntp engine exiting", Debug),

        // Operation, beside the reference
        (ClockJumped { offset: Span::from_secs(-3_600) }, &["-3600.000000"],
            "local clock jumped by -3600.000000s", Warning),
        (ClockHeld { offset: Span::from_secs(1_800) }, &["1800.000000"],
            "local clock held: offset 1800.000000s is beyond the panic threshold", Error),
        (ClockReleased, &[], "local clock no longer held", Info),
        (LeapSecond { deleted: false }, &["inserted"], "leap second inserted", Info),
        (FrequencyChanged { from: FreqOffset::from_ppm(-3), to: FreqOffset::from_ppm_f64(12.5) },
            &["-3.000000", "12.500000"],
            "clock frequency was changed by another from -3.000000 to 12.500000ppm", Warning),
        (MessagesSuppressed { count: 17, name: "MalformedPacket" }, &["17", "MalformedPacket"],
            "17 messages suppressed: MalformedPacket", Warning),

        // Processes and pipes
        (PipeWriteToChild, &[], "pipe write error (to child)", Error),
        (PipeWriteToParent, &[], "pipe write error (to parent)", Error),
        (PipeWriteToDnsEngine, &[], "pipe write error (to dns engine)", Error),
        (PipeWriteToNtpEngine, &[], "pipe write error (to ntp engine)", Error),
        (MainPipeClosed, &[], "dispatch_imsg in main: pipe closed", Debug),
        (NtpEnginePipeClosed, &[], "ntp_dispatch_imsg in ntp engine: pipe closed", Debug),
        (DnsEnginePipeClosed, &[], "dns_dispatch_imsg in dns engine: pipe closed", Debug),
        (LostChildExited { process: "ntp engine" }, &["ntp engine"], "Lost child: ntp engine exited", Debug),
        (LostChildSignalled { process: "dns engine", signal: 11, name: "SIGSEGV" },
            &["dns engine", "11", "SIGSEGV"],
            "Lost child: dns engine terminated; signal 11 (SIGSEGV)", Debug),
        (InvalidMessage { message: "IMSG_ADJTIME" }, &["IMSG_ADJTIME"], "invalid IMSG_ADJTIME received", Debug),
        (HostDnsInvalidPeer, &[], "IMSG_HOST_DNS with invalid peerID", Debug),
        (HostDnsAddressKnown, &[], "IMSG_HOST_DNS but addr != NULL!", Debug),
        (SetPriorityFailed, &[], "could not set priority", Warning),
        (PollError, &[], "poll error", Error),

        // Clock
        (NtpAdjtime1Failed, &[], "ntp_adjtime (1) failed", Warning),
        (NtpAdjtime2Failed, &[], "ntp_adjtime (2) failed", Warning),
        (AdjtimeFailed, &[], "adjtime failed", Warning),
        (AdjfreqFailed, &[], "adjfreq failed", Warning),
        (AdjfreqResetFailed, &[], "adjfreq reset failed", Warning),
        (ResetAdjtimeFailed, &[], "reset adjtime failed", Warning),
        (ResetAdjfreqFailed, &[], "reset adjfreq failed", Warning),
        (ReadAdjfreqFailed, &[], "read adjfreq failed", Warning),
        (Gettimeofday, &[], "gettimeofday", Warning),
        (Settimeofday, &[], "settimeofday", Warning),
        (CannotOpenDrift { path: DRIFT }, &[DRIFT], "can't open /var/db/ntpd.drift", Warning),
        (CannotReadDrift { path: DRIFT, error: "I/O error" }, &[DRIFT, "I/O error"],
            "can't read /var/db/ntpd.drift: I/O error", Warning),
        (CannotWriteDrift { path: DRIFT, error: "I/O error" }, &[DRIFT, "I/O error"],
            "can't write /var/db/ntpd.drift: I/O error", Warning),

        // Network
        (MalformedPacket { address: V6 }, &["2001:db8::1"], "malformed packet received from 2001:db8::1", Debug),
        (Recvmsg { address: V4, error: "No route to host" }, &["192.0.2.1", "No route to host"],
            "recvmsg 192.0.2.1 No route to host", Warning),
        (RecvmsgPacket { address: V4, error: "Message too long" }, &["192.0.2.1", "Message too long"],
            "recvmsg packet 192.0.2.1 Message too long", Debug),
        (RecvmsgControlData { address: V4, error: "Message too long" }, &["192.0.2.1", "Message too long"],
            "recvmsg control data 192.0.2.1 Message too long", Debug),
        (RecvmsgControlFormat { address: V4, error: "Protocol error" }, &["192.0.2.1", "Protocol error"],
            "recvmsg control format 192.0.2.1 Protocol error", Debug),
        (SetsockoptLowdelay, &[], "setsockopt IPTOS_LOWDELAY", Warning),
        (ClientQuerySocket, &[], "client_query socket", Warning),
        (Sendto, &[], "sendto", Warning),
        (Recvfrom { address: V4 }, &["192.0.2.1"], "recvfrom 192.0.2.1", Warning),
        (BindFailed { address: V6 }, &["2001:db8::1"], "bind on 2001:db8::1 failed, skipping", Warning),
        (ShortSend { sent: 20, full: 48 }, &["20", "48"], "ntp_sendmsg: only 20 of 48 bytes sent", Debug),

        // Control socket
        (ControlInitSocket, &[], "control_init: socket", Warning),
        (ControlInitUnlink { path: SOCKET }, &[SOCKET], "control_init: unlink /var/run/ntpd.sock", Warning),
        (ControlInitBind { path: SOCKET }, &[SOCKET], "control_init: bind: /var/run/ntpd.sock", Warning),
        (ControlInitChmod, &[], "control_init: chmod", Warning),
        (ControlListen, &[], "control_listen: listen", Warning),
        (ControlAccept, &[], "control_accept: accept", Warning),
        (ControlAcceptCalloc, &[], "control_accept: calloc", Debug),
        (ControlCloseNotFound { fd: 7 }, &["7"], "control_close: fd 7: not found", Debug),
        (ControlDispatchNotFound { fd: 7 }, &["7"], "control_dispatch_msg: fd 7: not found", Debug),

        // Capacity
        (CannotResizePeers { old: 8, new: 9 }, &["8", "9"],
            "could not resize idx2peer from 8 -> 9 entries", Debug),
        (CannotResizePfd { old: 16, new: 18 }, &["16", "18"],
            "could not resize pfd from 16 -> 18 entries", Debug),

        // Fatal
        (FatalClientQuerySocket, &[], "fatal: client_query socket", Critical),
        (FatalClientQueryConnect, &[], "fatal: client_query connect", Critical),
        (FatalSetsockoptTimestamp, &[], "fatal: setsockopt SO_TIMESTAMP", Critical),
        (FatalRecvmsg, &[], "fatal: recvmsg", Critical),
        (FatalClientPeerInit, &[], "fatal: client_peer_init calloc", Critical),
        (FatalServerFamily, &[], "fatal: king bula sez: wrong AF in client_addr_init", Critical),
        (FatalListenFamily, &[], "fatal: king bula sez: af borked", Critical),
        (FatalSetsid, &[], "fatal: setsid", Critical),
        (FatalGetservbyname, &[], "fatal: getservbyname", Critical),
        (FatalSocketpair, &[], "fatal: socketpair", Critical),
        (FatalExiting, &[], "fatal: exiting", Critical),
        (FatalDropPrivileges, &[], "fatal: can't drop privileges", Critical),
        (FatalMalloc, &[], "fatal: malloc", Critical),
        (FatalFork, &[], "fatal: cannot fork", Critical),
        (FatalSocket, &[], "fatal: socket", Critical),
        (FatalRecvfrom, &[], "fatal: recvfrom", Critical),
    ]
}

#[test]
fn samples_render_and_weigh_as_stated() {
    for (event, _, text, unix) in samples() {
        assert_eq!(event.to_string(), text);
        assert_eq!(event.level(Profile::Unix), unix, "{text}");
    }
}

#[test]
fn each_variant_has_one_sample() {
    let samples = samples();
    assert_eq!(samples.len(), Event::VARIANTS);
    for (i, (event, _, text, _)) in samples.iter().enumerate() {
        let same = samples.iter().position(|other| discriminant(&other.0) == discriminant(event));
        assert_eq!(same, Some(i), "{text}");
    }
}

#[test]
fn each_row_has_one_event_of_its_text_and_level() {
    let (rows, samples) = (rows(), samples());
    assert_eq!(rows.len(), samples.len());
    for row in rows {
        let matching: Vec<_> = samples
            .iter()
            .filter(|(event, values, ..)| row.filled(values) == Some(event.to_string()))
            .collect();
        let [(event, ..)] = matching[..] else {
            panic!("{} events read {:?}", matching.len(), row.text);
        };
        assert_eq!(event.level(Profile::Appliance), row.level, "{}", row.text);
    }
}

/// Under both profiles.
fn levels(event: Event<'_>) -> [Level; 2] {
    [event.level(Profile::Appliance), event.level(Profile::Unix)]
}

#[test]
fn only_a_large_slew_is_info() {
    let level = |nanos| levels(Event::AdjustingClock { offset: Span::from_nanos(nanos) });
    assert_eq!(level(32_000_000), [Info; 2]);
    assert_eq!(level(-32_000_000), [Info; 2]);
    assert_eq!(level(31_999_999), [Debug; 2]);
    assert_eq!(level(-31_999_999), [Debug; 2]);
    assert_eq!(level(i64::MIN), [Info; 2]);
}

#[test]
fn only_a_large_change_of_frequency_is_info() {
    let level = |from, to| {
        let (from, to) = (FreqOffset::from_ppm_f64(from), FreqOffset::from_ppm_f64(to));
        levels(Event::AdjustingFrequency { from, to })
    };
    assert_eq!(level(0.0, 0.05), [Info; 2]);
    assert_eq!(level(0.0, -0.05), [Info; 2]);
    assert_eq!(level(20.0, 20.05), [Info; 2]);
    assert_eq!(level(0.0, 0.049_999_999), [Debug; 2]);
    assert_eq!(level(-20.0, -20.049_999_999), [Debug; 2]);
}

#[test]
fn a_bad_peer_may_be_of_a_pool_or_unresolved() {
    let text =
        |address, pool| format!("{}", Event::BadPeer { name: "pool.example", address, pool });
    assert_eq!(text(Some(V6), true), "bad peer from pool pool.example (2001:db8::1)");
    assert_eq!(text(None, false), "bad peer pool.example (not resolved)");
}

#[test]
fn the_reason_of_a_suspension_cannot_forge_a_line() {
    let text = |reason| {
        let next = Span::from_millis(899_600);
        format!("{}", Event::NotSynced { address: V4, reason, next })
    };
    assert_eq!(
        text(NotSyncedReason::Kiss(KissCode::from_bytes(*b"\n\x1b[2"))),
        "reply from 192.0.2.1: not synced (KoD ??[2), next query 900s"
    );
    assert_eq!(
        text(NotSyncedReason::Alarm),
        "reply from 192.0.2.1: not synced (alarm), next query 900s"
    );
    assert_eq!(
        text(NotSyncedReason::Stratum(16)),
        "reply from 192.0.2.1: not synced (stratum 16), next query 900s"
    );
}

#[test]
fn levels_rise_as_severities_fall() {
    let levels = [Debug, Info, Warning, Error, Critical];
    assert!(levels.is_sorted());
    assert_eq!(levels.map(Level::as_syslog), [7, 6, 4, 3, 2]);
}
