//! What a device knows besides frames: when they really came and went, and whether there is a link.

use smoltcp::phy::{Device, DeviceCapabilities};
use smoltcp::time::Instant as NetInstant;
use truechimer_core::units::Instant;

/// A device with what smoltcp does not ask for. Stamps are by the counter of the
/// [`SystemClock`](crate::clock::SystemClock), taken in the interrupt when a frame has come and just
/// before its last octets are handed over when it leaves.
pub trait Driver: Device {
    /// When the frame came that was received last. Taken once.
    fn arrived(&mut self) -> Option<Instant>;

    /// When a frame left, and the [`id`](smoltcp::phy::PacketMeta::id) that it was given. Taken
    /// once; a frame whose id is zero is not asked for.
    fn departed(&mut self) -> Option<(u32, Instant)>;

    /// Whether the cable is plugged in and somebody is at the other end, asked once a second; `None`
    /// if that cannot be told, and need not be asked again.
    fn has_link(&mut self) -> Option<bool> {
        None
    }
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

impl<D: Device> Driver for Unstamped<D> {
    fn arrived(&mut self) -> Option<Instant> {
        None
    }

    fn departed(&mut self) -> Option<(u32, Instant)> {
        None
    }
}
