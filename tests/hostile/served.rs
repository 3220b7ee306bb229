//! What a server does not answer: an answer to anything but a query could be sent in a circle, and
//! one that is longer than its question could be aimed at somebody.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Result, ensure};
use truechimer_tests::chimed::{Chimed, listen};
use truechimer_tests::free_port;

/// How long an answer is waited for that should not come.
const SILENCE: Duration = Duration::from_millis(300);

pub(crate) fn queries_only() -> Result<()> {
    let port = free_port()?;
    let chimed = Chimed::start(&format!("{}[local]\nstratum = 3\n", listen(port)))?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(SILENCE))?;
    let ask = |datagram: &[u8]| -> Result<Option<Vec<u8>>> {
        socket.send(datagram)?;
        let mut buffer = [0; 2048];
        Ok(socket.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec()))
    };

    let query = |version: u8, mode: u8| {
        let mut query = [0; 48];
        query[0] = (version << 3) | mode;
        query[40..].copy_from_slice(b"stamp..!");
        query
    };
    let with_mac = [&query(4, 3)[..], &[0, 0, 0, 1], &[0xaa; 16]].concat();
    let with_field = [&query(4, 3)[..], &[0xfe, 0xed, 0, 32], &[0; 28]].concat();
    let cut = |length: usize| query(4, 3)[..length].to_vec();
    let refused: [(&str, Vec<Vec<u8>>); 4] = [
        (
            "malformed",
            vec![
                cut(0),
                cut(1),
                cut(47),
                query(5, 3).to_vec(),
                query(4, 7).to_vec(),
                [&query(4, 3)[..], &[0; 1400]].concat(),
            ],
        ),
        ("mode", [2, 4, 5].map(|mode| query(4, mode).to_vec()).to_vec()),
        ("authentication", vec![with_mac]),
        ("control", vec![query(2, 6).to_vec()]),
    ];
    for (reason, datagrams) in &refused {
        for datagram in datagrams {
            let reply = ask(datagram)?;
            ensure!(reply.is_none(), "{reason} {datagram:02x?} got {reply:02x?}");
        }
        let status = chimed.status()?;
        ensure!(status.refused(reason) == datagrams.len() as u64, "{reason}: {status:?}");
    }
    for datagram in [query(4, 3).to_vec(), query(3, 3).to_vec(), with_field] {
        let reply = ask(&datagram)?.unwrap_or_default();
        ensure!(reply.len() == 48, "{} octets for {}", reply.len(), datagram.len());
        ensure!(reply[0] == (datagram[0] & 0o70) | 4, "flags {:#x}", reply[0]);
        ensure!(reply[1] == 3 && &reply[24..32] == b"stamp..!", "{reply:02x?}");
    }
    Ok(())
}
