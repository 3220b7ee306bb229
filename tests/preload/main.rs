//! `chimed -d` where libc is not the machine's: engineers compare NTP daemons under simulators that
//! `LD_PRELOAD` puts between a program and libc, with a virtual clock and a virtual network.
//!
//! Those replace a function each. What the daemon does in another way, by another function or by a
//! system call of its own, escapes them: it would wait in real time, or change the real clock.

mod calls;
mod simulated;
mod symbols;

use truechimer_tests::peers::Need;
use truechimer_tests::trial::{conclude, trial};

/// A trial mostly waits.
const THREADS: usize = 4;

fn main() {
    let trials = vec![
        trial("symbols", &[], symbols::are_known),
        trial("calls::software_clock", &[Need::Strace], calls::software_clock),
        trial("calls::kernel_clock", &[Need::Strace, Need::Namespace], calls::kernel_clock),
        trial("simulated::ahead", &[Need::Namespace], simulated::ahead),
        trial("simulated::far_behind", &[Need::Namespace], simulated::far_behind),
        trial("simulated::touched", &[Need::Namespace], simulated::touched),
    ];
    conclude(trials, THREADS);
}
