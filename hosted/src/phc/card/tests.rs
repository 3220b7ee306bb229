use std::cell::RefCell;
use std::os::fd::AsRawFd;

use super::*;
use crate::sys::fault::{Call, inject};

const ON: i32 = libc::HWTSTAMP_TX_ON as i32;
const OFF: i32 = libc::HWTSTAMP_TX_OFF as i32;
const NTP: i32 = libc::HWTSTAMP_FILTER_NTP_ALL as i32;
const ALL: i32 = libc::HWTSTAMP_FILTER_ALL as i32;
const PTP: i32 = libc::HWTSTAMP_FILTER_PTP_V2_EVENT as i32;
const NONE: i32 = libc::HWTSTAMP_FILTER_NONE as i32;

fn texts(log: &Log) -> Vec<String> {
    log.since(0).0.into_iter().map(|line| line.text.as_str().to_owned()).collect()
}

/// One that stamps all that leaves, and of what arrives what these filters let pass.
fn info(filters: &[i32]) -> StampInfo {
    StampInfo {
        flags: FLAGS | libc::SOF_TIMESTAMPING_RX_HARDWARE | libc::SOF_TIMESTAMPING_SOFTWARE,
        clock: 3,
        departures: 0b11,
        arrivals: filters.iter().map(|filter| 1 << filter).sum(),
        ..StampInfo::default()
    }
}

const fn config(tx_type: i32, rx_filter: i32) -> hwtstamp_config {
    hwtstamp_config { flags: 0, tx_type, rx_filter }
}

/// A host with one kind of interface.
struct Simulated {
    info: StampInfo,
    present: hwtstamp_config,
    /// What comes of telling it.
    set: Result<hwtstamp_config, Errno>,
    asked: RefCell<Vec<String>>,
}

impl Host for Simulated {
    fn info(&self, name: &str) -> Result<(u32, StampInfo), CardError> {
        Ok((name.len() as u32, self.info))
    }

    fn stamps(&self, _: &str) -> Result<hwtstamp_config, Errno> {
        Ok(self.present)
    }

    fn set_stamps(&self, name: &str, filter: i32) -> Result<hwtstamp_config, Errno> {
        self.asked.borrow_mut().push(format!("{name} {filter}"));
        self.set
    }

    fn speed(&self, _: &str) -> u32 {
        1_000
    }

    fn open(&self, device: &str) -> Result<OwnedFd, CardError> {
        self.asked.borrow_mut().push(device.to_owned());
        Ok(File::open("/dev/null").unwrap().into())
    }
}

impl Simulated {
    fn new(filters: &[i32], present: hwtstamp_config) -> Self {
        let set = Ok(config(ON, ALL));
        Self { info: info(filters), present, set, asked: RefCell::default() }
    }

    /// What is added for the names, and what was asked of the host.
    fn added(self, names: &[&str]) -> (Result<Vec<Interface>, String>, Vec<String>) {
        let (mut cards, mut numbers) = (Cards::default(), Vec::new());
        let outcome = names.iter().try_for_each(|name| {
            add(&mut cards, &mut numbers, &self, name).map(drop).map_err(|error| error.to_string())
        });
        assert_eq!(cards.clocks.len(), usize::from(!cards.interfaces.is_empty()));
        (outcome.map(|()| cards.interfaces), self.asked.into_inner())
    }
}

#[test]
fn an_interface_is_told_to_stamp_what_ntp_needs() {
    let expected = vec![Interface { index: 4, speed: 1_000, clock: 0 }];
    for (filters, asked) in
        [(&[NONE, ALL, NTP][..], "eth0 15"), (&[ALL, PTP], "eth0 1"), (&[PTP, NTP], "eth0 15")]
    {
        let (added, all) = Simulated::new(filters, config(OFF, NONE)).added(&["eth0"]);
        assert_eq!((added, all), (Ok(expected.clone()), vec!["/dev/ptp3".into(), asked.into()]));
    }
}

#[test]
fn one_that_stamps_already_is_left_as_it_is() {
    for filter in [ALL, NTP] {
        let (added, asked) = Simulated::new(&[ALL], config(ON, filter)).added(&["eth0"]);
        assert!(added.is_ok() && asked == ["/dev/ptp3"], "{asked:?}");
    }
}

#[test]
fn two_ports_of_a_card_have_one_clock() {
    let (added, asked) = Simulated::new(&[ALL], config(ON, ALL)).added(&["eth0", "eth10"]);
    let clocks: Vec<_> = added.unwrap().iter().map(|one| (one.index, one.clock)).collect();
    assert_eq!((clocks, asked), (vec![(4, 0), (5, 0)], vec!["/dev/ptp3".to_owned()]));
}

