//! Has interfaces stamp packets and opens their clocks, while this process may; and reads them.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use libc::hwtstamp_config;
use nix::errno::Errno;
use nix::net::if_::{if_nameindex, if_nametoindex};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use truechimer_core::event::Level;

use super::{Cards, Interface, Reading, Source};
use crate::config::ALL_INTERFACES;
use crate::log::Log;
use crate::sys::phc::{self, StampInfo};

/// What an interface is to be able to.
const FLAGS: u32 = libc::SOF_TIMESTAMPING_TX_HARDWARE | libc::SOF_TIMESTAMPING_RAW_HARDWARE;
/// What is to be stamped of what arrives, the first of these that the interface can. Some stamp packets of
/// PTP alone: then only what leaves is stamped.
const FILTERS: [u32; 2] = [libc::HWTSTAMP_FILTER_NTP_ALL, libc::HWTSTAMP_FILTER_ALL];

/// Why an interface stamps nothing.
#[derive(Debug, thiserror::Error)]
enum CardError {
    #[error("it is not there")]
    Missing,
    #[error("it does not say what it can: {0}")]
    Silent(Errno),
    #[error("it has no clock for that")]
    NoClock,
    #[error("it cannot be told to: {0}")]
    Refused(Errno),
    #[error("it does something else than it was told")]
    Disobedient,
    #[error("cannot open {0}: {1}")]
    Open(String, io::Error),
    #[error("cannot read {0}: {1}")]
    Read(String, Errno),
}

impl CardError {
    /// Whether there is nothing to be had from the interface.
    const fn is_unable(&self) -> bool {
        matches!(self, Self::Missing | Self::Silent(_) | Self::NoClock)
    }
}

/// Where the interfaces are.
trait Host {
    /// An interface's number and what it can.
    fn info(&self, name: &str) -> Result<(u32, StampInfo), CardError>;
    fn stamps(&self, name: &str) -> Result<hwtstamp_config, Errno>;
    fn set_stamps(&self, name: &str, filter: libc::c_int) -> Result<hwtstamp_config, Errno>;
    /// In Mbit/s; 0 while there is no link.
    fn speed(&self, name: &str) -> u32;
    /// A clock that can be read.
    fn open(&self, device: &str) -> Result<OwnedFd, CardError>;
}

/// This one's, by a socket of the internet.
struct Kernel(OwnedFd);

impl Host for Kernel {
    fn info(&self, name: &str) -> Result<(u32, StampInfo), CardError> {
        let index = if_nametoindex(name).map_err(|_| CardError::Missing)?;
        Ok((index, phc::info(self.0.as_fd(), name).map_err(CardError::Silent)?))
    }

    fn stamps(&self, name: &str) -> Result<hwtstamp_config, Errno> {
        phc::stamps(self.0.as_fd(), name)
    }

    fn set_stamps(&self, name: &str, filter: libc::c_int) -> Result<hwtstamp_config, Errno> {
        phc::set_stamps(self.0.as_fd(), name, filter)
    }

    fn speed(&self, name: &str) -> u32 {
        let speed = fs::read_to_string(format!("/sys/class/net/{name}/speed")).unwrap_or_default();
        speed.trim().parse().unwrap_or_default()
    }

    fn open(&self, device: &str) -> Result<OwnedFd, CardError> {
        let opened = File::open(device);
        let clock = opened.map_err(|error| CardError::Open(device.to_owned(), error))?;
        phc::read(clock.as_fd()).map_err(|error| CardError::Read(device.to_owned(), error))?;
        Ok(clock.into())
    }
}

/// `/dev/ptp*`.
#[derive(Debug)]
pub(super) struct Clock(pub(super) OwnedFd);

impl Source for Clock {
    fn read(&self) -> Result<Option<Reading>, Errno> {
        Ok(Reading::best(&phc::read(self.0.as_fd())?))
    }
}

