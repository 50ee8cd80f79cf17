//! Bitrix24's markup (BBCode) and what it looks like elsewhere.
//!
//! Operators' texts hold tags, HTML entities, emoji written as codes, `>>` quotes and blocks framed by dashes. Other
//! messengers have a few marks at most, which differ, so they are handed in as [`Marks`].
//!
//! Only known tags are markup; `[x]` is what somebody wrote. A style tag that is never closed is dropped, except
//! right after a letter or digit, as in `a[i]`, where it is no tag to begin with.

mod canvas;
mod emoji;
mod quote;
mod tokens;

use std::collections::HashMap;

use self::canvas::Canvas;
pub use self::quote::{QuoteBlock, quote_block};
use self::tokens::{Tag, Token, tokenize};

/// The marks of the medium that a text is written for. An empty mark means that there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    /// Before and after bold text.
    pub bold: &'static str,
    /// Before and after italic text.
    pub italic: &'static str,
    /// Before and after text that is struck out.
    pub strike: &'static str,
    /// Before and after code.
    pub code: &'static str,
    /// Before each quoted line.
    pub quote: &'static str,
}

impl Marks {
    /// Plain text: quoted lines stay recognizable, everything else is bare.
    pub const NONE: Self = Self {
        bold: "",
        italic: "",
        strike: "",
        code: "",
        quote: "> ",
    };
}

/// Writes a text in Bitrix24's markup with the marks of another medium.
///
/// Marks are put on each line by itself, close around the words, and only where both their neighbours outside are
/// not letters or digits, since messengers ignore them elsewhere and show them.
pub fn render(text: &str, marks: &Marks) -> String {
    let text = quote::as_quoted_lines(&normal_breaks(text));
    let tokens = tokenize(&text);
    let pairs = pairs(&tokens);
    let mut canvas = Canvas::default();
    let mut links: Vec<(usize, &str)> = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let paired = pairs.get(index).copied().unwrap_or(false);
        match token {
            Token::Text(text) => canvas.text(&emoji::from_codes(&entities(text))),
            Token::Code(code) => canvas.code(&entities(code)),
            Token::Open { tag, value, .. } if paired => match tag {
                Tag::Style(style) => canvas.open(*style),
                // A link inside a link has no address of its own.
                Tag::Link => links.push((canvas.len(), if links.is_empty() { value } else { "" })),
                Tag::Bare | Tag::Time | Tag::Icon | Tag::Nothing => {}
            },
            Token::Close(tag) if paired => match tag {
                Tag::Style(style) => canvas.close(*style),
                Tag::Link => {
                    if let Some((start, address)) = links.pop() {
                        finish_link(&mut canvas, start, &entities(address));
                    }
                }
                Tag::Bare | Tag::Time | Tag::Icon | Tag::Nothing => {}
            },
            Token::Open { tag, value, source } => alone(&mut canvas, *tag, value, source),
            Token::Close(_) => {}
        }
    }
    canvas.write(marks)
}

/// Writes a text in Bitrix24's markup as plain text.
pub fn plain(text: &str) -> String {
    render(text, &Marks::NONE)
}

/// When an author's name in front of a text is taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signature<'a> {
    /// Only when it is this name.
    Of(&'a str),
    /// Whichever name it is: the connector is registered with signatures.
    Always,
}

/// Takes off the `[b]Name:[/b] [br]` that the portal puts in front of an operator's text (`NEED_SIGNATURE`).
///
/// An operator's own bold opening looks the same, hence the condition.
pub fn strip_signature<'a>(text: &'a str, signature: Signature<'_>) -> &'a str {
    let signed = || -> Option<(&str, &str)> {
        let inner = strip_prefix_ignoring_case(text.trim_start(), "[b]")?;
        let end = inner.to_ascii_lowercase().find(":[/b]")?;
        Some((inner.get(..end)?, inner.get(end + ":[/b]".len()..)?))
    };
    let Some((name, rest)) = signed() else {
        return text;
    };
    let ours = match signature {
        Signature::Always => name.chars().count() <= 80 && !name.contains(['\n', '[']),
        Signature::Of(author) => {
            entities(name).trim().to_lowercase() == author.trim().to_lowercase()
        }
    };
    if !ours {
        return text;
    }
    let rest = rest.trim_start();
    strip_prefix_ignoring_case(rest, "[br]")
        .unwrap_or(rest)
        .trim_start()
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix)
        .then(|| &text[prefix.len()..])
}

