//! The network device (virtio 1.2 §5.1), by virtio-drivers.
//!
//! Frames are stamped in the interrupt when they have come, and just before the device is told of
//! one that leaves.

use core::cell::RefCell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use critical_section::Mutex;
use embedded_time::Clock;
use heapless::{Deque, Vec};
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium, PacketMeta};
use smoltcp::wire::EthernetAddress;
use static_cell::ConstStaticCell;
use truechimer_core::units::Instant;
use truechimer_firmware::clock::SystemClock;
use truechimer_firmware::net::Driver;
use virtio_drivers::device::net::VirtIONetRaw;
use virtio_drivers::transport::mmio::MmioTransport;
use virtio_drivers::transport::{DeviceType, Transport};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

/// The devices that the machine may have, and the interrupt of the first.
const BASE: usize = 0x0A00_0000;
const SIZE: usize = 0x200;
const DEVICES: usize = 32;
const FIRST_IRQ: u32 = 48;

const QUEUE: usize = 8;
/// Frames that may be on their way out.
const LEAVING: usize = 4;
/// The longest frame, without its check sequence.
const FRAME: usize = 1514;
/// With the device's header, as long as the device wants it.
const BUFFER: usize = 1536;

type Buffer = [u8; BUFFER];
type Raw = VirtIONetRaw<Identity, MmioTransport<'static>, QUEUE>;

