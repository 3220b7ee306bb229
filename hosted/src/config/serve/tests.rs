use truechimer_core::server::{Beyond, Orphan, RateLimit, Shape, Smear};

use super::*;
use crate::config::{Config, Detail};

fn parse(text: &str) -> Result<Serve, String> {
    let config = Config::parse(&format!("[serve]\n{text}\n"), "f");
    config.map(|config| config.serve).map_err(|error| error.to_string())
}

const EVERY_KEY: &str = r#"
workers = 3
allow = ["192.0.2.0/24", "2001:db8::/32"]
deny = ["192.0.2.7"]
monitoring = ["127.0.0.1"]
clients = 1_000
interleaved = false
rate = { interval = 8, burst = 2, leak_one_in = 0, ipv4_bits = 24, ipv6_bits = 48 }
kiss_one_in = 5
max_error = 0.1
beyond = "silence"
orphan = 12
orphan_wait = 60
smear = { kind = "cosine", window = 72_000 }
"#;

#[test]
fn every_key() {
    let prefix = |text: &str| text.parse::<Prefix>().unwrap();
    let expected = Serve {
        workers: Some(3),
        xdp: Vec::new(),
        allow: vec![prefix("192.0.2.0/24"), prefix("2001:db8::/32")],
        deny: vec![prefix("192.0.2.7")],
        monitoring: vec![prefix("127.0.0.1")],
        clients: 1_000,
        policy: Policy {
            interleaved: false,
            rate: Some(RateLimit {
                interval: Span::from_secs(8),
                burst: 2,
                leak_one_in: 0,
                ipv4_bits: 24,
                ipv6_bits: 48,
            }),
            kiss_one_in: 5,
            max_error: Span::from_millis(100),
            beyond: Beyond::Silence,
            orphan: Some(Orphan { stratum: 12, wait: Span::from_secs(60) }),
            smear: Some(Smear { shape: Shape::Cosine, window: Span::from_secs(72_000) }),
        },
    };
    assert_eq!(parse(EVERY_KEY).as_ref(), Ok(&expected));
    let access = expected.access();
    for (address, allowed) in
        [("192.0.2.1", true), ("192.0.2.7", false), ("198.51.100.1", false), ("::1", false)]
    {
        assert_eq!(access.of(address.parse().unwrap()) == Access::Allow, allowed, "{address}");
    }
    assert_eq!(expected.control().of("127.0.0.2".parse().unwrap()), Access::Deny);
}

#[test]
fn defaults() {
    assert_eq!(parse(""), Ok(Serve::default()));
    let serve = parse("rate = {}\nsmear = {}\nworkers = \"auto\"\ndeny = [\"::/0\"]").unwrap();
    assert_eq!(serve.policy.rate, Some(RateLimit::default()));
    assert_eq!(serve.policy.smear, Some(Smear::default()));
    assert!(serve.workers >= Some(1));
    assert_eq!(serve.access().of("127.0.0.1".parse().unwrap()), Access::Allow);
    assert_eq!(parse("rate = \"off\"").unwrap().policy.rate, None);
}

#[test]
fn it_is_told_whole_or_in_brief() {
    for text in
        ["", "rate = {}", "smear = {}\norphan = 9", "workers = 0\nbeyond = \"silence\"", EVERY_KEY]
    {
        let config = Config::parse(&format!("[serve]\n{text}\n"), "f").unwrap();
        for detail in [Detail::Full, Detail::Brief] {
            let told = config.to_toml(detail);
            assert_eq!(Config::parse(&told, "f").unwrap(), config, "{told}");
        }
    }
    let brief = "[serve]\nworkers = 2\nrate = { burst = 16, interval = 2.0, ipv4_bits = 32, \
                 ipv6_bits = 64, leak_one_in = 4 }\n";
    let config = Config::parse("serve = { workers = 2, rate = {} }", "f").unwrap();
    assert_eq!(config.to_toml(Detail::Brief), brief);
}

