//! Against a model of the chip, made of its datasheet.

use std::boxed::Box;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::vec;
use std::vec::Vec;

use embedded_hal::spi::{ErrorKind, ErrorType};
use embedded_time::fraction::Fraction;
use smoltcp::phy::{RxToken as _, TxToken as _};

use super::*;

const ADDRESS: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 9]);
const SIZE: usize = 16 * 1024;
const AT: NetInstant = NetInstant::ZERO;

/// What is behind the bus.
struct Model {
    common: [u8; 64],
    sockets: [[u8; 64]; 8],
    transmit: Vec<u8>,
    receive: Vec<u8>,
    /// How far frames have been put in, taken out and sent.
    put: u16,
    taken: u16,
    sent_to: u16,
    sent: VecDeque<Vec<u8>>,
    fails: bool,
}

impl Model {
    fn new() -> Self {
        let mut common = [0; 64];
        common[usize::from(VERSIONR)] = VERSION;
        let mut sockets = [[0; 64]; 8];
        for socket in &mut sockets {
            socket[usize::from(SN_RXBUF_SIZE)] = 2;
            socket[usize::from(SN_TXBUF_SIZE)] = 2;
        }
        let (transmit, receive) = (vec![0; SIZE], vec![0; SIZE]);
        // Near to where the pointers turn.
        let (put, taken, sent_to) = (65_000, 65_000, 65_000);
        let sent = VecDeque::new();
        let fails = false;
        Self { common, sockets, transmit, receive, put, taken, sent_to, sent, fails }
    }

    /// A frame comes from the cable.
    fn arrive(&mut self, frame: &[u8]) {
        let head = (frame.len() as u16 + 2).to_be_bytes();
        for octet in head.iter().chain(frame) {
            self.receive[usize::from(self.put) % SIZE] = *octet;
            self.put = self.put.wrapping_add(1);
        }
        self.sockets[0][usize::from(SN_IR)] |= RECEIVED;
    }

    fn is_low(&self) -> bool {
        let socket = &self.sockets[0];
        let raised = socket[usize::from(SN_IR)] & socket[usize::from(SN_IMR)] != 0;
        raised && self.common[usize::from(SIMR)] & 1 != 0
    }

    fn pointer(&mut self, register: u16, value: Option<u16>) -> u16 {
        let place = usize::from(register);
        let octets = &mut self.sockets[0][place..place + 2];
        if let Some(value) = value {
            octets.copy_from_slice(&value.to_be_bytes());
        }
        u16::from_be_bytes([octets[0], octets[1]])
    }

    fn command(&mut self, command: u8) {
        match command {
            OPEN => {
                assert_eq!(self.sockets[0][usize::from(SN_MR)], MACRAW);
                assert_eq!(self.sockets.map(|one| one[usize::from(SN_RXBUF_SIZE)])[..2], [16, 0]);
                self.sockets[0][usize::from(SN_SR)] = SOCK_MACRAW;
                self.pointer(SN_TX_WR, Some(65_000));
                self.pointer(SN_RX_RD, Some(65_000));
            }
            SEND => {
                let end = self.pointer(SN_TX_WR, None);
                let len = end.wrapping_sub(self.sent_to);
                let octet =
                    |at: u16| self.transmit[usize::from(self.sent_to.wrapping_add(at)) % SIZE];
                self.sent.push_back((0..len).map(octet).collect());
                self.sent_to = end;
            }
            RECV => self.taken = self.pointer(SN_RX_RD, None),
            _ => panic!("no command: {command:#x}"),
        }
    }

    fn access(&mut self, place: u16, control: u8, content: &mut Operation<'_, u8>) {
        let (block, socket) = (control >> 3 & 3, usize::from(control >> 5));
        let waits = self.put.wrapping_sub(self.taken);
        self.pointer(SN_RX_RSR, Some(waits));
        self.pointer(SN_TX_FSR, Some(SIZE as u16));
        match content {
            Operation::Read(octets) => {
                assert_eq!(control & 7, 0);
                for (offset, octet) in octets.iter_mut().enumerate() {
                    let at = usize::from(place.wrapping_add(offset as u16));
                    *octet = match block {
                        0 => self.common[at],
                        1 => self.sockets[socket][at],
                        2 => self.transmit[at % SIZE],
                        _ => self.receive[at % SIZE],
                    };
                }
            }
            Operation::Write(octets) => {
                assert_eq!(control & 7, WRITE);
                for (offset, octet) in octets.iter().enumerate() {
                    let at = usize::from(place.wrapping_add(offset as u16));
                    match (block, at as u16) {
                        (0, MR) => self.common[at] = octet & !RESET,
                        (0, _) => self.common[at] = *octet,
                        (1, SN_CR) => self.command(*octet),
                        (1, SN_IR) => self.sockets[socket][at] &= !octet,
                        (1, _) => self.sockets[socket][at] = *octet,
                        (2, _) => self.transmit[at % SIZE] = *octet,
                        _ => panic!("what has come is read only"),
                    }
                }
            }
            _ => panic!("neither read nor written"),
        }
    }
}

