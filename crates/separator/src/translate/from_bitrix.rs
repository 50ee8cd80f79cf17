//! What an operator wrote, as the messages that WhatsApp will get.
//!
//! Text and files become parts, and each part is a message of its own, delivered and repeated by itself. A text that
//! came with one single file goes along as its caption where WhatsApp has captions and it is short enough.

mod split;

use bitrix24::events::{ConnectorMessage, EventFile};
use bitrix24::markup::{self, Marks, Signature};

pub use self::split::split;
use super::{
    code::{self, Code, Malformed},
    message::{OperatorFile, Part, QuoteBlock, Reply},
};

/// Longest text of a WhatsApp message, in characters (Meta: text messages).
pub const MAX_TEXT: usize = 4096;

/// Longest caption, in characters (Meta: media messages).
pub const MAX_CAPTION: usize = 1024;

/// WhatsApp's marks: single ones, other than Markdown.
const WHATSAPP: Marks = Marks {
    bold: "*",
    italic: "_",
    strike: "~",
    code: "```",
    quote: "> ",
};

/// Extensions of files that WhatsApp sends as audio, which has no caption.
const AUDIO: [&str; 8] = ["aac", "amr", "m4a", "mp3", "oga", "ogg", "opus", "wav"];

/// Reads an operator's message. One without text and files gives no parts.
pub fn read(message: &ConnectorMessage) -> Reply {
    let (quote, text) = match markup::quote_block(&message.text) {
        Some((block, rest)) => (Some(quote(block)), whatsapp_text(&rest)),
        None => (None, whatsapp_text(&message.text)),
    };
    let mut files: Vec<OperatorFile> = message.files.iter().map(operator_file).collect();
    let caption_fits = text.chars().count() <= MAX_CAPTION && message.files.iter().all(has_caption);
    if let ([file], true, false) = (files.as_mut_slice(), caption_fits, text.is_empty()) {
        file.caption = Some(text);
        let parts = files.into_iter().map(Part::File).collect();
        return Reply { quote, parts };
    }
    let mut parts: Vec<Part> = split(&text, MAX_TEXT).into_iter().map(Part::Text).collect();
    parts.extend(files.into_iter().map(Part::File));
    Reply { quote, parts }
}

/// The code that an operator's message is, if it is one. It may follow a quotation and the operator's signature.
pub fn code(message: &ConnectorMessage) -> Option<Result<Code, Malformed>> {
    code::parse(&written(message))
}

/// What an operator wrote, without markup, quotation and signature.
pub fn written(message: &ConnectorMessage) -> String {
    let quoted = markup::quote_block(&message.text);
    let text = quoted
        .as_ref()
        .map_or(message.text.as_str(), |(_, rest)| rest.as_str());
    markup::plain(markup::strip_signature(text, Signature::Always))
}

/// An operator's file, as the event names it.
pub fn file(file: &EventFile) -> OperatorFile {
    operator_file(file)
}

/// Writes Bitrix24's markup with WhatsApp's marks.
pub fn whatsapp_text(markup: &str) -> String {
    markup::render(markup, &WHATSAPP)
}

fn quote(block: markup::QuoteBlock) -> QuoteBlock {
    QuoteBlock {
        author: block.author,
        text: block.text,
        im_message_id: block.message_id,
    }
}

fn operator_file(file: &EventFile) -> OperatorFile {
    OperatorFile {
        name: file.name.clone(),
        url: address(file),
        size: file.size,
        mime_type: file.mime.clone(),
        caption: None,
    }
}

/// Where the bytes are; empty where the event names no place, so that fetching fails and is told to the operator.
fn address(file: &EventFile) -> String {
    if let Some(direct) = &file.download_link {
        return direct.clone();
    }
    let link = file.link.as_deref().unwrap_or_default();
    // Pictures carry `#img.png`, which only tells Bitrix24 how to show them.
    link.split_once('#')
        .map_or(link, |(bare, _)| bare)
        .to_owned()
}

