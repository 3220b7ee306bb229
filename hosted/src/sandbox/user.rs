//! Whom the engines become.

use std::io;

#[cfg(not(target_vendor = "apple"))]
use nix::unistd::setgroups;
use nix::unistd::{self, Gid, Uid};
use serde::{Deserialize, Serialize};

use super::{Protection, SandboxError, forbidden};
use crate::sys::fault::{Call, fault};

/// A user of the system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its name.
    pub name: String,
    uid: u32,
    gid: u32,
}

/// Why there is no such user.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// Nobody is called so.
    #[error(
        "there is no user {0:?} for the engines to run as: make one (as root: useradd --system \
         --user-group --no-create-home --shell /usr/sbin/nologin {0}), or set `user` to one that is \
         there, or to \"\" to stay who chimed was started as"
    )]
    Unknown(String),
    /// The system does not say.
    #[error("cannot look up the user {0:?}: {1}")]
    Lookup(String, io::Error),
}

impl User {
    /// Looks it up.
    ///
    /// # Errors
    /// There is none.
    pub fn named(name: &str) -> Result<Self, UserError> {
        match unistd::User::from_name(name) {
            Ok(Some(user)) => {
                Ok(Self { name: name.to_owned(), uid: user.uid.as_raw(), gid: user.gid.as_raw() })
            }
            Ok(None) => Err(UserError::Unknown(name.to_owned())),
            Err(error) => Err(UserError::Lookup(name.to_owned(), error.into())),
        }
    }

    /// Becomes it, for good.
    pub(super) fn become_it(&self) -> Result<(), SandboxError> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        fault(Call::DropPrivileges)
            .and_then(|()| setgroups(&[gid]))
            .and_then(|()| set_ids(uid, gid))
            .map_err(|error| SandboxError::User(self.name.clone(), error.into()))?;
        if uid.is_root() {
            return Ok(());
        }
        forbidden(Protection::User, unistd::setuid(Uid::from_raw(0)))?;
        forbidden(Protection::User, setgroups(&[Gid::from_raw(0)]))
    }
}

/// There is another way, which nix does not know: root stays root, with `user = ""`.
#[cfg(target_vendor = "apple")]
fn setgroups(_: &[Gid]) -> nix::Result<()> {
    Err(nix::errno::Errno::ENOTSUP)
}

/// Real, effective and saved.
#[cfg(any(target_os = "linux", target_os = "freebsd", target_os = "openbsd"))]
fn set_ids(uid: Uid, gid: Gid) -> nix::Result<()> {
    unistd::setresgid(gid, gid, gid)?;
    unistd::setresuid(uid, uid, uid)
}

/// For root they set the saved ones too.
#[cfg(not(any(target_os = "linux", target_os = "freebsd", target_os = "openbsd")))]
fn set_ids(uid: Uid, gid: Gid) -> nix::Result<()> {
    unistd::setgid(gid)?;
    unistd::setuid(uid)
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;
    use crate::log::Log;
    use crate::sandbox::tell;
    use crate::sys::fault::inject;

    #[test]
    fn a_user_that_is_missing_is_named() {
        assert_eq!(User::named("root").unwrap(), User { name: "root".into(), uid: 0, gid: 0 });
        let error = User::named("no such user").unwrap_err().to_string();
        assert!(error.contains("there is no user \"no such user\""), "{error}");
    }

    #[test]
    fn privileges_that_cannot_be_dropped_are_told() {
        let user = User { name: "_ntp".into(), uid: 1, gid: 1 };
        let _fault = inject(Call::DropPrivileges, Errno::EPERM);
        let error = user.become_it().unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot become the user _ntp: Operation not permitted (os error 1)"
        );
        let log = Log::in_memory();
        tell(&error, &log);
        let texts: Vec<_> = log.since(0).0.into_iter().map(|line| line.text).collect();
        assert_eq!(texts[0].as_str(), "fatal: can't drop privileges");
    }
}
