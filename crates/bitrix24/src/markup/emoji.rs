//! Emoji that arrive as text: `:thumbsup:`, or their bytes as `:f09f918d:`.

/// Names that are known, in order. Names that are also ordinary words between colons (`:on:`, `:100:`) are left out.
const NAMES: &[(&str, &str)] = &[
    ("+1", "👍"),
    ("-1", "👎"),
    ("angel", "😇"),
    ("angry", "😠"),
    ("applause", "👏"),
    ("arrow_right", "➡️"),
    ("astonished", "😲"),
    ("bell", "🔔"),
    ("birthday", "🎂"),
    ("blush", "😊"),
    ("boom", "💥"),
    ("bouquet", "💐"),
    ("broken_heart", "💔"),
    ("bulb", "💡"),
    ("cake", "🍰"),
    ("calendar", "📆"),
    ("champagne", "🍾"),
    ("christmas_tree", "🎄"),
    ("clap", "👏"),
    ("coffee", "☕"),
    ("confetti_ball", "🎊"),
    ("confused", "😕"),
    ("cool", "😎"),
    ("crossed_fingers", "🤞"),
    ("cry", "😢"),
    ("crying", "😢"),
    ("disappointed", "😞"),
    ("dislike", "👎"),
    ("dizzy_face", "😵"),
    ("e-mail", "📧"),
    ("email", "📧"),
    ("exclamation", "❗"),
    ("expressionless", "😑"),
    ("eyes", "👀"),
    ("facepalm", "🤦"),
    ("fearful", "😨"),
    ("fire", "🔥"),
    ("flushed", "😳"),
    ("frowning", "☹️"),
    ("gift", "🎁"),
    ("gift_heart", "💝"),
    ("grin", "😁"),
    ("grinning", "😀"),
    ("handshake", "🤝"),
    ("heart", "❤️"),
    ("heart_eyes", "😍"),
    ("heartbeat", "💓"),
    ("hearts", "♥️"),
    ("heavy_check_mark", "✔️"),
    ("hourglass", "⌛"),
    ("hug", "🤗"),
    ("hugging_face", "🤗"),
    ("hugs", "🤗"),
    ("hushed", "😯"),
    ("idea", "💡"),
    ("innocent", "😇"),
    ("joy", "😂"),
    ("kiss", "😘"),
    ("kissing", "😗"),
    ("kissing_heart", "😘"),
    ("laughing", "😆"),
    ("like", "👍"),
    ("lol", "😂"),
    ("love", "😍"),
    ("mask", "😷"),
    ("money_with_wings", "💸"),
    ("moneybag", "💰"),
    ("monkey_face", "🐵"),
    ("muscle", "💪"),
    ("neutral_face", "😐"),
    ("no_mouth", "😶"),
    ("ok_hand", "👌"),
    ("open_mouth", "😮"),
    ("package", "📦"),
    ("party_popper", "🎉"),
    ("pensive", "😔"),
    ("point_down", "👇"),
    ("point_left", "👈"),
    ("point_right", "👉"),
    ("point_up", "☝️"),
    ("poop", "💩"),
    ("pray", "🙏"),
    ("pushpin", "📌"),
    ("question", "❓"),
    ("rage", "😡"),
    ("raised_hands", "🙌"),
    ("relaxed", "☺️"),
    ("relieved", "😌"),
    ("rocket", "🚀"),
    ("rofl", "🤣"),
    ("roll_eyes", "🙄"),
    ("rolling_eyes", "🙄"),
    ("rose", "🌹"),
    ("sad", "😞"),
    ("satisfied", "😆"),
    ("scream", "😱"),
    ("shrug", "🤷"),
    ("sleeping", "😴"),
    ("sleepy", "😪"),
    ("slightly_smiling_face", "🙂"),
    ("smile", "😄"),
    ("smiley", "😃"),
    ("smirk", "😏"),
    ("snowflake", "❄️"),
    ("sob", "😭"),
    ("sparkles", "✨"),
    ("sparkling_heart", "💖"),
    ("star", "⭐"),
    ("star_struck", "🤩"),
    ("stuck_out_tongue", "😛"),
    ("stuck_out_tongue_winking_eye", "😜"),
    ("sunglasses", "😎"),
    ("sunny", "☀️"),
    ("surprised", "😮"),
    ("sweat", "😓"),
    ("sweat_smile", "😅"),
    ("tada", "🎉"),
    ("telephone_receiver", "📞"),
    ("thinking", "🤔"),
    ("thinking_face", "🤔"),
    ("thumbs_down", "👎"),
    ("thumbs_up", "👍"),
    ("thumbsdown", "👎"),
    ("thumbsup", "👍"),
    ("tired_face", "😫"),
    ("tongue", "😛"),
    ("trophy", "🏆"),
    ("truck", "🚚"),
    ("two_hearts", "💕"),
    ("unamused", "😒"),
    ("upside_down_face", "🙃"),
    ("victory", "✌️"),
    ("warning", "⚠️"),
    ("wave", "👋"),
    ("weary", "😩"),
    ("white_check_mark", "✅"),
    ("wink", "😉"),
    ("winking", "😉"),
    ("worried", "😟"),
    ("yum", "😋"),
    ("zap", "⚡"),
    ("zipper_mouth_face", "🤐"),
];

