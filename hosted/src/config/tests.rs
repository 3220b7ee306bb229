use super::*;
use proptest::prelude::*;

const EXAMPLE: &str = include_str!("../../../examples/chimed.toml");

const FULL: &str = r#"
clock = "software"
discipline = "kernel"
leap = "slew"
leap_list = "/tmp/leap-seconds.list"
state = "/tmp/state"
rtc = "/tmp/since_epoch"
control = ""
control_group = "adm"
user = "nobody"
step_threshold = 2
step = 3
panic_threshold = "never"
max_slew = 83333.5
packets = 4
minsources = 18

[[server]]
address = "NTP.example.org"
port = 1123
minpoll = -4
maxpoll = 0x11
iburst = false
prefer = true
trust = true

[[server]]
address = "2001:db8::1"

[[server]]
address = "2001:db8::1"
port = 65535
noselect = true

[[pool]]
address = "pool.example.org."
count = 16
minpoll = 12

[[pool]]
address = "pool.example.org"
maxpoll = 3

[[constraint]]
url = "https://www.example.org"
addresses = ["192.0.2.1", "2001:db8::1"]
all = true
ca = "/etc/ssl/ca.pem"

[[constraint]]
url = "https://192.0.2.9:8443/now"

[[listen]]
address = "127.0.0.1"
port = 1_024

[[listen]]
address = "*"

[timestamps]
hardware = ["eth0", "eth1"]

[software_clock]
offset = -0.3
frequency = 50

[local]
stratum = 15
"#;

fn parse(text: &str) -> Config {
    Config::parse(text, "test").unwrap_or_else(|error| panic!("{error}"))
}

fn server(address: &str) -> Server {
    Server {
        address: address.parse().unwrap(),
        port: 123,
        min_poll: 6,
        max_poll: 10,
        iburst: true,
        select: SelectOptions::default(),
    }
}

#[test]
fn every_key() {
    let expected = Config {
        clock: ClockKind::Software,
        discipline: DisciplineMode::Kernel,
        leap: LeapMode::Slew,
        leap_list: Some("/tmp/leap-seconds.list".into()),
        state: Some("/tmp/state".into()),
        rtc: Some("/tmp/since_epoch".into()),
        control: None,
        control_group: Some("adm".to_owned()),
        user: Some("nobody".to_owned()),
        step_threshold: Span::from_secs(2),
        step_limit: Some(3),
        panic_threshold: None,
        max_slew: FreqOffset::from_ppm_f64(83_333.5),
        packets: 4.0,
        min_sources: 18,
        servers: vec![
            Server {
                address: ServerAddress::Name("ntp.example.org".to_owned()),
                port: 1123,
                min_poll: -4,
                max_poll: 17,
                iburst: false,
                select: SelectOptions { prefer: true, trust: true, noselect: false },
            },
            server("2001:db8::1"),
            Server {
                port: 65_535,
                select: SelectOptions { noselect: true, ..SelectOptions::default() },
                ..server("2001:db8::1")
            },
        ],
        pools: vec![
            Pool {
                server: Server { min_poll: 12, max_poll: 12, ..server("pool.example.org.") },
                count: 16,
            },
            Pool {
                server: Server { min_poll: 3, max_poll: 3, ..server("pool.example.org") },
                count: 4,
            },
        ],
        constraints: vec![
            crate::constraint::Source {
                url: "https://www.example.org/".parse().unwrap(),
                addresses: vec![[192, 0, 2, 1].into(), "2001:db8::1".parse().unwrap()],
                all: true,
                ca: Some("/etc/ssl/ca.pem".into()),
            },
            crate::constraint::Source {
                url: "https://192.0.2.9:8443/now".parse().unwrap(),
                addresses: Vec::new(),
                all: false,
                ca: None,
            },
        ],
        serve: Serve::default(),
        listen: vec![
            Listen { address: Some([127, 0, 0, 1].into()), port: 1024 },
            Listen { address: None, port: 123 },
        ],
        hardware: vec!["eth0".to_owned(), "eth1".to_owned()],
        software_clock: SoftwareClock {
            offset: Span::from_millis(-300),
            frequency: FreqOffset::from_ppm(50),
        },
        local_stratum: Some(15),
        log: crate::log::Options::default(),
    };
    assert_eq!(parse(FULL), expected);
}

