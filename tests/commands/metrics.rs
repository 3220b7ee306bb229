//! Prometheus' text format, version 0.0.4, read more strictly than Prometheus does: a family is in
//! one piece, begins with its help and its type, and has no series twice.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

/// Values by name and labels.
pub(crate) type Series = BTreeMap<String, f64>;

/// A family of which the lines are being read.
struct Family<'a> {
    name: &'a str,
    kind: &'a str,
}

pub(crate) fn parse(text: &str) -> Result<Series> {
    ensure!(text.ends_with('\n'), "the last line has no end");
    let (mut series, mut helped, mut families) = (Series::new(), None, Vec::<Family<'_>>::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').with_context(|| format!("no help: {line}"))?;
            ensure!(is_name(name) && !help.trim().is_empty(), "{line}");
            ensure!(helped.is_none(), "help without a type before {line}");
            ensure!(families.iter().all(|family| family.name != name), "again: {line}");
            helped = Some(name);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').with_context(|| format!("no type: {line}"))?;
            ensure!(helped.take() == Some(name), "no help before {line}");
            ensure!(["gauge", "counter", "histogram"].contains(&kind), "{line}");
            ensure!(name.ends_with("_total") == (kind == "counter"), "{line}");
            families.push(Family { name, kind });
        } else {
            ensure!(helped.is_none(), "no type before {line}");
            let family = families.last().with_context(|| format!("no type before {line}"))?;
            let (key, value) = sample(line, family).with_context(|| line.to_owned())?;
            ensure!(series.insert(key, value).is_none(), "twice: {line}");
        }
    }
    ensure!(helped.is_none(), "help without a type at the end");
    Ok(series)
}

fn sample(line: &str, family: &Family<'_>) -> Result<(String, f64)> {
    let end = line.find(['{', ' ']).context("no value")?;
    let (name, mut rest) = line.split_at(end);
    let suffixes: &[_] = if family.kind == "histogram" { &["_bucket", "_count"] } else { &[""] };
    let suffix = name.strip_prefix(family.name).context("of another family")?;
    ensure!(suffixes.contains(&suffix), "{suffix:?} is none of {suffixes:?}");
    if let Some(labels) = rest.strip_prefix('{') {
        rest = after_labels(labels)?;
    }
    let value = rest.strip_prefix(' ').context("no space before the value")?;
    let key = line.get(..line.len() - rest.len()).context("no key")?;
    Ok((key.to_owned(), value.parse()?))
}

/// What follows the brace.
fn after_labels(mut rest: &str) -> Result<&str> {
    let mut names = Vec::new();
    loop {
        let (name, value) = rest.split_once("=\"").context("no label")?;
        ensure!(is_name(name) && !name.contains(':') && !names.contains(&name), "label {name:?}");
        names.push(name);
        rest = after_value(value)?;
        match rest.split_at_checked(1) {
            Some((",", more)) => rest = more,
            Some(("}", more)) => return Ok(more),
            _ => bail!("{rest:?} after a label"),
        }
    }
}

/// What follows the quote; only these three are escaped.
fn after_value(text: &str) -> Result<&str> {
    let mut characters = text.char_indices();
    while let Some((place, character)) = characters.next() {
        match character {
            '"' => return text.get(place + 1..).context("no end"),
            '\\' => match characters.next() {
                Some((_, '\\' | '"' | 'n')) => {}
                other => bail!("{other:?} is escaped"),
            },
            _ => {}
        }
    }
    bail!("a value without an end")
}

fn is_name(name: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte == b':';
    name.bytes().next().is_some_and(first)
        && name.bytes().all(|byte| first(byte) || byte.is_ascii_digit())
}

/// What is none of it is told from what is.
pub(crate) fn grammar() -> Result<()> {
    let head = "# HELP a_total It.\n# TYPE a_total counter\n";
    let series = parse(&format!("{head}a_total{{b=\"c,}} \\\"\\n\\\\\",d=\"\"}} 1e-3\n"))?;
    ensure!(series.values().eq(&[0.001]) && series.len() == 1, "{series:?}");
    for wrong in [
        "a_total 1\n",
        "# TYPE a_total counter\na_total 1\n",
        "# HELP a_total It.\n",
        "# HELP a_total It.\na_total 1\n",
        &format!("{head}{head}"),
        &format!("{head}a_total 1"),
        &format!("{head}a_total\n"),
        &format!("{head}a_total x\n"),
        &format!("{head}b_total 1\n"),
        &format!("{head}a_total_count 1\n"),
        &format!("{head}a_total 1\na_total 2\n"),
        &format!("{head}a_total{{}} 1\n"),
        &format!("{head}a_total{{b=\"c}} 1\n"),
        &format!("{head}a_total{{b=\"\\x\"}} 1\n"),
        &format!("{head}a_total{{b=\"\"\"}} 1\n"),
        &format!("{head}a_total{{b=\"c\",b=\"d\"}} 1\n"),
        &format!("{head}a_total{{0=\"c\"}} 1\n"),
        &format!("{head}a_total{{b=\"c\nd\"}} 1\n"),
    ] {
        ensure!(parse(wrong).is_err(), "{wrong:?}");
    }
    Ok(())
}
