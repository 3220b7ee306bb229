//! Giving up what root may do besides, where it is root that a process has to remain.

use nix::errno::Errno;

/// `_LINUX_CAPABILITY_VERSION_3` of linux/capability.h: two words a set.
const VERSION: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

/// As `struct __user_cap_data_struct`.
#[repr(C)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Leaves the calling thread without any capability, for good; called while there is no other.
///
/// # Errors
/// It keeps them.
pub(crate) fn drop_capabilities() -> Result<(), Errno> {
    let header = Header { version: VERSION, pid: 0 };
    let sets = [const { Sets { effective: 0, permitted: 0, inheritable: 0 } }; 2];
    // SAFETY: capset reads a header and, for that version, two elements, and keeps neither.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) };
    Errno::result(result).map(drop)
}