#[test]
fn defaults() {
    let config = parse("");
    assert_eq!(config, Config::default());
    assert_eq!(config.control.as_deref(), Some(Path::new(DEFAULT_CONTROL)));
    let engine = EngineConfig { counter: Counter::Slewed, ..EngineConfig::default() };
    assert_eq!(config.engine_config(FreqOffset::ZERO), engine);
    assert_eq!(config.step_threshold, Span::from_millis(100));
    assert_eq!(config.max_slew, FreqOffset::from_ppm(500));
    let limits =
        ["never", "start", "always"].map(|word| parse(&format!("step = {word:?}")).step_limit);
    assert_eq!(limits, [Some(0), Some(1), None]);
    assert_eq!(parse("panic_threshold = 60").panic_threshold, Some(Span::from_secs(60)));
    assert_eq!(parse("[local]").local_stratum, Some(10));
    assert_eq!(parse("clock = \"software\"\n[software_clock]"), parse("clock = \"software\""));
    assert_eq!(parse("\u{feff}clock = \"kernel\"\r\n"), config);
}

#[test]
fn the_example_shows_the_defaults() {
    let pools = vec![Pool { server: server("pool.ntp.org"), count: 4 }];
    assert_eq!(parse(EXAMPLE), Config { pools, ..Config::default() });
    // What it has as a comment is right too: a `#` with nothing after it but a key or a table.
    let is_key = |text: &&str| text.starts_with(|c: char| c == '[' || c.is_ascii_lowercase());
    let uncommented: Vec<&str> =
        EXAMPLE.lines().map(|line| line.strip_prefix('#').filter(is_key).unwrap_or(line)).collect();
    let config = parse(&uncommented.join("\n").replace("\"kernel\"\n", "\"software\"\n"));
    assert_eq!(config.servers, [server("ntp.example.org")]);
    assert_eq!(config.listen, [Listen { address: None, port: 123 }]);
    assert_eq!(config.software_clock.offset, Span::from_millis(300));
    assert_eq!(config.local_stratum, Some(10));
}

#[test]
fn it_is_told_whole_or_in_brief() {
    let config = parse(FULL);
    assert_eq!(parse(&config.to_toml(Detail::Full)), config);
    let expected = "clock = \"software\"\npackets = 2.5\n\n[[server]]\naddress = \"a\"\n\n\
                    [[server]]\naddress = \"b\"\nmaxpoll = 4\nminpoll = 4\n";
    let reordered = expected.replace("maxpoll = 4\nminpoll = 4", "minpoll = 4\nmaxpoll = 4");
    assert_eq!(parse(expected).to_toml(Detail::Brief), reordered);
    assert_eq!(parse("").to_toml(Detail::Brief), "");
    let secs = parse("panic_threshold = 987654321.123456789\nstep_threshold = 1e-9");
    assert_eq!(parse(&secs.to_toml(Detail::Full)), secs);
}

#[test]
fn the_core_gets_its_part() {
    let config = parse(FULL);
    let frequency = FreqOffset::from_ppm(-7);
    let engine = EngineConfig {
        control: true,
        step_threshold: Span::from_secs(2),
        step_limit: Some(3),
        panic_threshold: None,
        max_slew: FreqOffset::from_ppm_f64(83_333.5),
        packets: 4.0,
        min_sources: 18,
        frequency,
        discipline: DisciplineMode::Kernel,
        leap: LeapMode::Slew,
        local_stratum: Some(15),
        constrained: true,
        ..EngineConfig::default()
    };
    assert_eq!(config.engine_config(frequency), engine);
    let named = PeerConfig {
        address: None,
        min_poll: -4,
        max_poll: 17,
        iburst: false,
        pool: false,
        select: SelectOptions { prefer: true, trust: true, noselect: false },
    };
    assert_eq!(config.servers[0].peer_config(), named);
    let address = Some("[2001:db8::1]:123".parse().unwrap());
    assert_eq!(config.servers[1].peer_config(), PeerConfig { address, ..PeerConfig::default() });
    assert!(config.pools[0].peer_config().pool);
}

