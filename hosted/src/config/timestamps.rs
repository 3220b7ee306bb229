//! `[timestamps]`: who stamps packets besides the kernel.

use serde::Deserialize;
use toml::Spanned;

use super::ConfigError;
use super::error::Source;

/// In place of names: every interface that can.
pub const ALL_INTERFACES: &str = "*";
/// The most interfaces that may be named.
const MAX_INTERFACES: usize = 32;
/// The longest name that Linux gives one, octets.
const LONGEST_NAME: usize = 15;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct TimestampsTable {
    #[serde(default)]
    hardware: Vec<Spanned<String>>,
}

impl Source {
    /// The names of interfaces, each once.
    pub(super) fn hardware(&self, table: TimestampsTable) -> Result<Vec<String>, ConfigError> {
        let mut names = Vec::new();
        for given in table.hardware {
            let span = given.span();
            let name = given.into_inner();
            if !is_name(&name) || names.contains(&name) || names.len() == MAX_INTERFACES {
                let message = format!(
                    "hardware = {name:?} is one too many or no interface: up to {MAX_INTERFACES} \
                     names, each once, or \"*\" for all that can, are allowed"
                );
                return Err(self.error(span, message));
            }
            names.push(name);
        }
        Ok(names)
    }
}

/// Whether Linux allows an interface to be called so.
fn is_name(name: &str) -> bool {
    let is_odd = |c: char| c == '/' || c.is_whitespace() || c.is_control();
    (1..=LONGEST_NAME).contains(&name.len()) && !name.contains(is_odd)
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn interfaces_are_named_once() {
        let parse = |text: &str| {
            Config::parse(&format!("[timestamps]\n{text}"), "test").map(|config| config.hardware)
        };
        assert_eq!(parse("").unwrap(), [""; 0]);
        assert_eq!(parse("hardware = []").unwrap(), [""; 0]);
        assert_eq!(parse("hardware = [\"*\"]").unwrap(), ["*"]);
        let names = ["eth0", "enp1s0f1np1"];
        assert_eq!(parse(&format!("hardware = {names:?}")).unwrap(), names);
        let many: Vec<String> = (0..33).map(|number| format!("eth{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for (names, wrong, column) in [
            (&[""][..], "", 13),
            (&["a", "../ptp0"], "../ptp0", 18),
            (&["interfaces-by-16"], "interfaces-by-16", 13),
            (&["a", "b", "a"], "a", 23),
            (&["a b"], "a b", 13),
            (&many, "eth32", 13 + 10 * 8 + 22 * 9),
        ] {
            let error = parse(&format!("hardware = {names:?}")).unwrap_err().to_string();
            let message = format!(
                "test:2:{column}: hardware = {wrong:?} is one too many or no interface: up to 32 \
                 names, each once, or \"*\" for all that can, are allowed"
            );
            assert!(error.starts_with(&message), "{error}");
        }
        let error = parse("software = []").unwrap_err().to_string();
        assert!(
            error.starts_with("test:2:1: unknown key `software`, expected `hardware`"),
            "{error}"
        );
    }
}
