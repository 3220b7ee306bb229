use crate::config::Config;

#[test]
fn errors_show_the_place() {
    let cases = [
        (
            "clock = \"kernel\"\r\n[[server]]\r\n\taddress = \"xy\"\r\n\tport = \"é\"\r\n",
            "a.toml:4:9: port = \"é\" is not an integer: 1 to 65535 are allowed\n  \
             |\n4 | \tport = \"é\"\n  | \t       ^^^",
        ),
        (
            "local = { stratum\t= '''\n''' }",
            "a.toml:1:21: stratum = '''\u{fffd}''' is not an integer: 1 to 15 are allowed\n  \
             |\n1 | local = { stratum\t= '''\n  |                  \t  ^^^",
        ),
        (
            "#\n#\n#\n#\n#\n#\n#\n#\n#\n\"ééé\\u001b\" = \u{85}1",
            "a.toml:10:15: \u{fffd}1: string values must be quoted, expected literal string\n   \
             |\n10 | \"ééé\\u001b\" = \u{fffd}1\n   |               ^^",
        ),
        (
            "clock = \"\"\"\n",
            "a.toml:2:1: invalid multi-line basic string, expected `\"`\n  |\n2 | \n  | ^",
        ),
    ];
    for (text, expected) in cases {
        let error = Config::parse(text, "a.toml").unwrap_err().to_string();
        assert_eq!(error, expected, "{error}");
    }
}

