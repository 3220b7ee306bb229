use std::fs;
use std::path::Path;

use crate::config::Config;

/// Writes files and reads the first; folders in front of names exist. Errors have `DIR` for where
/// they are.
fn load(files: &[(&str, &str)]) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    for (name, text) in files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.replace("DIR", &dir.display().to_string())).unwrap();
    }
    let message = |error: crate::config::ConfigError| {
        let text = error.to_string().replace(&dir.display().to_string(), "DIR");
        text.lines().next().unwrap_or_default().to_owned()
    };
    Config::load(&dir.join(files[0].0)).map(|loaded| loaded.config).map_err(message)
}

fn server(name: &str) -> String {
    format!("[[server]]\naddress = \"{name}\"\n")
}

fn names(config: &Config) -> Vec<String> {
    config.servers.iter().map(|server| server.address.to_string()).collect()
}

#[test]
fn lists_grow_in_order() {
    let main = "include = [\"parts/*.toml\", 'DIR/last.toml', \"none/*\"]\n".to_owned();
    let config = load(&[
        ("chimed.toml", &(main + &server("a") + "[local]\n")),
        ("parts/2.toml", &server("d")),
        ("parts/1.toml", &("\u{feff}include = \"../more.toml\"\n".to_owned() + &server("b"))),
        ("parts/3.text", "not read"),
        ("more.toml", &server("c")),
        ("last.toml", &("minsources = 5\n".to_owned() + &server("e"))),
    ])
    .unwrap();
    assert_eq!(names(&config), ["a", "b", "c", "d", "e"]);
    assert_eq!((config.min_sources, config.local_stratum), (5, Some(10)));
}

#[test]
fn errors_name_the_file_they_are_in() {
    let cases: &[(&[(&str, &str)], &str)] = &[
        (
            &[("a.toml", "include = \"b.toml\"")],
            "DIR/a.toml:1:11: include = \"b.toml\": DIR/b.toml cannot be read: No such file or \
             directory (os error 2)",
        ),
        (
            &[("a.toml", "include = [\"b.toml\"]\n"), ("b.toml", "\nminsource = 1\n")],
            "DIR/b.toml:2:1: unknown key `minsource`, expected one of `clock`, `discipline`,",
        ),
        (
            &[("a.toml", "include = \"b.toml\""), ("b.toml", "packets = 1\nclock =")],
            "DIR/b.toml:2:8: string values must be quoted, expected literal string",
        ),
        (
            &[("a.toml", "include = \"b.toml\"\n"), ("b.toml", "\n\npackets = 17")],
            "DIR/b.toml:3:11: packets = 17 is out of range: 0.1 to 16 are allowed",
        ),
        (
            &[("a.toml", "packets = 1\ninclude = \"b.toml\"\n"), ("b.toml", "packets = 1")],
            "DIR/b.toml:1:1: packets is set at DIR/a.toml:1:1 too: once is allowed",
        ),
        (
            &[("a.toml", "include = \"b.toml\"\n[local]"), ("b.toml", "[local]\nstratum = 2")],
            "DIR/b.toml:1:2: local is set at DIR/a.toml:2:2 too: once is allowed",
        ),
        (
            &[
                ("a.toml", "include = \"b.toml\"\n[[server]]\naddress = \"x\""),
                ("b.toml", "[[server]]\naddress = \"x\""),
            ],
            "DIR/b.toml:2:11: address = \"x\" with port = 123 is in an earlier [[server]]: once is \
             allowed",
        ),
        (
            &[("a.toml", "include = \"b.toml\""), ("b.toml", "include = \"./../DIR/a.toml\"")],
            "DIR/b.toml:1:11: include = \"./../DIR/a.toml\": DIR/./../DIR/a.toml cannot be read: ",
        ),
        (
            &[("a.toml", "include = \"b.toml\""), ("b.toml", "include = \"./a.toml\"")],
            "DIR/b.toml:1:11: include = \"./a.toml\": DIR/./a.toml is read already: once is allowed",
        ),
        (
            &[("a.toml", "include = \"*.toml\"")],
            "DIR/a.toml:1:11: include = \"*.toml\": DIR/a.toml is read already: once is allowed",
        ),
        (
            &[("a.toml", "include = [1]")],
            "DIR/a.toml:1:12: include = 1 is not a path: a string or a list of strings is allowed",
        ),
        (
            &[("a.toml", "include = \"[\"")],
            "DIR/a.toml:1:11: include = \"[\": Pattern syntax error near position ",
        ),
    ];
    for (files, expected) in cases {
        let error = load(files).unwrap_err();
        assert!(error.starts_with(expected), "{error}\nnot\n{expected}");
    }
}

#[test]
fn there_is_an_end_to_depth() {
    let text = |number: usize| format!("include = \"{}.toml\"", number + 1);
    let chain: Vec<_> = (0..9).map(|number| (format!("{number}.toml"), text(number))).collect();
    let mut files: Vec<_> =
        chain.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let error = load(&files).unwrap_err();
    let expected = "DIR/8.toml:1:11: include = \"9.toml\": files include files 8 deep at most";
    assert_eq!(error, expected);
    files[8].1 = "";
    assert_eq!(load(&files).unwrap(), Config::default());
}

/// What a folder is called is no pattern.
#[test]
fn only_what_is_written_is_a_pattern() {
    let files = [
        ("[a]*/x.toml", "include = \"*.part\""),
        ("[a]*/y.part", "packets = 2"),
        ("a/z.part", "clock"),
    ];
    assert_eq!(load(&files).unwrap().packets, 2.0);
    assert!(!Path::new("y.part").exists());
}
