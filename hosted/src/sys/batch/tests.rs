use super::*;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

#[test]
fn answers_leave_from_where_they_were_asked() {
    let server = UdpSocket::bind("0.0.0.0:0").unwrap();
    setsockopt(&server, sockopt::Ipv4PacketInfo, &true).unwrap();
    setsockopt(&server, sockopt::ReceiveTimestampns, &true).unwrap();
    let port = server.local_addr().unwrap().port();
    let asked = ["127.0.0.1", "127.0.0.2", "127.1.2.3"];
    let clients = asked.map(|address| {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        client.send_to(address.as_bytes(), (address, port)).unwrap();
        client
    });
    clients[0].send_to(&[1; 1_025], ("127.0.0.1", port)).unwrap();
    let mut batch = Batch::default();
    assert_eq!(batch.receive(server.as_fd()), Ok(4));
    for (place, address) in asked.iter().enumerate() {
        let datagram = batch.datagram(place).unwrap();
        assert_eq!((datagram.bytes, datagram.from), (address.as_bytes(), [127, 0, 0, 1].into()));
        assert!(datagram.stamp.is_some());
        let bytes = datagram.bytes.to_vec();
        assert_eq!(batch.answer(place, &[]), Some(place));
        batch.fill(place, &bytes);
    }
    assert_eq!(batch.datagram(3).unwrap().bytes, b"", "it was cut off");
    assert_eq!(batch.send(server.as_fd()), (0b111, None));
    for (client, address) in clients.iter().zip(asked) {
        let mut bytes = [0; 32];
        let (len, from) = client.recv_from(&mut bytes).unwrap();
        assert_eq!((&bytes[..len], from.ip()), (address.as_bytes(), address.parse().unwrap()));
    }
    assert_eq!(batch.receive(server.as_fd()), Err(Errno::EAGAIN));
    assert_eq!(batch.send(server.as_fd()), (0, None), "nothing is sent twice");
}

#[test]
fn a_connected_socket_sends_to_its_peer_in_order() {
    let [one, other] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    one.connect(other.local_addr().unwrap()).unwrap();
    setsockopt(&other, sockopt::ReceiveTimestampns, &true).unwrap();
    let (mut sending, mut receiving) = (Batch::default(), Batch::default());
    let before = nix::time::ClockId::CLOCK_REALTIME.now().unwrap();
    for number in 0..=BATCH as u8 {
        assert_eq!(sending.queue(&[number; 48]), usize::from(number) < BATCH);
    }
    assert_eq!(sending.send(one.as_fd()), (u64::MAX, None));
    assert_eq!(receiving.receive(other.as_fd()), Ok(BATCH));
    let mut last = before;
    for number in 0..BATCH {
        let datagram = receiving.datagram(number).unwrap();
        assert_eq!(datagram.bytes, [number as u8; 48]);
        let stamp = datagram.stamp.unwrap();
        assert!(last <= stamp, "{last} {stamp}");
        last = stamp;
    }
    assert!(last <= nix::time::ClockId::CLOCK_REALTIME.now().unwrap());
    drop(other);
    assert!(sending.queue(b"?"));
    let _ = sending.send(one.as_fd());
    assert!(sending.queue(b"?"));
    assert_eq!(sending.send(one.as_fd()), (0, Some(Errno::ECONNREFUSED)));
}

#[test]
fn departures_are_told_by_their_number() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let server = UdpSocket::bind(address).unwrap();
        enable_stamps(server.as_fd()).unwrap();
        let client = UdpSocket::bind(address).unwrap();
        (0..3).for_each(|_| {
            client.send_to(b"question", server.local_addr().unwrap()).unwrap();
        });
        let mut batch = Batch::default();
        let before = nix::time::ClockId::CLOCK_REALTIME.now().unwrap();
        assert_eq!(batch.receive(server.as_fd()), Ok(3));
        (0..3).for_each(|place| assert_eq!(batch.answer(place, b"answer"), Some(place)));
        // The first is not asked for.
        [1, 2].into_iter().for_each(|place| batch.stamp_departure(place));
        assert_eq!(batch.send(server.as_fd()), (0b111, None));
        let mut departures = Vec::new();
        for _ in 0..500 {
            batch.departures(server.as_fd(), |number, at| departures.push((number, at)));
            if departures.len() == 2 {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let after = nix::time::ClockId::CLOCK_REALTIME.now().unwrap();
        let numbers: Vec<_> = departures.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [0, 1], "{address}");
        assert!(departures.iter().all(|(_, at)| before <= *at && *at <= after));
    }
}

#[test]
fn what_cannot_be_sent_keeps_nothing_back() {
    let server = UdpSocket::bind("[::1]:0").unwrap();
    let clients = [(); 3].map(|()| UdpSocket::bind("[::1]:0").unwrap());
    for client in &clients {
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        client.send_to(b"question", server.local_addr().unwrap()).unwrap();
    }
    let mut batch = Batch::default();
    assert_eq!(batch.receive(server.as_fd()), Ok(3));
    (0..3).for_each(|place| assert_eq!(batch.answer(place, b"answer"), Some(place)));
    // Nobody has port 0.
    // SAFETY: it is an address of this family, shorter than the storage.
    unsafe {
        let (_, message) = batch.answers.get_mut(1).unwrap();
        let name: *mut sockaddr_storage = &raw mut message.name;
        (*name.cast::<libc::sockaddr_in6>()).sin6_port = 0;
    }
    assert_eq!(batch.send(server.as_fd()), (0b101, Some(Errno::EINVAL)));
    for client in [&clients[0], &clients[2]] {
        let mut bytes = [0; 32];
        let len = client.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..len], b"answer");
    }
}