/// Which tokens belong to a tag that is both opened and closed; tags of different kinds may cross.
fn pairs(tokens: &[Token<'_>]) -> Vec<bool> {
    let mut paired = vec![false; tokens.len()];
    let mut open: HashMap<Tag, Vec<usize>> = HashMap::new();
    for (index, token) in tokens.iter().enumerate() {
        match token {
            Token::Open { tag, .. } => open.entry(*tag).or_default().push(index),
            Token::Close(tag) => {
                if let Some(start) = open.get_mut(tag).and_then(Vec::pop) {
                    paired[start] = true;
                    paired[index] = true;
                }
            }
            Token::Text(_) | Token::Code(_) => {}
        }
    }
    paired
}

/// A tag that stands alone, by its nature or because nobody closed it.
fn alone(canvas: &mut Canvas, tag: Tag, value: &str, source: &str) {
    match tag {
        Tag::Style(_) if canvas.ends_in_word() => canvas.text(source),
        Tag::Link if value.is_empty() && canvas.ends_in_word() => canvas.text(source),
        Tag::Link if !value.is_empty() => canvas.text(&format!("{} ", entities(value))),
        Tag::Time => canvas.text(&moment(value).unwrap_or_default()),
        Tag::Icon => canvas.text(&icon(value)),
        Tag::Style(_) | Tag::Link | Tag::Bare | Tag::Nothing => {}
    }
}

/// Puts a link's address behind its text, unless the text says it already or it leads only inside the portal.
fn finish_link(canvas: &mut Canvas, start: usize, address: &str) {
    let address = address.trim();
    if address.is_empty() {
        return;
    }
    let label = canvas.text_from(start);
    let label = label.trim();
    let bare = |text: &str| {
        let text = ["https://", "http://", "mailto:", "tel:"]
            .iter()
            .find_map(|scheme| strip_prefix_ignoring_case(text, scheme))
            .unwrap_or(text);
        text.trim_end_matches('/').to_owned()
    };
    let leads_out = ["https://", "http://", "mailto:", "tel:", "www."]
        .iter()
        .any(|scheme| strip_prefix_ignoring_case(address, scheme).is_some());
    if label.is_empty() {
        canvas.text(address);
    } else if bare(label) == bare(address) {
        if address.contains("://") && label != address {
            canvas.cut(start);
            canvas.text(address);
        }
    } else if leads_out {
        canvas.bare_text(&format!(" ({address})"));
    }
}

/// `1645844720 format=…` as `2022-02-26 03:05 UTC`; the reader's own time zone is not known.
fn moment(value: &str) -> Option<String> {
    let seconds: i64 = value.split_whitespace().next()?.parse().ok()?;
    // Years that four digits can show.
    if !(0..253_402_300_800).contains(&seconds) {
        return None;
    }
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days are counted from 1 March of year 0, so that a leap day ends its year.
    let shifted = days + 719_468;
    let era_day = shifted % 146_097;
    let year_of_era = (era_day - era_day / 1_460 + era_day / 36_524 - era_day / 146_096) / 365;
    let day_of_year = era_day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + shifted / 146_097 * 400 + i64::from(month <= 2);
    let (hour, minute) = (rest / 3_600, rest % 3_600 / 60);
    Some(format!(
        "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC"
    ))
}

/// A smile drawn as a picture, by its title; other pictures say nothing in a text.
fn icon(value: &str) -> String {
    let Some((_, title)) = value.split_once("title=") else {
        return String::new();
    };
    let title = title.trim().trim_matches('"');
    if title.starts_with([':', ';']) {
        return emoji::from_codes(title);
    }
    emoji::named(&title.to_lowercase())
        .unwrap_or_default()
        .to_owned()
}

/// Line breaks of all kinds as `\n`: `[br]` in some texts, `<br />` or newlines in others.
fn normal_breaks(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['[', '<', '\r']) {
        let (before, found) = rest.split_at(at);
        out.push_str(before);
        let length = [
            "\r\n", "\r", "[br]", "[br/]", "[br /]", "<br>", "<br/>", "<br />",
        ]
        .iter()
        .find(|spelling| strip_prefix_ignoring_case(found, spelling).is_some())
        .map(|spelling| spelling.len());
        if let Some(length) = length {
            out.push('\n');
            rest = &found[length..];
        } else {
            out.push_str(&found[..1]);
            rest = &found[1..];
        }
    }
    out.push_str(rest);
    out
}

/// Decodes HTML entities, once: `&amp;lt;` becomes `&lt;`.
fn entities(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let (before, found) = rest.split_at(at);
        out.push_str(before);
        let end = found.bytes().take(12).position(|byte| byte == b';');
        let decoded = end.and_then(|end| Some((entity(found.get(1..end)?)?, end + 1)));
        if let Some((character, length)) = decoded {
            out.push(character);
            rest = &found[length..];
        } else {
            out.push('&');
            rest = &found[1..];
        }
    }
    out.push_str(rest);
    out
}

