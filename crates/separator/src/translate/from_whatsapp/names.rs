//! Names of people and of files as Bitrix24 takes them.

/// Most characters of a first or last name. Source: Bitrix24, "imconnector.send.messages".
const NAME_LIMIT: usize = 25;
/// Most characters of a file name; the portal would keep the last 50 and lose the start.
const FILE_NAME_LIMIT: usize = 50;
/// Longest ending that is taken for an extension.
const EXTENSION_LIMIT: usize = 10;

/// First and last name out of a WhatsApp profile name. Bitrix24 takes letters, spaces, hyphens and apostrophes, 25 of
/// them each; with anything else the customer is called "Guest". What is left is split at the first space.
pub fn clean_name(profile_name: &str) -> (Option<String>, Option<String>) {
    let cleaned: String = profile_name.chars().filter_map(name_character).collect();
    let mut words = cleaned
        .split_whitespace()
        .map(|word| word.trim_matches(['-', '\'']))
        .filter(|word| !word.is_empty());
    let first = words.next().map(cut_name);
    let rest: Vec<&str> = words.collect();
    let last = (!rest.is_empty()).then(|| cut_name(&rest.join(" ")));
    (first, last)
}

/// What a character is in a name: itself, a gap between words, or nothing.
fn name_character(character: char) -> Option<char> {
    match character {
        '-' | '\u{2010}'..='\u{2015}' => Some('-'),
        '\'' | '\u{2018}' | '\u{2019}' | '\u{2bc}' | '`' | '\u{b4}' => Some('\''),
        _ if character.is_alphabetic() => Some(character),
        _ if character.is_numeric() || is_invisible(character) => None,
        // Accents that stand as characters of their own.
        '\u{300}'..='\u{36f}' => None,
        _ => Some(' '),
    }
}

fn cut_name(name: &str) -> String {
    let cut: String = name.chars().take(NAME_LIMIT).collect();
    cut.trim_end_matches(|character: char| !character.is_alphabetic())
        .to_owned()
}

/// A file name that the portal keeps as it is: at most 50 characters, start and extension kept, nothing in it that is a
/// path, markup, an ampersand or invisible. Without an extension it gets that of its media type.
pub(super) fn file_name(name: &str, mime_type: &str) -> String {
    let safe: String = name.chars().filter_map(file_character).collect();
    let safe = safe.trim_matches(|character: char| {
        character == '.' || character == '_' || character.is_whitespace()
    });
    let (stem, extension) = match split_extension(safe) {
        Some((stem, extension)) => (stem, extension.to_owned()),
        None => (safe, extension_of(mime_type).to_owned()),
    };
    let room = FILE_NAME_LIMIT - 1 - extension.len();
    let stem: String = stem.chars().take(room).collect();
    let stem = stem.trim_end();
    let stem = if stem.is_empty() { "file" } else { stem };
    format!("{stem}.{extension}")
}

fn file_character(character: char) -> Option<char> {
    match character {
        '[' => Some('('),
        ']' => Some(')'),
        '&' | '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' | '#' | '%' => Some('_'),
        _ if is_invisible(character) => None,
        _ if character.is_control() || character.is_whitespace() => Some(' '),
        _ => Some(character),
    }
}

fn split_extension(name: &str) -> Option<(&str, &str)> {
    let (stem, extension) = name.rsplit_once('.')?;
    let good = (1..=EXTENSION_LIMIT).contains(&extension.len())
        && extension.bytes().all(|byte| byte.is_ascii_alphanumeric());
    good.then_some((stem, extension))
}

/// The extension that belongs to a media type.
pub(super) fn extension_of(mime_type: &str) -> &'static str {
    let plain = mime_type.split(';').next().unwrap_or_default().trim();
    match plain.to_ascii_lowercase().as_str() {
        "image/jpeg" | "image/jpg" => "jpg",
        "image/png" => "png",
        "image/webp" => "webp",
        "image/gif" => "gif",
        "image/heic" => "heic",
        "video/mp4" => "mp4",
        "video/3gpp" | "video/3gp" => "3gp",
        "video/quicktime" => "mov",
        "audio/ogg" | "audio/opus" => "ogg",
        "audio/mpeg" | "audio/mp3" => "mp3",
        "audio/mp4" | "audio/m4a" | "audio/x-m4a" => "m4a",
        "audio/aac" => "aac",
        "audio/amr" => "amr",
        "audio/wav" | "audio/x-wav" => "wav",
        "application/pdf" => "pdf",
        "application/msword" => "doc",
        "application/vnd.ms-excel" => "xls",
        "application/vnd.ms-powerpoint" => "ppt",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => "docx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => "xlsx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation" => "pptx",
        "application/zip" => "zip",
        "text/plain" => "txt",
        "text/csv" => "csv",
        "text/vcard" | "text/x-vcard" => "vcf",
        _ => "bin",
    }
}

