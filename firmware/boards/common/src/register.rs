//! Registers at addresses.

/// A device's registers, 32 bits each.
#[derive(Clone, Copy)]
pub struct Registers(usize);

impl Registers {
    /// Those from `base` on.
    ///
    /// # Safety
    /// A device must be there for which any access to the offsets that are used is allowed.
    pub const unsafe fn at(base: usize) -> Self {
        Self(base)
    }

    pub fn read(self, offset: usize) -> u32 {
        // SAFETY: as `at` was promised.
        unsafe { ((self.0 + offset) as *const u32).read_volatile() }
    }

    pub fn write(self, offset: usize, value: u32) {
        // SAFETY: as `at` was promised.
        unsafe { ((self.0 + offset) as *mut u32).write_volatile(value) }
    }
}
