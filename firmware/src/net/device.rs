//! When frames really came and went, from devices that know.

use smoltcp::phy::{Device, DeviceCapabilities};
use smoltcp::time::Instant as NetInstant;
use truechimer_core::units::Instant;

/// A device that stamps frames by the counter of the [`SystemClock`](crate::clock::SystemClock):
/// in the interrupt when one has come, just before its last octets are handed over when one leaves.
pub trait Stamping: Device {
    /// When the frame came that was received last. Taken once.
    fn arrived(&mut self) -> Option<Instant>;

    /// When a frame left, and the [`id`](smoltcp::phy::PacketMeta::id) that it was given. Taken
    /// once; a frame whose id is zero is not asked for.
    fn departed(&mut self) -> Option<(u32, Instant)>;
}

/// A device that does not stamp: stamps are taken beside the calls to it.
#[derive(Debug)]
pub struct Unstamped<D>(pub D);

impl<D: Device> Device for Unstamped<D> {
    type RxToken<'a>
        = D::RxToken<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = D::TxToken<'a>
    where
        Self: 'a;

    fn receive(&mut self, at: NetInstant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        self.0.receive(at)
    }

    fn transmit(&mut self, at: NetInstant) -> Option<Self::TxToken<'_>> {
        self.0.transmit(at)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.0.capabilities()
    }
}

impl<D: Device> Stamping for Unstamped<D> {
    fn arrived(&mut self) -> Option<Instant> {
        None
    }

    fn departed(&mut self) -> Option<(u32, Instant)> {
        None
    }
}