#[test]
fn what_cannot_be_had_is_told() {
    let host = || Simulated::new(&[ALL], config(OFF, NONE));
    let without = |flag: u32| StampInfo { flags: FLAGS & !flag, ..info(&[ALL]) };
    for (host, told) in [
        (
            Simulated { info: StampInfo { clock: -1, ..info(&[ALL]) }, ..host() },
            "it has no clock for that",
        ),
        (
            Simulated { info: StampInfo { departures: 1, ..info(&[ALL]) }, ..host() },
            "it has no clock for that",
        ),
        (
            Simulated { info: without(libc::SOF_TIMESTAMPING_TX_HARDWARE), ..host() },
            "it has no clock for that",
        ),
        (
            Simulated { info: without(libc::SOF_TIMESTAMPING_RAW_HARDWARE), ..host() },
            "it has no clock for that",
        ),
        (
            Simulated { set: Err(Errno::EPERM), ..host() },
            "it cannot be told to: EPERM: Operation not permitted",
        ),
        (
            Simulated { set: Ok(config(ON, PTP)), ..host() },
            "it does something else than it was told",
        ),
        (
            Simulated { set: Ok(config(OFF, ALL)), ..host() },
            "it does something else than it was told",
        ),
    ] {
        let (added, _) = host.added(&["eth0"]);
        assert_eq!(added.unwrap_err(), told);
    }
}

/// Intel's 82576 is one.
#[test]
fn one_that_stamps_no_arrivals_of_ntp_stamps_departures() {
    let added = |host: Simulated| {
        let added = add(&mut Cards::default(), &mut Vec::new(), &host, "eth0");
        (added.map(|added| added.arrivals).map_err(|error| error.to_string()), host.asked.take())
    };
    let device = "/dev/ptp3".to_owned();
    let host = |present, set| Simulated { set: Ok(set), ..Simulated::new(&[NONE, PTP], present) };
    for (present, asked) in [(config(OFF, NONE), "eth0 0"), (config(OFF, PTP), "eth0 12")] {
        let set = config(ON, present.rx_filter);
        assert_eq!(added(host(present, set)), (Ok(false), vec![device.clone(), asked.into()]));
    }
    let stamps = host(config(ON, PTP), config(OFF, NONE));
    assert_eq!(added(stamps), (Ok(false), vec![device.clone()]));
    let refuses = "it does something else than it was told".to_owned();
    let (outcome, _) = added(host(config(OFF, NONE), config(OFF, NONE)));
    assert_eq!(outcome, Err(refuses));
    let mut able = Simulated::new(&[ALL], config(ON, NONE));
    able.info.flags = FLAGS;
    assert_eq!(added(able), (Ok(false), vec![device]), "it says that it can, and that it cannot");
}

/// This host's loopback has no clock.
#[test]
fn interfaces_of_this_host() {
    let opened = |names: &[&str]| {
        let (names, log) =
            (names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), Log::in_memory());
        let cards = open(&names, &log);
        assert!(cards.interfaces.is_empty() && cards.clocks.is_empty());
        texts(&log)
    };
    assert_eq!(opened(&[]), [""; 0]);
    assert_eq!(
        opened(&["lo", "nothing"]),
        [
            "packets of lo are stamped by the kernel: it has no clock for that",
            "packets of nothing are stamped by the kernel: it is not there"
        ]
    );
    let _fault = inject(Call::HardwareInfo, Errno::EOPNOTSUPP);
    assert_eq!(
        opened(&["lo"]),
        [format!(
            "packets of lo are stamped by the kernel: it does not say what it can: {}",
            Errno::EOPNOTSUPP
        )]
    );
    assert_eq!(opened(&["*"]), ["packets are stamped by the kernel: no network card does"]);
}

#[test]
fn what_is_no_clock_is_not_opened() {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::empty(), None).unwrap();
    let kernel = Kernel(socket);
    let told = |device: &str| kernel.open(device).unwrap_err().to_string();
    assert_eq!(told("/dev/null"), format!("cannot read /dev/null: {}", Errno::ENOTTY));
    assert_eq!(told("/nowhere"), "cannot open /nowhere: No such file or directory (os error 2)");
    let _fault = inject(Call::ReadPhc, Errno::ENODEV);
    assert_eq!(told("/dev/null"), format!("cannot read /dev/null: {}", Errno::ENODEV));
    assert!(kernel.set_stamps("lo", ALL).is_err() && kernel.stamps("lo").is_err());
    let _fault = inject(Call::HardwareStamps, Errno::EBUSY);
    assert_eq!(kernel.set_stamps("lo", ALL).map(drop), Err(Errno::EBUSY));
    assert!(kernel.0.as_raw_fd() > 2);
}
