//! What a product would keep in its flash: words `name=value` of the command line, or nothing.

use heapless::Vec;
use smoltcp::wire::{IpAddress, IpEndpoint, Ipv4Cidr};
use static_cell::ConstStaticCell;
use truechimer_core::config::{DEFAULT_MAX_POLL, PeerConfig};
use truechimer_firmware::net::Ipv4;
use truechimer_firmware::store::TwoPages;

use crate::flash::Flash;
use crate::host::{self, File};
use crate::program::Settings;

static LINE: ConstStaticCell<[u8; 256]> = ConstStaticCell::new([0; 256]);

/// Who is asked where nothing is said of it.
const FALLBACK: [&str; 3] = ["0.pool.ntp.org", "1.pool.ntp.org", "2.pool.ntp.org"];

/// What the command line says.
pub struct Product {
    /// `address=` with the length of its prefix, `router=`; DHCP without them. `resolver=`: who
    /// looks names up. `peer=`, more than once: a name, or address and port of a server;
    /// `fallback=` likewise.
    pub settings: Settings,
    /// `store=`: the file that stands for the flash memory.
    pub store: Option<TwoPages<Flash>>,
    /// `poll=`: how often the servers that follow are asked, log2 s.
    poll: Option<i8>,
}

impl Product {
    /// Without a command line, as a program has it that is flashed.
    #[inline(never)]
    pub fn built_in() -> Self {
        Self { settings: Settings::dhcp(FALLBACK), store: store("flash"), poll: None }
    }

    /// To be read once.
    #[inline(never)]
    pub fn read() -> Self {
        let settings =
            Settings { ipv4: Ipv4::Dhcp, resolver: None, peers: Vec::new(), fallback: Vec::new() };
        let mut product = Self { settings, store: None, poll: None };
        for word in host::arguments(LINE.take()).split_ascii_whitespace() {
            if product.take(word).is_none() {
                defmt::warn!("not understood: {=str}", word);
            }
        }
        product
    }

    fn take(&mut self, word: &'static str) -> Option<()> {
        let Self { settings, store, poll } = self;
        match word.split_once('=')? {
            ("address", address) => {
                let address: Ipv4Cidr = address.parse().ok()?;
                settings.ipv4 = Ipv4::Static { address, router: None };
            }
            ("router", address) => {
                let Ipv4::Static { router, .. } = &mut settings.ipv4 else { return None };
                let Ok(IpAddress::Ipv4(address)) = address.parse() else { return None };
                *router = Some(address);
            }
            ("resolver", address) => settings.resolver = Some(address.parse().ok()?),
            ("store", path) => *store = Some(self::store(path)?),
            #[cfg(feature = "lockstep")]
            ("gate", path) => crate::lockstep::set_gate(File::update(path)?),
            ("poll", exponent) => *poll = Some(exponent.parse().ok()?),
            ("peer", name) => settings.peers.push(server(name, *poll)).ok()?,
            ("fallback", name) => settings.fallback.push(server(name, *poll)).ok()?,
            _ => return None,
        }
        Some(())
    }
}

/// The file that stands for the flash memory.
fn store(path: &str) -> Option<TwoPages<Flash>> {
    TwoPages::new(Flash(File::update(path)?), 0).ok()
}

fn server(name: &'static str, poll: Option<i8>) -> (&'static str, PeerConfig) {
    let endpoint: Option<IpEndpoint> = name.parse().ok();
    let address = endpoint.filter(|endpoint| endpoint.port != 0).map(Into::into);
    let (min_poll, max_poll) = poll.map_or((4, DEFAULT_MAX_POLL), |poll| (poll, poll));
    (name, PeerConfig { address, min_poll, max_poll, ..PeerConfig::default() })
}