/// Characters that show nothing but can turn text around or hide in it.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_cleaned_and_split() {
        for (profile, first, last) in [
            ("Lena Klein", "Lena", "Klein"),
            ("Lena K.", "Lena", "K"),
            ("  Lena   Maria  Klein ", "Lena", "Maria Klein"),
            ("👋 Lena 🌻", "Lena", ""),
            ("Lena👩‍💻Klein", "Lena", "Klein"),
            ("Jean-Luc O’Neill", "Jean-Luc", "O'Neill"),
            ("Анна Петрова", "Анна", "Петрова"),
            ("محمد علي", "محمد", "علي"),
            ("山田太郎", "山田太郎", ""),
            ("+49 1575 5509876", "", ""),
            ("Anna2", "Anna", ""),
            ("lena_k.99", "lena", "k"),
            ("- ' -", "", ""),
            ("-Lena-", "Lena", ""),
            ("[b]Eve[/b]", "b", "Eve b"),
            ("\u{202e}Eve", "Eve", ""),
            ("", "", ""),
            (
                "Wolfeschlegelsteinhausenberger Ein Nachname der kein Ende finden will",
                "Wolfeschlegelsteinhausenb",
                "Ein Nachname der kein End",
            ),
            (
                "A bcdefghijklmnopqrstuvwx yz",
                "A",
                "bcdefghijklmnopqrstuvwx y",
            ),
            (
                "A bcdefghijklmnopqrstuvwxy z",
                "A",
                "bcdefghijklmnopqrstuvwxy",
            ),
        ] {
            let (given, family) = clean_name(profile);
            assert_eq!(
                (
                    given.unwrap_or_default().as_str(),
                    family.unwrap_or_default().as_str()
                ),
                (first, last),
                "{profile:?}"
            );
        }
    }

    #[test]
    fn file_names_keep_start_and_extension() {
        for (name, mime, wanted) in [
            ("Angebot 12.pdf", "application/pdf", "Angebot 12.pdf"),
            ("Tom & Jerry.pdf", "application/pdf", "Tom _ Jerry.pdf"),
            ("../../etc/passwd", "text/plain", "etc_passwd.txt"),
            ("[b]x[/b].pdf", "application/pdf", "(b)x(_b).pdf"),
            ("no extension", "image/jpeg", "no extension.jpg"),
            (
                "v1.final version",
                "application/pdf",
                "v1.final version.pdf",
            ),
            ("", "audio/ogg; codecs=opus", "file.ogg"),
            (".htaccess", "x/y", "htaccess.bin"),
            ("invoice\u{202e}fdp.exe", "x/y", "invoicefdp.exe"),
            (
                "A very long name of a very important document from 2026.docx",
                "x/y",
                "A very long name of a very important document.docx",
            ),
        ] {
            assert_eq!(file_name(name, mime), wanted, "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn any_name_fits(name in "\\PC{0,80}|.{0,80}") {
            let (first, last) = clean_name(&name);
            prop_assert!(first.is_some() || last.is_none());
            for part in [first, last].into_iter().flatten() {
                prop_assert!((1..=NAME_LIMIT).contains(&part.chars().count()));
                prop_assert!(part.chars().all(|character| character.is_alphabetic() || " -'".contains(character)), "{part:?}");
                prop_assert!(part.starts_with(char::is_alphabetic) && part.ends_with(char::is_alphabetic), "{part:?}");
            }
        }

        #[test]
        fn any_file_name_fits(name in ".{0,120}", mime in "[a-z/]{0,12}") {
            let fitted = file_name(&name, &mime);
            prop_assert!(fitted.chars().count() <= FILE_NAME_LIMIT);
            prop_assert!(!fitted.contains(['&', '[', '/', '\\', '\n', '\0']) && fitted.contains('.'), "{fitted:?}");
        }
    }
}