/// The emoji of a name without its colons.
pub(super) fn named(name: &str) -> Option<&'static str> {
    let place = NAMES.binary_search_by_key(&name, |(known, _)| known).ok()?;
    NAMES.get(place).map(|(_, emoji)| *emoji)
}

/// Replaces known codes; everything else, such as times, addresses and unknown codes, stays as it is.
pub(super) fn from_codes(text: &str) -> String {
    if !text.contains(':') {
        return text.to_owned();
    }
    text.split_inclusive(char::is_whitespace)
        .map(word_from_codes)
        .collect()
}

fn word_from_codes(word: &str) -> String {
    if word.contains("://") {
        return word.to_owned();
    }
    let mut out = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(at) = rest.find(':') {
        out.push_str(&rest[..at]);
        let found = &rest[at + 1..];
        let code = found.split_once(':').and_then(|(name, after)| {
            Some((
                emoji(name, out.chars().last(), after.chars().next())?,
                after,
            ))
        });
        if let Some((emoji, after)) = code {
            out.push_str(&emoji);
            rest = after;
        } else {
            out.push(':');
            rest = found;
        }
    }
    out.push_str(rest);
    out
}

/// A named code must stand free of letters and digits; one of bytes is unmistakable.
fn emoji(code: &str, before: Option<char>, after: Option<char>) -> Option<String> {
    if let Some(emoji) = from_bytes(code) {
        return Some(emoji.to_string());
    }
    let in_word = |neighbour: Option<char>| {
        neighbour.is_some_and(|character| character.is_ascii_alphanumeric())
    };
    if in_word(before) || in_word(after) {
        return None;
    }
    named(code).map(str::to_owned)
}

/// The four UTF-8 bytes of a character beyond the basic plane, as databases without them store it.
fn from_bytes(code: &str) -> Option<char> {
    if code.len() != 8 {
        return None;
    }
    let bytes = u32::from_str_radix(code, 16).ok()?.to_be_bytes();
    let mut characters = std::str::from_utf8(&bytes).ok()?.chars();
    let only = characters.next().filter(|_| characters.next().is_none())?;
    (only > '\u{ffff}').then_some(only)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order_so_that_they_are_found() {
        assert!(NAMES.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for (name, emoji) in NAMES {
            assert_eq!(named(name), Some(*emoji));
            assert!(!emoji.is_ascii(), "{name}");
        }
    }

    #[test]
    fn codes_stand_free() {
        let table = [
            (":heart:", "❤️"),
            ("Привет:heart:", "Привет❤️"),
            (":heart::heart:", "❤️❤️"),
            ("(:+1:)", "(👍)"),
            ("key:joy:value", "key:joy:value"),
            ("a :fire: b", "a 🔥 b"),
            ("12:30:45", "12:30:45"),
            ("::", "::"),
            (":", ":"),
        ];
        for (text, expected) in table {
            assert_eq!(from_codes(text), expected, "{text}");
        }
    }
}