struct Bus(Rc<RefCell<Model>>);

impl ErrorType for Bus {
    type Error = ErrorKind;
}

impl SpiDevice for Bus {
    fn transaction(&mut self, operations: &mut [Operation<'_, u8>]) -> Result<(), ErrorKind> {
        let mut model = self.0.borrow_mut();
        if model.fails {
            return Err(ErrorKind::Other);
        }
        let [Operation::Write([high, low, control]), content] = operations else {
            panic!("an address and what is there");
        };
        model.access(u16::from_be_bytes([*high, *low]), *control, content);
        Ok(())
    }
}

/// Counts its readings.
#[derive(Debug, Default)]
struct Timer(core::sync::atomic::AtomicU32);

impl Clock for Timer {
    type T = u32;
    const SCALING_FACTOR: Fraction = Fraction::new(1, 1_000_000);
    fn try_now(&self) -> Result<embedded_time::Instant<Self>, embedded_time::clock::Error> {
        let count = self.0.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
        Ok(embedded_time::Instant::new(count))
    }
}

type Started = Result<W5500<'static, Bus, Timer>, StartError<ErrorKind>>;

fn start(model: Model) -> (Rc<RefCell<Model>>, Started, &'static Arrival) {
    let model = Rc::new(RefCell::new(model));
    let clock = Box::leak(Box::new(SystemClock::new(Timer::default())));
    let line = Box::leak(Box::new(Arrival::new()));
    let chip = W5500::start(Bus(Rc::clone(&model)), ADDRESS, clock, line);
    (model, chip, line)
}

fn receive(chip: &mut W5500<'static, Bus, Timer>) -> Option<(Vec<u8>, Option<Instant>)> {
    let (token, _) = chip.receive(AT)?;
    let frame = token.consume(<[u8]>::to_vec);
    Some((frame, chip.arrived()))
}

#[test]
fn frames_come_and_go() {
    let (model, chip, line) = start(Model::new());
    let mut chip = chip.unwrap();
    assert_eq!(model.borrow().common[9..15], ADDRESS.0);
    assert_eq!(receive(&mut chip), None);
    // More than its memory holds, one by one.
    for round in 0..40u16 {
        let frame: Vec<u8> = (0..1_514).map(|at| (at ^ round) as u8).collect();
        model.borrow_mut().arrive(&frame);
        model.borrow_mut().arrive(&frame[..60]);
        assert!(model.borrow().is_low());
        let at = Instant::from_nanos(u64::from(round));
        line.note(at);
        assert_eq!(receive(&mut chip), Some((frame.clone(), Some(at))));
        assert_eq!(receive(&mut chip), Some((frame[..60].to_vec(), None)), "came unseen");
        assert_eq!(receive(&mut chip), None);
        assert!(!model.borrow().is_low() && !line.is_noted());

        let mut token = chip.transmit(AT).unwrap();
        token.set_meta({
            let mut meta = PacketMeta::default();
            meta.id = round.into();
            meta
        });
        token.consume(frame.len(), |room| room.copy_from_slice(&frame));
        assert_eq!(model.borrow_mut().sent.pop_front(), Some(frame));
        assert_eq!(chip.departed().map(|(id, _)| id), Some(u32::from(round)).filter(|id| *id != 0));
    }
}

#[test]
fn disorder_is_left_behind() {
    let (model, chip, _) = start(Model::new());
    let mut chip = chip.unwrap();
    model.borrow_mut().arrive(&[1; 60]);
    // Longer than all that waits.
    model.borrow_mut().receive[65_000 % SIZE] = 0x20;
    assert_eq!(receive(&mut chip), None);
    model.borrow_mut().arrive(&[2; 1_600]);
    assert_eq!(receive(&mut chip), None, "no frame is as long");
    model.borrow_mut().arrive(&[3; 60]);
    assert_eq!(receive(&mut chip), Some((vec![3; 60], None)));
}

#[test]
fn the_link_is_the_transceivers() {
    let (model, chip, _) = start(Model::new());
    let mut chip = chip.unwrap();
    assert_eq!(chip.has_link(), Some(false));
    model.borrow_mut().common[usize::from(PHYCFGR)] = 0xB9;
    assert_eq!(chip.has_link(), Some(true));
    model.borrow_mut().fails = true;
    assert_eq!(chip.has_link(), Some(false));
    assert!(chip.transmit(AT).is_none() && chip.receive(AT).is_none());
}

#[test]
fn what_is_no_w5500_is_told() {
    let mut other = Model::new();
    other.common[usize::from(VERSIONR)] = 0xFF;
    assert_eq!(start(other).1.err(), Some(StartError::Version(0xFF)));
    let mut broken = Model::new();
    broken.fails = true;
    assert_eq!(start(broken).1.err(), Some(StartError::Bus(ErrorKind::Other)));
}
