//! The code with which a template is sent from a place that has room for text only: a chat, an SMS, a robot.
//!
//! The grammar stands in `docs/template-codes.md`, whose tables are the tests of this file. Reading knows nothing of the
//! templates that there are: which language, and which value fills which place, is decided by
//! [`template::resolve`](super::template::resolve).

use std::fmt;

/// What marks a file among the values.
const FILE: &str = "file_link:";

/// Longest name of a template (Meta: message templates).
const MAX_NAME: usize = 512;

/// What a code names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An approved template of Meta's.
    Template,
    /// An interactive message that is stored here: see [`interactive`](super::interactive).
    Interactive,
}

/// A code that was understood. Printed, it gives a text that reads as the same code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// What is named.
    pub kind: Kind,
    /// Its name as written: letters, digits, `_`, `-` and `.`.
    pub name: String,
    /// The language code as written; `None` where it is left out, and for an interactive message, which has none.
    pub language: Option<String>,
    /// The address of the header's file as written.
    pub file: Option<String>,
    /// The values in order, without their escapes and the white space around them. What `name:value` means depends on
    /// the template.
    pub values: Vec<String>,
}

impl Code {
    /// A template's code without file and values.
    pub fn template(name: &str, language: Option<&str>) -> Self {
        Self {
            kind: Kind::Template,
            name: name.to_owned(),
            language: language.map(str::to_owned),
            file: None,
            values: Vec::new(),
        }
    }
}

/// Why a text that begins like a code is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Malformed {
    /// Nothing stands behind the prefix.
    NoName,
    /// What stands in the name's place cannot be one.
    BadName(String),
    /// A `\` at the very end escapes nothing.
    Unclosed,
    /// More than one file is given.
    TwoFiles,
    /// There is other text around the code.
    NotAlone,
}

/// Reads a text that may be a code; `None` for one that is none. What only looks like a code is `Malformed`: nothing
/// of a code ever goes to a customer as text.
pub fn parse(text: &str) -> Option<Result<Code, Malformed>> {
    let text = text.trim();
    if let Some((kind, rest)) = prefix(text) {
        return Some(read(kind, rest));
    }
    text.lines()
        .any(begins_inside)
        .then_some(Err(Malformed::NotAlone))
}

/// Reads a text as a template's code without its prefix, as SMS bodies may have it. Whoever calls looks whether there is
/// a template of this name, and takes the text as it stands if there is none.
pub fn parse_bare(text: &str) -> Option<Result<Code, Malformed>> {
    let text = text.trim();
    let name = text.split('+').next().unwrap_or_default();
    (!name.is_empty() && is_name(name)).then(|| read(Kind::Template, text))
}

/// A prefix in front of `text` and what follows it. Phones begin sentences with a capital, so case does not matter.
fn prefix(text: &str) -> Option<(Kind, &str)> {
    const PREFIXES: [(&str, Kind); 3] = [
        ("template-", Kind::Template),
        ("template+", Kind::Template),
        ("interactive+", Kind::Interactive),
    ];
    PREFIXES.into_iter().find_map(|(word, kind)| {
        let begins = text.get(..word.len())?.eq_ignore_ascii_case(word);
        begins.then(|| (kind, &text[word.len()..]))
    })
}

/// Whether a line inside other text is a code beyond doubt: the prefix, a name, and nothing else or what ends a name.
fn begins_inside(line: &str) -> bool {
    let Some((kind, rest)) = prefix(line.trim()) else {
        return false;
    };
    let (name, _) = name_and_rest(kind, rest);
    !name.is_empty() && is_name(name)
}

/// The name, and what follows the sign that ends it: `+`, and behind an interactive message's also `|`, because it has no
/// language that could stand in between.
fn name_and_rest(kind: Kind, rest: &str) -> (&str, Option<&str>) {
    let ends: &[char] = match kind {
        Kind::Template => &['+'],
        Kind::Interactive => &['+', '|'],
    };
    match rest.split_once(ends) {
        Some((name, after)) => (name, Some(after)),
        None => (rest, None),
    }
}

