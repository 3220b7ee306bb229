//! The least that a server on a socket can do: batches in, 16 octets of each header rewritten,
//! batches out. It neither looks at what it got nor knows the time to more than a batch.

use std::mem::{size_of, zeroed};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::ptr;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use libc::{iovec, mmsghdr, sockaddr_in};

const BATCH: usize = 64;
/// Seconds from 1900 to 1970.
const NTP_TO_UNIX: u64 = 2_208_988_800;

/// Serves on a port of loopback until it is killed.
pub fn serve(port: u16) -> Result<()> {
    let socket = UdpSocket::bind(("127.0.0.1", port))?;
    let mut buffers = [[0u8; 48]; BATCH];
    // SAFETY: zeros are an address of no family.
    let mut names: [sockaddr_in; BATCH] = unsafe { zeroed() };
    let mut parts = [iovec { iov_base: ptr::null_mut(), iov_len: 48 }; BATCH];
    // SAFETY: zeros and null pointers are a header of nothing.
    let mut headers: [mmsghdr; BATCH] = unsafe { zeroed() };
    for (place, header) in headers.iter_mut().enumerate() {
        parts[place].iov_base = buffers[place].as_mut_ptr().cast();
        header.msg_hdr.msg_iov = &raw mut parts[place];
        header.msg_hdr.msg_iovlen = 1;
        header.msg_hdr.msg_name = (&raw mut names[place]).cast();
    }
    println!("ready");
    loop {
        for header in &mut headers {
            header.msg_hdr.msg_namelen = size_of::<sockaddr_in>() as _;
        }
        // SAFETY: the headers point to buffers and names of the lengths that they state.
        let received = unsafe {
            let flags = libc::MSG_WAITFORONE as _;
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as _,
                flags,
                ptr::null_mut(),
            )
        };
        if received < 0 {
            bail!(std::io::Error::last_os_error());
        }
        let now = stamp()?.to_be_bytes();
        for buffer in buffers.iter_mut().take(received as usize) {
            buffer.copy_within(40..48, 24);
            buffer[..16].copy_from_slice(b"\x24\x01\0\xec\0\0\0\0\0\0\0\0BARE");
            buffer[32..40].copy_from_slice(&now);
            buffer[40..].copy_from_slice(&now);
        }
        // SAFETY: as above; the names are those that recvmmsg wrote.
        let sent =
            unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), received as _, 0) };
        if sent < received {
            bail!(std::io::Error::last_os_error());
        }
    }
}

fn stamp() -> Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
    Ok(((now.as_secs() + NTP_TO_UNIX) << 32) | fraction)
}
