use proptest::prelude::*;

use super::*;
use crate::config::Detail;

fn read(text: &str) -> Result<Loaded> {
    parse(&File::new(text, "t"))
}

/// What OpenNTPD's manual and the files that come with it show.
const MANUAL: &str = r#"# $OpenBSD: ntpd.conf,v 1.16 2019/11/06 19:04:12 deraadt Exp $
#
# See ntpd.conf(5) and /etc/examples/ntpd.conf

servers pool.ntp.org
server time.cloudflare.com
sensor *

constraint from "9.9.9.9"		# quad9 v4 without DNS
constraint from "2620:fe::fe"		# quad9 v6 without DNS
constraints from "https://www.google.com"	# intentionally not 8.8.8.8
constraint from "https://9.9.9.9" "2620:fe::fe"
listen on *
listen on 127.0.0.1
listen on ::1
listen on 127.0.0.1 rtable 4
listen on localhost
query from 192.0.2.1
query from 2001:db8::1
sensor udcf0 correction 70000 weight 5 refid "DCF" stratum 2 trusted
server 10.0.0.2 weight 5
server ntp.example.org weight 1 trusted
servers pool.ntp.org weight 5
servers 192.0.2.7
"#;

#[test]
fn the_manual_s_examples() {
    let Loaded { config, warnings } = read(MANUAL).unwrap();
    let server = |address: &str| Server::new(address.parse().unwrap(), 123);
    let trust = SelectOptions { trust: true, ..SelectOptions::default() };
    let named = Server { select: trust, ..server("ntp.example.org") };
    let servers = [server("time.cloudflare.com"), server("10.0.0.2"), named, server("192.0.2.7")];
    assert_eq!(config.servers, servers);
    assert_eq!(config.pools, [Pool { server: server("pool.ntp.org"), count: 8 }]);
    let listen = |address: Option<&str>| Listen {
        address: address.map(|address| address.parse().unwrap()),
        port: 123,
    };
    assert_eq!(config.listen, [None, Some("127.0.0.1"), Some("::1")].map(listen));
    let constraint = |url: &str, addresses: &[&str], all| Source {
        url: url.parse().unwrap(),
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        all,
        ca: None,
    };
    let constraints = [
        constraint("https://9.9.9.9/", &[], false),
        constraint("https://[2620:fe::fe]/", &[], false),
        constraint("https://www.google.com/", &[], true),
        constraint("https://9.9.9.9/", &["2620:fe::fe"], false),
    ];
    assert_eq!(config.constraints, constraints);
    let rest = Config {
        servers: Vec::new(),
        pools: Vec::new(),
        constraints: Vec::new(),
        listen: Vec::new(),
        ..config
    };
    assert_eq!(rest, Config::default());
    let expected = [
        "7:1: sensor * is ignored: there are no sensors of the time here",
        "16:11: rtable 4 is ignored: the routing table is this process's",
        "16:11: listen on 127.0.0.1 is there already",
        "17:11: listen on localhost is ignored: only an IP address or * is served",
        "18:1: query from 192.0.2.1 is ignored: the system picks the address that queries leave from",
        "19:1: query from 2001:db8::1 is ignored: the system picks the address that queries leave from",
        "20:1: sensor udcf0 is ignored: there are no sensors of the time here",
        "21:17: weight 5 is ignored: sources are weighted by how good they are, see `prefer`",
        "23:22: weight 5 is ignored: sources are weighted by how good they are, see `prefer`",
        "23:9: servers pool.ntp.org is there already",
    ];
    assert_eq!(warnings, expected.map(|text| format!("t:{text}")));
}

#[test]
fn words_quotes_and_lines() {
    let text = "server \"a.example\" # one\nser\\\nver \\\n 'b.example'\r\n\
                \tserver \"c.ex\\\nam\nple\"\nserver d\\.example\n\n#server e \\\nserver f\nserver g";
    let loaded = read(text).unwrap();
    let names: Vec<String> =
        loaded.config.servers.iter().map(|server| server.address.to_string()).collect();
    // As in OpenNTPD a comment goes on in the next line after a backslash.
    assert_eq!(names, ["a.example", "b.example", "c.example", "d.example", "g"]);
    assert_eq!(loaded.warnings, [""; 0]);
}

