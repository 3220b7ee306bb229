//! Events on the firmware's log, at the levels of the appliance's log reference; and the state, for
//! whoever asks at the serial line.

use embedded_time::Clock;
use truechimer_core::event::{Event, Level, Profile};

use crate::Engine;
use crate::clock::SystemClock;

/// Logs `event`.
pub(crate) fn event(event: &Event<'_>) {
    match event.level(Profile::Appliance) {
        Level::Debug => defmt::debug!("{}", event),
        Level::Info => defmt::info!("{}", event),
        Level::Warning => defmt::warn!("{}", event),
        Level::Error | Level::Critical => defmt::error!("{}", event),
    }
}

/// Logs what is known: a line of the clock, and one of each peer.
pub(crate) fn status<C: Clock<T: Into<u64>>, const PEERS: usize, const KINDS: usize>(
    engine: &Engine<PEERS, KINDS>,
    clock: &SystemClock<C>,
) {
    let (now, reading) = (clock.now(), clock.read());
    let bound = reading.bound.map(|bound| bound.as_nanos() / 1_000);
    defmt::info!(
        "status: time {=i64}.{=u32:09} s, within {} us, {}, stratum {=u8}, frequency {=f64} ppm",
        reading.time.unix_secs(),
        reading.time.subsec_nanos(),
        bound,
        reading.status,
        engine.system(now).stratum,
        engine.frequency().as_ppm(),
    );
    for peer in engine.peers(now) {
        defmt::info!(
            "peer {}: reach {=u8:08b}, every {=i64} s, {}",
            peer.address.map(|address| address.ip()),
            peer.reach,
            peer.interval.as_nanos() / 1_000_000_000,
            peer.standing,
        );
    }
}
