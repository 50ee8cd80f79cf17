//! Customer text in Bitrix24's markup: what WhatsApp marks is marked, and nothing else is.
//!
//! Bitrix24 knows tags that are more than decoration (`[send=…]`, `[put=…]`, `[call=…]`, `[url=…]`), so no text of a
//! customer may reach the chat with a tag in it. Source: Bitrix24, "Chat bots: message formatting".

/// Texts beyond this many bytes are shown without marks; WhatsApp itself ends at 4096 characters.
const MARKS_LIMIT: usize = 32 * 1024;
/// Rows of this many dashes frame a quote in Bitrix24.
const DASHES: usize = 6;

/// Text in which nothing is a tag, a quote or a frame any more, and that reads the same.
pub fn disarm(text: &str) -> String {
    let mut disarmed = String::with_capacity(text.len() + 16);
    for (index, line) in lines(text).enumerate() {
        if index > 0 {
            disarmed.push('\n');
        }
        disarm_line(line, &mut disarmed);
    }
    disarmed
}

/// [Disarmed](disarm) text in which `*bold*`, `_italic_`, `~struck~` and ```` ```code``` ```` are Bitrix24's tags.
pub fn with_marks(text: &str) -> String {
    let text = disarm(text);
    if text.len() > MARKS_LIMIT {
        return text;
    }
    let mut marked = String::with_capacity(text.len() + 16);
    let mut rest = text.as_str();
    while let Some((before, code, after)) = code_block(rest) {
        inline_lines(before, &mut marked);
        marked.push_str("[code]");
        marked.push_str(code);
        marked.push_str("[/code]");
        rest = after;
    }
    inline_lines(rest, &mut marked);
    marked
}

/// Disarmed text as a quote: every line behind `>>`.
pub(super) fn quote(head: &str, text: &str) -> String {
    let text = disarm(text);
    let mut quote = format!(">>{head}");
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        quote.push_str("\n>>");
        quote.push_str(line);
    }
    quote
}

/// The lines of a text, whichever way they are broken.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split(['\n', '\u{85}', '\u{2028}', '\u{2029}', '\u{b}', '\u{c}'])
        .flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

fn disarm_line(line: &str, disarmed: &mut String) {
    let start = line.trim_start();
    disarmed.push_str(&line[..line.len() - start.len()]);
    let mut rest = start;
    if let Some(after) = start
        .strip_prefix('>')
        .filter(|after| after.starts_with('>'))
    {
        disarmed.push('＞');
        rest = after;
    }
    let dashes = start.len() - start.trim_start_matches('-').len();
    if dashes >= DASHES {
        disarmed.extend(std::iter::repeat_n('–', dashes));
        rest = &start[dashes..];
    }
    let mut characters = rest.char_indices();
    while let Some((at, character)) = characters.next() {
        disarmed.push(match character {
            '[' if opens_tag(characters.as_str()) => '［',
            '&' if spells_bracket(&rest[at..]) => '＆',
            // Has no business in a chat, and could part a tag from this check.
            '\0' => '\u{fffd}',
            _ => character,
        });
    }
}

/// Whether what follows a bracket could make it a tag: a letter, a closing stroke, or a mark that may turn into one.
fn opens_tag(after: &str) -> bool {
    let next = after.trim_start().chars().next();
    next.is_some_and(|next| {
        next.is_ascii_alphabetic() || matches!(next, '/' | '*' | '_' | '~' | '`' | '\0')
    })
}

/// Whether an HTML entity stands for an opening bracket; some ways into a portal decode entities.
fn spells_bracket(text: &str) -> bool {
    let Some((entity, _)) = text.get(1..).and_then(|text| text.split_once(';')) else {
        return false;
    };
    if entity.len() > 12 {
        return false;
    }
    let entity = entity.to_ascii_lowercase();
    match entity.strip_prefix('#') {
        Some(number) => match number.strip_prefix('x') {
            Some(digits) => u32::from_str_radix(digits, 16) == Ok(0x5b),
            None => number.parse() == Ok(0x5b_u32),
        },
        None => matches!(entity.as_str(), "lsqb" | "lbrack"),
    }
}

