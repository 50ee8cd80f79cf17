//! Which kind of message a file becomes, decided by its bytes.
//!
//! Names and declared types lie (a voice note recorded in a browser comes as "video"), and what Meta does not take
//! shows up minutes later as a failed message. So a photo, a video or a sound goes as such only when its first bytes
//! are those of a format that WhatsApp plays; everything else arrives safely as a document.
//! Source: Meta, "Cloud API: supported media types".

use std::fmt;

const MEGABYTE: u64 = 1024 * 1024;

/// Largest photo in bytes.
pub const IMAGE_LIMIT: u64 = 5 * MEGABYTE;
/// Largest video in bytes.
pub const VIDEO_LIMIT: u64 = 16 * MEGABYTE;
/// Largest sound file in bytes.
pub const AUDIO_LIMIT: u64 = 16 * MEGABYTE;
/// Largest document in bytes, and so the largest file of all.
pub const DOCUMENT_LIMIT: u64 = 100 * MEGABYTE;
/// How many of the first bytes [`classify`] looks at; more do no harm.
pub const HEAD_BYTES: usize = 1024;

const JPEG: &str = "image/jpeg";
const PNG: &str = "image/png";
const MP4: &str = "video/mp4";
const THREE_GP: &str = "video/3gpp";
const AAC: &str = "audio/aac";
const AMR: &str = "audio/amr";
const MP3: &str = "audio/mpeg";
const M4A: &str = "audio/mp4";
const OGG_OPUS: &str = "audio/ogg; codecs=opus";
const PDF: &str = "application/pdf";
/// Meta refuses an upload of a type that is not in its list, whatever the bytes are, and shows a document by the
/// extension of its name; so files of all other types are declared as this one.
const ANY: &str = "text/plain";

/// Office formats: extension, media type, and whether the file is a ZIP archive or an OLE container.
const OFFICE: [(&str, &str, Container); 6] = [
    (
        "docx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        Container::Zip,
    ),
    (
        "xlsx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        Container::Zip,
    ),
    (
        "pptx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        Container::Zip,
    ),
    ("doc", "application/msword", Container::Ole),
    ("xls", "application/vnd.ms-excel", Container::Ole),
    ("ppt", "application/vnd.ms-powerpoint", Container::Ole),
];

/// The type of message that carries a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// A photo.
    Image,
    /// A video.
    Video,
    /// A sound file; it takes no caption.
    Audio,
    /// Any file.
    Document,
}

/// How a file is uploaded and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The type of message.
    pub kind: MediaKind,
    /// The media type to declare at the upload; always one that Meta takes.
    pub mime: String,
    /// It can be shown as a voice note.
    pub voice: bool,
    /// The most bytes that it may have as this kind.
    pub limit_bytes: u64,
}

/// A file that does not fit any kind of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the file has {bytes} bytes, the limit is {limit}")]
pub struct TooLarge {
    /// Its size.
    pub bytes: u64,
    /// The most it may have.
    pub limit: u64,
}

impl Upload {
    fn new(kind: MediaKind, mime: &str) -> Self {
        let limit_bytes = match kind {
            MediaKind::Image => IMAGE_LIMIT,
            MediaKind::Video => VIDEO_LIMIT,
            MediaKind::Audio => AUDIO_LIMIT,
            MediaKind::Document => DOCUMENT_LIMIT,
        };
        Self {
            kind,
            mime: mime.to_owned(),
            voice: mime == OGG_OPUS,
            limit_bytes,
        }
    }

    /// The same for a file whose size is known: one that is too large for its kind goes as a document.
    pub fn for_size(self, bytes: u64) -> Result<Self, TooLarge> {
        if bytes <= self.limit_bytes {
            return Ok(self);
        }
        if bytes <= DOCUMENT_LIMIT {
            return Ok(Self::new(MediaKind::Document, ANY));
        }
        Err(TooLarge {
            bytes,
            limit: DOCUMENT_LIMIT,
        })
    }
}