/// Has the interfaces of these names stamp what leaves and arrives, or of [`ALL_INTERFACES`] those that can;
/// one that stamps already is left as it is. What cannot be had is logged, and the kernel stamps.
#[must_use]
pub fn open(wanted: &[String], log: &Log) -> Cards {
    let mut cards = Cards::default();
    if wanted.is_empty() {
        return cards;
    }
    let warn = |text: &str| log.message(Level::Warning, &text);
    let opened = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None);
    let kernel = match opened {
        Ok(socket) => Kernel(socket),
        Err(error) => {
            warn(&format!("no network card is asked for timestamps: {error}"));
            return cards;
        }
    };
    let all = wanted.iter().any(|name| name == ALL_INTERFACES);
    let mut numbers = Vec::new();
    for name in if all { present() } else { wanted.to_vec() } {
        match add(&mut cards, &mut numbers, &kernel, &name) {
            Ok(Added { device, arrivals }) => {
                let text = match arrivals {
                    true => format!("packets of {name} are stamped by its clock, {device}"),
                    false => format!(
                        "what leaves {name} is stamped by its clock, {device}, and what arrives by the \
                         kernel: the card stamps nothing that NTP receives"
                    ),
                };
                log.message(Level::Info, &text);
            }
            Err(error) if all && error.is_unable() => {}
            Err(error) => warn(&format!("packets of {name} are stamped by the kernel: {error}")),
        }
    }
    if all && cards.interfaces.is_empty() {
        warn("packets are stamped by the kernel: no network card does");
    }
    cards
}

/// The names of all interfaces.
fn present() -> Vec<String> {
    let Ok(interfaces) = if_nameindex() else { return Vec::new() };
    let names = interfaces.iter().map(|one| one.name().to_string_lossy().into_owned());
    names.collect()
}

/// An interface that stamps.
#[derive(Debug)]
struct Added {
    device: String,
    /// Whether it stamps what arrives too.
    arrivals: bool,
}

/// Adds an interface, and its clock unless another has the same. `numbers` are those of the clocks that
/// are open.
fn add(
    cards: &mut Cards,
    numbers: &mut Vec<u32>,
    host: &impl Host,
    name: &str,
) -> Result<Added, CardError> {
    let (index, info) = host.info(name)?;
    let number = clock(&info)?;
    let device = format!("/dev/ptp{number}");
    let known = numbers.iter().position(|known| *known == number);
    let opened = match known {
        Some(_) => None,
        None => Some(host.open(&device)?),
    };
    let arrivals = have_stamped(host, name, filter(&info))?;
    if let Some(clock) = opened {
        numbers.push(number);
        cards.clocks.push(clock);
    }
    let clock = known.unwrap_or(cards.clocks.len() - 1) as u16;
    cards.interfaces.push(Interface { index, speed: host.speed(name), clock });
    Ok(Added { device, arrivals })
}

/// The number of the clock.
fn clock(info: &StampInfo) -> Result<u32, CardError> {
    let departures = info.departures & (1 << libc::HWTSTAMP_TX_ON) != 0;
    if info.flags & FLAGS != FLAGS || !departures {
        return Err(CardError::NoClock);
    }
    u32::try_from(info.clock).map_err(|_| CardError::NoClock)
}

/// What of what arrives is to be stamped, if that is of use.
fn filter(info: &StampInfo) -> Option<u32> {
    let able = info.flags & libc::SOF_TIMESTAMPING_RX_HARDWARE != 0;
    FILTERS.into_iter().find(|filter| able && info.arrivals & (1 << filter) != 0)
}

/// Whether it stamps what arrives too. What stamps already is not told to.
fn have_stamped(host: &impl Host, name: &str, filter: Option<u32>) -> Result<bool, CardError> {
    let present = host.stamps(name).ok();
    let as_wanted = |now: &hwtstamp_config| {
        now.tx_type.cast_unsigned() == libc::HWTSTAMP_TX_ON
            && filter.is_none_or(|_| FILTERS.contains(&now.rx_filter.cast_unsigned()))
    };
    if !present.as_ref().is_some_and(as_wanted) {
        // Another program may have it stamp what arrives for PTP.
        let kept = present.map_or(libc::HWTSTAMP_FILTER_NONE.cast_signed(), |now| now.rx_filter);
        let filter = filter.map_or(kept, u32::cast_signed);
        if !as_wanted(&host.set_stamps(name, filter).map_err(CardError::Refused)?) {
            return Err(CardError::Disobedient);
        }
    }
    Ok(filter.is_some())
}

#[cfg(test)]
mod tests;
