//! What a server counts.

use super::refusal::Refusal;

/// What passed between a server and its clients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams that came in.
    pub received: u64,
    /// The same by the version that they state, if they are not empty.
    pub versions: [u64; 8],
    /// Answers that left, of every kind.
    pub answered: u64,
    /// Answers in the interleaved mode.
    pub interleaved: u64,
    /// Answers that were a Kiss-o'-Death; what these answer is refused nevertheless.
    pub kisses: u64,
    /// Datagrams without the answer that they asked for, by [`Refusal::index`].
    pub refused: [u64; Refusal::KINDS],
}

impl Counters {
    /// Adds what another worker counted.
    pub fn add(&mut self, other: &Self) {
        let Self { received, versions, answered, interleaved, kisses, refused } = other;
        self.received += received;
        self.answered += answered;
        self.interleaved += interleaved;
        self.kisses += kisses;
        let (all, others) = (self.versions.iter_mut().chain(&mut self.refused), versions);
        for (sum, count) in all.zip(others.iter().chain(refused)) {
            *sum += count;
        }
    }

    /// Counts a datagram, and returns its first octet.
    #[inline]
    pub(super) fn receive(&mut self, datagram: &[u8]) -> u8 {
        self.received += 1;
        let &flags = datagram.first().unwrap_or(&0);
        if let Some(count) = self.versions.get_mut(usize::from(flags >> 3 & 0b111)) {
            *count += 1;
        }
        flags
    }

    pub(super) fn refuse(&mut self, refusal: Refusal) {
        if let Some(count) = self.refused.get_mut(refusal.index()) {
            *count += 1;
        }
    }

    /// How many datagrams were refused so.
    #[must_use]
    pub fn refused(&self, refusal: Refusal) -> u64 {
        self.refused.get(refusal.index()).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_add_up() {
        let mut refused = [0; Refusal::KINDS];
        refused[Refusal::Control.index()] = 6;
        let one = Counters {
            received: 1,
            versions: [2, 0, 0, 0, 0, 0, 0, 7],
            answered: 3,
            interleaved: 4,
            kisses: 5,
            refused,
        };
        let mut sum = one;
        sum.add(&one);
        assert_eq!((sum.received, sum.answered, sum.interleaved, sum.kisses), (2, 6, 8, 10));
        assert_eq!((sum.versions[0], sum.versions[1], sum.versions[7]), (4, 0, 14));
        assert_eq!((sum.refused(Refusal::Control), sum.refused(Refusal::Mode)), (12, 0));
    }
}
