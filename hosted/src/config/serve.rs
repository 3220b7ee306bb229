//! `[serve]`: how time is served where `[[listen]]` says.

mod effective;
mod tables;
#[cfg(test)]
mod tests;

use truechimer_core::server::{Access, AccessList, Config as Policy, Prefix};
use truechimer_core::units::Span;

pub(super) use self::tables::ServeTable;

/// The most prefixes of `allow` and `deny` together, and of `monitoring`.
pub const MAX_RULES: usize = 1_024;
/// The room that an [`AccessList`] needs for as many.
pub const RANGES: usize = 2 * MAX_RULES + 1;
/// The most workers; elsewhere there is no sending of many answers with one call.
pub const MAX_WORKERS: u16 = if cfg!(target_os = "linux") { 256 } else { 0 };
/// The workers of a daemon of several processes unless the file says otherwise; one of one process
/// stays one thread.
pub const DEFAULT_WORKERS: u16 = if MAX_WORKERS > 0 { 1 } else { 0 };
/// So many clients each worker remembers unless the file says otherwise.
pub const DEFAULT_CLIENTS: u32 = 65_536;
/// Of so many refused queries one is answered with a kiss unless the file says otherwise.
pub const DEFAULT_KISS_ONE_IN: u32 = 16;
/// How long a source must have been missing unless the file says otherwise, as ntpd's
/// `orphanwait`.
pub const DEFAULT_ORPHAN_WAIT: Span = Span::from_secs(300);

/// How time is served.
#[derive(Debug, Clone, PartialEq)]
pub struct Serve {
    /// Threads that serve; with `Some(0)` the engine's own does. `None`: [`DEFAULT_WORKERS`], with
    /// `chimed -d` 0.
    pub workers: Option<u16>,
    /// Interfaces in whose drivers a program answers first.
    pub xdp: Vec<String>,
    /// Who may ask; everybody if there is none. The longest prefix of these and of `deny` decides.
    pub allow: Vec<Prefix>,
    /// Who may not.
    pub deny: Vec<Prefix>,
    /// Who may ask with control messages (mode 6); nobody if there is none.
    pub monitoring: Vec<Prefix>,
    /// So many clients each worker remembers, at most 2^24.
    pub clients: u32,
    /// What they get.
    pub policy: Policy,
}

impl Default for Serve {
    fn default() -> Self {
        Self {
            workers: None,
            xdp: Vec::new(),
            allow: Vec::new(),
            deny: Vec::new(),
            monitoring: Vec::new(),
            clients: DEFAULT_CLIENTS,
            policy: Policy { kiss_one_in: DEFAULT_KISS_ONE_IN, ..Policy::default() },
        }
    }
}

impl Serve {
    /// Who may ask for the time.
    #[must_use]
    pub fn access(&self) -> AccessList<RANGES> {
        let otherwise = if self.allow.is_empty() { Access::Allow } else { Access::Deny };
        list(otherwise, &[(&self.allow, Access::Allow), (&self.deny, Access::Deny)])
    }

    /// Who may ask with control messages.
    #[must_use]
    pub fn control(&self) -> AccessList<RANGES> {
        list(Access::Deny, &[(&self.monitoring, Access::Allow)])
    }
}

fn list(otherwise: Access, rules: &[(&[Prefix], Access)]) -> AccessList<RANGES> {
    let rules = rules.iter().flat_map(|(prefixes, access)| prefixes.iter().map(|p| (*p, *access)));
    let rules: Vec<_> = rules.collect();
    // There is room for what a file may have; of more nobody may ask.
    AccessList::new(otherwise, &rules).unwrap_or_else(|_| AccessList::uniform(Access::Deny))
}