/// Decides by the first bytes of a file; its name and declared type only tell apart formats whose bytes begin alike.
pub fn classify(head: &[u8], file_name: &str, declared: Option<&str>) -> Upload {
    let extension = extension(file_name);
    match Format::of(head, &extension) {
        Format::Jpeg => Upload::new(MediaKind::Image, JPEG),
        Format::Png => Upload::new(MediaKind::Image, PNG),
        Format::Mp4 => Upload::new(MediaKind::Video, MP4),
        Format::ThreeGp => Upload::new(MediaKind::Video, THREE_GP),
        Format::Aac => Upload::new(MediaKind::Audio, AAC),
        Format::Amr => Upload::new(MediaKind::Audio, AMR),
        Format::Mp3 => Upload::new(MediaKind::Audio, MP3),
        Format::M4a => Upload::new(MediaKind::Audio, M4A),
        Format::OggOpus => Upload::new(MediaKind::Audio, OGG_OPUS),
        Format::Pdf => Upload::new(MediaKind::Document, PDF),
        Format::Office(container) => {
            Upload::new(MediaKind::Document, office(container, &extension, declared))
        }
        Format::Other => Upload::new(MediaKind::Document, ANY),
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Container {
    Zip,
    Ole,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Format {
    Jpeg,
    Png,
    Mp4,
    ThreeGp,
    Aac,
    Amr,
    Mp3,
    M4a,
    OggOpus,
    Pdf,
    Office(Container),
    /// Whatever WhatsApp does not show itself: GIF, WebP, HEIC, WebM, QuickTime, WAV, FLAC, Ogg Vorbis, archives, text.
    Other,
}

impl Format {
    fn of(head: &[u8], extension: &str) -> Self {
        match head {
            [0xFF, 0xD8, 0xFF, ..] => Self::Jpeg,
            [0x89, b'P', b'N', b'G', 0x0D, 0x0A, 0x1A, 0x0A, ..] if shown_png(head) => Self::Png,
            [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => Self::of_brand(brand, extension),
            [b'O', b'g', b'g', b'S', ..] if mono_opus(head) => Self::OggOpus,
            [b'#', b'!', b'A', b'M', b'R', b'\n', ..] => Self::Amr,
            [b'I', b'D', b'3', ..] if extension == "aac" => Self::Aac,
            [b'I', b'D', b'3', ..] => Self::Mp3,
            [0xFF, second, ..] if second & 0xF6 == 0xF0 => Self::Aac,
            [0xFF, second, third, ..] if second & 0xE6 == 0xE2 && third & 0xF0 != 0xF0 => Self::Mp3,
            [b'P', b'K', 3, 4, ..] => Self::Office(Container::Zip),
            [0xD0, 0xCF, 0x11, 0xE0, 0xA1, 0xB1, 0x1A, 0xE1, ..] => Self::Office(Container::Ole),
            // Some writers put a few bytes in front; readers look for the mark in the first kilobyte.
            _ if contains(head, b"%PDF-") && extension == "pdf" || head.starts_with(b"%PDF-") => {
                Self::Pdf
            }
            _ => Self::Other,
        }
    }

    /// ISO base media files: the brand says who plays them.
    fn of_brand(brand: &[u8], extension: &str) -> Self {
        match brand.get(..4) {
            Some(b"M4A " | b"M4B ") => Self::M4a,
            Some([b'3', b'g', b'p', _]) => Self::ThreeGp,
            Some(
                b"isom" | b"iso2" | b"iso4" | b"iso5" | b"iso6" | b"mp41" | b"mp42" | b"avc1"
                | b"dash" | b"MSNV" | b"M4V ",
            ) => {
                if extension == "m4a" {
                    Self::M4a
                } else {
                    Self::Mp4
                }
            }
            _ => Self::Other,
        }
    }
}

/// WhatsApp takes 8 bits a channel in RGB or RGBA; a head too short to tell counts as that.
fn shown_png(head: &[u8]) -> bool {
    match (head.get(24), head.get(25)) {
        (Some(depth), Some(colour)) => *depth == 8 && matches!(colour, 2 | 6),
        _ => true,
    }
}

/// Opus with one channel; other codecs in Ogg and stereo are refused.
fn mono_opus(head: &[u8]) -> bool {
    const MARK: &[u8] = b"OpusHead";
    let found = head
        .windows(MARK.len())
        .take(HEAD_BYTES)
        .position(|window| window == MARK);
    found.is_some_and(|at| {
        head.get(at + MARK.len() + 1)
            .is_none_or(|channels| *channels == 1)
    })
}

fn contains(head: &[u8], mark: &[u8]) -> bool {
    head.windows(mark.len())
        .take(HEAD_BYTES)
        .any(|window| window == mark)
}

fn office(container: Container, extension: &str, declared: Option<&str>) -> &'static str {
    let fits = |(ending, mime, kind): &&(&str, &str, Container)| {
        *kind == container
            && (*ending == extension
                || declared.is_some_and(|declared| declared.eq_ignore_ascii_case(mime)))
    };
    OFFICE.iter().find(fits).map_or(ANY, |(_, mime, _)| mime)
}

fn extension(file_name: &str) -> String {
    file_name
        .rsplit_once('.')
        .map(|(_, extension)| extension.to_ascii_lowercase())
        .unwrap_or_default()
}

impl fmt::Display for MediaKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Image => "image",
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Document => "document",
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use proptest::prelude::*;

    fn png(depth: u8, colour: u8) -> Vec<u8> {
        let mut head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10".to_vec();
        head.extend([depth, colour]);
        head
    }

    fn ogg(codec: &[u8], channels: u8) -> Vec<u8> {
        let mut head = b"OggS\0\x02".to_vec();
        head.resize(28, 0);
        head.extend(codec);
        head.extend([1, channels]);
        head
    }

    #[test]
    fn bytes_decide() {
        use MediaKind::{Audio, Document, Image, Video};
        let office = |extension: &str| OFFICE.iter().find(|row| row.0 == extension).unwrap().1;
        let zip = b"PK\x03\x04\x14".to_vec();
        let ole = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1".to_vec();
        for (head, name, kind, mime) in [
            (b"\xFF\xD8\xFF\xE0".to_vec(), "a.png", Image, JPEG),
            (png(8, 2), "a.png", Image, PNG),
            (png(8, 6), "a.png", Image, PNG),
            (png(8, 3), "palette.png", Document, ANY),
            (png(16, 2), "deep.png", Document, ANY),
            (b"\x89PNG\r\n\x1a\n".to_vec(), "short.png", Image, PNG),
            (b"GIF89a".to_vec(), "a.gif", Document, ANY),
            (b"RIFF\0\0\0\0WEBPVP8 ".to_vec(), "a.webp", Document, ANY),
            (b"RIFF\0\0\0\0WAVEfmt ".to_vec(), "a.wav", Document, ANY),
            (b"\0\0\0\x18ftypheic".to_vec(), "a.jpg", Document, ANY),
            (b"\0\0\0\x18ftypmp42".to_vec(), "a.mp4", Video, MP4),
            (b"\0\0\0\x18ftypisom".to_vec(), "a.bin", Video, MP4),
            (b"\0\0\0\x18ftypisom".to_vec(), "a.M4A", Audio, M4A),
            (b"\0\0\0\x18ftyp3gp5".to_vec(), "a.3gp", Video, THREE_GP),
            (b"\0\0\0\x18ftypqt  ".to_vec(), "a.mov", Document, ANY),
            (b"\0\0\0\x18ftypM4A ".to_vec(), "a.m4a", Audio, M4A),
            (b"\x1A\x45\xDF\xA3".to_vec(), "voice.webm", Document, ANY),
            (ogg(b"OpusHead", 1), "voice.ogg", Audio, OGG_OPUS),
            (ogg(b"OpusHead", 2), "stereo.ogg", Document, ANY),
            (ogg(b"\x01vorbis", 1), "song.ogg", Document, ANY),
            (b"ID3\x04".to_vec(), "a.mp3", Audio, MP3),
            (b"\xFF\xFB\x90\x00".to_vec(), "a", Audio, MP3),
            (b"\xFF\xF1\x50\x80".to_vec(), "a.aac", Audio, AAC),
            (b"#!AMR\n".to_vec(), "a.amr", Audio, AMR),
            (b"%PDF-1.7".to_vec(), "a.exe", Document, PDF),
            (b"\xEF\xBB\xBF%PDF-1.7".to_vec(), "a.pdf", Document, PDF),
            (zip.clone(), "a.docx", Document, office("docx")),
            (zip.clone(), "a.XLSX", Document, office("xlsx")),
            (zip, "a.zip", Document, ANY),
            (ole.clone(), "a.ppt", Document, office("ppt")),
            (ole, "a.msg", Document, ANY),
            (b"hello".to_vec(), "a.jpg", Document, ANY),
            (Vec::new(), "", Document, ANY),
        ] {
            let upload = classify(&head, name, None);
            assert_eq!(
                (upload.kind, upload.mime.as_str()),
                (kind, mime),
                "{name} {head:?}"
            );
            assert_eq!(upload.voice, mime == OGG_OPUS);
        }
    }

    #[test]
    fn the_declared_type_helps_only_between_alike_formats() {
        let declared = Some("application/vnd.ms-excel");
        assert_eq!(
            classify(b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", "table", declared).mime,
            "application/vnd.ms-excel"
        );
        assert_eq!(
            classify(b"GIF89a", "a", Some("image/jpeg")).kind,
            MediaKind::Document
        );
    }

    #[test]
    fn too_large_for_its_kind_goes_as_a_document() {
        let photo = || classify(b"\xFF\xD8\xFF", "a.jpg", None);
        assert_eq!(
            photo().for_size(IMAGE_LIMIT).unwrap().kind,
            MediaKind::Image
        );
        let document = photo().for_size(IMAGE_LIMIT + 1).unwrap();
        assert_eq!(
            (document.kind, document.mime.as_str(), document.limit_bytes),
            (MediaKind::Document, ANY, DOCUMENT_LIMIT)
        );
        assert!(photo().for_size(DOCUMENT_LIMIT).is_ok());
        assert_eq!(
            photo().for_size(DOCUMENT_LIMIT + 1),
            Err(TooLarge {
                bytes: DOCUMENT_LIMIT + 1,
                limit: DOCUMENT_LIMIT
            })
        );
        let voice = classify(&ogg(b"OpusHead", 1), "v.ogg", None)
            .for_size(AUDIO_LIMIT + 1)
            .unwrap();
        assert!(!voice.voice);
    }

    proptest! {
        #[test]
        fn any_bytes_are_something(head in prop::collection::vec(any::<u8>(), 0..64), name in ".{0,12}") {
            let upload = classify(&head, &name, None);
            prop_assert!(upload.limit_bytes >= IMAGE_LIMIT);
        }
    }
}
