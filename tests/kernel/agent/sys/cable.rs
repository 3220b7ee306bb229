//! Cards, and frames of Ethernet.

use std::fs::File;
use std::io;
use std::mem::zeroed;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::{done, interface, request};

/// What a frame bears.
const IPV4: u16 = libc::ETH_P_IP as u16;

/// A module becomes a part of the kernel.
pub fn load_module(module: &File) -> io::Result<()> {
    // SAFETY: an open file, no options: a string that ends with NUL.
    let done =
        unsafe { libc::syscall(libc::SYS_finit_module, module.as_raw_fd(), c"".as_ptr(), 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// An interface has this address, and the network of it that its class says.
pub fn set_address(name: &str, address: Ipv4Addr) -> io::Result<()> {
    let mut request = request(name);
    request.ifr_ifru.ifru_addr = generic(address);
    interface(libc::SIOCSIFADDR, &mut request)
}

/// Who has this address need not be asked for: it is at the card of that address.
pub fn set_neighbour(name: &str, address: Ipv4Addr, card: [u8; 6]) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // SAFETY: all fields are integers or arrays of them.
    let mut entry: libc::arpreq = unsafe { zeroed() };
    entry.arp_pa = generic(address);
    entry.arp_ha.sa_family = libc::ARPHRD_ETHER;
    for (to, from) in entry.arp_ha.sa_data.iter_mut().zip(card) {
        *to = from.cast_signed();
    }
    entry.arp_flags = libc::ATF_COM | libc::ATF_PERM;
    for (to, from) in entry.arp_dev.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    // SAFETY: a valid pointer to what this request takes.
    done(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSARP, &raw mut entry) })
}

fn generic(address: Ipv4Addr) -> libc::sockaddr {
    // SAFETY: all fields are integers or arrays of them.
    let mut generic: libc::sockaddr = unsafe { zeroed() };
    generic.sa_family = libc::AF_INET as libc::sa_family_t;
    // Behind the port.
    for (to, from) in generic.sa_data[2..].iter_mut().zip(address.octets()) {
        *to = from.cast_signed();
    }
    generic
}

/// The frames of an interface that bear IPv4.
#[derive(Debug)]
pub struct Frames {
    socket: OwnedFd,
    card: [u8; 6],
}

impl Frames {
    /// From now on.
    pub fn of(name: &str) -> io::Result<Self> {
        let mut wanted = request(name);
        interface(libc::SIOCGIFHWADDR, &mut wanted)?;
        // SAFETY: the request has filled it in.
        let octets = unsafe { wanted.ifr_ifru.ifru_hwaddr }.sa_data;
        let card = std::array::from_fn(|place| octets[place].cast_unsigned());
        interface(libc::SIOCGIFINDEX, &mut wanted)?;
        let kind = IPV4.to_be();
        // SAFETY: takes no pointer.
        let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW, kind.into()) };
        if socket < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it was just opened, and belongs to nobody else.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        // SAFETY: all fields are integers or arrays of them.
        let mut place: libc::sockaddr_ll = unsafe { zeroed() };
        place.sll_family = libc::AF_PACKET as u16;
        place.sll_protocol = kind;
        // SAFETY: the request has filled it in.
        place.sll_ifindex = unsafe { wanted.ifr_ifru.ifru_ifindex };
        let length = size_of_val(&place) as libc::socklen_t;
        // SAFETY: a valid pointer, and the length of what is there.
        done(unsafe { libc::bind(socket.as_raw_fd(), (&raw const place).cast(), length) })?;
        Ok(Self { socket, card })
    }

    /// The address of the card.
    pub fn card(&self) -> [u8; 6] {
        self.card
    }

    /// Waits for the next one, and says how long it is.
    pub fn receive(&self, frame: &mut [u8]) -> io::Result<usize> {
        let (socket, length) = (self.socket.as_raw_fd(), frame.len());
        // SAFETY: a valid pointer, and the length of what is there.
        let received = unsafe { libc::recv(socket, frame.as_mut_ptr().cast(), length, 0) };
        usize::try_from(received).map_err(|_| io::Error::last_os_error())
    }

    /// Sends one.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        // SAFETY: a valid pointer, and the length of what is there.
        let sent =
            unsafe { libc::send(self.socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}