fn has_caption(file: &EventFile) -> bool {
    let says_audio = |text: &Option<String>| {
        text.as_deref()
            .is_some_and(|text| text.trim().to_ascii_lowercase().starts_with("audio"))
    };
    let extension = file
        .name
        .rsplit_once('.')
        .map(|(_, extension)| extension.to_ascii_lowercase());
    let named_audio = extension.is_some_and(|extension| AUDIO.contains(&extension.as_str()));
    !(says_audio(&file.kind) || says_audio(&file.mime) || named_audio)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(text: &str, files: Vec<EventFile>) -> ConnectorMessage {
        ConnectorMessage {
            im_chat_id: 1807,
            im_message_id: 86497,
            user_id: Some(27),
            external_ids: Vec::new(),
            text: text.to_owned(),
            files,
            chat_id: "c1".to_owned(),
        }
    }

    fn file(name: &str, mime: Option<&str>) -> EventFile {
        EventFile {
            name: name.to_owned(),
            kind: None,
            mime: mime.map(str::to_owned),
            link: Some(format!("https://acme.bitrix24.com/~{name}#img.png")),
            download_link: None,
            size: Some(5),
        }
    }

    fn part(name: &str, mime: Option<&str>, caption: Option<&str>) -> Part {
        Part::File(OperatorFile {
            name: name.to_owned(),
            url: format!("https://acme.bitrix24.com/~{name}"),
            size: Some(5),
            mime_type: mime.map(str::to_owned),
            caption: caption.map(str::to_owned),
        })
    }

    fn text(text: &str) -> Part {
        Part::Text(text.to_owned())
    }

    #[test]
    fn markup_becomes_marks() {
        let reply = read(&message(
            "[b]Hello[/b][br][i]there[/i] &amp; [url=https://x.example]here[/url]",
            vec![],
        ));
        assert_eq!(reply.quote, None);
        assert_eq!(
            reply.parts,
            [text("*Hello*\n_there_ & here (https://x.example)")]
        );
    }

    #[test]
    fn a_quotation_leaves_the_text() {
        let dashes = "-".repeat(54);
        let reply = read(&message(
            &format!("{dashes}\nKlaus [10:15] #chat1807/86000\nWhat price?\n{dashes}\n[b]Ten[/b]"),
            vec![],
        ));
        let quote = QuoteBlock {
            author: Some("Klaus".into()),
            text: "What price?".into(),
            im_message_id: Some(86000),
        };
        assert_eq!(
            (reply.quote, reply.parts),
            (Some(quote), vec![text("*Ten*")])
        );
    }

    #[test]
    fn one_file_takes_the_text_as_its_caption() {
        for (name, mime) in [
            ("a.png", Some("image/png")),
            ("a.mp4", None),
            ("spec.pdf", None),
            ("noname", None),
        ] {
            let reply = read(&message("[b]look[/b]", vec![file(name, mime)]));
            assert_eq!(reply.parts, [part(name, mime, Some("*look*"))]);
        }
    }

    #[test]
    fn audio_has_no_caption() {
        for (name, mime) in [
            ("a.ogg", None),
            ("voice", Some("audio/mpeg")),
            ("A.MP3", None),
        ] {
            let reply = read(&message("listen", vec![file(name, mime)]));
            assert_eq!(reply.parts, [text("listen"), part(name, mime, None)]);
        }
    }

    #[test]
    fn a_text_too_long_for_a_caption_goes_before() {
        let fits = "ж".repeat(MAX_CAPTION);
        assert_eq!(
            read(&message(&fits, vec![file("a.png", None)])).parts,
            [part("a.png", None, Some(&fits))]
        );
        let long = "ж".repeat(MAX_CAPTION + 1);
        assert_eq!(
            read(&message(&long, vec![file("a.png", None)])).parts,
            [text(&long), part("a.png", None, None)]
        );
    }

    #[test]
    fn several_files_follow_the_text() {
        let files = vec![file("a.png", None), file("b.png", None)];
        assert_eq!(
            read(&message("two", files)).parts,
            [
                text("two"),
                part("a.png", None, None),
                part("b.png", None, None)
            ]
        );
    }

    #[test]
    fn nothing_gives_no_parts() {
        for nothing in ["", " ", "[br]", "[b][/b]", "\n\n"] {
            assert_eq!(read(&message(nothing, vec![])).parts, [], "{nothing:?}");
        }
        assert_eq!(
            read(&message("", vec![file("a.png", None)])).parts,
            [part("a.png", None, None)]
        );
    }

    #[test]
    fn a_code_is_found_behind_a_signature_a_quotation_and_markup() {
        let dashes = "-".repeat(54);
        let found =
            |text: &str| code(&message(text, vec![])).map(|code| code.map(|code| code.to_string()));
        for text in [
            "template-hi+en_US+a|b",
            "[b]Klaus Weber:[/b] [br]template-hi+en_US+a|b",
            "[b]Klaus Weber:[/b]\ntemplate-hi+en_US+[i]a[/i]|b",
        ] {
            assert_eq!(
                found(text),
                Some(Ok("template-hi+en_US+a|b".to_owned())),
                "{text}"
            );
        }
        let quoting = format!("{dashes}\nKlaus [10:15]\ntemplate-old\n{dashes}\ntemplate-new");
        assert_eq!(found(&quoting), Some(Ok("template-new".to_owned())));
        let quoting = format!("{dashes}\nKlaus [10:15]\ntemplate-old\n{dashes}\nfine");
        assert_eq!(found(&quoting), None);
        assert_eq!(
            found("template-hi+file_link:[url]https://a.example/?a=1&amp;b=2[/url]|x"),
            Some(Ok(
                "template-hi+file_link:https://a.example/?a=1&b=2|x".to_owned()
            ))
        );
        assert_eq!(
            found("Hello[br]template-hi+en_US"),
            Some(Err(Malformed::NotAlone))
        );
        assert_eq!(found("[b]Good morning[/b]"), None);
    }

    #[test]
    fn the_direct_address_is_preferred() {
        let mut direct = file("a.png", None);
        direct.download_link = Some("https://acme.bitrix24.com/d/1?x#y".into());
        let reply = read(&message("", vec![direct]));
        assert!(
            matches!(&reply.parts[..], [Part::File(file)] if file.url == "https://acme.bitrix24.com/d/1?x#y")
        );
        let mut nowhere = file("a.png", None);
        nowhere.link = None;
        let reply = read(&message("", vec![nowhere]));
        assert!(matches!(&reply.parts[..], [Part::File(file)] if file.url.is_empty()));
    }

    /// Whether a line is a code for anybody who reads it, told by other means than the parser's.
    fn is_a_code(line: &str) -> bool {
        let bare = line
            .trim_matches(|character: char| character.is_whitespace() || "*_~`".contains(character))
            .to_ascii_lowercase();
        ["template-", "template+", "interactive+"]
            .iter()
            .filter_map(|prefix| bare.strip_prefix(prefix))
            .any(|rest| {
                let name = rest.split('+').next().unwrap_or_default();
                !name.is_empty()
                    && name
                        .bytes()
                        .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            })
    }

    /// What operators make of codes: with signatures, tags, other words and line breaks around them, and cut anywhere.
    fn near_a_code() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("[b]Klaus Weber:[/b] [br]"),
            Just("template-"),
            Just("Template+"),
            Just("interactive+"),
            Just("hello_world"),
            Just("+en_US"),
            Just("+"),
            Just("|"),
            Just("\\"),
            Just(" "),
            Just("\n"),
            Just("[br]"),
            Just("[b]"),
            Just("[/b]"),
            Just("[send=template-x]"),
            Just("[/send]"),
            Just("[color=#ff0000]"),
            Just("[/color]"),
            Just("file_link:https://a.example/a.pdf"),
            Just("Guten Tag"),
            Just("{{1}}"),
        ];
        prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn nothing_of_a_code_is_ever_a_text_for_the_customer(text in near_a_code()) {
            let message = message(&text, Vec::new());
            // What is a code, or only begins like one, is answered with a note; the rest has no line that is one.
            if code(&message).is_none() {
                for line in whatsapp_text(&text).lines() {
                    prop_assert!(!is_a_code(line), "{text:?} gives {line:?}");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn no_text_causes_panic(words in any::<String>(), files in 0_usize..3) {
            let files = (0..files).map(|_| file(&words, Some(&words))).collect();
            let reply = read(&message(&words, files));
            for part in reply.parts {
                match part {
                    Part::Text(text) => prop_assert!((1..=MAX_TEXT).contains(&text.chars().count())),
                    Part::File(file) => prop_assert!(file.caption.is_none_or(|caption| caption.chars().count() <= MAX_CAPTION)),
                }
            }
        }
    }
}
