//! The priority of this process.

use nix::errno::Errno;

use super::fault::{Call, fault};

/// Has this process run at the priority that is usual, whatever its parent's is.
///
/// # Errors
/// setpriority(2) failed: it would be a higher one, for which there is no privilege.
pub fn set_normal_priority() -> Result<(), Errno> {
    fault(Call::SetPriority)?;
    // SAFETY: it takes three numbers.
    Errno::result(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 0) }).map(drop)
}
