//! Taking a text apart into tags and what is between them.

use super::canvas::Style;

/// Longest tag that is looked for, in bytes; addresses in tags may be long.
const LONGEST: usize = 4096;

const CODE_END: &str = "[/code]";

/// What a tag does to a text. Tags that do the same are closed by their own kind only because their names differ in
/// practice; see [`Tag::Bare`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Tag {
    /// A style that other media may have a mark for.
    Style(Style),
    /// A link; the value is its address.
    Link,
    /// Decoration, a mention or a command: only the text inside matters.
    Bare,
    /// A moment in Unix seconds.
    Time,
    /// A small picture.
    Icon,
    /// Something that has no text.
    Nothing,
}

/// A piece of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Text(&'a str),
    /// The inside of `[code]…[/code]`, in which nothing is a tag.
    Code(&'a str),
    Open {
        tag: Tag,
        value: &'a str,
        source: &'a str,
    },
    Close(Tag),
}

/// Whether a tag has a value.
#[derive(PartialEq)]
enum Needs {
    Nothing,
    Either,
    Value,
}

fn known(name: &str) -> Option<(Tag, Needs)> {
    Some(match name {
        "b" => (Tag::Style(Style::Bold), Needs::Nothing),
        "i" => (Tag::Style(Style::Italic), Needs::Nothing),
        "s" => (Tag::Style(Style::Strike), Needs::Nothing),
        "u" => (Tag::Style(Style::Underline), Needs::Nothing),
        "url" => (Tag::Link, Needs::Either),
        "img" | "send" | "put" | "call" | "pch" => (Tag::Bare, Needs::Either),
        "size" | "color" | "user" | "chat" | "context" => (Tag::Bare, Needs::Value),
        "timestamp" => (Tag::Time, Needs::Value),
        "icon" => (Tag::Icon, Needs::Value),
        "disk" => (Tag::Nothing, Needs::Value),
        "code" => (Tag::Nothing, Needs::Nothing),
        _ => return None,
    })
}

/// Takes a text apart; put together again the pieces are the text.
pub(super) fn tokenize(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut plain, mut at) = (0, 0);
    // Looked for once: a search after each of many unclosed tags would take for ever.
    let last_close = rfind_ignoring_case(text, CODE_END);
    while let Some(found) = text[at..].find('[').map(|offset| at + offset) {
        let code_ends = last_close.is_some_and(|close| found < close);
        let Some((token, length)) = token(&text[found..], code_ends) else {
            at = found + 1;
            continue;
        };
        if plain < found {
            tokens.push(Token::Text(&text[plain..found]));
        }
        tokens.push(token);
        at = found + length;
        plain = at;
    }
    if plain < text.len() {
        tokens.push(Token::Text(&text[plain..]));
    }
    tokens
}

/// The tag at the start of `text`, and its length. `code_ends`: the end of some code follows.
fn token(text: &str, code_ends: bool) -> Option<(Token<'_>, usize)> {
    // A bracket or a break inside: what began here is no tag.
    let length = text
        .bytes()
        .skip(1)
        .take(LONGEST)
        .position(|byte| matches!(byte, b'[' | b']' | b'\n'))?;
    let source = text
        .get(..length + 2)
        .filter(|source| source.ends_with(']'))?;
    let inner = source.get(1..=length)?;
    if let Some(name) = inner.strip_prefix('/') {
        let (tag, _) = known(&name.trim().to_ascii_lowercase())?;
        return Some((Token::Close(tag), source.len()));
    }
    let name_end = inner
        .find(|character: char| !character.is_ascii_alphabetic())
        .unwrap_or(inner.len());
    let (name, value) = inner.split_at(name_end);
    let (tag, needs) = known(&name.to_ascii_lowercase())?;
    if !value.is_empty() && !value.starts_with(['=', ' ']) {
        return None;
    }
    let value = value
        .trim_start_matches([' ', '='])
        .trim()
        .trim_matches('"');
    let fits = match needs {
        Needs::Nothing => source.len() == name.len() + 2,
        Needs::Either => true,
        Needs::Value => !value.is_empty(),
    };
    if !fits {
        return None;
    }
    if name.eq_ignore_ascii_case("code") && code_ends {
        return code(text, source.len());
    }
    Some((Token::Open { tag, value, source }, source.len()))
}

/// Code up to its closing tag.
fn code(text: &str, open: usize) -> Option<(Token<'_>, usize)> {
    let inside = text.get(open..)?;
    let end = inside
        .as_bytes()
        .windows(CODE_END.len())
        .position(|window| window.eq_ignore_ascii_case(CODE_END.as_bytes()))?;
    Some((Token::Code(inside.get(..end)?), open + end + CODE_END.len()))
}

fn rfind_ignoring_case(text: &str, wanted: &str) -> Option<usize> {
    text.as_bytes()
        .windows(wanted.len())
        .rposition(|window| window.eq_ignore_ascii_case(wanted.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_values_are_told_apart() {
        assert_eq!(
            tokenize("a[URL=\"https://x\"]b[/url][x][code][b][/CODE]"),
            [
                Token::Text("a"),
                Token::Open {
                    tag: Tag::Link,
                    value: "https://x",
                    source: "[URL=\"https://x\"]"
                },
                Token::Text("b"),
                Token::Close(Tag::Link),
                Token::Text("[x]"),
                Token::Code("[b]"),
            ]
        );
    }

    #[test]
    fn a_tag_never_spans_lines_or_other_tags() {
        for text in ["[b\n]", "[url=[b]", "[user=]", "[user]", "[b ]"] {
            let opened = tokenize(text)
                .iter()
                .any(|token| matches!(token, Token::Open { source, .. } if *source == text));
            assert!(!opened, "{text:?}");
        }
    }
}