/// What the interrupt shares with the main loop. A buffer is the device's while it is in `coming` or
/// `leaving`, at the place of its token.
struct Shared {
    raw: Raw,
    coming: [Option<&'static mut Buffer>; QUEUE],
    leaving: [Option<&'static mut Buffer>; QUEUE],
    /// Those that have come: when, and where in their buffers the frames are.
    ready: Deque<(Instant, &'static mut Buffer, usize, usize), QUEUE>,
    free: Vec<&'static mut Buffer, LEAVING>,
}

static SHARED: Mutex<RefCell<Option<Shared>>> = Mutex::new(RefCell::new(None));

impl Shared {
    /// Gives the device a buffer for a frame to come.
    fn expect(&mut self, buffer: &'static mut Buffer) {
        // SAFETY: nobody looks into it before it is complete.
        if let Ok(token) = unsafe { self.raw.receive_begin(buffer) } {
            self.coming[usize::from(token)] = Some(buffer);
        }
    }

    fn take_arrived(&mut self, now: Instant) {
        self.raw.ack_interrupt();
        while let Some(token) = self.raw.poll_receive() {
            let Some(buffer) = self.coming[usize::from(token)].take() else { return };
            // SAFETY: the token is of this buffer.
            match unsafe { self.raw.receive_complete(token, buffer) } {
                // There is room for as many as there are buffers.
                Ok((start, len)) => drop(self.ready.push_back((now, buffer, start, len))),
                Err(_) => self.expect(buffer),
            }
        }
    }

    fn take_left(&mut self) {
        while let Some(token) = self.raw.poll_transmit() {
            let Some(buffer) = self.leaving[usize::from(token)].take() else { return };
            // SAFETY: the token is of this buffer.
            let _ = unsafe { self.raw.transmit_complete(token, buffer) };
            let _ = self.free.push(buffer);
        }
    }

    /// Sends the first octets of a buffer; says when they left.
    fn send<C: Clock<T: Into<u64>>>(
        &mut self,
        buffer: &'static mut Buffer,
        len: usize,
        clock: &SystemClock<C>,
    ) -> Instant {
        let now = clock.mono();
        // SAFETY: nobody looks into it before it is complete.
        match unsafe { self.raw.transmit_begin(&buffer[..len]) } {
            Ok(token) => self.leaving[usize::from(token)] = Some(buffer),
            Err(_) => drop(self.free.push(buffer)),
        }
        now
    }
}

pub struct Network<C: 'static> {
    clock: &'static SystemClock<C>,
    hardware: EthernetAddress,
    received: Buffer,
    arrived: Option<Instant>,
    departed: Option<(u32, Instant)>,
}

impl<C: Clock<T: Into<u64>>> Network<C> {
    /// Starts the first network device that there is; called once. Its interrupt, whose number comes
    /// with it, is to call [`interrupt`].
    pub fn start(clock: &'static SystemClock<C>) -> Option<(Self, u32)> {
        static COMING: ConstStaticCell<[Buffer; QUEUE]> =
            ConstStaticCell::new([[0; BUFFER]; QUEUE]);
        static FREE: ConstStaticCell<[Buffer; LEAVING]> =
            ConstStaticCell::new([[0; BUFFER]; LEAVING]);

        let (transport, irq) = (0..DEVICES).find_map(|place| {
            let header = NonNull::new((BASE + place * SIZE) as *mut _)?;
            // SAFETY: there are that many, each with these registers, and nobody else has them.
            let transport = unsafe { MmioTransport::new(header, SIZE) }.ok()?;
            (transport.device_type() == DeviceType::Network)
                .then_some((transport, FIRST_IRQ + place as u32))
        })?;
        let raw = Raw::new(transport).ok()?;
        let hardware = EthernetAddress(raw.mac_address());
        let (coming, leaving) = ([const { None }; QUEUE], [const { None }; QUEUE]);
        let (ready, free) = (Deque::new(), Vec::new());
        let mut shared = Shared { raw, coming, leaving, ready, free };
        COMING.take().iter_mut().for_each(|buffer| shared.expect(buffer));
        shared.free.extend(FREE.take());
        critical_section::with(|cs| SHARED.replace(cs, Some(shared)));
        let received = [0; BUFFER];
        Some((Self { clock, hardware, received, arrived: None, departed: None }, irq))
    }

    pub const fn hardware(&self) -> EthernetAddress {
        self.hardware
    }

    /// A token, if there is a buffer.
    fn token(&mut self) -> Option<(&Buffer, TxToken<'_, C>)> {
        let buffer = with(|shared| {
            shared.take_left();
            shared.free.pop()
        })?;
        let Self { clock, received, departed, .. } = self;
        Some((received, TxToken { clock, buffer: Some(buffer), departed, id: 0 }))
    }
}

/// What the interrupt calls.
pub fn interrupt<C: Clock<T: Into<u64>>>(clock: &SystemClock<C>) {
    with(|shared| {
        shared.take_arrived(clock.mono());
        Some(())
    });
}

/// Whether there is something to receive.
pub fn has_frames() -> bool {
    with(|shared| (!shared.ready.is_empty()).then_some(())).is_some()
}

fn with<R>(act: impl FnOnce(&mut Shared) -> Option<R>) -> Option<R> {
    critical_section::with(|cs| act(SHARED.borrow_ref_mut(cs).as_mut()?))
}

impl<C: Clock<T: Into<u64>>> Device for Network<C> {
    type RxToken<'a> = RxToken<'a>;
    type TxToken<'a> = TxToken<'a, C>;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(RxToken<'_>, TxToken<'_, C>)> {
        let (arrived, start, len) = with(|shared| {
            let (arrived, buffer, start, len) = shared.ready.pop_front()?;
            self.received = *buffer;
            shared.expect(buffer);
            Some((arrived, start, len))
        })?;
        self.arrived = Some(arrived);
        let (received, answer) = self.token()?;
        Some((RxToken(received.get(start..start + len)?), answer))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<TxToken<'_, C>> {
        self.token().map(|(_, token)| token)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME;
        capabilities
    }
}

impl<C: Clock<T: Into<u64>>> Driver for Network<C> {
    fn arrived(&mut self) -> Option<Instant> {
        self.arrived.take()
    }

    fn departed(&mut self) -> Option<(u32, Instant)> {
        self.departed.take()
    }
}

pub struct RxToken<'a>(&'a [u8]);

impl phy::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// Has its buffer until it is consumed or dropped.
pub struct TxToken<'a, C: 'static> {
    clock: &'static SystemClock<C>,
    buffer: Option<&'static mut Buffer>,
    departed: &'a mut Option<(u32, Instant)>,
    id: u32,
}

impl<C: Clock<T: Into<u64>>> phy::TxToken for TxToken<'_, C> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, len: usize, f: F) -> R {
        let mut nowhere = [];
        let Some(buffer) = self.buffer.take() else { return f(&mut nowhere) };
        let header = with(|shared| shared.raw.fill_buffer_header(buffer).ok()).unwrap_or(0);
        let result = f(&mut buffer[header..header + len]);
        let left = with(|shared| Some(shared.send(buffer, header + len, self.clock)));
        if let Some(at) = left.filter(|_| self.id != 0) {
            *self.departed = Some((self.id, at));
        }
        result
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.id = meta.id;
    }
}

impl<C> Drop for TxToken<'_, C> {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            with(|shared| shared.free.push(buffer).ok());
        }
    }
}

/// Memory is where it seems to be.
struct Identity;

/// Of both queues: descriptors with what is offered, and what was used.
const PAGES: usize = 4;

#[repr(C, align(4096))]
struct Page([u8; PAGE_SIZE]);

// SAFETY: each page is given away once, zeroed; addresses are as they are.
unsafe impl Hal for Identity {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        static mut MEMORY: [Page; PAGES] = [const { Page([0; PAGE_SIZE]) }; PAGES];
        static GIVEN: AtomicUsize = AtomicUsize::new(0);

        let first = GIVEN.fetch_add(pages, Ordering::Relaxed);
        let memory: *mut u8 = (&raw mut MEMORY).cast();
        match NonNull::new(memory.wrapping_add(first * PAGE_SIZE)) {
            Some(start) if first + pages <= PAGES => (start.addr().get() as u64, start),
            // No address: there is no more.
            _ => (0, NonNull::dangling()),
        }
    }

    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        0
    }

    unsafe fn mmio_phys_to_virt(address: PhysAddr, _: usize) -> NonNull<u8> {
        NonNull::new(address as *mut u8).unwrap_or(NonNull::dangling())
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.addr().get() as u64
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}
