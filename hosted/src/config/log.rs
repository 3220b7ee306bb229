//! `[log]`: where messages go, and which.

use clap::ValueEnum;
use serde::Deserialize;
use toml::Spanned;

use super::ConfigError;
use super::error::Source;
use crate::log::Options;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct LogTable {
    destination: Option<Spanned<String>>,
    level: Option<Spanned<String>>,
    profile: Option<Spanned<String>>,
}

impl Source {
    pub(super) fn log(&self, table: &LogTable) -> Result<Options, ConfigError> {
        Ok(Options {
            destination: self.word("destination", table.destination.as_ref())?,
            level: self.word("level", table.level.as_ref())?,
            profile: self.word("profile", table.profile.as_ref())?,
        })
    }

    /// The words are those of the command line.
    fn word<T: ValueEnum + Default>(
        &self,
        key: &str,
        given: Option<&Spanned<String>>,
    ) -> Result<T, ConfigError> {
        let Some(given) = given else { return Ok(T::default()) };
        T::from_str(given.get_ref(), false).map_err(|_| {
            let words = T::value_variants().iter().filter_map(T::to_possible_value);
            let words: Vec<_> = words.map(|word| format!("{:?}", word.get_name())).collect();
            let (read, words) = (given.get_ref(), words.join(", "));
            let message = format!("{key} = {read:?} is unknown: {words} are allowed");
            self.error(given.span(), message)
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::log::{Destination, LogProfile, Options, Threshold};

    #[test]
    fn each_key_has_its_words() {
        let parse = |text: &str| Config::parse(text, "test").map(|config| config.log);
        assert_eq!(parse("").unwrap(), Options::default());
        assert_eq!(parse("[log]").unwrap(), Options::default());
        let text =
            "[log]\ndestination = \"journald\"\nlevel = \"warning\"\nprofile = \"appliance\"";
        let options = Options {
            destination: Destination::Journald,
            level: Threshold::Warning,
            profile: LogProfile::Appliance,
        };
        assert_eq!(parse(text).unwrap(), options);
        for (text, message) in [
            (
                "destination = \"file\"",
                "test:2:15: destination = \"file\" is unknown: \"auto\", \"stderr\", \"syslog\", \
                 \"journald\" are allowed",
            ),
            (
                "level = \"Info\"",
                "test:2:9: level = \"Info\" is unknown: \"debug\", \"info\", \"warning\", \
                 \"error\", \"critical\" are allowed",
            ),
            ("profile = 1", "test:2:11: invalid type: integer `1`, expected a string"),
            ("colour = true", "test:2:1: unknown key `colour`, expected one of `destination`"),
        ] {
            let error = parse(&format!("[log]\n{text}")).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
