//! One end of a pair of `SOCK_SEQPACKET` sockets, and what may be sent and received there.

use std::io::{IoSlice, IoSliceMut};
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, recvmsg, sendmsg, setsockopt,
    socketpair, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::codec::{self, Invalid, MAX_MESSAGE, Message};
use crate::sys::fault::{Call, fault};
use crate::sys::receive_with_descriptors;

/// How long the other process may take before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(10);

/// An end at which `Out` is sent and `In` comes.
#[derive(Debug)]
pub struct Channel<Out, In> {
    socket: OwnedFd,
    messages: PhantomData<fn(Out) -> In>,
}

/// Why nothing was sent or received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// The other process has ended.
    #[error("the pipe is closed")]
    Closed,
    /// It does nothing any more.
    #[error("the other process is stuck")]
    Stuck,
    /// What came is not a message, or one would be too long.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The system's reason.
    #[error("{0}")]
    Os(Errno),
}

impl From<Errno> for ChannelError {
    fn from(error: Errno) -> Self {
        match error {
            Errno::EPIPE | Errno::ECONNRESET | Errno::ENOTCONN => Self::Closed,
            Errno::EAGAIN => Self::Stuck,
            other => Self::Os(other),
        }
    }
}

/// Both ends of a new pair.
///
/// # Errors
/// The system has none.
pub fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    fault(Call::Socketpair)?;
    // At once where it can be, lest a process that another thread starts holds an end too.
    #[cfg(not(target_vendor = "apple"))]
    let flags = SockFlag::SOCK_CLOEXEC;
    #[cfg(target_vendor = "apple")]
    let flags = SockFlag::empty();
    let (one, other) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
    #[cfg(target_vendor = "apple")]
    for end in [&one, &other] {
        use nix::fcntl::{FcntlArg, FdFlag, fcntl};
        fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    }
    Ok((one, other))
}

impl<Out, In> Channel<Out, In> {
    /// The end that is behind a descriptor.
    ///
    /// # Errors
    /// It is not a socket.
    pub fn new(socket: OwnedFd) -> Result<Self, Errno> {
        let patience = TimeVal::milliseconds(PATIENCE.as_millis() as i64);
        setsockopt(&socket, sockopt::SendTimeout, &patience)?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &patience)?;
        Ok(Self { socket, messages: PhantomData })
    }
}

impl<Out: Message, In: Message> Channel<Out, In> {
    /// Sends a message; waits for room if need be.
    ///
    /// # Errors
    /// It was not sent.
    pub fn send(&self, message: &Out) -> Result<(), ChannelError> {
        self.put(message, &[], MsgFlags::empty())
    }

    /// Sends a message if there is room for it now.
    ///
    /// # Errors
    /// It was not sent; [`ChannelError::Stuck`] if there was no room.
    pub fn try_send(&self, message: &Out) -> Result<(), ChannelError> {
        self.try_send_with(message, &[])
    }

    /// As [`try_send`](Self::try_send), with what is open there.
    ///
    /// # Errors
    /// Likewise.
    pub fn try_send_with(
        &self,
        message: &Out,
        descriptors: &[OwnedFd],
    ) -> Result<(), ChannelError> {
        self.put(message, descriptors, MsgFlags::MSG_DONTWAIT)
    }

    fn put(
        &self,
        message: &Out,
        descriptors: &[OwnedFd],
        flags: MsgFlags,
    ) -> Result<(), ChannelError> {
        let bytes = codec::encode(message)?;
        let raw: Vec<_> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let rights = if raw.is_empty() { &[] } else { &rights[..] };
        loop {
            let parts = [IoSlice::new(&bytes)];
            match sendmsg::<()>(self.socket.as_raw_fd(), &parts, rights, flags, None) {
                Err(Errno::EINTR) => {}
                outcome => return Ok(outcome.map(drop)?),
            }
        }
    }

    /// The next message, for which it waits.
    ///
    /// # Errors
    /// None came, or something else.
    pub fn receive(&self) -> Result<In, ChannelError> {
        self.take(MsgFlags::empty())
    }

