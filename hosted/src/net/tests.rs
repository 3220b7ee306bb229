use super::*;
use crate::config::Listen;
use crate::sys::fault::inject;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::Duration;

fn listen(address: Option<Ipv4Addr>, port: u16) -> Listen {
    Listen { address: address.map(IpAddr::V4), port }
}

/// The kernel begins to stamp what arrives a moment after the first socket wants it. This one stays.
pub(super) fn warm_up() {
    static FIRST: OnceLock<UdpSocket> = OnceLock::new();
    FIRST.get_or_init(|| {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        Stamping::of_arrivals(&socket);
        let stamped = (0..500).any(|_| {
            socket.send_to(b"stamp", socket.local_addr().unwrap()).unwrap();
            sleep(Duration::from_millis(10));
            let received = Receiver::default().receive(&socket, &mut [0; 8]);
            matches!(received.unwrap().stamp, RawStamp::Kernel(_))
        });
        assert!(stamped, "nothing is stamped");
        socket
    });
}

fn receive(sockets: &mut Sockets) -> (Received, Vec<u8>) {
    let mut buffer = [0; 128];
    for _ in 0..500 {
        let channels: Vec<_> = sockets.descriptors().map(|(channel, _)| channel).collect();
        channels.into_iter().for_each(|channel| sockets.set_ready(channel));
        match sockets.receive(&mut buffer) {
            Ok(received) => return (received, buffer[..received.len].to_vec()),
            Err(nb::Error::WouldBlock) => sleep(Duration::from_millis(10)),
            Err(nb::Error::Other(error)) => panic!("{error}"),
        }
    }
    panic!("nothing arrived");
}

#[test]
fn a_query_and_its_answer_are_stamped() {
    warm_up();
    let mut sockets = Sockets::new();
    assert_eq!(sockets.set_listening(&[listen(Some(Ipv4Addr::LOCALHOST), 0)], 0), []);
    let server = sockets.listening().next().unwrap();

    let before = realtime();
    let Ok(RawStamp::Kernel(sent) | RawStamp::System(sent)) =
        sockets.query(PeerId(2), server, b"query")
    else {
        panic!("not sent")
    };
    let (received, bytes) = receive(&mut sockets);
    assert_eq!((received.channel, bytes.as_slice()), (Channel::Listener(0), b"query".as_slice()));
    let RawStamp::Kernel(arrived) = received.stamp else { panic!("{:?}", received.stamp) };
    assert!(before <= sent && sent <= arrived && arrived <= realtime());

    sockets.reply(0, received.from, b"answer").unwrap();
    let (received, bytes) = receive(&mut sockets);
    assert_eq!((received.channel, received.from), (Channel::Peer(PeerId(2)), server));
    assert_eq!(bytes, b"answer");
}

#[test]
fn each_query_has_a_port_of_its_own() {
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let to = server.local_addr().unwrap();
    let mut sockets = Sockets::new();
    let mut ports = std::collections::HashSet::new();
    for _ in 0..16 {
        sockets.query(PeerId(0), to, b"x").unwrap();
        let (_, from) = server.recv_from(&mut [0; 8]).unwrap();
        ports.insert(from.port());
    }
    assert!(ports.len() > 12, "{ports:?}");
    assert_eq!(sockets.descriptors().count(), 1, "the old ones are closed");
}

#[test]
fn a_closed_port_is_no_error() {
    let mut sockets = Sockets::new();
    let closed = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    sockets.query(PeerId(0), closed, b"x").unwrap();
    sleep(Duration::from_millis(20));
    let refused = sockets.error(PeerId(0)).unwrap();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    sockets.set_ready(Channel::Peer(PeerId(0)));
    assert!(matches!(sockets.receive(&mut [0; 8]), Err(nb::Error::WouldBlock)));
    assert!(sockets.take_failures().is_empty());
}

#[test]
fn a_taken_port_is_named() {
    let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let wanted = Listen { address: Some(address.ip()), port: address.port() };
    let failures = Sockets::new().set_listening(&[wanted], 0);
    let [(named, error)] = failures[..] else { panic!("{failures:?}") };
    assert_eq!((named, error), (address, Errno::EADDRINUSE));
}

