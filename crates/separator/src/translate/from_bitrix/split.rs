//! Cutting a long text into messages.

/// Cuts a text into pieces of at most `limit` characters, none of them empty.
///
/// Cuts are made between paragraphs, else lines, else words, as long as a piece is at least half full, and inside a
/// word only when there is no other place. Whitespace at a cut is lost, nothing else is.
///
/// A limit of 0 is taken as 1.
pub fn split(text: &str, limit: usize) -> Vec<String> {
    let limit = limit.max(1);
    let mut pieces = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(cut(rest, limit));
        pieces.push(piece.trim_end().to_owned());
        rest = after.trim_start();
    }
    pieces
}

/// Where to cut a text that begins with something visible, in bytes.
fn cut(text: &str, limit: usize) -> usize {
    let Some((end, _)) = text.char_indices().nth(limit) else {
        return text.len();
    };
    // A border right behind the window leaves the whole window as the piece.
    let next = text[end..]
        .chars()
        .next()
        .map_or(end, |character| end + character.len_utf8());
    let window = &text[..next];
    let half = text.char_indices().nth(limit / 2).map_or(0, |(at, _)| at);
    let border = |pattern: &str| window.rfind(pattern).filter(|at| *at > half);
    border("\n\n")
        .or_else(|| border("\n"))
        .or_else(|| window.rfind(char::is_whitespace).filter(|at| *at > half))
        .unwrap_or_else(|| inside_word(text, end))
}

/// The last place up to `end` that tears no character from what modifies it; `end` itself where there is none near.
fn inside_word(text: &str, end: usize) -> usize {
    let mut at = end;
    for _ in 0..16 {
        let before = text[..at].chars().next_back();
        let after = text[at..].chars().next();
        let torn = before == Some(JOINER) || after.is_some_and(modifies);
        if !torn {
            return at;
        }
        let Some(before) = before.filter(|before| at > before.len_utf8()) else {
            break;
        };
        at -= before.len_utf8();
    }
    end
}

const JOINER: char = '\u{200d}';

/// Characters that belong to the one before them: joiners, variation selectors, accents, skin tones.
fn modifies(character: char) -> bool {
    matches!(
        character,
        JOINER | '\u{300}'..='\u{36f}' | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn borders_are_chosen_by_rank() {
        let table: [(&str, usize, &[&str]); 10] = [
            ("", 10, &[]),
            ("  \n ", 10, &[]),
            ("1234567890", 10, &["1234567890"]),
            ("12345678901", 10, &["1234567890", "1"]),
            ("123456 890 x", 10, &["123456 890", "x"]),
            ("123456\n8 0 x", 10, &["123456", "8 0 x"]),
            ("123456\n\n9\n0 x", 10, &["123456", "9\n0 x"]),
            // A border in the first half would leave too small a piece.
            ("1 34567890123", 10, &["1 34567890", "123"]),
            ("жжжжж жжжжж", 6, &["жжжжж", "жжжжж"]),
            ("abc", 0, &["a", "b", "c"]),
        ];
        for (text, limit, expected) in table {
            assert_eq!(split(text, limit), expected, "{text:?}");
        }
    }

    #[test]
    fn an_emoji_is_not_torn() {
        let family = "👨\u{200d}👩\u{200d}👧";
        let text = format!("12345678{family}");
        assert_eq!(split(&text, 10), ["12345678".to_owned(), family.to_owned()]);
        assert_eq!(split("123👍🏽", 4), ["123", "👍🏽"]);
    }

    fn visible(text: &str) -> String {
        text.chars()
            .filter(|character| !character.is_whitespace())
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn nothing_visible_is_lost(text in "[a-zж😀\u{200d}\u{301} \n]{0,200}", limit in 0_usize..40) {
            let pieces = split(&text, limit);
            prop_assert_eq!(visible(&pieces.concat()), visible(&text));
            for piece in pieces {
                prop_assert!((1..=limit.max(1)).contains(&piece.chars().count()), "{:?}", piece);
                prop_assert_eq!(piece.trim(), piece.as_str());
            }
        }

        #[test]
        fn any_text_survives(text in any::<String>(), limit in 1_usize..5000) {
            prop_assert_eq!(visible(&split(&text, limit).concat()), visible(&text));
        }
    }
}