fn entity(name: &str) -> Option<char> {
    match name {
        "quot" => Some('"'),
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "apos" => Some('\''),
        "nbsp" => Some('\u{a0}'),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code).filter(|character| !character.is_control() || *character == '\n')
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STARS: Marks = Marks {
        bold: "*",
        italic: "_",
        strike: "~",
        code: "```",
        quote: "> ",
    };

    #[track_caller]
    fn check(table: &[(&str, &str)]) {
        for (markup, expected) in table {
            assert_eq!(render(markup, &STARS), *expected, "{markup:?}");
        }
    }

    #[test]
    fn styles_become_marks() {
        check(&[
            ("plain", "plain"),
            (
                "[b]bold[/b] [i]italic[/i] [s]gone[/s] [u]under[/u]",
                "*bold* _italic_ ~gone~ under",
            ),
            ("[B]Bold[/B]", "*Bold*"),
            ("[b]all [i]both[/i][/b]", "*all _both_*"),
            ("[i][b]same[/b][/i]", "*_same_*"),
            ("[b] padded [/b]end", " *padded* end".trim_start()),
            ("a [b] [/b] b", "a   b"),
            ("[b]one\ntwo[/b]", "*one*\n*two*"),
            ("[b]one[br]\u{20}two [/b]", "*one*\n *two*"),
            ("[b][b]twice[/b][/b]", "*twice*"),
            ("[b]crossed [i]tags[/b] here[/i]", "*crossed _tags_* here"),
        ]);
    }

    #[test]
    fn marks_that_would_be_shown_are_left_out() {
        check(&[
            ("[b]Hel[/b]lo", "Hello"),
            ("x[b]y[/b]", "xy"),
            ("[b]Total[/b]: 5", "*Total*: 5"),
            ("([b]in[/b])", "(*in*)"),
            ("[b]2*3[/b]", "2*3"),
        ]);
    }

    #[test]
    fn only_known_tags_are_markup() {
        check(&[
            ("[x] [1] a[0] []", "[x] [1] a[0] []"),
            ("[b=1]x[/b]", "[b=1]x"),
            ("[bold]x", "[bold]x"),
            ("[", "["),
            ("[b", "[b"),
            ("a[i] = b[i]", "a[i] = b[i]"),
            ("[b]unclosed", "unclosed"),
            ("closed[/b] only", "closed only"),
            ("[/code]x", "x"),
            ("&#91;b&#93;literal&#91;/b&#93;", "[b]literal[/b]"),
        ]);
    }

    #[test]
    fn decoration_and_mentions_leave_their_text() {
        check(&[
            ("[size=20]big[/size] [color=#ff0000]red[/color]", "big red"),
            (
                "[user=123]John[/user] in [chat=imol|789]Line[/chat]",
                "John in Line",
            ),
            ("[USER=1 REPLACE]Vladimir Loginov", "Vladimir Loginov"),
            (
                "[send=/start]Start[/send] [put=/help]Help[/put]",
                "Start Help",
            ),
            (
                "[call=+19991234567]Call[/call] [call]+1999[/call]",
                "Call +1999",
            ),
            ("[context=chat123/456]link[/context]", "link"),
            ("[disk=123]x", "x"),
            (
                "[img size=medium]https://x.example/p.jpg [/img]",
                "https://x.example/p.jpg",
            ),
            (
                "at [timestamp=1645844720 format=SHORT_TIME_FORMAT]",
                "at 2022-02-26 03:05 UTC",
            ),
            ("[icon=http://x.example/u.png size=30 title=Unicorn]", ""),
            ("[icon=http://x.example/u.png size=30 title=:)] ok", ":) ok"),
            ("[icon=http://x.example/u.png title=smile] ok", "😄 ok"),
        ]);
    }

    #[test]
    fn links_keep_their_address() {
        check(&[
            (
                "[url]https://x.example/?a=1&amp;b=2[/url]",
                "https://x.example/?a=1&b=2",
            ),
            (
                "[url=https://x.example]our site[/url]",
                "our site (https://x.example)",
            ),
            (
                "[url=https://x.example]https://x.example[/url]",
                "https://x.example",
            ),
            (
                "[url=https://x.example/]x.example[/url]",
                "https://x.example/",
            ),
            ("[url=mailto:a@x.example]a@x.example[/url]", "a@x.example"),
            (
                "[url=https://x.example][b]bold[/b][/url]",
                "*bold* (https://x.example)",
            ),
            ("[url=/crm/deal/1/]the deal[/url]", "the deal"),
            ("[url=https://x.example][/url]", "https://x.example"),
            (
                "[url=https://x.example]never closed",
                "https://x.example never closed",
            ),
        ]);
    }

    #[test]
    fn breaks_and_entities_are_decoded_once() {
        check(&[
            ("a[br]b\nc\r\nd<br />e[BR]f", "a\nb\nc\nd\ne\nf"),
            (
                "&lt;b&gt; &amp;lt; &quot;x&quot; &#39;y&#039; &#x41;",
                "<b> &lt; \"x\" 'y' A",
            ),
            ("a & b &unknown; &#0; &", "a & b &unknown; &#0; &"),
            ("a\n\nb", "a\n\nb"),
        ]);
    }

    #[test]
    fn code_is_left_alone() {
        check(&[
            (
                "[code]x = a[0] * [b]2[/b][/code]",
                "```x = a[0] * [b]2[/b]```",
            ),
            (
                "see [code]\nlet a;\nlet b;\n[/code] end",
                "see ```let a;\nlet b;``` end",
            ),
            ("[b]x [code]y[/code] z[/b]", "*x* ```y``` *z*"),
            ("[code]:smile: &lt;[/code]", "```:smile: <```"),
            ("[code][/code]", ""),
        ]);
    }

    #[test]
    fn quoted_lines_have_their_mark() {
        check(&[
            (">>first\n>> second\nreply", "> first\n> second\nreply"),
            ("&gt;&gt;first[br]reply", "> first\nreply"),
            ("a >> b", "a >> b"),
            (">>[b]bold[/b]", "> *bold*"),
        ]);
    }

    #[test]
    fn emoji_codes_become_emoji_and_times_stay() {
        check(&[
            ("ok :thumbsup: at 10:30:00", "ok 👍 at 10:30:00"),
            (
                ":unknown: a:heart:b https://x.example/:heart:/ :heart:",
                ":unknown: a:heart:b https://x.example/:heart:/ ❤️",
            ),
            ("Hi:f09f9880::f09f9880:", "Hi😀😀"),
            (":12345678: :ffffffff:", ":12345678: :ffffffff:"),
        ]);
    }

    #[test]
    fn dashed_blocks_become_quoted_lines() {
        let dashes = "-".repeat(54);
        check(&[(
            &format!(
                "{dashes}\nKlaus [12.03.2026 10:15] #chat1/2\nold [b]text[/b]\nmore\n{dashes}\nreply"
            ),
            "> Klaus:\n> old *text*\n> more\nreply",
        )]);
    }

    #[test]
    fn a_signature_goes_only_when_it_is_one() {
        let text = "[b]Klaus Weber:[/b] [br]Guten Tag!";
        assert_eq!(
            strip_signature(text, Signature::Of("klaus weber")),
            "Guten Tag!"
        );
        assert_eq!(strip_signature(text, Signature::Of("Anna")), text);
        assert_eq!(strip_signature(text, Signature::Always), "Guten Tag!");
        assert_eq!(
            strip_signature("[b]Klaus Weber:[/b] ", Signature::Always),
            ""
        );
        assert_eq!(
            strip_signature("[b]Important:[/b] call me", Signature::Of("Klaus")),
            "[b]Important:[/b] call me"
        );
        assert_eq!(
            strip_signature("no [b]Name:[/b]", Signature::Always),
            "no [b]Name:[/b]"
        );
    }

    #[test]
    fn hostile_texts_are_done_in_one_pass() {
        let many = |part: &str| part.repeat(200_000 / part.len());
        let texts = [
            many("["),
            many("[code]"),
            many("[b]") + &many("[/i]"),
            many("[b]a[/b] "),
            many("[url=https://x]") + &many("a[/url]"),
            many(":a"),
            many("&"),
            many(&format!("{}\nA [1]\n", "-".repeat(20))),
        ];
        for text in texts {
            assert!(render(&text, &STARS).len() <= text.len() * 2);
        }
    }

    fn visible(text: &str) -> String {
        text.chars()
            .filter(|character| !character.is_whitespace())
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn nothing_causes_panic(text in any::<String>()) {
            let _ = render(&text, &STARS);
            let _ = quote_block(&text);
            let _ = strip_signature(&text, Signature::Always);
        }

        #[test]
        fn no_markup_causes_panic(parts in proptest::collection::vec(
            "(\\[/?(b|i|s|u|url|code|user=1|url=x|br|size=9|img|icon=a title=:\\)|timestamp=1)\\]|a|ж|😀| |\n|:|heart|&|lt;|-{54}|>>|\\[|\\]){1,3}", 0..24)
        ) {
            let text: String = parts.concat();
            let _ = render(&text, &STARS);
            let _ = quote_block(&text);
        }

        #[test]
        fn text_without_markup_is_not_changed(text in "[a-zA-Zа-я0-9 .,!?*_~'\"/@#%()+-]{0,80}") {
            prop_assert_eq!(visible(&render(&text, &STARS)), visible(&text));
        }

        #[test]
        fn text_without_known_code_keeps_its_colons(text in "[0-9a-f: /xyz]{0,60}") {
            prop_assert_eq!(visible(&render(&text, &STARS)), visible(&text));
        }
    }
}