#[test]
#[cfg(target_os = "linux")]
fn interfaces() {
    let text = "xdp = [\"eth0\", \"br-lan.100\"]\nrate = \"off\"";
    assert_eq!(parse(text).unwrap().xdp, ["eth0", "br-lan.100"]);
    assert_eq!(parse("xdp = []\ndeny = [\"::1\"]").unwrap().xdp, [""; 0]);
    let config = Config::parse(&format!("[serve]\n{text}\n"), "f").unwrap();
    assert_eq!(config.to_toml(Detail::Brief), "[serve]\nxdp = [\"eth0\", \"br-lan.100\"]\n");
    assert_eq!(Config::parse(&config.to_toml(Detail::Full), "f").unwrap(), config);
}

#[test]
fn as_many_rules_as_are_allowed() {
    let rules = |count: usize| {
        let prefix = |rule: usize| format!("\"10.{}.{}.0/24\"", rule / 128, rule % 128 * 2);
        (0..count).map(prefix).collect::<Vec<_>>().join(",")
    };
    let most = parse(&format!("deny = [{}]", rules(MAX_RULES))).unwrap();
    assert_eq!(most.access().of("10.7.254.1".parse().unwrap()), Access::Deny);
    assert_eq!(most.access().of("10.7.253.1".parse().unwrap()), Access::Allow);
    for text in [
        format!("deny = [{}]", rules(MAX_RULES + 1)),
        format!("allow = [\"::1\"]\ndeny = [{}]", rules(MAX_RULES)),
    ] {
        let error = parse(&text).unwrap_err();
        assert!(error.contains("is one too many: 1024 are allowed"), "{error}");
    }
}

#[test]
fn what_is_wrong() {
    for (text, message) in [
        (
            "workers = 257",
            "workers = 257 is unknown: \"auto\" and an integer from 0 to 256 are allowed",
        ),
        (
            "allow = [\"a.example\"]",
            "allow: \"a.example\": not an IPv4 or IPv6 address: an address or a prefix as in 192.0.2.0/24 is allowed",
        ),
        (
            "deny = [\"192.0.2.1/24\"]",
            "deny: \"192.0.2.1/24\": the address has bits set beyond the prefix: an address or a prefix as in 192.0.2.0/24 is allowed",
        ),
        (
            "allow = [\"::/8\"]\ndeny = [\"::/8\"]",
            "deny: \"::/8\" is listed already: once is allowed",
        ),
        ("xdp = [\"eth0\", \"eth0\"]", "xdp: \"eth0\" is listed already: once is allowed"),
        (
            "xdp = [\"eth 0\"]",
            "xdp: \"eth 0\" is not the name of an interface: 1 to 15 characters without spaces and slashes are allowed",
        ),
        ("xdp = [\"eth0\"]\ndeny = [\"::1\"]", "xdp contradicts deny: one of them is allowed"),
        ("rate = {}\nxdp = [\"eth0\"]", "xdp contradicts rate: one of them is allowed"),
        ("xdp = [\"eth0\"]\nsmear = {}", "xdp contradicts smear: one of them is allowed"),
        ("clients = 1", "clients = 1 is out of range: 64 to 16777216 are allowed"),
        ("rate = \"on\"", "rate = \"on\" is unknown: \"off\" or a table is allowed"),
        ("rate = 1", "invalid type: integer `1`, expected \"off\" or a table"),
        (
            "rate = { every = 2 }",
            "unknown key `every`, expected one of `interval`, `burst`, `leak_one_in`, `ipv4_bits`, `ipv6_bits`",
        ),
        ("rate = { burst = 0 }", "burst = 0 is out of range: 1 to 1000000 are allowed"),
        ("kiss_one_in = -1", "kiss_one_in = -1 is out of range: 0 to 1000000 are allowed"),
        ("max_error = 0", "max_error = 0 is out of range: 0.000001 to 1000 are allowed"),
        (
            "beyond = \"lie\"",
            "beyond = \"lie\" is unknown: \"unsynchronised\" and \"silence\" are allowed",
        ),
        ("orphan = 16", "orphan = 16 is out of range: 1 to 15 are allowed"),
        (
            "smear = { kind = \"step\" }",
            "kind = \"step\" is unknown: \"linear\" and \"cosine\" are allowed",
        ),
        ("smear = { window = 1 }", "window = 1 is out of range: 4 to 1209600 are allowed"),
    ] {
        let error = parse(text).unwrap_err();
        let first = error.lines().next().unwrap_or_default();
        assert!(first.ends_with(&format!(": {message}")), "{text}: {first}");
    }
}
