//! OpenBSD: pledge(2) and unveil(2). FreeBSD: a user and an empty root directory; Capsicum lets
//! nobody connect or bind a socket, which the engines do for each query.

use std::path::Path;

use nix::unistd::{chdir, chroot};

use super::{Protection, SandboxError, User, Work, forbidden, needed};

/// Both systems have it, empty, and nobody's to write to.
const EMPTY: &str = "/var/empty";

pub(super) fn confine(work: &Work, user: Option<&User>) -> Result<Vec<Protection>, SandboxError> {
    let mut active = Vec::new();
    if let (Some(user), Work::Ntp | Work::Dns | Work::Constraint(_)) = (user, work) {
        if *work != Work::Dns {
            needed(Protection::Chroot, chroot(EMPTY).and_then(|()| chdir("/")))?;
            forbidden(Protection::Chroot, Path::new("/etc").metadata())?;
            active.push(Protection::Chroot);
        }
        user.become_it()?;
        active.push(Protection::User);
    }
    #[cfg(target_os = "openbsd")]
    pledge(work, &mut active)?;
    Ok(active)
}

#[cfg(target_os = "openbsd")]
fn pledge(work: &Work, active: &mut Vec<Protection>) -> Result<(), SandboxError> {
    use crate::sys::openbsd::{pledge, unveil};
    let promises = match work {
        Work::Parent(folders) => {
            for folder in folders {
                needed(Protection::Unveil, unveil(folder, "rwc"))?;
            }
            needed(Protection::Unveil, unveil(Path::new("/"), "r"))?;
            active.push(Protection::Unveil);
            "stdio rpath wpath cpath fattr unix settime proc"
        }
        Work::Ntp | Work::Exporter => "stdio inet unix",
        Work::Dns => "stdio rpath dns",
        Work::Constraint(_) => "stdio inet",
    };
    needed(Protection::Pledge, pledge(promises))?;
    active.push(Protection::Pledge);
    Ok(())
}
