//! Quotations: the block that "Quote message" puts into an operator's text.

use super::{normal_breaks, plain};

/// Dashes of a frame line as Bitrix24 writes it.
const FRAME: usize = 54;

/// Dashes that make a frame when a head line follows; people draw lines of their own, but no head under them.
const SHORT_FRAME: usize = 20;

/// A quoted message, as "Quote message" writes it:
///
/// ```text
/// ------------------------------------------------------
/// Klaus Weber [12.03.2026 10:15:20] #chat1807/86497
/// What is the price?
/// ------------------------------------------------------
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuoteBlock {
    /// The name in the head line.
    pub author: Option<String>,
    /// The quoted text without markup.
    pub text: String,
    /// Id of the quoted message inside Bitrix24, where the head line has one, as newer chats write it.
    pub message_id: Option<i64>,
}

/// Splits the first quotation off a text; the rest keeps what stood before and after it.
///
/// `None` where there is no complete block.
pub fn quote_block(text: &str) -> Option<(QuoteBlock, String)> {
    let text = normal_breaks(text);
    let lines: Vec<&str> = text.lines().collect();
    let (start, end) = find(&lines, 0)?;
    let block = read(lines.get(start + 1..end)?);
    let before = lines.get(..start)?.join("\n");
    let after = lines.get(end + 1..)?.join("\n");
    let rest = [before.trim(), after.trim()]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("\n");
    Some((block, rest))
}

/// Writes each quotation as lines that begin with `>>`. Breaks must be newlines already.
pub(super) fn as_quoted_lines(text: &str) -> String {
    let lines: Vec<&str> = text.split('\n').collect();
    let mut out: Vec<String> = Vec::with_capacity(lines.len());
    let mut done = 0;
    while let Some((start, end)) = find(&lines, done) {
        out.extend(lines[done..start].iter().map(|line| (*line).to_owned()));
        let inside = &lines[start + 1..end];
        let head = inside.first().and_then(|line| head(line));
        let skip = usize::from(head.is_some());
        out.extend(
            head.and_then(|head| head.author)
                .map(|author| format!(">>{author}:")),
        );
        out.extend(inside.iter().skip(skip).map(|line| format!(">>{line}")));
        done = end + 1;
    }
    out.extend(lines[done..].iter().map(|line| (*line).to_owned()));
    out.join("\n")
}

/// The places of the first two lines, at or behind `from`, that frame a quotation.
fn find(lines: &[&str], from: usize) -> Option<(usize, usize)> {
    let mut frames = (from..lines.len()).filter(|place| dashes(lines[*place]) >= SHORT_FRAME);
    let mut start = frames.next()?;
    for end in frames {
        let exact = [start, end]
            .iter()
            .all(|place| dashes(lines[*place]) == FRAME);
        if exact
            || lines[start + 1..end]
                .first()
                .is_some_and(|line| head(line).is_some())
        {
            return Some((start, end));
        }
        start = end;
    }
    None
}

/// How many dashes a line consists of; 0 where it holds anything else.
fn dashes(line: &str) -> usize {
    let line = line.trim();
    if line.bytes().all(|byte| byte == b'-') {
        line.len()
    } else {
        0
    }
}

fn read(inside: &[&str]) -> QuoteBlock {
    let head = inside.first().and_then(|line| head(line));
    let skip = usize::from(head.is_some());
    let text = inside.get(skip..).unwrap_or_default().join("\n");
    let Head { author, message_id } = head.unwrap_or_default();
    QuoteBlock {
        author,
        text: plain(&text),
        message_id,
    }
}

#[derive(Default)]
struct Head {
    author: Option<String>,
    message_id: Option<i64>,
}

/// Reads `Name [time] #chat1807/86497`. The time is in any language; a digit in brackets at the end tells it from text.
fn head(line: &str) -> Option<Head> {
    let line = line.trim();
    let (line, message_id) = match line
        .rsplit_once(" #")
        .and_then(|(before, context)| Some((before, context_id(context)?)))
    {
        Some((before, id)) => (before.trim_end(), Some(id)),
        None => (line, None),
    };
    let (author, time) = line.strip_suffix(']')?.rsplit_once('[')?;
    if !time.contains(|character: char| character.is_numeric()) {
        return None;
    }
    let author = plain(author);
    Some(Head {
        author: (!author.is_empty()).then_some(author),
        message_id,
    })
}

