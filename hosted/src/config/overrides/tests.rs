use std::fs;

use super::*;

fn origin(file: Option<&str>, overrides: Overrides) -> (Origin, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = file.map(|text| {
        let path = dir.path().join("chimed.toml");
        fs::write(&path, text).unwrap();
        path
    });
    (Origin { path, overrides }, dir)
}

fn overrides(servers: &[&str], listen: &[&str]) -> Overrides {
    Overrides {
        servers: servers.iter().map(|text| text.parse().unwrap()).collect(),
        listen: listen.iter().map(|text| text.parse().unwrap()).collect(),
        ..Overrides::default()
    }
}

const FILE: &str = "clock = \"software\"\nminsources = 2\n[[pool]]\naddress = \"pool\"\n[[listen]]\n\
                    address = \"*\"\n[software_clock]\noffset = 1\n";

#[test]
fn they_go_before_the_file() {
    let (origin, _dir) = origin(
        Some(FILE),
        Overrides {
            clock: Some(ClockKind::Kernel),
            control: Some(String::new()),
            ..overrides(&["a", "b:5", "[::1]:6", "A"], &["127.0.0.1:7", "*:8", "::1", "::1"])
        },
    );
    let config = origin.load().unwrap().config;
    let address = |text: &str| text.parse::<ServerAddress>().unwrap();
    let server = |text, port| Server::new(address(text), port);
    assert_eq!(config.servers, [server("a", 123), server("b", 5), server("::1", 6)]);
    assert_eq!((config.pools.len(), config.min_sources), (0, 2));
    let listen = |text: &str, port| Listen { address: text.parse().ok(), port };
    assert_eq!(config.listen, [listen("127.0.0.1", 7), listen("*", 8), listen("::1", 123)]);
    assert_eq!((config.clock, config.control), (ClockKind::Kernel, None));
}

#[test]
fn without_them_the_file_stands() {
    let (origin, _dir) = origin(Some(FILE), Overrides::default());
    assert_eq!(origin.load().unwrap().config, Config::parse(FILE, "t").unwrap());
}

#[test]
fn together_they_must_make_sense() {
    let (alone, _dir) = origin(Some(FILE), overrides(&["a"], &[]));
    let error = alone.load().unwrap_err().to_string();
    let path = alone.path.unwrap();
    assert_eq!(error, format!("--server leaves 1 where {} has minsources = 2", path.display()));
    let many: Vec<String> = (0..65).map(|number| format!("h{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let (many, _dir) = origin(Some(""), overrides(&many, &[]));
    let error = many.load().unwrap_err().to_string();
    assert_eq!(error, "65 servers and pool members are configured; 64 are allowed");
    for bad in ["localhost", "1.2.3.4:0", "*:x", "", "*a"] {
        assert!(bad.parse::<ListenAddress>().is_err(), "{bad}");
    }
}
