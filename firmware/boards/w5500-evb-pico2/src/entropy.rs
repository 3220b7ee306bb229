//! Unpredictable bits, of the random number generator (RP2350 datasheet §12.12), which tests what
//! it makes of a ring oscillator's jitter.

use rp235x_hal::pac;

/// Cycles between two samples of the oscillator.
const SPACING: u32 = 1_000;

/// Its reset is over.
pub fn draw(trng: &pac::TRNG) -> [u8; 32] {
    let mut seed = [0; 32];
    // 192 bits at a time.
    seed.chunks_mut(24).for_each(|part| {
        let drawn = draw_words(trng);
        let octets = drawn.iter().flat_map(|word| word.to_le_bytes());
        part.iter_mut().zip(octets).for_each(|(to, from)| *to = from);
    });
    seed
}

fn draw_words(trng: &pac::TRNG) -> [u32; 6] {
    loop {
        // SAFETY: any spacing will do.
        trng.sample_cnt1().write(|w| unsafe { w.bits(SPACING) });
        trng.rnd_source_enable().write(|w| w.rnd_src_en().set_bit());
        let tests = loop {
            let tests = trng.rng_isr().read();
            if tests.bits() != 0 {
                break tests;
            }
        };
        let words = [
            trng.ehr_data0().read().bits(),
            trng.ehr_data1().read().bits(),
            trng.ehr_data2().read().bits(),
            trng.ehr_data3().read().bits(),
            trng.ehr_data4().read().bits(),
            trng.ehr_data5().read().bits(),
        ];
        // SAFETY: ones clear what was told, or reset it: it has to be set up anew.
        trng.rng_icr().write(|w| unsafe { w.bits(0xF) });
        if tests.ehr_valid().bit() {
            return words;
        }
        trng.trng_sw_reset().write(|w| w.trng_sw_reset().set_bit());
    }
}
