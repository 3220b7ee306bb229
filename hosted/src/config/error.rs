//! Where and why a configuration file is wrong.

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::ops::Range;

use super::MAX_PEERS;

/// Why a configuration file cannot be used. It displays all that an operator needs to mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file is missing, unreadable or not UTF-8.
    #[error("{name}: cannot be read: {reason}")]
    Unreadable {
        /// The path.
        name: String,
        /// What the system said.
        reason: io::Error,
    },
    /// The command line and the file do not go together.
    #[error("{0}")]
    Overridden(String),
    /// More peers than there is room for.
    #[error("{0} servers and pool members are configured; {MAX_PEERS} are allowed")]
    TooManyPeers(usize),
    /// The text is wrong.
    #[error("{name}:{line}:{column}: {message}\n{excerpt}")]
    Invalid {
        /// The path.
        name: String,
        /// The line, counted from 1.
        line: usize,
        /// The column, counted in characters from 1.
        column: usize,
        /// What was read and what is allowed, in one line.
        message: String,
        /// The line itself and a marker under the place, in three lines.
        excerpt: String,
    },
}

/// The text of one file, or of one and those that it includes, one after the other.
pub(super) struct Source {
    text: String,
    /// Where each begins, and its name; the first begins at 0.
    parts: Vec<(usize, String)>,
}

/// How serde's messages start where TOML has other words.
const WORDS: [(&str, &str); 3] = [
    ("unknown field", "unknown key"),
    ("missing field", "missing key"),
    ("invalid type: map", "invalid type: table"),
];

impl Source {
    /// A byte order mark is no part of the text.
    pub fn new(text: &str, name: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self { text: text.to_owned(), parts: vec![(0, name.to_owned())] }
    }

    /// Adds another file.
    pub fn append(&mut self, text: &str, name: &str) {
        // What is wrong at the end of a file is not at the start of the next.
        self.text.push('\n');
        self.parts.push((self.text.len(), name.to_owned()));
        self.text += text.strip_prefix('\u{feff}').unwrap_or(text);
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The name of the first file.
    pub fn name(&self) -> &str {
        self.parts.first().map_or("", |(_, name)| name)
    }

    /// Where each file begins, and its text.
    pub fn parts(&self) -> impl Iterator<Item = (usize, &str)> {
        let ends = self.parts.iter().skip(1).map(|(start, _)| start - 1);
        let ends = ends.chain([self.text.len()]);
        self.parts.iter().zip(ends).map(|(&(start, _), end)| (start, &self.text[start..end]))
    }

    /// What stands at `span`.
    pub fn quote(&self, span: Range<usize>) -> &str {
        self.text.get(span).unwrap_or_default()
    }

    /// `FILE:LINE:COLUMN` of `span`.
    pub fn place(&self, span: Range<usize>) -> String {
        let (name, line, column) = self.locate(self.text.floor_char_boundary(span.start));
        format!("{name}:{line}:{column}")
    }

    /// The file, line and column of a character.
    fn locate(&self, at: usize) -> (&str, usize, usize) {
        let part = self.parts.iter().rev().find(|(start, _)| *start <= at);
        let (start, name) = part.map_or((0, ""), |(start, name)| (*start, name));
        let before = &self.text[start..at];
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (name, before.matches('\n').count() + 1, column)
    }

    /// What is wrong at `span`.
    pub fn error(&self, span: Range<usize>, message: impl fmt::Display) -> ConfigError {
        let start = self.text.floor_char_boundary(span.start);
        let (before, after) = self.text.split_at(start);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let (name, line, column) = self.locate(start);
        let shown = printable(self.text[line_start..].lines().next().unwrap_or_default());

        let marked = self.text.floor_char_boundary(span.end).saturating_sub(start);
        let on_line = after[..marked].lines().next().unwrap_or_default();
        let marker = "^".repeat(on_line.chars().count().max(1));
        let indent = shown.chars().take(column - 1).map(|c| if c == '\t' { c } else { ' ' });
        let indent: String = indent.collect();
        let gutter = " ".repeat(line.to_string().len());
        ConfigError::Invalid {
            name: name.to_owned(),
            line,
            column,
            message: printable(&message.to_string()),
            excerpt: format!("{gutter} |\n{line} | {shown}\n{gutter} | {indent}{marker}"),
        }
    }

    /// Where the text is not TOML; an error without a place is at the end.
    pub fn syntax_error(&self, error: &toml::de::Error) -> ConfigError {
        let span = error.span().unwrap_or(self.text.len()..self.text.len());
        match self.quote(span.clone()).lines().next() {
            Some(read) => self.error(span, format_args!("{read}: {}", error.message())),
            None => self.error(span, error.message()),
        }
    }

    /// Where the text is TOML but not of the types that serde was asked for.
    pub fn type_error(&self, error: &toml::de::Error) -> ConfigError {
        let span = error.span().unwrap_or(self.text.len()..self.text.len());
        let message = error.message();
        // A number beyond what serde's model holds does not get as far as the check of its range.
        if message.ends_with("number overflowed") || message.ends_with("128, expected any value") {
            let read = self.quote(span.clone());
            return self.error(span, format_args!("{read} is out of range: no key allows as much"));
        }
        let replaced = WORDS
            .iter()
            .find_map(|(theirs, ours)| message.strip_prefix(theirs).map(|rest| (*ours, rest)));
        let (start, rest) = replaced.unwrap_or(("", message));
        match rest.strip_suffix("a sequence") {
            Some(rest) => self.error(
                span,
                format_args!("{start}{rest}a list of tables, each under its [[name]]"),
            ),
            None => self.error(span, format_args!("{start}{rest}")),
        }
    }
}

/// Without what could move a terminal's cursor, newlines among it.
fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().map(shown).collect()
}
