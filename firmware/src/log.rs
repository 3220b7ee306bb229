//! Events on the firmware's log, at the levels of the appliance's log reference.

use truechimer_core::event::{Event, Level, Profile};

/// Logs `event`.
pub(crate) fn event(event: &Event<'_>) {
    match event.level(Profile::Appliance) {
        Level::Debug => defmt::debug!("{}", event),
        Level::Info => defmt::info!("{}", event),
        Level::Warning => defmt::warn!("{}", event),
        Level::Error | Level::Critical => defmt::error!("{}", event),
    }
}
