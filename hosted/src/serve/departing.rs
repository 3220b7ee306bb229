//! Answers whose departure the kernel is to tell, by the numbers that it gives them.

use truechimer_core::server::Response;
use truechimer_core::units::WallTime;

/// What is told after so many more is forgotten.
const WAITING: usize = 256;

/// Those of one socket.
pub(super) struct Departing {
    /// The number of the next one.
    next: u32,
    /// With when they were sent at the earliest, each at the place of its number.
    waiting: Box<[Option<(u32, Response, WallTime)>]>,
}

impl Departing {
    pub(super) fn new() -> Self {
        Self { next: 0, waiting: vec![None; WAITING].into_boxed_slice() }
    }

    pub(super) fn sent(&mut self, response: Response, since: WallTime) {
        if let Some(place) = self.waiting.get_mut(self.next as usize % WAITING) {
            *place = Some((self.next, response, since));
        }
        self.next = self.next.wrapping_add(1);
    }

    /// The answer of a number that left at `at`, once. None if its number went to another one: the
    /// kernel also counts what failed to be sent, which is made up for.
    pub(super) fn left(&mut self, number: u32, at: WallTime) -> Option<Response> {
        let ahead = number.wrapping_sub(self.next);
        if ahead < u32::MAX / 2 {
            self.next = number.wrapping_add(1);
            return None;
        }
        let place = self.waiting.get_mut(number as usize % WAITING)?;
        let (_, response, _) =
            place.take_if(|(known, _, since)| *known == number && *since <= at)?;
        Some(response)
    }
}
