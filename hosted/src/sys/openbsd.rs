//! Promises of this process, on OpenBSD.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;

/// From now on the process makes the calls of these promises only (pledge(2)).
///
/// # Errors
/// There is no such promise.
pub(crate) fn pledge(promises: &str) -> Result<(), Errno> {
    let promises = CString::new(promises).map_err(|_| Errno::EINVAL)?;
    // SAFETY: it reads a text that ends with a zero; none is for execve(2).
    Errno::result(unsafe { libc::pledge(promises.as_ptr(), std::ptr::null()) }).map(drop)
}

/// From now on the process sees a path as `permissions` say, and others only if they were named
/// too (unveil(2)).
///
/// # Errors
/// There is no such path.
pub(crate) fn unveil(path: &Path, permissions: &str) -> Result<(), Errno> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    let permissions = CString::new(permissions).map_err(|_| Errno::EINVAL)?;
    // SAFETY: it reads two texts that end with a zero.
    Errno::result(unsafe { libc::unveil(path.as_ptr(), permissions.as_ptr()) }).map(drop)
}
