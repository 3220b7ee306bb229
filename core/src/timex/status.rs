//! The status word (`timex.status`).

use core::fmt;

use bitflags::bitflags;

/// The status bits, by the names of `<sys/timex.h>` without `STA_`; the values are Linux'.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Status(u16);

bitflags! {
    impl Status: u16 {
        /// Offsets feed the phase-locked loop.
        const PLL = 0x0001;
        /// The pulse per second disciplines the frequency.
        const PPSFREQ = 0x0002;
        /// The pulse per second disciplines the phase.
        const PPSTIME = 0x0004;
        /// The frequency-locked loop is wanted already at intervals below 2048 s.
        const FLL = 0x0008;
        /// Each UTC day ends with an inserted second.
        const INS = 0x0010;
        /// Each UTC day ends a second early.
        const DEL = 0x0020;
        /// The clock is not synchronised.
        const UNSYNC = 0x0040;
        /// Offsets do not change the frequency.
        const FREQHOLD = 0x0080;
        /// Pulses arrive.
        const PPSSIGNAL = 0x0100;
        /// The last pulse had too much jitter.
        const PPSJITTER = 0x0200;
        /// The frequency by the pulses changed too much.
        const PPSWANDER = 0x0400;
        /// The last calibration interval was of the wrong length.
        const PPSERROR = 0x0800;
        /// The clock's hardware is at fault.
        const CLOCKERR = 0x1000;
        /// The resolution is a nanosecond; else a microsecond.
        const NANO = 0x2000;
        /// The last offset was taken by the frequency-locked loop; else by the phase-locked one.
        const MODE = 0x4000;
        /// The clock's source is B; else A. Nothing uses it.
        const CLK = 0x8000;
    }
}

impl Status {
    /// What a caller may set.
    pub const SETTABLE: Self = Self(0x00ff);
    /// What only the clock itself sets. A caller's attempt is ignored.
    pub const READ_ONLY: Self = Self(0xff00);

    /// Whether the clock is to be called wrong: `TIME_ERROR` in place of the leap second's state
    /// (`adjtimex(2)`, "Return value"; for a calibration error the kernel's rule is used, which
    /// the page states as jitter).
    #[must_use]
    pub const fn is_error(self) -> bool {
        let pps = Self::PPSFREQ.union(Self::PPSTIME);
        let calibration = Self::PPSWANDER.union(Self::PPSERROR);
        self.intersects(Self::UNSYNC.union(Self::CLOCKERR))
            || self.intersects(pps) && !self.contains(Self::PPSSIGNAL)
            || self.contains(Self::PPSTIME.union(Self::PPSJITTER))
            || self.contains(Self::PPSFREQ) && self.intersects(calibration)
    }

    /// The bit of a name, with or without `STA_`, in capitals or not.
    pub(super) fn by_name(name: &str) -> Option<Self> {
        let is = |bit: &str| {
            name.eq_ignore_ascii_case(bit)
                || name.split_at_checked(4).is_some_and(|(prefix, rest)| {
                    prefix.eq_ignore_ascii_case("STA_") && rest.eq_ignore_ascii_case(bit)
                })
        };
        Self::all().iter_names().find(|(bit, _)| is(bit)).map(|(_, bit)| bit)
    }
}

/// As `ntptime` has it: `PLL,NANO`.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::modes::write_names(f, self.iter_names().map(|(name, _)| name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn bits_and_names() {
        assert_eq!(Status::SETTABLE | Status::READ_ONLY, Status::all());
        let status = Status::from_bits_retain(0x2041);
        assert_eq!(format!("{status}"), "PLL,UNSYNC,NANO");
        assert_eq!(Status::by_name("sta_freqhold"), Some(Status::FREQHOLD));
        assert_eq!(Status::by_name("STA_"), None);
    }

    // adjtimex(2), the conditions of TIME_ERROR one by one, and what is beside them.
    #[test]
    fn errors() {
        let signal = Status::PPSSIGNAL;
        for (status, error) in [
            (Status::PLL | Status::NANO, false),
            (Status::UNSYNC, true),
            (Status::CLOCKERR, true),
            (Status::PPSFREQ, true),
            (Status::PPSTIME, true),
            (Status::PPSFREQ | signal, false),
            (Status::PPSTIME | signal, false),
            (Status::PPSTIME | signal | Status::PPSJITTER, true),
            (Status::PPSTIME | signal | Status::PPSWANDER | Status::PPSERROR, false),
            (Status::PPSFREQ | signal | Status::PPSWANDER, true),
            (Status::PPSFREQ | signal | Status::PPSERROR, true),
            (Status::PPSFREQ | signal | Status::PPSJITTER, false),
            (Status::PPSJITTER | Status::PPSWANDER | Status::PPSERROR, false),
        ] {
            assert_eq!(status.is_error(), error, "{status}");
        }
    }
}
