//! Which template is meant: by name, then by language.

use super::{Refusal, Template};

/// How many names are offered instead of one that is not there.
const OFFERED: usize = 3;

/// Languages to prefer where a code names none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Languages<'a> {
    /// The portal's, such as `de` or `pt_BR`.
    pub portal: Option<&'a str>,
    /// The number's own default.
    pub number: Option<&'a str>,
}

/// The template of a name and language among those that have this name, whatever its case.
pub(super) fn choose<'a>(
    name: &str,
    language: Option<&str>,
    templates: &'a [Template],
    languages: Languages<'_>,
) -> Result<&'a Template, Refusal> {
    let of_name = |same: fn(&str, &str) -> bool| -> Vec<&'a Template> {
        templates
            .iter()
            .filter(|template| same(&template.name, name))
            .collect()
    };
    let mut found = of_name(|one, other| one == other);
    if found.is_empty() {
        found = of_name(str::eq_ignore_ascii_case);
    }
    let Some(first) = found.first() else {
        return Err(unknown_name(name, templates));
    };
    let name = first.name.clone();
    let approved: Vec<&Template> = found
        .iter()
        .copied()
        .filter(|template| template.is_approved())
        .collect();
    let template = match language {
        Some(language) => in_language(&found, language)
            .ok_or_else(|| unknown_language(&name, language, &approved))?,
        None => match approved.as_slice() {
            [] => first,
            [only] => only,
            several => preferred(several, languages).ok_or_else(|| Refusal::Ambiguous {
                name: name.clone(),
                languages: codes(several),
            })?,
        },
    };
    if template.is_approved() {
        return Ok(template);
    }
    Err(Refusal::NotApproved {
        name,
        language: template.language.clone(),
        status: template.status.clone(),
    })
}

fn unknown_name(name: &str, templates: &[Template]) -> Refusal {
    let mut names: Vec<String> = templates
        .iter()
        .filter(|template| template.is_approved())
        .map(|template| template.name.clone())
        .collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return Refusal::NoTemplates;
    }
    Refusal::UnknownName {
        name: name.to_owned(),
        nearest: nearest(name, &names),
    }
}

/// A value that a template without places was given may be a language that was meant.
pub(super) fn unknown_language(name: &str, language: &str, approved: &[&Template]) -> Refusal {
    let codes = codes(approved);
    let mut languages = codes.clone();
    let closest = order(language, &codes);
    languages.sort_by_key(|code| closest.iter().position(|close| close == code));
    Refusal::UnknownLanguage {
        name: name.to_owned(),
        language: language.to_owned(),
        languages,
    }
}

fn in_language<'a>(found: &[&'a Template], language: &str) -> Option<&'a Template> {
    let exact = found.iter().find(|template| template.language == language);
    let loose = |code: &str| code.replace('-', "_").to_ascii_lowercase();
    let similar = || {
        found
            .iter()
            .find(|template| loose(&template.language) == loose(language))
    };
    exact.or_else(similar).copied()
}

/// The portal's language, then its base, then the number's own.
fn preferred<'a>(approved: &[&'a Template], languages: Languages<'_>) -> Option<&'a Template> {
    let base = languages.portal.map(base);
    let wishes = [languages.portal, base, languages.number];
    wishes.into_iter().flatten().find_map(|wish| {
        in_language(approved, wish).or_else(|| {
            // `de` is served by `de_AT` where that is the only German there is.
            let mut same = approved
                .iter()
                .filter(|template| self::base(&template.language) == wish);
            match (same.next(), same.next()) {
                (Some(only), None) => Some(*only),
                _ => None,
            }
        })
    })
}

fn base(code: &str) -> &str {
    code.split(['_', '-']).next().unwrap_or(code)
}

fn codes(templates: &[&Template]) -> Vec<String> {
    let mut codes: Vec<String> = templates
        .iter()
        .map(|template| template.language.clone())
        .collect();
    codes.sort_unstable();
    codes
}

/// The names that come closest to one that is not there, the closest first.
pub fn nearest(name: &str, names: &[String]) -> Vec<String> {
    order(name, names).into_iter().take(OFFERED).collect()
}

fn order(word: &str, words: &[String]) -> Vec<String> {
    let word = word.to_ascii_lowercase();
    let mut ordered: Vec<(usize, &String)> = words
        .iter()
        .map(|other| {
            let lower = other.to_ascii_lowercase();
            // Half a name is closer to the whole than its letters tell.
            let part = !word.is_empty() && (lower.contains(&word) || word.contains(&lower));
            (distance(&word, &lower) / if part { 4 } else { 1 }, other)
        })
        .collect();
    ordered.sort();
    ordered
        .into_iter()
        .map(|(_, other)| other.clone())
        .collect()
}

/// How many letters must change, come or go (Levenshtein); of long words the beginning counts.
fn distance(one: &str, other: &str) -> usize {
    let one: Vec<char> = one.chars().take(64).collect();
    let other: Vec<char> = other.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, against) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != against);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}
