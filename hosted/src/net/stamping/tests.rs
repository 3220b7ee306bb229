use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use truechimer_core::PeerId;
use truechimer_core::hal::{Channel, DatagramSocket, RawStamp};
use truechimer_core::units::{Span, WallTime};

use super::super::Sockets;
use super::super::tests::warm_up;
use crate::clock::realtime;
use crate::sys::fault::{Call, inject};

const PEER: PeerId = PeerId(3);

fn server() -> (UdpSocket, SocketAddr) {
    warm_up();
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = server.local_addr().unwrap();
    (server, address)
}

/// Whether poll(2) would return at once.
fn wakes(sockets: &Sockets) -> bool {
    let (_, socket) = sockets.descriptors().next().unwrap();
    let mut descriptors = [PollFd::new(socket, PollFlags::POLLIN)];
    poll(&mut descriptors, PollTimeout::ZERO).unwrap() > 0
}

/// How an answer's arrival is stamped.
fn answered(server: &UdpSocket, sockets: &mut Sockets) -> RawStamp {
    let mut bytes = [0; 16];
    let (_, from) = server.recv_from(&mut bytes).unwrap();
    server.send_to(b"answer", from).unwrap();
    let (_, socket) = sockets.descriptors().next().unwrap();
    poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], 5_000_u16).unwrap();
    sockets.set_ready(Channel::Peer(PEER));
    sockets.receive(&mut bytes).unwrap().stamp
}

#[test]
fn departures_are_told_when_they_are_sent() {
    let (server, address) = server();
    let mut sockets = Sockets::new();
    let before = realtime();
    let Ok(RawStamp::Kernel(left)) = sockets.query(PEER, address, b"query") else {
        panic!("no stamp of the kernel")
    };
    assert!(before < left && left < realtime());
    assert!(!wakes(&sockets), "nothing is left in the queue of errors");
    assert_eq!(sockets.stamping(PEER).to_string(), "SO_TIMESTAMPING");
    let RawStamp::Kernel(arrived) = answered(&server, &mut sockets) else { panic!("no stamp") };
    assert!(left < arrived);
    assert_eq!(sockets.departed(), None, "it is known already");
}

/// As when the neighbour's address is asked for first.
#[test]
fn later_departures_correct_what_was_said() {
    let (server, address) = server();
    let mut sockets = Sockets::new();
    let late = inject(Call::Departure, Errno::EAGAIN);
    let Ok(RawStamp::System(sent)) = sockets.query(PEER, address, b"query") else {
        panic!("by the clock at first")
    };
    drop(late);
    assert!(wakes(&sockets), "it waits in the queue of errors");
    assert!(matches!(answered(&server, &mut sockets), RawStamp::Kernel(_)));
    let Some((PEER, RawStamp::Kernel(left))) = sockets.departed() else { panic!("not told") };
    assert!(sent < left && left < realtime());
    assert!(!wakes(&sockets));
    assert_eq!(sockets.departed(), None, "once");
}

#[test]
fn departures_alone_do_not_keep_poll_awake() {
    let (_server, address) = server();
    let mut sockets = Sockets::new();
    for _ in 0..2 {
        let late = inject(Call::Departure, Errno::EAGAIN);
        sockets.query(PEER, address, b"query").unwrap();
        drop(late);
        assert!(wakes(&sockets));
        sockets.set_ready(Channel::Peer(PEER));
        assert!(matches!(sockets.receive(&mut [0; 16]), Err(nb::Error::WouldBlock)));
        assert!(!wakes(&sockets));
    }
    assert!(sockets.departed().is_some());
    let late = inject(Call::Departure, Errno::EAGAIN);
    sockets.query(PEER, address, b"another query").unwrap();
    drop(late);
    sockets.query(PEER, address, b"the last").unwrap();
    assert_eq!(sockets.departed(), None, "of a query that is no longer waited for");
}

#[test]
fn without_an_option_the_next_best_is_taken() {
    let (server, address) = server();
    let mut sockets = Sockets::new();
    let mut ask = || {
        let sent = sockets.query(PEER, address, b"query").unwrap();
        let arrived = answered(&server, &mut sockets);
        assert!(matches!(sent, RawStamp::System(_)), "{sent:?}");
        (sockets.stamping(PEER).to_string(), arrived)
    };
    let _timestamping = inject(Call::Timestamping, Errno::ENOPROTOOPT);
    let (option, arrived) = ask();
    assert!(option == "SO_TIMESTAMPNS" && matches!(arrived, RawStamp::Kernel(_)), "{arrived:?}");
    let _timestampns = inject(Call::Timestampns, Errno::ENOPROTOOPT);
    let (option, arrived) = ask();
    let RawStamp::Kernel(time) = arrived else { panic!("{arrived:?}") };
    assert_eq!(option, "SO_TIMESTAMP");
    assert_eq!((time - WallTime::UNIX_EPOCH).as_nanos() % 1_000, 0);
    let _timestamp = inject(Call::Timestamp, Errno::ENOPROTOOPT);
    assert_eq!(ask(), ("none".to_owned(), RawStamp::Unknown));
}

/// Prints by how much T1 is early that is read beside the call.
#[test]
fn the_kernel_knows_better() {
    let (_server, address) = server();
    let mut sockets = Sockets::new();
    let mut early: Vec<Span> = (0..500)
        .map(|_| {
            let late = inject(Call::Departure, Errno::EAGAIN);
            let Ok(RawStamp::System(read)) = sockets.query(PEER, address, b"query") else {
                panic!("not sent")
            };
            drop(late);
            sockets.set_ready(Channel::Peer(PEER));
            let _ = sockets.receive(&mut [0; 16]);
            let Some((_, RawStamp::Kernel(left))) = sockets.departed() else { panic!("not told") };
            left - read
        })
        .collect();
    early.sort_unstable();
    let micros = |place: usize| early[place].as_nanos() as f64 / 1e3;
    println!("T1 is {:.1} us early (99 %: {:.1} us) without", micros(250), micros(494));
    assert!(early[0] > Span::ZERO);
}
