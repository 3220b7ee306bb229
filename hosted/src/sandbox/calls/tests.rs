//! A filter is of the thread that asks for it.

use std::fs::{self, File};
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::{io, thread};

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::kill;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::unistd::{Pid, execv};

use super::*;
use crate::clock::KernelClock;
use crate::sys::phc::{info, refusals};

#[test]
fn clocks_of_cards_are_read_and_nothing_else_is_done_to_them() {
    for (work, expected) in [(Work::Ntp, Errno::ENOTTY), (Work::Dns, Errno::EPERM)] {
        let confined = thread::spawn(move || {
            let (file, socket) = (File::open("/dev/null"), UdpSocket::bind("127.0.0.1:0"));
            let (file, socket) = (file.unwrap(), socket.unwrap());
            let before = info(socket.as_fd(), "lo").map(drop);
            restrict(&work).unwrap();
            let after = info(socket.as_fd(), "lo").map(drop);
            (before, refusals(file.as_fd()), after)
        });
        let (before, refusals, after) = confined.join().unwrap();
        assert_eq!(refusals, [expected; 3]);
        assert_eq!((before, after), (Ok(()), Err(Errno::EPERM)));
    }
}

type Call = fn(&Path) -> io::Result<()>;

/// Calls that do no harm where they are not refused, and that every user may make.
const CALLS: [(&str, Call); 9] = [
    ("bind", |_| UdpSocket::bind("127.0.0.1:0").map(drop)),
    ("open", |_| File::open("/dev/null").map(drop)),
    ("make", |folder| fs::create_dir(folder.join("made"))),
    ("run", |_| Ok(execv(c"/nowhere", &[c"nowhere"]).map(drop)?)),
    ("signal", |_| Ok(kill(Pid::this(), None)?)),
    ("clock", |_| KernelClock::open().map(drop).map_err(|_| Errno::EPERM.into())),
    ("host", |_| UnixDatagram::unbound().map(drop)),
    ("netlink", |_| {
        let flags = SockFlag::SOCK_CLOEXEC;
        Ok(socket(AddressFamily::Netlink, SockType::Raw, flags, None).map(drop)?)
    }),
    ("limits", |_| {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        Ok(setrlimit(Resource::RLIMIT_NOFILE, soft, hard)?)
    }),
];

fn refused(folder: &Path) -> Vec<&'static str> {
    let eperm = Some(Errno::EPERM as i32);
    let calls = CALLS.into_iter();
    calls
        .filter(|(_, call)| call(folder).is_err_and(|error| error.raw_os_error() == eperm))
        .map(|(name, _)| name)
        .collect()
}

#[test]
fn what_is_none_of_its_work_is_refused() {
    let nobody = tempfile::tempdir().unwrap();
    assert!(refused(nobody.path()).is_empty(), "without a filter: {:?}", refused(nobody.path()));
    let engine = ["open", "make", "run", "signal", "clock", "host", "netlink", "limits"];
    for (work, expected) in [
        (Work::Parent(Vec::new()), &["bind", "run", "netlink", "limits"][..]),
        (Work::Ntp, &engine),
        (Work::Dns, &["make", "run", "signal", "clock", "limits"]),
        (Work::Constraint(vec![443]), &[&["bind"], &engine[..]].concat()),
        (Work::Exporter, &["bind", "open", "make", "run", "signal", "clock", "netlink", "limits"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let of_whom = format!("{work:?}");
        let confined = thread::spawn(move || {
            restrict(&work).unwrap();
            refused(&path)
        });
        assert_eq!(confined.join().unwrap(), expected, "{of_whom}");
    }
}