/// Reads the message of `chat1807/86497` or `1:27/86497`.
fn context_id(context: &str) -> Option<i64> {
    let (dialog, message) = context.split_once('/')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let known = match (dialog.strip_prefix("chat"), dialog.split_once(':')) {
        (Some(chat), _) => digits(chat),
        (None, Some((one, other))) => digits(one) && digits(other),
        (None, None) => false,
    };
    (known && digits(message))
        .then(|| message.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const DASHES: &str = "------------------------------------------------------";

    fn read(text: &str) -> (QuoteBlock, String) {
        quote_block(&text.replace("---", DASHES)).unwrap()
    }

    fn block(author: Option<&str>, text: &str, message_id: Option<i64>) -> QuoteBlock {
        QuoteBlock {
            author: author.map(str::to_owned),
            text: text.into(),
            message_id,
        }
    }

    #[test]
    fn blocks_are_read_in_every_spelling() {
        let table = [
            (
                "---\nKlaus Weber [12.03.2026 10:15:20]\nold\n---\nreply",
                block(Some("Klaus Weber"), "old", None),
            ),
            (
                "---\nKlaus [10:15] #chat1807/86497\nold\n---\nreply",
                block(Some("Klaus"), "old", Some(86497)),
            ),
            (
                "---\nKlaus [10:15] #1:27/5\nold\n---\nreply",
                block(Some("Klaus"), "old", Some(5)),
            ),
            (
                "---[br]Иван Петров [сегодня, 10:15][br]один[br]два[br]---[br]reply",
                block(Some("Иван Петров"), "один\nдва", None),
            ),
            (
                "---\n佐藤 [３月１２日]\nold\n---\nreply",
                block(Some("佐藤"), "old", None),
            ),
            ("---\nno head\n---\nreply", block(None, "no head", None)),
            (
                "---\nKlaus [10:15]\n---\nreply",
                block(Some("Klaus"), "", None),
            ),
            (
                "\n---\nA [1]\n[b]old[/b] &amp;\n---\n\n reply\n",
                block(Some("A"), "old &", None),
            ),
        ];
        for (text, expected) in table {
            assert_eq!(read(text), (expected, "reply".to_owned()), "{text}");
        }
    }

    #[test]
    fn what_stands_before_a_block_is_kept() {
        assert_eq!(read("Hello\n---\nA [1]\nold\n---\nreply").1, "Hello\nreply");
    }

    #[test]
    fn brackets_in_a_first_line_make_no_head() {
        for line in ["see [1] below", "text [x]", "[b]bold[/b]"] {
            let (block, _) = read(&format!("---\n{line}\n---\nreply"));
            assert_eq!(block.author, None, "{line}");
        }
    }

    #[test]
    fn half_a_block_is_none() {
        for text in [
            "",
            "reply",
            DASHES,
            "-----\nA [1]\nold\n-----",
            &format!("{DASHES}\nA [1]\nold"),
        ] {
            assert_eq!(quote_block(text), None, "{text}");
        }
    }

    #[test]
    fn lines_that_people_draw_are_no_quotation() {
        let line = "-".repeat(30);
        assert_eq!(
            quote_block(&format!("{line}\nPrice list\n{line}\nTen")),
            None
        );
        assert!(quote_block(&format!("{line}\nKlaus [10:15]\nold\n{line}\nTen")).is_some());
    }

    #[test]
    fn the_second_block_stays_in_the_rest() {
        let (_, rest) = read("---\nA [1]\none\n---\nx\n---\nB [2]\ntwo\n---\ny");
        assert_eq!(
            quote_block(&rest).unwrap(),
            (block(Some("B"), "two", None), "x\ny".into())
        );
    }
}