/// What stands before the first block of code, the code, and what stands after it.
fn code_block(text: &str) -> Option<(&str, &str, &str)> {
    const FENCE: &str = "```";
    let (before, rest) = text.split_once(FENCE)?;
    let (code, after) = rest.split_once(FENCE)?;
    let code = code.trim_matches('\n');
    (!code.trim().is_empty()).then_some((before, code, after))
}

fn inline_lines(text: &str, marked: &mut String) {
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            marked.push('\n');
        }
        inline(line, &[], marked);
    }
}

const MARKS: [(char, &str); 3] = [('*', "b"), ('_', "i"), ('~', "s")];

/// Marks of one line. `outer` are the marks that are open already; they do not nest in themselves.
fn inline(line: &str, outer: &[char], marked: &mut String) {
    let mut previous: Option<char> = None;
    let mut rest = line;
    while let Some(character) = rest.chars().next() {
        let after = &rest[character.len_utf8()..];
        if previous.is_none_or(|previous| !previous.is_alphanumeric()) {
            if let Some(length) = address(rest) {
                marked.push_str(&rest[..length]);
                previous = rest[..length].chars().next_back();
                rest = &rest[length..];
                continue;
            }
            if let Some((tag, inner, remainder)) = opened(character, after, outer) {
                let open = [outer, &[character]].concat();
                marked.push('[');
                marked.push_str(tag);
                marked.push(']');
                inline(inner, &open, marked);
                marked.push_str("[/");
                marked.push_str(tag);
                marked.push(']');
                previous = Some(character);
                rest = remainder;
                continue;
            }
        }
        marked.push(character);
        previous = Some(character);
        rest = after;
    }
}

/// The tag, the content and what follows, if `mark` opens here: content without spaces at its ends, then the same mark
/// with no letter or digit behind it.
fn opened<'a>(
    mark: char,
    after: &'a str,
    outer: &[char],
) -> Option<(&'static str, &'a str, &'a str)> {
    let (_, tag) = MARKS
        .iter()
        .find(|(known, _)| *known == mark && !outer.contains(known))?;
    if after.starts_with(char::is_whitespace) || after.starts_with(mark) {
        return None;
    }
    let closes = |at: &usize| {
        let inside = after[..*at].chars().next_back();
        let outside = after[at + mark.len_utf8()..].chars().next();
        inside.is_some_and(|inside| !inside.is_whitespace())
            && outside.is_none_or(|outside| !outside.is_alphanumeric())
    };
    let end = after.match_indices(mark).map(|(at, _)| at).find(closes)?;
    Some((tag, &after[..end], &after[end + mark.len_utf8()..]))
}

