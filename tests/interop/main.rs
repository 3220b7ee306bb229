//! Against other people's NTP, on loopback: a wrong clock becomes right, and others agree with it.

mod bed;
mod client;
mod server;
mod wire;

use truechimer_tests::peers::Need;
use truechimer_tests::trial::{conclude, trial};

/// More at a time would disturb one another's clocks.
const THREADS: usize = 2;

fn main() {
    let trials = vec![
        trial("bed::chronyd", &[Need::Chronyd, Need::Ntplib], bed::chronyd),
        trial("bed::ntpd", &[Need::Ntpd, Need::Ntpdig, Need::Namespace], bed::ntpd),
        trial("client::of_chronyd", &[Need::Chronyd], client::of_chronyd),
        trial("client::of_ntpd", &[Need::Ntpd, Need::Namespace], client::of_ntpd),
        trial("client::of_chimed", &[], client::of_chimed),
        trial("client::query", &[], client::query),
        trial("server::for_chronyd", &[Need::Chronyd], server::for_chronyd),
        trial("server::for_chronyd_interleaved", &[Need::Chronyd], server::for_chronyd_interleaved),
        trial("server::for_ntpd", &[Need::Ntpd, Need::Namespace], server::for_ntpd),
        trial("server::for_ntplib", &[Need::Ntplib], server::for_ntplib),
        trial("server::for_ntpdig", &[Need::Ntpdig, Need::Namespace], server::for_ntpdig),
        trial(
            "server::for_openntpd",
            &[Need::OpenNtpd, Need::Namespace, Need::Root],
            server::for_openntpd,
        ),
        trial("server::for_busybox", &[Need::Busybox, Need::Namespace], server::for_busybox),
        trial("server::for_ntpd_rs", &[Need::NtpdRs, Need::Namespace], server::for_ntpd_rs),
        trial(
            "wire::nothing_is_malformed",
            &[Need::Chronyd, Need::Ntplib, Need::Tshark, Need::Root],
            wire::nothing_is_malformed,
        ),
        trial("server::states_its_path", &[Need::Chronyd, Need::Ntplib], server::states_its_path),
        trial("server::before_it_is_synced", &[], server::before_it_is_synced),
    ];
    conclude(trials, THREADS);
}
