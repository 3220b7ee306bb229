//! `include`: a configuration in several files.
//!
//! Its value is a path or a list of them, relative to the folder of the file that it is in; one with
//! `*`, `?` or `[` is a pattern, of which all matches are read in the order of their names, and
//! which may have none. Lists of tables (`[[server]]` and the like) of the included files come after
//! those of the file that includes them, in the order in which they are named; whatever else is
//! said in two files is an error. So is a file that is read twice.

use std::fs;
use std::path::{Path, PathBuf};

use glob::{Pattern, glob};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::ConfigError;
use super::error::Source;

/// How deep files may include files.
const MAX_DEPTH: usize = 8;
/// The key.
const INCLUDE: &str = "include";

type Result<T> = std::result::Result<T, ConfigError>;

/// Adds what `source`, a single file, includes to it.
pub(super) fn gather(source: Source) -> Result<Source> {
    let mut read = vec![canonical(Path::new(source.name()))];
    let mut all = Source::new(source.text(), source.name());
    add_included(&source, 1, &mut read, &mut all)?;
    Ok(all)
}

fn add_included(
    source: &Source,
    depth: usize,
    read: &mut Vec<PathBuf>,
    all: &mut Source,
) -> Result<()> {
    let table = DeTable::parse(source.text()).map_err(|error| source.syntax_error(&error))?;
    let Some(value) = table.get_ref().get(INCLUDE) else { return Ok(()) };
    for named in paths(source, value)? {
        let error = |message: String| {
            let written = source.quote(named.span());
            source.error(named.span(), format_args!("{INCLUDE} = {written}: {message}"))
        };
        if depth > MAX_DEPTH {
            return Err(error(format!("files include files {MAX_DEPTH} deep at most")));
        }
        for path in files(source.name(), named.get_ref()).map_err(&error)? {
            let shown = path.display().to_string();
            let place = canonical(&path);
            if read.contains(&place) {
                return Err(error(format!("{shown} is read already: once is allowed")));
            }
            read.push(place);
            let text = fs::read_to_string(&path)
                .map_err(|reason| error(format!("{shown} cannot be read: {reason}")))?;
            all.append(&text, &shown);
            add_included(&Source::new(&text, &shown), depth + 1, read, all)?;
        }
    }
    Ok(())
}

fn paths<'a>(source: &Source, value: &'a Spanned<DeValue<'_>>) -> Result<Vec<Spanned<&'a str>>> {
    let text = |value: &'a Spanned<DeValue<'_>>| match value.get_ref() {
        DeValue::String(path) => Ok(Spanned::new(value.span(), path.as_ref())),
        _ => {
            let written = source.quote(value.span());
            let message = "is not a path: a string or a list of strings is allowed";
            Err(source.error(value.span(), format_args!("{INCLUDE} = {written} {message}")))
        }
    };
    match value.get_ref() {
        DeValue::Array(list) => list.iter().map(text).collect(),
        _ => Ok(vec![text(value)?]),
    }
}

/// What a path or a pattern in a file stands for.
fn files(name: &str, path: &str) -> std::result::Result<Vec<PathBuf>, String> {
    let folder = Path::new(name).parent().unwrap_or(Path::new(""));
    if !path.contains(['*', '?', '[']) {
        return Ok(vec![folder.join(path)]);
    }
    let folder = Pattern::escape(&folder.to_string_lossy());
    let pattern = Path::new(&folder).join(path);
    let matches = glob(&pattern.to_string_lossy()).map_err(|error| error.to_string())?;
    matches.map(|found| found.map_err(|error| error.to_string())).collect()
}

/// What two names of one file have in common.
fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// All files of a configuration as one table, whose places are those in the whole text.
pub(super) fn merge(source: &Source) -> Result<Spanned<DeTable<'_>>> {
    let mut all = DeTable::new();
    for (start, text) in source.parts() {
        let table = DeTable::parse(text).map_err(|error| source.syntax_error(&error))?;
        for (key, value) in table.into_inner() {
            let (key, value) = (move_key(key, start), move_value(value, start));
            if key.get_ref() == INCLUDE {
                continue;
            }
            let Some((first, mut present)) = all.remove_entry(&key) else {
                all.insert(key, value);
                continue;
            };
            let (span, name) = (key.span(), source.quote(first.span()).to_owned());
            match (present.get_mut(), value.into_inner()) {
                (DeValue::Array(list), DeValue::Array(more)) => {
                    more.into_iter().for_each(|item| list.push(item));
                }
                _ => {
                    let place = source.place(first.span());
                    let message = format!("{name} is set at {place} too: once is allowed");
                    return Err(source.error(span, message));
                }
            }
            all.insert(first, present);
        }
    }
    Ok(Spanned::new(0..source.text().len(), all))
}

fn move_key(key: Spanned<DeString<'_>>, by: usize) -> Spanned<DeString<'_>> {
    let span = key.span();
    Spanned::new(span.start + by..span.end + by, key.into_inner())
}

fn move_value(value: Spanned<DeValue<'_>>, by: usize) -> Spanned<DeValue<'_>> {
    let span = value.span();
    let value = match value.into_inner() {
        DeValue::Array(list) => {
            DeValue::Array(list.into_iter().map(|value| move_value(value, by)).collect())
        }
        DeValue::Table(table) => {
            let moved = table.into_iter();
            DeValue::Table(
                moved.map(|(key, value)| (move_key(key, by), move_value(value, by))).collect(),
            )
        }
        plain => plain,
    };
    Spanned::new(span.start + by..span.end + by, value)
}

#[cfg(test)]
mod tests;
