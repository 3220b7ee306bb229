//! Statements and words of OpenNTPD's configuration, as its `parse.y` splits them.

use std::fmt;
use std::iter::Peekable;
use std::ops::Range;
use std::str::CharIndices;

use super::super::ConfigError;
use super::super::error::Source;

/// What no bare word holds.
const SPECIAL: [char; 10] = ['(', ')', '{', '}', '<', '>', '!', '=', '#', ','];

/// A word of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    /// A quoted word is no keyword.
    pub(super) quoted: bool,
    pub(super) span: Range<usize>,
}

impl Word {
    pub(super) fn is(&self, keyword: &str) -> bool {
        !self.quoted && self.text == keyword
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.quoted { write!(f, "{:?}", self.text) } else { f.write_str(&self.text) }
    }
}

/// The words of each statement that has some.
pub(super) fn statements(source: &Source) -> Result<Vec<Vec<Word>>, ConfigError> {
    let mut reader = Reader { source, rest: source.text().char_indices().peekable() };
    let (mut all, mut words) = (Vec::new(), Vec::new());
    while let Some((at, character)) = reader.next() {
        match character {
            '\n' => all.push(std::mem::take(&mut words)),
            '#' => while reader.next_if(|character| character != '\n').is_some() {},
            '"' | '\'' => words.push(reader.quoted(at, character)?),
            character if character.is_whitespace() => {}
            character if is_plain(character) => words.push(reader.bare(at, character)),
            character => {
                let message = format!("{character:?} is not allowed outside of quotes");
                return Err(source.error(at..at + character.len_utf8(), message));
            }
        }
    }
    all.push(words);
    all.retain(|words| !words.is_empty());
    Ok(all)
}

fn is_plain(character: char) -> bool {
    character.is_ascii_graphic() && !SPECIAL.contains(&character)
}

struct Reader<'a> {
    source: &'a Source,
    rest: Peekable<CharIndices<'a>>,
}

impl Reader<'_> {
    fn position(&mut self) -> usize {
        self.rest.peek().map_or(self.source.text().len(), |(at, _)| *at)
    }

    /// The next character; a backslash in front of one, or of the end of a line, is not there.
    fn next(&mut self) -> Option<(usize, char)> {
        loop {
            match self.rest.next()? {
                (at, '\\') => match self.rest.next() {
                    Some((_, '\n')) => {}
                    escaped => return escaped.map(|(_, character)| (at, character)),
                },
                plain => return Some(plain),
            }
        }
    }

    fn next_if(&mut self, is_wanted: impl FnOnce(char) -> bool) -> Option<char> {
        let before = self.rest.clone();
        let (_, character) = self.next()?;
        if is_wanted(character) {
            return Some(character);
        }
        self.rest = before;
        None
    }

    fn bare(&mut self, start: usize, first: char) -> Word {
        let mut text = String::from(first);
        while let Some(character) = self.next_if(is_plain) {
            text.push(character);
        }
        Word { text, quoted: false, span: start..self.position() }
    }

    /// Up to the same quote, which a backslash takes its meaning from, as it does from white space.
    fn quoted(&mut self, start: usize, quote: char) -> Result<Word, ConfigError> {
        let mut text = String::new();
        while let Some((_, character)) = self.rest.next() {
            match character {
                '\n' => {}
                '\\' => {
                    match self.rest.next_if(|(_, next)| [quote, ' ', '\t', '\n'].contains(next)) {
                        Some((_, '\n')) => {}
                        Some((_, escaped)) => text.push(escaped),
                        None => text.push('\\'),
                    }
                }
                end if end == quote => {
                    return Ok(Word { text, quoted: true, span: start..self.position() });
                }
                character => text.push(character),
            }
        }
        let message = format!("this quote has no end: another {quote} is missing");
        Err(self.source.error(start..start + 1, message))
    }
}
