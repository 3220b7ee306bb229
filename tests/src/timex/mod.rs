//! The differential proof of the core's software clock: sequences of `ntp_adjtime` calls, what a
//! Linux kernel answers to them, and where the software clock answers something else.
//!
//! ```text
//! scripted, random ──> script ──> agent in a guest ──> trace ──> comparison <── software clock
//! ```
//!
//! Left out is what the guest's kernel does not have, the discipline by a pulse per second
//! (`CONFIG_NTP_PPS` excludes idle processors without a tick, which distributions want); what a
//! [`Request`](truechimer_core::timex::Request) cannot ask for (both resolutions, a time constant
//! beside TAI); and calls in the 8 ms after a second's end in which an idle kernel may not have
//! noticed it.

pub mod comparison;
pub mod fields;
pub mod random;
pub mod scripted;
mod software;
pub mod trace;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::comparison::compare;
    use super::trace::{Call, Trace};

    /// What a kernel did.
    fn vectors() -> Vec<Trace> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/timex");
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files
            .flat_map(|path| Trace::parse_all(&fs::read_to_string(path).unwrap()).unwrap())
            .collect()
    }

    #[test]
    fn software_clock_does_as_the_kernel_did() {
        let traces = vectors();
        assert!(!traces.is_empty());
        for trace in traces {
            if let Err(disagreement) = compare(&trace) {
                panic!("{disagreement}");
            }
        }
    }

    #[test]
    fn what_the_kernel_did_not_do_is_a_disagreement() {
        type Change = fn(&mut Call);
        let changes: [(&str, Change); 5] = [
            ("result", |call| call.result += 1),
            ("maxerror", |call| call.answer.maxerror += 1),
            ("time", |call| call.answer.sec -= 1),
            ("reading", |call| call.after.real += 1_000_000_000),
            ("reading of TAI", |call| call.after.tai += 1),
        ];
        for (field, change) in changes {
            for mut trace in vectors() {
                let call = trace.calls.iter_mut().rfind(|call| call.result >= 0).unwrap();
                change(call);
                let disagreement = compare(&trace).unwrap_err();
                assert_eq!(disagreement.field, field, "{disagreement}");
            }
        }
    }
}
