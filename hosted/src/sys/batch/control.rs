//! Control messages: what the kernel says beside a datagram, and is told beside one.

use libc::cmsghdr;

use super::CONTROL;

/// What the kernel says beside a datagram, by level and type.
pub(super) fn each_control(header: &libc::msghdr, mut each: impl FnMut(i32, i32, &[u8])) {
    // SAFETY: `header` is of a message of a batch: its control buffer is aligned and as long as
    // it states, and the kernel wrote whole control messages to it; the macros stay within.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(header);
        while let Some(found) = control.as_ref() {
            #[allow(clippy::unnecessary_cast, reason = "musl has other types")]
            let len = (found.cmsg_len as usize).saturating_sub(libc::CMSG_LEN(0) as usize);
            let data = std::slice::from_raw_parts(libc::CMSG_DATA(control), len);
            each(found.cmsg_level, found.cmsg_type, data);
            control = libc::CMSG_NXTHDR(header, control);
        }
    }
}

/// A structure of plain numbers, if `data` holds all of it.
pub(super) fn in_room<T: Plain>(data: &[u8]) -> Option<T> {
    // SAFETY: any octets are a `T`, and there are enough.
    (data.len() >= size_of::<T>()).then(|| unsafe { data.as_ptr().cast::<T>().read_unaligned() })
}

/// Structures that any octets make.
pub(super) trait Plain: Copy {}
impl Plain for libc::timespec {}
impl Plain for libc::in_pktinfo {}
impl Plain for libc::in6_pktinfo {}
impl Plain for libc::sock_extended_err {}

/// Writes a control message, the only one; says how long it is.
pub(super) fn put<T: Plain>(header: &mut libc::msghdr, level: i32, kind: i32, data: T) -> usize {
    const { assert!(size_of::<T>() + 2 * size_of::<cmsghdr>() <= CONTROL) };
    // SAFETY: the control buffer is aligned and has room for it.
    unsafe {
        let control = libc::CMSG_FIRSTHDR(header);
        (*control).cmsg_level = level;
        (*control).cmsg_type = kind;
        (*control).cmsg_len = libc::CMSG_LEN(size_of::<T>() as u32) as _;
        libc::CMSG_DATA(control).cast::<T>().write_unaligned(data);
        libc::CMSG_SPACE(size_of::<T>() as u32) as usize
    }
}