/// Whole files, and line, column and message.
const FILES: &[(&str, &str)] = &[
    ("clock", "1:6: key with no value, expected `=`"),
    ("clock =", "1:8: string values must be quoted, expected literal string"),
    ("clock = kernel", "1:9: kernel: string values must be quoted, expected literal string"),
    (r#"clock = "kernel"#, r#"1:16: invalid basic string, expected `"`"#),
    ("[[server]", "1:10: unclosed array table, expected `]`"),
    (r#"clock = "kernel" control = """#, "1:18: unexpected key or value, expected newline, `#`"),
    ("max_slew = 1\nmax_slew = 2", "2:1: max_slew: duplicate key"),
    ("[local]\n[local]", "2:2: local: duplicate key"),
    (
        "clock = \"\\q\"",
        "1:11: missing escaped value, expected `b`, `e`, `f`, `n`, `r`, `\\`, `\"`, `x`, \
         `u`, `U`",
    ),
    (
        r#"clok = "kernel""#,
        "1:1: unknown key `clok`, expected one of `clock`, `discipline`, `leap`, `leap_list`, `state`, `rtc`, `control`, `control_group`, `user`, `step_threshold`, \
         `step`, `panic_threshold`, `max_slew`, `packets`, `minsources`, `server`, `pool`, `constraint`, \
         `listen`, `serve`, `timestamps`, `software_clock`, `local`, `log`, `include`",
    ),
    (
        "[[pool]]\naddress = \"a\"\nprefered = true",
        "3:1: unknown key `prefered`, expected one of `address`, `port`, `minpoll`, `maxpoll`, \
         `iburst`, `prefer`, `trust`, `noselect`, `count`",
    ),
    (
        "[[server]]\naddress = \"a\"\nprefer = \"yes\"",
        "3:10: invalid type: string \"yes\", expected a boolean",
    ),
    (
        "[[server]]\naddress = \"a\"\nnoselect = true\nprefer = true",
        "4:10: prefer = true contradicts noselect = true: one is allowed",
    ),
    (
        "[[pool]]\naddress = \"a\"\nprefer = false\ntrust = true\nnoselect = true",
        "4:9: trust = true contradicts noselect = true: one is allowed",
    ),
    ("minsources = 0", "1:14: minsources = 0 is out of range: 1 to 1 are allowed"),
    ("minsources = 1.5", "1:14: minsources = 1.5 is not an integer: 1 to 1 are allowed"),
    (
        "minsources = 7\n[[pool]]\naddress = \"a\"\n[[server]]\naddress = \"b\"\n[[server]]\n\
         address = \"c\"\n[[server]]\naddress = \"d\"\nnoselect = true",
        "1:14: minsources = 7 is out of range: 1 to 6 are allowed",
    ),
    (
        "[[listen]]\naddress = \"*\"\nminpoll = 6",
        "3:1: unknown key `minpoll`, expected `address` or `port`",
    ),
    ("[software_clock]\nfreq = 1", "2:1: unknown key `freq`, expected `offset` or `frequency`"),
    ("[local]\nstrata = 1", "2:1: unknown key `strata`, expected `stratum`"),
    (
        "[ntp]\nx = 1",
        "1:2: unknown key `ntp`, expected one of `clock`, `discipline`, `leap`, `leap_list`, `state`, `rtc`, `control`, `control_group`, `user`, `step_threshold`, \
         `step`, `panic_threshold`, `max_slew`, `packets`, `minsources`, `server`, `pool`, `constraint`, \
         `listen`, `serve`, `timestamps`, `software_clock`, `local`, `log`, `include`",
    ),
    (
        "\"\\u001b[31m\" = 1",
        "1:1: unknown key `�[31m`, expected one of `clock`, `discipline`, `leap`, `leap_list`, `state`, `rtc`, `control`, `control_group`, `user`, `step_threshold`, \
         `step`, `panic_threshold`, `max_slew`, `packets`, `minsources`, `server`, `pool`, `constraint`, \
         `listen`, `serve`, `timestamps`, `software_clock`, `local`, `log`, `include`",
    ),
    (
        r#"server.address = "a""#,
        "1:1: invalid type: table, expected a list of tables, each under its [[name]]",
    ),
    ("[[server]]\nport = 123", "1:1: missing key `address`"),
    ("[[pool]]\n\n[[pool]]\naddress = \"a\"", "1:1: missing key `address`"),
    ("[[listen]]", "1:1: missing key `address`"),
    ("clock = 1", "1:9: invalid type: integer `1`, expected a string"),
    ("control = false", "1:11: invalid type: boolean `false`, expected a string"),
    (
        r#"step_threshold = "0.1""#,
        "1:18: step_threshold = \"0.1\" is not a number: 0.000000001 to 1000000000 are \
         allowed",
    ),
    ("max_slew = [500]", "1:12: max_slew = [500] is not a number: 1 to 100000 are allowed"),
    ("[[server]]\naddress = 5", "2:11: invalid type: integer `5`, expected a string"),
    (
        "[server]\naddress = \"a\"",
        "1:1: invalid type: table, expected a list of tables, each under its [[name]]",
    ),
    (
        r#"server = "a""#,
        "1:10: invalid type: string \"a\", expected a list of tables, each under its [[name]]",
    ),
    (r#"server = ["a"]"#, r#"1:11: invalid type: string "a", expected a table"#),
    (
        "listen = 123",
        "1:10: invalid type: integer `123`, expected a list of tables, each under its \
         [[name]]",
    ),
    ("software_clock = 0.3", "1:18: invalid type: floating point `0.3`, expected a table"),
    ("local = 10", "1:9: invalid type: integer `10`, expected a table"),
    (
        "step_threshold = 0",
        "1:18: step_threshold = 0 is out of range: 0.000000001 to 1000000000 are allowed",
    ),
    (
        "step_threshold = -0.1",
        "1:18: step_threshold = -0.1 is out of range: 0.000000001 to 1000000000 are allowed",
    ),
    (
        "step_threshold = 1e10",
        "1:18: step_threshold = 1e10 is out of range: 0.000000001 to 1000000000 are allowed",
    ),
    (
        "step_threshold = nan",
        "1:18: step_threshold = nan is out of range: 0.000000001 to 1000000000 are allowed",
    ),
    (
        "step = \"sometimes\"",
        "1:8: step = \"sometimes\" is unknown: \"never\", \"start\", \"always\" and an integer from 0 \
         to 4294967295 are allowed",
    ),
    (
        "step = -1",
        "1:8: step = -1 is unknown: \"never\", \"start\", \"always\" and an integer from 0 to \
         4294967295 are allowed",
    ),
    (
        "panic_threshold = true",
        "1:19: panic_threshold = true is unknown: \"never\" and a number from 0.000000001 to \
         1000000000 are allowed",
    ),
    (
        "panic_threshold = 0",
        "1:19: panic_threshold = 0 is unknown: \"never\" and a number from 0.000000001 to \
         1000000000 are allowed",
    ),
    ("max_slew = 0.5", "1:12: max_slew = 0.5 is out of range: 1 to 100000 are allowed"),
    ("max_slew = 100001", "1:12: max_slew = 100001 is out of range: 1 to 100000 are allowed"),
    ("packets = 0", "1:11: packets = 0 is out of range: 0.1 to 16 are allowed"),
    ("max_slew = inf", "1:12: max_slew = inf is out of range: 1 to 100000 are allowed"),
    ("max_slew = 1e999", "1:12: 1e999 is out of range: no key allows as much"),
    ("[[pool]]\naddress = \"a\"\ncount = 0", "3:9: count = 0 is out of range: 1 to 16 are allowed"),
    (
        "[[pool]]\naddress = \"a\"\ncount = 17",
        "3:9: count = 17 is out of range: 1 to 16 are allowed",
    ),
    ("[local]\nstratum = 0", "2:11: stratum = 0 is out of range: 1 to 15 are allowed"),
    ("[local]\nstratum = 16", "2:11: stratum = 16 is out of range: 1 to 15 are allowed"),
    (
        "clock = \"software\"\n[software_clock]\noffset = 1e10",
        "3:10: offset = 1e10 is out of range: -9000000000 to 9000000000 are allowed",
    ),
    (
        "clock = \"software\"\n[software_clock]\nfrequency = -100000.5",
        "3:13: frequency = -100000.5 is out of range: -100000 to 100000 are allowed",
    ),
    (
        r#"discipline = "PLL""#,
        r#"1:14: discipline = "PLL" is unknown: "native" and "kernel" are allowed"#,
    ),
    ("discipline = 1", "1:14: invalid type: integer `1`, expected a string"),
    (
        r#"clock = "kernl""#,
        r#"1:9: clock = "kernl" is unknown: "kernel" and "software" are allowed"#,
    ),
    (
        "[[server]]\naddress = \"a\"\nminpoll = 8\nmaxpoll = 7",
        "4:11: maxpoll = 7 is less than minpoll: 8 to 17 are allowed",
    ),
    (
        "[software_clock]\noffset = 0.3",
        "1:1: [software_clock] is not allowed with clock = \"kernel\", only with \"software\"",
    ),
    (
        "clock = \"kernel\"\nsoftware_clock.offset = 0.3",
        "2:1: [software_clock] is not allowed with clock = \"kernel\", only with \"software\"",
    ),
    (
        "software_clock = { offset = 1 }",
        "1:18: [software_clock] is not allowed with clock = \"kernel\", only with \
         \"software\"",
    ),
    (
        "[[server]]\naddress = \"a\"\n[[server]]\naddress = \"A\"",
        "4:11: address = \"A\" with port = 123 is in an earlier [[server]]: once is allowed",
    ),
    (
        "[[server]]\naddress = \"a\"\nport = 4\n[[server]]\nport = 4\naddress = \"a\"",
        r#"6:11: address = "a" with port = 4 is in an earlier [[server]]: once is allowed"#,
    ),
    (
        "[[pool]]\naddress = \"a\"\n[[pool]]\naddress = \"a\"",
        r#"4:11: address = "a" with port = 123 is in an earlier [[pool]]: once is allowed"#,
    ),
    (
        "[[listen]]\naddress = \"*\"\n[[listen]]\naddress = \"*\"",
        "4:11: address = \"*\" with port = 123 is in an earlier [[listen]]: once is allowed",
    ),
    (
        "[[server]]\naddress = \"[::1]:4460\"\nport = 123",
        "2:11: address = \"[::1]:4460\" has a port inside: address = \"::1\" and port = 4460 \
         are allowed",
    ),
    (
        "[[pool]]\naddress = \"ntp.example.org:0\"",
        "2:11: address = \"ntp.example.org:0\" has port 0: 1 to 65535 are allowed",
    ),
    (
        "[[server]]\naddress = \"192.0.2.1%eth0\"",
        "2:11: address = \"192.0.2.1%eth0\" is neither an IP address nor a host name: letters, \
         digits and inner hyphens are allowed, 1 to 63 between dots, 253 in all, not only \
         digits after the last dot",
    ),
    (
        "[[server]]\naddress = \"my_host\"",
        "2:11: address = \"my_host\" is neither an IP address nor a host name: letters, \
         digits and inner hyphens are allowed, 1 to 63 between dots, 253 in all, not only \
         digits after the last dot",
    ),
    (
        "[[server]]\naddress = \"192.0.2.300\"",
        "2:11: address = \"192.0.2.300\" is neither an IP address nor a host name: letters, \
         digits and inner hyphens are allowed, 1 to 63 between dots, 253 in all, not only \
         digits after the last dot",
    ),
    (
        "[[server]]\naddress = \"\"",
        "2:11: address = \"\" is neither an IP address nor a host name: letters, digits and \
         inner hyphens are allowed, 1 to 63 between dots, 253 in all, not only digits after \
         the last dot",
    ),
    (
        "[[constraint]]\nurl = \"http://a\"",
        "2:7: url = \"http://a\" is not the URL of an HTTPS server: https://HOST[:PORT][/PATH] is \
         allowed, or a host",
    ),
    (
        "[[constraint]]\nurl = \"a\"\naddresses = [\"b\"]",
        "3:14: \"b\" is not an IP address: one without a port is allowed",
    ),
    (
        "[[constraint]]\nurl = \"a\"\n[[constraint]]\nurl = \"https://a/\"",
        "4:7: url = \"https://a/\" with these addresses is in an earlier [[constraint]]: once is \
         allowed",
    ),
    (
        "[[listen]]\naddress = \"localhost\"",
        "2:11: address = \"localhost\" is not an IP address: one without a port (a key of \
         its own: port = 123), or \"*\" for all, is allowed",
    ),
    (
        "[[listen]]\naddress = \"127.0.0.1:123\"",
        "2:11: address = \"127.0.0.1:123\" is not an IP address: one without a port (a key \
         of its own: port = 123), or \"*\" for all, is allowed",
    ),
];

/// The third line of a file whose server has an address, and column and message.
const SERVER_KEYS: &[(&str, &str)] = &[
    (
        "minpol = 6",
        "1: unknown key `minpol`, expected one of `address`, `port`, `minpoll`, `maxpoll`, \
         `iburst`, `prefer`, `trust`, `noselect`",
    ),
    (
        "count = 4",
        "1: unknown key `count`, expected one of `address`, `port`, `minpoll`, `maxpoll`, \
         `iburst`, `prefer`, `trust`, `noselect`",
    ),
    (r#"minpoll = "six""#, r#"11: minpoll = "six" is not an integer: -4 to 17 are allowed"#),
    ("minpoll = 6.0", "11: minpoll = 6.0 is not an integer: -4 to 17 are allowed"),
    ("port = true", "8: port = true is not an integer: 1 to 65535 are allowed"),
    ("port = 1979-05-27", "8: port = 1979-05-27 is not an integer: 1 to 65535 are allowed"),
    ("iburst = 1", "10: invalid type: integer `1`, expected a boolean"),
    ("port = { a = 1 }", "8: port = { a = 1 } is not an integer: 1 to 65535 are allowed"),
    ("minpoll = 20", "11: minpoll = 20 is out of range: -4 to 17 are allowed"),
    ("minpoll = -5", "11: minpoll = -5 is out of range: -4 to 17 are allowed"),
    ("maxpoll = 18", "11: maxpoll = 18 is out of range: -4 to 17 are allowed"),
    ("maxpoll = 0xff", "11: maxpoll = 0xff is out of range: -4 to 17 are allowed"),
    ("port = 0", "8: port = 0 is out of range: 1 to 65535 are allowed"),
    ("port = 65536", "8: port = 65536 is out of range: 1 to 65535 are allowed"),
    (
        "port = 18446744073709551615",
        "8: port = 18446744073709551615 is out of range: 1 to 65535 are allowed",
    ),
    (
        "port = 18446744073709551616",
        "8: 18446744073709551616 is out of range: no key allows as much",
    ),
    (
        "port = 99999999999999999999999999999999999999999999999999",
        "8: 99999999999999999999999999999999999999999999999999 is out of range: no key \
         allows as much",
    ),
];

fn message(text: &str) -> String {
    let error = Config::parse(text, "t").expect_err(text).to_string();
    error.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn errors_say_what_was_read_and_what_is_allowed() {
    for (text, expected) in FILES {
        assert_eq!(message(text), format!("t:{expected}"), "{text}");
    }
    for (line, expected) in SERVER_KEYS {
        let text = format!("[[server]]\naddress = \"a\"\n{line}\n");
        assert_eq!(message(&text), format!("t:3:{expected}"), "{text}");
    }
}
