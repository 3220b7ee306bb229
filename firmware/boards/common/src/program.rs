//! The appliance's main loop: a client of up to four servers, and a server.

use core::convert::Infallible;

use embedded_time::Clock;
use heapless::Vec;
use smoltcp::iface::SocketStorage;
use smoltcp::wire::{EthernetAddress, IpAddress};
use truechimer_core::config::{Config, PeerConfig};
use truechimer_core::hal::{Rtc, Store};
use truechimer_core::holdover::Record;
use truechimer_core::units::{Instant, Span};
use truechimer_firmware::clock::SystemClock;
use truechimer_firmware::net::{
    Addressing, Buffers, Driver, Ipv4, OTHER_SOCKETS, Stack, TooFewSockets, fork_seed,
};
use truechimer_firmware::rtc::{self, Start};
use truechimer_firmware::{App, Engine};

/// Servers that are asked, at most.
pub const PEERS: usize = 4;
/// Kinds of noise that are reckoned with: the two most useful ones.
const KINDS: usize = 2;

/// What somebody decided who installed it.
pub struct Settings {
    pub ipv4: Ipv4,
    /// Who looks names up, unless DHCP says.
    pub resolver: Option<IpAddress>,
    /// A name, or address and port of a server; and how it is asked.
    pub peers: Vec<(&'static str, PeerConfig), PEERS>,
    /// Those that are asked while DHCP names none.
    pub fallback: Vec<(&'static str, PeerConfig), PEERS>,
}

impl Settings {
    /// All from DHCP; of servers of time these, unless it names any.
    pub fn dhcp(fallback: [&'static str; 3]) -> Self {
        let fallback = fallback.into_iter().map(|name| (name, PeerConfig::default())).collect();
        Self { ipv4: Ipv4::Dhcp, resolver: None, peers: Vec::new(), fallback }
    }
}

/// What the board brings.
pub struct Board<D, C: 'static, R, S> {
    pub clock: &'static SystemClock<C>,
    pub device: D,
    pub hardware: EthernetAddress,
    pub rtc: R,
    pub store: Option<S>,
    /// Unpredictable to everybody.
    pub seed: [u8; 32],
    /// Sleeps until an interrupt, at most so long.
    pub wait: fn(Span),
    /// What was typed at a serial line.
    pub typed: fn() -> Option<u8>,
}

/// Starts the clock from what is stored and the real-time clock.
#[inline(never)]
pub fn boot<C, R, S>(clock: &SystemClock<C>, rtc: &mut R, store: Option<&mut S>) -> Start
where
    C: Clock<T: Into<u64>>,
    R: Rtc<Error: defmt::Format>,
    S: Store<Error: defmt::Format>,
{
    let record = match store.map(|store| nb::block!(store.load())) {
        Some(Ok(Some(record))) => record,
        Some(Err(error)) => {
            defmt::warn!("the store cannot be read: {}", error);
            Record::default()
        }
        _ => Record::default(),
    };
    let start = nb::block!(rtc::start(clock, rtc, &record)).unwrap_or_else(|error| {
        defmt::warn!("the real-time clock cannot be read: {}", error);
        Start::without_rtc(clock, record)
    });
    defmt::info!("started at {=i64} s by {}", start.boot.time.unix_secs(), start.boot.status);
    start
}

impl<D, C, R, S> Board<D, C, R, S>
where
    D: Driver,
    C: Clock<T: Into<u64>>,
    R: Rtc<Error: defmt::Format>,
    S: Store<Error: defmt::Format>,
{
    /// Runs for ever.
    pub fn run(self, start: &Start, settings: &Settings) -> Result<Infallible, TooFewSockets> {
        let Self { clock, device, hardware, rtc, store, seed, wait, typed } = self;
        #[cfg(feature = "lockstep")]
        let device = crate::lockstep::Lockstep::new(device, clock);
        let addressing = Addressing {
            hardware: hardware.into(),
            ipv4: settings.ipv4,
            slaac: true,
            resolver: settings.resolver,
        };
        // Here for good: nothing large is moved.
        let mut sockets = [SocketStorage::EMPTY; PEERS + OTHER_SOCKETS];
        let mut buffers = Buffers::<PEERS>::new();
        let config = Config::default();
        let [seed, ports] = fork_seed(seed);
        let mut engine: Engine<PEERS, KINDS> = start.engine(clock, &config, seed);
        let (sockets, buffers) = (&mut sockets, &mut buffers);
        let mut stack = Stack::new(device, &addressing, sockets, buffers, clock, ports)?;
        let mut app = App::new(&mut engine, &mut stack, Some(rtc), store, start, &config);
        for (name, peer) in &settings.peers {
            if app.add_peer(name, peer).is_err() {
                defmt::warn!("too many peers");
            }
        }
        for (name, peer) in &settings.fallback {
            if app.add_fallback(name, peer).is_err() {
                defmt::warn!("too many peers");
            }
        }
        loop {
            #[cfg(feature = "lockstep")]
            let meter = crate::lockstep::Meter::start(clock);
            let polled = app.poll();
            #[cfg(feature = "lockstep")]
            meter.stop(clock);
            match polled {
                Ok(_) => {}
                Err(nb::Error::WouldBlock) => {
                    if typed() == Some(b'?') {
                        app.log_status();
                    }
                    sleep(clock, app.poll_at(), wait);
                }
                Err(nb::Error::Other(error)) => defmt::warn!("{}", error),
            }
        }
    }
}

/// Until a frame comes, and at most until `wake`.
fn sleep<C: Clock<T: Into<u64>>>(clock: &SystemClock<C>, wake: Instant, wait: fn(Span)) {
    #[cfg(feature = "lockstep")]
    if crate::lockstep::awaits() {
        return wait(crate::lockstep::NAP);
    }
    #[cfg(feature = "lockstep")]
    let wake = wake.min(crate::lockstep::due());
    let pause = wake - clock.mono();
    if pause > Span::ZERO {
        wait(pause);
    }
}
