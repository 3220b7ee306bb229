//! Serving time on every address.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Result, ensure};
use truechimer_tests::chimed::Chimed;
use truechimer_tests::free_port;
use truechimer_tests::process::finish;

use super::{SOON, chimed};

/// Of several addresses that a host has, the answer comes from the one that was asked.
pub(crate) fn from_the_address_asked() -> Result<()> {
    let port = free_port()?;
    let configuration = format!("[[listen]]\naddress = \"*\"\nport = {port}\n[local]\n");
    let server = Chimed::start(&configuration)?;
    for asked in ["127.0.0.2", "127.0.0.1"] {
        // Not connected, so that an answer from elsewhere is seen.
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut query = [0; 48];
        query[0] = 0o43;
        query[40..].copy_from_slice(b"stamp..!");
        socket.send_to(&query, (asked, port))?;
        let mut reply = [0; 128];
        let (length, from) = socket.recv_from(&mut reply)?;
        ensure!(from == std::net::SocketAddr::new(asked.parse()?, port), "from {from}");
        ensure!(length == 48 && &reply[24..32] == b"stamp..!", "{:02x?}", &reply[..length]);

        let ended = finish(chimed()?.args(["query", &format!("{asked}:{port}")]), SOON)?;
        ensure!(ended.code == Some(0), "{ended:?}");
        ensure!(
            ended.stdout.contains("  stratum 10  leap none  reference 127.127.1.1\n"),
            "{ended:?}"
        );
    }
    ensure!(server.status()?.number("answers")? == 4.0, "{:?}", server.status()?);
    Ok(())
}
