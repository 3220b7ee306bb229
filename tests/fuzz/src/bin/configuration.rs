//! The configuration as TOML: what is read can be written and says the same, whole or brief.
#![no_main]

use libfuzzer_sys::fuzz_target;
use truechimer::config::{Config, Detail};
use truechimer_core::units::FreqOffset;
use truechimer_fuzz::plant;

fuzz_target!(init: plant(SEEDS), |data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // No file of this machine is read, as `include` would.
    let parsed = if text.contains("inc") || text.contains('\\') {
        Config::from_toml(text)
    } else {
        Config::parse(text, "chimed.toml")
    };
    match parsed {
        Ok(config) => {
            for detail in [Detail::Full, Detail::Brief] {
                let written = config.to_toml(detail);
                assert_eq!(Config::from_toml(&written).unwrap(), config, "{written}");
            }
            let _ = (config.peers(), config.engine_config(FreqOffset::ZERO));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

const SEEDS: [&str; 5] = [
    include_str!("../../../../examples/chimed.toml"),
    include_str!("../../../../hosted/dist/examples/client.toml"),
    include_str!("../../../../hosted/dist/examples/container.toml"),
    include_str!("../../../../hosted/dist/examples/isolated.toml"),
    include_str!("../../../../hosted/dist/examples/server.toml"),
];