#[test]
fn errors_say_where_and_what_is_allowed() {
    let cases = [
        (
            "servr a",
            "1:1: servr is unknown: listen on, query from, server, servers, sensor, constraint from \
             and constraints from are allowed",
        ),
        (
            "server a\n  \"server\" b",
            "2:3: \"server\" is unknown: listen on, query from, server, servers, sensor, constraint \
             from and constraints from are allowed",
        ),
        ("server", "1:7: the line ends: a host is missing"),
        ("\nlisten *", "2:8: * is not on"),
        ("listen on", "1:10: the line ends: an IP address or * is missing"),
        (
            "listen on 1.2.3.4.5",
            "1:11: 1.2.3.4.5 is not an IP address: one without a port is allowed",
        ),
        (
            "listen on 1.2.3.4:123",
            "1:11: 1.2.3.4:123 is not an IP address: one without a port is allowed",
        ),
        ("listen on * rtable 256", "1:20: rtable 256 is not allowed: 0 to 255 are"),
        ("listen on * rtable", "1:19: the line ends: a number is missing"),
        ("listen on * port 1", "1:13: port is one word too many after listen"),
        ("query from here", "1:12: here is not an IP address: one without a port is allowed"),
        ("server a weight 11", "1:17: weight 11 is not allowed: 1 to 10 are"),
        ("server a weight \"2\"", "1:17: weight \"2\" is not allowed: 1 to 10 are"),
        ("server a iburst", "1:10: iburst is unknown: weight and trusted are allowed"),
        (
            "server 1.2.3.4:5",
            "1:8: \"1.2.3.4:5\" has a port, and ntpd.conf has none: \"1.2.3.4\" is allowed",
        ),
        ("sensor x refid ABCDE", "1:16: refid ABCDE is not allowed: 1 to 4 characters are"),
        (
            "sensor x correction 127000001",
            "1:21: correction 127000001 is not allowed: -127000000 to 127000000 are",
        ),
        (
            "sensor x speed 1",
            "1:10: speed is unknown: correction, refid, stratum, weight and trusted are allowed",
        ),
        ("constraint a", "1:12: a is not from"),
        ("constraint from", "1:16: the line ends: a URL is missing"),
        (
            "constraint from \"http://a\"",
            "1:17: \"http://a\" is not the URL of an HTTPS server: https://HOST[:PORT][/PATH] is \
             allowed, or a host",
        ),
        ("constraint from a b", "1:19: b is not an IP address: one without a port is allowed"),
        ("server \"a\nserver b", "1:8: this quote has no end: another \" is missing"),
        ("server = a", "1:8: '=' is not allowed outside of quotes"),
        ("sërver a", "1:2: 'ë' is not allowed outside of quotes"),
    ];
    for (text, expected) in cases {
        let error = read(text).expect_err(text).to_string();
        assert_eq!(error.lines().next(), Some(format!("t:{expected}").as_str()), "{text}");
    }
    let error = read("server a_b").unwrap_err().to_string();
    assert!(
        error.starts_with("t:1:8: \"a_b\" is neither an IP address nor a host name: "),
        "{error}"
    );
}

/// What is read is what its TOML says.
fn check(text: &str) -> std::result::Result<(), TestCaseError> {
    match read(text) {
        Ok(Loaded { config, warnings }) => {
            for detail in [Detail::Brief, Detail::Full] {
                let toml = config.to_toml(detail);
                prop_assert_eq!(&Config::parse(&toml, "t").unwrap(), &config, "{}", toml);
            }
            prop_assert!(warnings.iter().all(|warning| warning.starts_with("t:")));
        }
        Err(error) => {
            let ConfigError::Invalid { line, column, .. } = error else { unreachable!() };
            let there = text.split('\n').nth(line - 1);
            prop_assert!(there.is_some_and(|line| column <= line.chars().count() + 1));
        }
    }
    Ok(())
}

fn statement() -> impl Strategy<Value = String> {
    let host = r#"[a-c]{1,2}(\.example)?|10\.0\.0\.[1-4]|"::[1-4]"|pool\.ntp\.org"#;
    let options = "( weight ([1-9]|10)| trusted){0,2}( \\\\\n)?( *#.*)?";
    prop_oneof![
        (host, options).prop_map(|(host, options)| format!("server {host}{options}")),
        (host, options).prop_map(|(host, options)| format!("servers\t{host} {options}")),
        r"listen on (\*|10\.0\.0\.[1-4]|::1)( rtable [0-9])?",
        "sensor (\\*|nmea[0-9])( correction -?[1-9][0-9]{0,7}| refid GPS| stratum [1-9])?",
        "constraints? from \"(https://)?[a-z]{1,4}/?\"( ::[1-4]){0,2}",
        r"query from 192\.0\.2\.[1-9]",
        "[ \t]*(#.*)?",
    ]
}

proptest! {
    #[test]
    fn statements_make_the_same_toml(lines in prop::collection::vec(statement(), 0..12)) {
        let text = lines.join("\n");
        prop_assert!(read(&text).is_ok(), "{}", text);
        check(&text)?;
    }

    #[test]
    fn any_text(text in r"(\PC|[\n\r\t\\#*\x22'. ])*") {
        check(&text)?;
    }

    #[test]
    fn mutations(edits in prop::collection::vec(
        (0..MANUAL.len(), 0usize..20, r"(\PC|[\n\r\t\\#*0-9\x22'. ]){0,6}"),
        1..4,
    )) {
        let mut text = MANUAL.to_owned();
        for (at, length, new) in edits {
            let start = text.floor_char_boundary(at);
            let end = text.floor_char_boundary(start + length);
            text.replace_range(start..end.max(start), &new);
        }
        check(&text)?;
    }
}
