//! OpenNTPD's `ntpd.conf`: what is read of it can be written as TOML and says the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use truechimer::config::{Config, Detail};
use truechimer_fuzz::plant;

fuzz_target!(init: plant(SEEDS), |data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Config::parse_openntpd(text, "ntpd.conf") {
        Ok(loaded) => {
            let written = loaded.config.to_toml(Detail::Brief);
            assert_eq!(Config::from_toml(&written).unwrap(), loaded.config, "{written}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

const SEEDS: [&str; 2] = [
    "servers pool.ntp.org\nserver time.cloudflare.com weight 5 trusted # here\nsensor * refid GPS \
     correction -70 stratum 1\nconstraint from \"9.9.9.9\"\nconstraint from \"https://www.google.com\" \
     2001:db8::1 192.0.2.1\nconstraints from \"https://a.example:8443/b\"\n",
    "listen on * rtable 3\nlisten on 127.0.0.1\nlisten on ::1\nquery from 192.0.2.1\nserver \\\n \
     \"fe80::1%eth0\"\n",
];