fn read(kind: Kind, rest: &str) -> Result<Code, Malformed> {
    let (name, after) = name_and_rest(kind, rest);
    let name = name.trim();
    if name.is_empty() {
        return Err(Malformed::NoName);
    }
    if !is_name(name) {
        return Err(Malformed::BadName(name.chars().take(60).collect()));
    }
    let (language, values) = match (kind, after) {
        (_, None) => (None, ""),
        (Kind::Template, Some(after)) => language_and_values(after),
        (Kind::Interactive, Some(after)) => (None, after),
    };
    let mut code = Code {
        kind,
        name: name.to_owned(),
        language: language.map(str::to_owned),
        file: None,
        values: Vec::new(),
    };
    for item in items(values)? {
        match strip_word(&item, FILE) {
            Some(_) if code.file.is_some() => return Err(Malformed::TwoFiles),
            Some(link) => code.file = Some(link.trim().to_owned()),
            None => code.values.push(item),
        }
    }
    Ok(code)
}

fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

/// Takes what follows the name apart. An empty language is one that is left out, so that a value may look like one.
fn language_and_values(after: &str) -> (Option<&str>, &str) {
    let (first, rest) = after.split_once('+').unwrap_or((after, ""));
    let first = first.trim();
    if first.is_empty() {
        (None, rest)
    } else if is_language(first) {
        (Some(first), rest)
    } else {
        (None, after)
    }
}

/// Whether a text has the form of a language code such as `en`, `en_US`, `fil` or, not quite right, `EN-us`.
fn is_language(text: &str) -> bool {
    let (base, region) = match text.split_once(['_', '-']) {
        Some((base, region)) => (base, Some(region)),
        None => (text, None),
    };
    let lower = base.bytes().all(|byte| byte.is_ascii_lowercase()) && (2..=3).contains(&base.len());
    let upper = base.bytes().all(|byte| byte.is_ascii_uppercase()) && base.len() == 2;
    let region = region.is_none_or(|region| {
        (2..=4).contains(&region.len()) && region.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    (lower || upper) && region
}

/// Splits values at each `|`. A backslash means something only in front of a `|` or at the end: there, two stand for
/// one, and one that is left over takes the `|` for a letter.
fn items(text: &str) -> Result<Vec<String>, Malformed> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let mut items = Vec::new();
    let mut item = String::new();
    let mut backslashes = 0;
    for character in text.trim_end().chars() {
        if character == '\\' {
            backslashes += 1;
            continue;
        }
        if character == '|' {
            item.push_str(&"\\".repeat(backslashes / 2));
            if backslashes % 2 == 1 {
                item.push('|');
            } else {
                items.push(std::mem::take(&mut item));
            }
        } else {
            item.push_str(&"\\".repeat(backslashes));
            item.push(character);
        }
        backslashes = 0;
    }
    if backslashes % 2 == 1 {
        return Err(Malformed::Unclosed);
    }
    item.push_str(&"\\".repeat(backslashes / 2));
    items.push(item);
    for item in &mut items {
        item.trim().to_owned().clone_into(item);
    }
    Ok(items)
}

/// What follows a word in front of `text`, whatever its case.
pub(super) fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    text.get(..word.len())?
        .eq_ignore_ascii_case(word)
        .then(|| &text[word.len()..])
}

/// A value as it is written in a code.
fn escaped(value: &str) -> String {
    let mut written = String::with_capacity(value.len());
    let mut backslashes = 0;
    for character in value.chars() {
        match character {
            '\\' => backslashes += 1,
            '|' => {
                written.push_str(&"\\".repeat(backslashes));
                written.push('\\');
                backslashes = 0;
            }
            _ => backslashes = 0,
        }
        written.push(character);
    }
    written.push_str(&"\\".repeat(backslashes));
    written
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.kind {
            Kind::Template => "template-",
            Kind::Interactive => "interactive+",
        })?;
        formatter.write_str(&self.name)?;
        let file = self
            .file
            .iter()
            .map(|link| format!("{FILE}{}", escaped(link)));
        let values: Vec<String> = file
            .chain(self.values.iter().map(|value| escaped(value)))
            .collect();
        let values = values.join("|");
        if self.kind == Kind::Interactive {
            return if values.is_empty() {
                Ok(())
            } else {
                write!(formatter, "|{values}")
            };
        }
        match &self.language {
            Some(language) => write!(formatter, "+{language}")?,
            None if values.is_empty() => return Ok(()),
            None => {
                let first = values.split('+').next().unwrap_or_default().trim();
                if first.is_empty() || is_language(first) {
                    formatter.write_str("+")?;
                }
            }
        }
        if values.is_empty() {
            return Ok(());
        }
        write!(formatter, "+{values}")
    }
}

#[cfg(test)]
mod tests;
