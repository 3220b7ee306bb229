//! Whose members may ask, beside the socket's owner.

use std::io;

use nix::unistd::{self, Gid};

/// A group of the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    name: String,
    pub(super) gid: Gid,
}

/// Why there is no such group.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// None is called so.
    #[error(
        "control_group = {0:?}: there is no such group: make it (as root: groupadd --system {0}), or \
         set `control_group` to one that is there, or to \"\" for that of chimed itself"
    )]
    Unknown(String),
    /// The system does not say.
    #[error("control_group = {0:?}: the group cannot be looked up: {1}")]
    Lookup(String, io::Error),
}

impl Group {
    /// Looks it up.
    ///
    /// # Errors
    /// There is none.
    pub fn named(name: &str) -> Result<Self, GroupError> {
        match unistd::Group::from_name(name) {
            Ok(Some(group)) => Ok(Self { name: name.to_owned(), gid: group.gid }),
            Ok(None) => Err(GroupError::Unknown(name.to_owned())),
            Err(error) => Err(GroupError::Lookup(name.to_owned(), error.into())),
        }
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}