#[cfg(target_os = "linux")]
#[test]
fn a_listener_on_all_addresses_answers_from_the_one_asked() {
    let mut server = Sockets::new();
    assert_eq!(server.set_listening(&[listen(None, 0)], 0), []);
    let port = server.listening().find(SocketAddr::is_ipv4).unwrap().port();
    let mut client = Sockets::new();
    for address in ["127.0.0.1", "127.0.0.2", "127.1.2.3"] {
        let asked = SocketAddr::new(address.parse().unwrap(), port);
        client.query(PeerId(0), asked, b"query").unwrap();
        let (received, _) = receive(&mut server);
        let Channel::Listener(listener) = received.channel else { panic!("{received:?}") };
        server.reply(listener, received.from, b"answer").unwrap();
        let (received, bytes) = receive(&mut client);
        assert_eq!((received.from, bytes.as_slice()), (asked, b"answer".as_slice()));
    }
}

/// What is told when a socket has something.
fn failures(sockets: &mut Sockets) -> Vec<String> {
    let channels: Vec<_> = sockets.descriptors().map(|(channel, _)| channel).collect();
    channels.into_iter().for_each(|channel| sockets.set_ready(channel));
    let _ = sockets.receive(&mut [0; 64]);
    sockets.take_failures().iter().map(Event::to_string).collect()
}

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[test]
fn an_error_of_a_peer_is_told_once() {
    let mut sockets = Sockets::new();
    let closed = UdpSocket::bind((LOCAL, 0)).unwrap().local_addr().unwrap();
    let mut ask = || {
        sockets.query(PeerId(0), closed, b"x").unwrap();
        sleep(Duration::from_millis(20));
        failures(&mut sockets)
    };
    let refused = "recvmsg 127.0.0.1 Connection refused";
    assert_eq!(ask(), [refused]);
    assert!(ask().is_empty());
    let fault = inject(Call::Recvmsg, Errno::EHOSTUNREACH);
    assert_eq!(ask(), ["recvmsg 127.0.0.1 No route to host"]);
    drop(fault);
    assert_eq!(ask(), [refused]);
}

#[test]
fn a_listener_that_cannot_receive_says_so() {
    let mut sockets = Sockets::new();
    assert_eq!(sockets.set_listening(&[listen(Some(Ipv4Addr::LOCALHOST), 0)], 0), []);
    let _fault = inject(Call::Recvmsg, Errno::ENOMEM);
    assert_eq!(failures(&mut sockets), ["recvfrom 127.0.0.1"]);
}

#[test]
fn what_is_cut_off_is_told() {
    let mut sockets = Sockets::new();
    assert_eq!(sockets.set_listening(&[listen(Some(Ipv4Addr::LOCALHOST), 0)], 0), []);
    let server = sockets.listening().next().unwrap();
    let sent = |sockets: &mut Sockets, length| {
        sockets.query(PeerId(0), server, &vec![0; length]).unwrap();
        sleep(Duration::from_millis(20));
        failures(sockets)
    };
    assert!(sent(&mut sockets, 64).is_empty());
    assert_eq!(sent(&mut sockets, 65), ["recvmsg packet 127.0.0.1 Message too long"]);
    sockets.receiver = Receiver::with_room(1);
    assert_eq!(sent(&mut sockets, 64), ["recvmsg control data 127.0.0.1 Message too long"]);
}

#[test]
fn listeners_come_and_go() {
    let address = Some(Ipv4Addr::LOCALHOST);
    let ports: Vec<u16> = (0..3).map(|_| free_port()).collect();
    let mut sockets = Sockets::new();
    let at = |sockets: &Sockets| sockets.listening().map(|at| at.port()).collect::<Vec<_>>();
    assert_eq!(
        sockets.set_listening(&[listen(address, ports[0]), listen(address, ports[1])], 0),
        []
    );
    let before = sockets.listeners[1].socket.as_raw_fd();
    let occupied = UdpSocket::bind((Ipv4Addr::LOCALHOST, ports[2])).unwrap();
    let wanted = [listen(address, ports[2]), listen(address, ports[1])];
    let failures = sockets.set_listening(&wanted, 0);
    assert_eq!(failures, [(occupied.local_addr().unwrap(), Errno::EADDRINUSE)]);
    assert_eq!(at(&sockets), [ports[1]]);
    drop(occupied);
    assert_eq!(sockets.set_listening(&wanted, 0), []);
    assert_eq!(at(&sockets), [ports[1], ports[2]]);
    assert_eq!(sockets.listeners[0].socket.as_raw_fd(), before, "who stays is not bound anew");
    assert!(UdpSocket::bind((Ipv4Addr::LOCALHOST, ports[0])).is_ok(), "who is gone is closed");
}

fn free_port() -> u16 {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