#[test]
fn addresses_carry_ports_and_zones() {
    for (address, bare, port) in [
        ("a.example:1123", "a.example", 1123),
        ("192.0.2.1:1", "192.0.2.1", 1),
        ("[2001:db8::1]:65535", "2001:db8::1", 65_535),
        ("[2001:db8::1]", "2001:db8::1", 123),
        ("fe80::1%eth0", "fe80::1%eth0", 123),
        ("[fe80::1%eth0]:1123", "fe80::1%eth0", 1123),
    ] {
        let config = parse(&format!("[[server]]\naddress = {address:?}\n"));
        assert_eq!(config.servers, [Server { port, ..server(bare) }], "{address}");
        assert_eq!(parse(&config.to_toml(Detail::Brief)), config);
    }
    let zoned = server("fe80::1%eth0").peer_config();
    assert_eq!(zoned.address, None, "the resolver knows the interface's number");
    for (table, problem) in [
        ("address = \"a.b:0\"", "has port 0: 1 to 65535 are allowed"),
        ("address = \"a.b:65536\"", "has port 65536: 1 to 65535 are allowed"),
        ("address = \"a.b:1\"\nport = 2", "has a port inside"),
        ("address = \"2001:db8::1%eth0\"", "has a zone that is not allowed"),
    ] {
        let error = Config::parse(&format!("[[server]]\n{table}\n"), "test").unwrap_err();
        let error = error.to_string();
        assert!(error.contains(problem) && error.starts_with("test:2:"), "{error}");
    }
}

#[test]
fn files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("chimed.toml");
    let load =
        || Config::load(&path).map(|loaded| loaded.config).map_err(|error| error.to_string());
    let error = |text: &str| Err(format!("{}: {text}", path.display()));
    assert_eq!(load(), error("cannot be read: No such file or directory (os error 2)"));
    fs::write(&path, b"# \xff").unwrap();
    assert_eq!(load(), error("cannot be read: stream did not contain valid UTF-8"));
    fs::write(&path, EXAMPLE).unwrap();
    assert_eq!(load(), Ok(parse(EXAMPLE)));
}

/// Whatever the outcome, there is no panic, and errors point into the text.
fn check(text: &str) -> Result<(), TestCaseError> {
    match Config::parse(text, "t") {
        Ok(config) => {
            for server in config.servers.iter().chain(config.pools.iter().map(|pool| &pool.server))
            {
                prop_assert!(server.min_poll <= server.max_poll && server.port != 0);
            }
            prop_assert!(config.step_threshold > Span::ZERO && config.max_slew > FreqOffset::ZERO);
            for detail in [Detail::Full, Detail::Brief] {
                let toml = config.to_toml(detail);
                prop_assert_eq!(&parse(&toml), &config, "{}", toml);
            }
        }
        Err(error) => {
            prop_assert_eq!(error.to_string().lines().count(), 4);
            let ConfigError::Invalid { line, column, .. } = error else { unreachable!() };
            let there = text.split('\n').nth(line - 1);
            prop_assert!(there.is_some_and(|line| column <= line.chars().count() + 1));
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_text(text in r"(\PC|[\n\r\t=\[\]#\x22'{}.])*") {
        check(&text)?;
    }

    #[test]
    fn any_characters(text: String) {
        check(&text)?;
    }

    #[test]
    fn mutations(edits in prop::collection::vec(
        (0..FULL.len(), 0usize..20, r"(\PC|[\n\r\t=\[\]0-9\x22'{}.-]){0,6}"),
        1..4,
    )) {
        let mut text = FULL.to_owned();
        for (at, length, new) in edits {
            let start = text.floor_char_boundary(at);
            let end = text.floor_char_boundary(start + length);
            text.replace_range(start..end.max(start), &new);
        }
        check(&text)?;
    }
}
