//! The clock that a daemon begins with.

use std::sync::Arc;

use truechimer_core::clock::ClockError;
use truechimer_core::event::{Event, Level};
use truechimer_core::units::FreqOffset;

use super::{DaemonError, Superior};
use crate::clock::{HostClock, KernelClock, RemoteClock, SoftwareClock};
use crate::config::{ClockKind, Config};
use crate::log::Log;

/// The configured clock, the rate it runs at, and whether it may be changed.
pub(super) fn open_clock(
    superior: &Superior,
    config: &Config,
    log: &Log,
) -> Result<(HostClock, FreqOffset, bool), DaemonError> {
    match config.clock {
        ClockKind::Software => {
            let error = config.software_clock;
            let clock = Box::new(SoftwareClock::new(error.offset, error.frequency));
            Ok((HostClock::Software(clock), FreqOffset::ZERO, true))
        }
        ClockKind::Kernel => {
            let opened = open_kernel_clock(superior, config);
            let (mut clock, rate, controlled) = opened
                .inspect_err(|_| log.event(&Event::ReadAdjfreqFailed))
                .map_err(DaemonError::Clock)?;
            if let Err(error) = controlled {
                let text = format_args!(
                    "cannot adjust the kernel's clock ({error}): it is only watched; \
                     run as root or with CAP_SYS_TIME, or set clock = \"software\""
                );
                log.message(Level::Warning, &text);
            }
            for failure in clock.take_failures() {
                log.event(&failure);
            }
            Ok((clock, rate, config.peers() > 0 && controlled.is_ok()))
        }
    }
}

/// The kernel's clock, the rate it runs at, and why it may not be changed. Without a source it is not
/// tried.
fn open_kernel_clock(
    superior: &Superior,
    config: &Config,
) -> Result<(HostClock, FreqOffset, Result<(), ClockError>), ClockError> {
    let control = config.peers() > 0;
    match superior {
        Superior::Operator(_) => {
            let mut clock = KernelClock::open()?;
            let controlled = if control { clock.try_control() } else { Ok(()) };
            let rate = clock.rate();
            Ok((HostClock::Kernel(clock), rate, controlled))
        }
        Superior::Parent(parent, _) => {
            let (clock, rate, controlled) = RemoteClock::open(Arc::clone(parent), control)?;
            Ok((HostClock::Remote(clock), rate, controlled))
        }
    }
}
