//! What became of a change of the configuration.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Answer;

/// What was done, and what could not be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Peers that are asked from now on.
    pub added: usize,
    /// Peers that are asked no longer.
    pub removed: usize,
    /// Peers that are asked otherwise.
    pub changed: usize,
    /// Peers that stay as they are.
    pub kept: usize,
    /// What the configuration asks for in vain.
    pub warnings: Vec<String>,
}

impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { added, removed, changed, kept, .. } = self;
        write!(f, "peers: {added} added, {removed} removed, {changed} changed, {kept} as before")
    }
}

impl From<Result<Reloaded, String>> for Answer {
    fn from(outcome: Result<Reloaded, String>) -> Self {
        outcome.map_or_else(Self::Error, Self::Reloaded)
    }
}