    /// The next message, if it is there.
    ///
    /// # Errors
    /// None will come, or something else did.
    pub fn try_receive(&self) -> Result<Option<In>, ChannelError> {
        match self.take(MsgFlags::MSG_DONTWAIT) {
            Ok(message) => Ok(Some(message)),
            Err(ChannelError::Stuck) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// As [`receive`](Self::receive), and what came open with it. With any other message it is
    /// closed.
    ///
    /// # Errors
    /// Likewise.
    pub fn receive_with_descriptors(&self) -> Result<(In, Vec<OwnedFd>), ChannelError> {
        let mut buffer = vec![0; MAX_MESSAGE + 1];
        let (length, descriptors) = receive_with_descriptors(self.socket.as_fd(), &mut buffer)?;
        Ok((decode(&buffer, length)?, descriptors))
    }

    fn take(&self, flags: MsgFlags) -> Result<In, ChannelError> {
        // With room for an octet too many, by which a message that was cut off is known.
        let mut buffer = vec![0; MAX_MESSAGE + 1];
        let length = loop {
            let mut parts = [IoSliceMut::new(&mut buffer)];
            match recvmsg::<()>(self.socket.as_raw_fd(), &mut parts, None, flags) {
                Ok(received) => break received.bytes,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        };
        decode(&buffer, length)
    }
}

fn decode<In: Message>(buffer: &[u8], length: usize) -> Result<In, ChannelError> {
    match buffer.get(..length) {
        Some([]) | None => Err(ChannelError::Closed),
        Some(bytes) => Ok(codec::decode(bytes)?),
    }
}

#[cfg(test)]
impl<Out, In> Channel<Out, In> {
    /// Closed for whoever holds it: a process that another test starts does until it is another
    /// program.
    pub fn close(self) {
        use nix::sys::socket::{Shutdown, shutdown};
        shutdown(self.socket.as_raw_fd(), Shutdown::Both).unwrap();
    }
}

impl<Out, In> AsFd for Channel<Out, In> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Seek, Write};

    use nix::sys::socket::send;

    use super::*;
    use crate::process::message::{FromHelper, ToHelper};

    type Ours = Channel<ToHelper, FromHelper>;
    type Theirs = Channel<FromHelper, ToHelper>;

    fn ends() -> (Ours, Theirs) {
        let (one, other) = pair().unwrap();
        (Ours::new(one).unwrap(), Theirs::new(other).unwrap())
    }

    #[test]
    fn messages_stay_whole_and_in_order() {
        let (ours, theirs) = ends();
        assert_eq!(theirs.try_receive(), Ok(None));
        let messages =
            ["", "a", &"x".repeat(MAX_MESSAGE - 5)].map(|text| ToHelper::Start(text.into(), None));
        for message in &messages {
            ours.send(message).unwrap();
        }
        for message in messages {
            assert_eq!(theirs.receive(), Ok(message));
        }
        theirs.send(&FromHelper::Ready(Vec::new())).unwrap();
        assert_eq!(ours.try_receive(), Ok(Some(FromHelper::Ready(Vec::new()))));
    }

    #[test]
    fn what_is_no_message_is_named() {
        let (ours, theirs) = ends();
        for octets in [vec![0], vec![0, 1, b'a', 0, b'b'], vec![0; MAX_MESSAGE + 10]] {
            send(ours.socket.as_raw_fd(), &octets, MsgFlags::empty()).unwrap();
            assert_eq!(theirs.receive(), Err(ChannelError::Invalid(Invalid("IMSG_START"))));
        }
        let long = ToHelper::Start("x".repeat(MAX_MESSAGE), None);
        assert_eq!(ours.send(&long), Err(ChannelError::Invalid(Invalid("IMSG_START"))));
    }

    /// A file stands in for a clock.
    #[test]
    fn descriptors_come_with_the_message_that_they_are_sent_with() {
        let (ours, theirs) = ends();
        let start = |text: &str| ToHelper::Start(text.into(), None);
        let file = |text: &str| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file.rewind().unwrap();
            OwnedFd::from(file)
        };
        ours.try_send_with(&start("two"), &["one", "other"].map(file)).unwrap();
        ours.try_send_with(&start("closed"), &[file("unseen")]).unwrap();
        ours.send(&start("none")).unwrap();
        let (message, descriptors) = theirs.receive_with_descriptors().unwrap();
        assert_eq!(message, start("two"));
        let read = |descriptor| std::io::read_to_string(File::from(descriptor)).unwrap();
        assert_eq!(descriptors.into_iter().map(read).collect::<Vec<_>>(), ["one", "other"]);
        assert_eq!(theirs.receive(), Ok(start("closed")));
        let (message, descriptors) = theirs.receive_with_descriptors().unwrap();
        assert!(message == start("none") && descriptors.is_empty());
    }

    #[test]
    fn an_end_that_is_closed() {
        let (ours, theirs) = ends();
        theirs.send(&FromHelper::Ready(Vec::new())).unwrap();
        theirs.close();
        assert_eq!(ours.send(&ToHelper::Start(String::new(), None)), Err(ChannelError::Closed));
        assert_eq!(
            ours.receive(),
            Ok(FromHelper::Ready(Vec::new())),
            "what was said before is heard"
        );
        assert_eq!(ours.receive(), Err(ChannelError::Closed));
        assert_eq!(ours.try_receive(), Err(ChannelError::Closed));
    }

    #[test]
    fn an_end_that_is_not_read_holds_nobody_up() {
        let (ours, _theirs) = ends();
        let message = ToHelper::Start("x".repeat(1_000), None);
        let sent = (0..10_000).take_while(|_| ours.try_send(&message).is_ok()).count();
        assert!((10..10_000).contains(&sent), "{sent}");
        assert_eq!(ours.try_send(&message), Err(ChannelError::Stuck));
    }
}