/// How long the web address is that starts here; underscores in it are no marks.
fn address(text: &str) -> Option<usize> {
    if !text.starts_with("http://") && !text.starts_with("https://") {
        return None;
    }
    Some(text.find(char::is_whitespace).unwrap_or(text.len()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Tags that Bitrix24 would act upon, in the order they stand.
    pub(crate) fn tags(markup: &str) -> Vec<String> {
        let rests = markup.match_indices('[').map(|(at, _)| &markup[at + 1..]);
        let name = |rest: &str| {
            let rest = rest.trim_start_matches([' ', '\t']);
            let end = rest.find(|character: char| {
                !character.is_ascii_alphanumeric() && character != '/' && character != '*'
            });
            rest[..end.unwrap_or(rest.len())].to_ascii_lowercase()
        };
        rests
            .map(name)
            .filter(|name| {
                name.starts_with(|start: char| start.is_ascii_alphabetic() || "/*".contains(start))
            })
            .collect()
    }

    /// Whether every tag is one of ours and closed where it should be.
    pub(crate) fn only_marks(markup: &str) -> bool {
        let mut open = Vec::new();
        for tag in tags(markup) {
            match tag.strip_prefix('/') {
                Some(name) if open.pop().as_deref() != Some(name) => return false,
                Some(_) => {}
                None if ["b", "i", "s", "code"].contains(&tag.as_str()) => open.push(tag),
                None => return false,
            }
        }
        open.is_empty()
    }

    /// Text made of what an attacker would use.
    pub(crate) fn hostile() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            prop::sample::select(vec![
                "[",
                "]",
                "/",
                "[b]",
                "[/b]",
                "[url=https://x]",
                "[send=/quit]",
                "[put=x]",
                "[code]",
                "[/code]",
                "*",
                "_",
                "~",
                "```",
                "`",
                ">>",
                ">",
                "------",
                "-",
                "\n",
                "\r",
                "\r\n",
                "\u{2028}",
                " ",
                "&#91;",
                "&lsqb;",
                "&",
                ";",
                "b",
                "url",
                "\0",
                "https://",
                "👋",
                "ß",
                "7",
            ])
            .prop_map(str::to_owned),
            ".{0,3}",
        ];
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    #[test]
    fn tags_quotes_and_frames_lose_their_power() {
        for (text, wanted) in [
            ("[url=https://x]T[/url]", "［url=https://x]T［/url]"),
            ("[1] and [ ] and [тест]", "[1] and [ ] and [тест]"),
            ("[ b]", "［ b]"),
            ("[*]", "［*]"),
            (
                "&#91;b] &#x5B;b] &#091;b] &lsqb;b] &amp;",
                "＆#91;b] ＆#x5B;b] ＆#091;b] ＆lsqb;b] &amp;",
            ),
            (
                ">>faked\n  >>too\n> fine\na >> b",
                "＞>faked\n  ＞>too\n> fine\na >> b",
            ),
            ("------\n-----\n --------x", "––––––\n-----\n ––––––––x"),
            ("a\r\nb\rc\u{2028}>>d", "a\nb\nc\n＞>d"),
            ("", ""),
        ] {
            assert_eq!(disarm(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn marks_become_tags_at_word_borders() {
        for (text, wanted) in [
            (
                "*bold* and _italic_ and ~struck~",
                "[b]bold[/b] and [i]italic[/i] and [s]struck[/s]",
            ),
            ("*_both_*", "[b][i]both[/i][/b]"),
            ("(*in brackets*).", "([b]in brackets[/b])."),
            ("2*3*4 snake_case_name", "2*3*4 snake_case_name"),
            ("* list\n* items", "* list\n* items"),
            ("*not closed", "*not closed"),
            ("*over\nlines*", "*over\nlines*"),
            ("* no* *no *", "* no* *no *"),
            ("**", "**"),
            ("*a*b*", "[b]a*b[/b]"),
            (
                "see https://x.example/_a_/b_c_ now",
                "see https://x.example/_a_/b_c_ now",
            ),
            ("```let a = *b*;\nc```", "[code]let a = *b*;\nc[/code]"),
            ("``````", "``````"),
            ("```open *b*", "```open [b]b[/b]"),
            ("*[b]x*", "[b]［b]x[/b]"),
            ("[*url=x*]", "［[b]url=x[/b]]"),
            ("Привет, *мир*!", "Привет, [b]мир[/b]!"),
        ] {
            assert_eq!(with_marks(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn quotes_have_the_sign_on_every_line() {
        assert_eq!(quote("We", "a\n\n>>b\n[b]c"), ">>We\n>>a\n>>＞>b\n>>［b]c");
    }

    proptest! {
        #[test]
        fn no_text_makes_a_tag(text in hostile()) {
            let disarmed = disarm(&text);
            prop_assert!(tags(&disarmed).is_empty(), "{disarmed:?}");
            for line in disarmed.lines() {
                prop_assert!(!line.trim_start().starts_with(">>") && !line.trim_start().starts_with("------"), "{line:?}");
            }
        }

        #[test]
        fn no_text_makes_a_tag_but_marks(text in hostile()) {
            let marked = with_marks(&text);
            prop_assert!(only_marks(&marked), "{marked:?}");
        }

        #[test]
        fn plain_text_stays_as_it_is(text in "[a-zA-Zа-я0-9 .,!?👋]{0,60}") {
            prop_assert_eq!(with_marks(&text), text);
        }
    }
}
