//! Names of files: safe to show, to store and to put into a header.

use std::fmt::Write as _;

/// Most characters of a name. What Bitrix24 shows is shorter, and whoever makes it cuts further.
const LONGEST: usize = 120;
/// A longer last part is no extension.
const LONGEST_EXTENSION: usize = 10;
const NAMELESS: &str = "file";

/// Extensions for files that come without one, because the receiver's program chooses by it.
const EXTENSIONS: [(&str, &str); 22] = [
    ("image/jpeg", "jpg"),
    ("image/png", "png"),
    ("image/webp", "webp"),
    ("image/gif", "gif"),
    ("video/mp4", "mp4"),
    ("video/3gpp", "3gp"),
    ("video/webm", "webm"),
    ("video/quicktime", "mov"),
    ("audio/ogg", "ogg"),
    ("audio/mpeg", "mp3"),
    ("audio/mp4", "m4a"),
    ("audio/aac", "aac"),
    ("audio/amr", "amr"),
    ("audio/wav", "wav"),
    ("text/plain", "txt"),
    ("application/pdf", "pdf"),
    ("application/zip", "zip"),
    ("application/msword", "doc"),
    (
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "docx",
    ),
    ("application/vnd.ms-excel", "xls"),
    (
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "xlsx",
    ),
    (
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "pptx",
    ),
];

/// A name without folders, control characters and characters that turn the direction of writing, of bearable length,
/// and with an extension where the media type tells one.
pub(super) fn tidy(name: &str, mime_type: Option<&str>) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let plain: String = last
        .chars()
        .filter(|character| !is_hidden(*character))
        .collect();
    let plain = plain.trim_matches(is_edge);
    let (stem, extension) = match extension_of(plain) {
        Some(extension) => (&plain[..plain.len() - extension.len() - 1], Some(extension)),
        None => (plain, mime_type.and_then(extension_for)),
    };
    let stem: String = stem.chars().take(LONGEST - LONGEST_EXTENSION - 1).collect();
    // Cutting may leave a dot or a space at the end.
    let stem = stem.trim_end_matches(is_edge);
    let mut name = if stem.is_empty() { NAMELESS } else { stem }.to_owned();
    if let Some(extension) = extension {
        name.push('.');
        name.push_str(extension);
    }
    name
}

/// What a name neither begins nor ends with.
fn is_edge(character: char) -> bool {
    character == '.' || character.is_whitespace()
}

/// The part after the last dot, where it looks like an extension.
pub(super) fn extension_of(name: &str) -> Option<&str> {
    let (_, extension) = name.rsplit_once('.')?;
    let fits = (1..=LONGEST_EXTENSION).contains(&extension.len())
        && extension.bytes().all(|byte| byte.is_ascii_alphanumeric());
    fits.then_some(extension)
}

fn extension_for(mime_type: &str) -> Option<&'static str> {
    let essence = essence(mime_type);
    let row = EXTENSIONS
        .iter()
        .find(|(mime, _)| mime.eq_ignore_ascii_case(essence))?;
    Some(row.1)
}

/// A media type without its parameters.
pub(super) fn essence(mime_type: &str) -> &str {
    mime_type.split(';').next().unwrap_or_default().trim()
}

/// Whether a name promises a web page.
pub(super) fn is_page(name: &str) -> bool {
    extension_of(name).is_some_and(|extension| {
        ["html", "htm", "xhtml", "mht", "mhtml"]
            .iter()
            .any(|page| extension.eq_ignore_ascii_case(page))
    })
}

/// Control characters, marks and overrides of direction, and characters without width that let one name look like
/// another.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            | '\u{feff}' | '\u{fffd}')
}

/// A `Content-Disposition` with the name in both forms: plain for old programs, exact by RFC 5987 for all others.
/// The result is ASCII without control characters.
pub(super) fn disposition(kind: &str, name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    let mut exact = String::with_capacity(name.len());
    for character in name.chars() {
        let harmless = (character.is_ascii_graphic() || character == ' ')
            && !matches!(character, '"' | '\\' | '%');
        plain.push(if harmless { character } else { '_' });
        if character.is_ascii_alphanumeric() || matches!(character, '-' | '.' | '_' | '~') {
            exact.push(character);
            continue;
        }
        for byte in character.encode_utf8(&mut [0; 4]).bytes() {
            // Writing to a String cannot fail.
            let _ = write!(exact, "%{byte:02X}");
        }
    }
    format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{exact}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_become_safe_and_keep_what_they_say() {
        for (name, mime, wanted) in [
            ("photo.JPG", None, "photo.JPG"),
            ("Счёт № 5.pdf", None, "Счёт № 5.pdf"),
            ("../../etc/passwd", None, "passwd"),
            ("C:\\Users\\me\\a.txt", None, "a.txt"),
            ("a\r\nb\0.txt", None, "ab.txt"),
            ("exe\u{202e}gpj.scr", None, "exegpj.scr"),
            ("voice", Some("audio/ogg; codecs=opus"), "voice.ogg"),
            ("voice", Some("Audio/OGG"), "voice.ogg"),
            (
                "v1.2 final report",
                Some("application/pdf"),
                "v1.2 final report.pdf",
            ),
            ("data", Some("application/x-unheard-of"), "data"),
            (".bashrc", None, "bashrc"),
            (".pdf", None, "pdf"),
            ("", Some("image/png"), "file.png"),
            ("...", None, "file"),
            ("/", None, "file"),
        ] {
            assert_eq!(tidy(name, mime), wanted, "{name:?}");
        }
    }

    #[test]
    fn a_long_name_loses_the_end_of_its_stem() {
        let name = tidy(&format!("Start{}.docx", "ю".repeat(300)), None);
        assert_eq!(name.chars().count(), LONGEST - LONGEST_EXTENSION + 4);
        assert!(name.starts_with("Startю") && name.ends_with("ю.docx"));
    }

    #[test]
    fn the_disposition_has_both_forms() {
        assert_eq!(
            disposition("attachment", "a \"b\" ü.pdf"),
            "attachment; filename=\"a _b_ _.pdf\"; filename*=UTF-8''a%20%22b%22%20%C3%BC.pdf"
        );
    }

    #[test]
    fn pages_are_known_by_their_names() {
        assert!(is_page("offer.HTML") && is_page("a.htm"));
        assert!(!is_page("html") && !is_page("a.html.pdf"));
    }

    proptest! {
        #[test]
        fn a_tidy_name_stays_as_it_is(name in "\\PC{0,200}", mime in prop::option::of("(image/png|text/plain)")) {
            let once = tidy(&name, mime.as_deref());
            prop_assert!(!once.is_empty() && once.chars().count() <= LONGEST);
            prop_assert!(!once.contains(['/', '\\', '\n', '\r', '\0']));
            prop_assert_eq!(tidy(&once, mime.as_deref()), once);
        }

        #[test]
        fn no_name_leaves_its_header(name in ".{0,60}") {
            let header = disposition("inline", &name);
            prop_assert!(header.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{}", header);
            prop_assert_eq!(header.matches('"').count(), 2);
        }
    }
}
