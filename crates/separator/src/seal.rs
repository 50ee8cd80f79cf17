//! Secrets at rest: what the database holds of tokens and application secrets.
//!
//! XChaCha20-Poly1305 with a random nonce. Each sealed value is bound to its place
//! (`table/column/row`): moved to another row or column it does not open, so that somebody who can
//! write to the database but has no key cannot put one owner's token under another owner's name.
//!
//! A sealed value is: one byte that tells the key, 24 bytes of nonce, then the text with its tag of
//! 16 bytes. The first key seals and all keys open, which is all that rotation needs: put the new
//! key in front, let rows be written anew, take the old key away.
//!
//! Keys come from the setting `encryption_key` or, where it is not set, from a file that is made in
//! the data folder on the first start.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
    prelude::BASE64_STANDARD,
};
use chacha20poly1305::{
    Key, XChaCha20Poly1305, XNonce,
    aead::{Aead, KeyInit, Payload},
};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use crate::{
    identifiers::Chance,
    secret::{Secret, unhex},
};

/// Name of the key file in the data folder.
pub const KEY_FILE: &str = "encryption.key";

const NONCE_LENGTH: usize = 24;
const TAG_LENGTH: usize = 16;

/// A key of 256 bits.
pub type KeyBytes = [u8; 32];

/// A sealed value could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Too short to have been sealed by us.
    #[error("the sealed value of {place} is cut off")]
    CutOff {
        /// Where the value was found.
        place: String,
    },
    /// Sealed with a key that is not among the keys of this start.
    #[error("the secret in {place} was sealed with another encryption key than the ones given")]
    UnknownKey {
        /// Where the value was found.
        place: String,
    },
    /// Changed, moved from another place, or sealed with another key whose first byte is the same.
    #[error("the sealed value of {place} was changed or belongs to another place")]
    Damaged {
        /// Where the value was found.
        place: String,
    },
}

/// A key is missing or unusable.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A text that should be a key is none.
    #[error(
        "not an encryption key: {0}; a key is 32 bytes as base64 (44 characters) or hexadecimal (64 digits)"
    )]
    NotAKey(&'static str),
    /// There is no key at all.
    #[error("no encryption key given")]
    None,
    /// The key file holds something else than a key.
    #[error(
        "the key file {} does not hold a key ({why}); restore it from a copy, because without it the stored secrets \
         cannot be read", path.display()
    )]
    BadFile {
        /// The key file.
        path: PathBuf,
        /// What is wrong with its content.
        why: &'static str,
    },
    /// The key file could not be read or made.
    #[error("cannot {doing} the key file {}: {source}", path.display())]
    File {
        /// What was being done: `read`, `create`.
        doing: &'static str,
        /// The key file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Seals and opens secrets. Knows keys, shows none.
pub struct Sealer {
    keys: Vec<SealingKey>,
    chance: Chance,
}

struct SealingKey {
    id: u8,
    bytes: KeyBytes,
    cipher: XChaCha20Poly1305,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Sealer({} keys)", self.keys.len())
    }
}

impl Sealer {
    /// A sealer with these keys: the first seals, all open. Nonces are drawn from `chance`.
    pub fn from_keys(keys: Vec<KeyBytes>, chance: Chance) -> Result<Self, KeyError> {
        if keys.is_empty() {
            return Err(KeyError::None);
        }
        let keys = keys.into_iter().map(SealingKey::new).collect();
        Ok(Self { keys, chance })
    }

    /// The sealer of a start: with the keys of the setting or, where there are none, with the key
    /// file of the data folder, which is made where it does not exist.
    pub fn prepare(
        setting: Option<&[Secret]>,
        data_dir: &Path,
        chance: Chance,
    ) -> Result<Self, KeyError> {
        let keys = match setting {
            Some(texts) => texts.iter().map(parse_key).collect::<Result<_, _>>()?,
            None => vec![load_or_create(data_dir, &chance)?],
        };
        Self::from_keys(keys, chance)
    }

    /// Seals a text for its place, `table/column/row`.
    pub fn seal(&self, place: &str, plain: &str) -> Vec<u8> {
        // `from_keys` takes no empty list.
        let key = &self.keys[0];
        let nonce: [u8; NONCE_LENGTH] = self.chance.bytes();
        let payload = Payload {
            msg: plain.as_bytes(),
            aad: place.as_bytes(),
        };
        let encrypted = key
            .cipher
            .encrypt(&XNonce::from(nonce), payload)
            .expect("a text in memory is far below the 256 GiB at which the cipher refuses");

        let mut sealed = Vec::with_capacity(1 + NONCE_LENGTH + encrypted.len());
        sealed.push(key.id);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&encrypted);
        sealed
    }

    /// Opens what [`Sealer::seal`] made for the same place.
    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<Secret, SealError> {
        let cut_off = || SealError::CutOff {
            place: place.to_owned(),
        };
        let (id, rest) = sealed.split_first().ok_or_else(cut_off)?;
        let (nonce, encrypted) = rest
            .split_first_chunk::<NONCE_LENGTH>()
            .ok_or_else(cut_off)?;
        if encrypted.len() < TAG_LENGTH {
            return Err(cut_off());
        }

        let mut key_known = false;
        for key in self.keys.iter().filter(|key| key.id == *id) {
            key_known = true;
            let payload = Payload {
                msg: encrypted,
                aad: place.as_bytes(),
            };
            let Ok(plain) = key.cipher.decrypt(&XNonce::from(*nonce), payload) else {
                continue;
            };
            if let Ok(text) = String::from_utf8(plain) {
                return Ok(Secret::new(text));
            }
        }
        let place = place.to_owned();
        Err(if key_known {
            SealError::Damaged { place }
        } else {
            SealError::UnknownKey { place }
        })
    }

    /// Whether a value was sealed with an older key and should be written anew. Keys that share
    /// their first byte are not told apart.
    pub fn is_old(&self, sealed: &[u8]) -> bool {
        sealed.first() != Some(&self.keys[0].id)
    }

    /// A key for one purpose, made of the first key: for signing what we hand out and get back,
    /// such as links to media. Knowing it reveals nothing of the first key or of other purposes.
    pub fn derive(&self, purpose: &str) -> KeyBytes {
        self.keys[0].derive(purpose)
    }

    /// The keys for one purpose of all keys, the first one first: what was signed before a rotation
    /// is still recognised with one of the others.
    pub fn derive_each(&self, purpose: &str) -> Vec<KeyBytes> {
        self.keys.iter().map(|key| key.derive(purpose)).collect()
    }
}

impl SealingKey {
    fn new(bytes: KeyBytes) -> Self {
        let id = Sha256::digest(bytes)[0];
        Self {
            id,
            bytes,
            cipher: XChaCha20Poly1305::new(&Key::from(bytes)),
        }
    }

    fn derive(&self, purpose: &str) -> KeyBytes {
        let mut code =
            Hmac::<Sha256>::new_from_slice(&self.bytes).expect("HMAC takes keys of any length");
        code.update(purpose.as_bytes());
        code.finalize().into_bytes().into()
    }
}

/// Reads a key from the text of a setting or a file: 32 bytes as base64 (either alphabet, with or
/// without padding) or as hexadecimal digits.
pub fn parse_key(text: &Secret) -> Result<KeyBytes, KeyError> {
    let text = text.expose().trim();
    if text.is_empty() {
        return Err(KeyError::NotAKey("it is empty"));
    }
    if text.len() == 64
        && let Some(bytes) = unhex(text)
    {
        return bytes
            .try_into()
            .map_err(|_| KeyError::NotAKey("it has the wrong length"));
    }
    let alphabet = if text.contains(['-', '_']) {
        &URL_SAFE
    } else {
        &STANDARD
    };
    let either_padding =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let bytes = GeneralPurpose::new(alphabet, either_padding)
        .decode(text)
        .map_err(|_| KeyError::NotAKey("it is neither base64 nor hexadecimal"))?;
    bytes.try_into().map_err(|bytes: Vec<u8>| {
        KeyError::NotAKey(if bytes.len() < 32 {
            "it is too short"
        } else {
            "it is too long"
        })
    })
}

/// The key of the key file in the data folder; folder and file are made where they do not exist.
///
/// The file appears complete or not at all, and where two starts race, both get the one key.
pub fn load_or_create(data_dir: &Path, chance: &Chance) -> Result<KeyBytes, KeyError> {
    let path = data_dir.join(KEY_FILE);
    if let Some(key) = load(&path)? {
        return Ok(key);
    }
    create(data_dir, &path, chance).map_err(|source| KeyError::File {
        doing: "create",
        path: path.clone(),
        source,
    })?;
    load(&path)?.ok_or_else(|| KeyError::File {
        doing: "read",
        path,
        source: io::ErrorKind::NotFound.into(),
    })
}

fn load(path: &Path) -> Result<Option<KeyBytes>, KeyError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => Secret::new(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(KeyError::File {
                doing: "read",
                path: path.to_owned(),
                source,
            });
        }
    };
    warn_where_others_can_read(path);
    match parse_key(&text) {
        Ok(key) => Ok(Some(key)),
        Err(KeyError::NotAKey(why)) => Err(KeyError::BadFile {
            path: path.to_owned(),
            why,
        }),
        Err(other) => Err(other),
    }
}

/// A key file that others can read is a mistake to correct, but no reason to stand still: refusing
/// would only keep messages from people and unread the key would not become.
#[cfg(unix)]
fn warn_where_others_can_read(path: &Path) {
    use std::os::unix::fs::PermissionsExt;

    let mode = fs::metadata(path).map_or(0o600, |metadata| metadata.permissions().mode());
    if mode & 0o077 != 0 {
        tracing::warn!(
            file = %path.display(),
            mode = format_args!("{:04o}", mode & 0o7777),
            "other users of this machine can reach the key file; run: chmod 600 on it"
        );
    }
}

#[cfg(not(unix))]
fn warn_where_others_can_read(_path: &Path) {}

fn create(data_dir: &Path, path: &Path, chance: &Chance) -> io::Result<()> {
    fs::create_dir_all(data_dir)?;
    let key: KeyBytes = chance.bytes();
    let suffix: [u8; 8] = chance.bytes();
    let temporary = data_dir.join(format!("{KEY_FILE}.{}.new", crate::secret::hex(&suffix)));

    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&temporary).and_then(|mut file| {
        writeln!(file, "{}", BASE64_STANDARD.encode(key))?;
        file.sync_all()
    });
    // A link, unlike a rename, does not replace the file of somebody who was faster.
    let linked = written.and_then(|()| match fs::hard_link(&temporary, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    });
    let removed = fs::remove_file(&temporary);
    linked?;
    removed?;
    File::open(data_dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::{
        env,
        sync::atomic::{AtomicU32, Ordering},
    };

    use proptest::prelude::*;

    use super::*;

    fn sealer(keys: &[u8]) -> Sealer {
        let keys = keys.iter().map(|byte| [*byte; 32]).collect();
        Sealer::from_keys(keys, Chance::seeded(1)).unwrap()
    }

    /// A folder that is removed when the test ends, whichever way.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("separator-seal-{}-{number}", std::process::id());
            let path = env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    #[test]
    fn what_is_sealed_opens_at_its_place() {
        let sealer = sealer(&[1]);
        let sealed = sealer.seal("apps/client_secret/7", "s3cret");
        assert!(!sealed.windows(6).any(|window| window == b"s3cret"));
        assert_eq!(
            sealer
                .open("apps/client_secret/7", &sealed)
                .unwrap()
                .expose(),
            "s3cret"
        );
    }

    #[test]
    fn the_same_text_is_sealed_differently_each_time() {
        let sealer = sealer(&[1]);
        assert_ne!(sealer.seal("a/b/1", "same"), sealer.seal("a/b/1", "same"));
    }

    #[test]
    fn at_another_place_it_does_not_open() {
        let sealer = sealer(&[1]);
        let sealed = sealer.seal("apps/token/7", "text");
        for place in ["apps/token/8", "apps/secret/7", "", "apps/token/7 "] {
            let refused = sealer.open(place, &sealed);
            assert!(matches!(refused, Err(SealError::Damaged { .. })), "{place}");
        }
    }

    #[test]
    fn a_change_of_any_bit_or_length_is_noticed() {
        let sealer = sealer(&[1]);
        let sealed = sealer.seal("a/b/1", "text");
        for position in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[position / 8] ^= 1 << (position % 8);
            assert!(sealer.open("a/b/1", &changed).is_err(), "bit {position}");
        }
        for length in 0..sealed.len() {
            assert!(
                sealer.open("a/b/1", &sealed[..length]).is_err(),
                "length {length}"
            );
        }
        assert!(
            sealer
                .open("a/b/1", &[sealed.as_slice(), b"x"].concat())
                .is_err()
        );
    }

    #[test]
    fn after_rotation_old_values_open_and_new_ones_need_the_new_key() {
        let (old, both, new) = (sealer(&[1]), sealer(&[2, 1]), sealer(&[2]));
        let before = old.seal("a/b/1", "text");
        assert_eq!(both.open("a/b/1", &before).unwrap().expose(), "text");
        assert!(both.is_old(&before));

        let after = both.seal("a/b/1", "text");
        assert!(!both.is_old(&after));
        assert_eq!(new.open("a/b/1", &after).unwrap().expose(), "text");
        assert!(matches!(
            old.open("a/b/1", &after),
            Err(SealError::UnknownKey { .. })
        ));
        assert!(matches!(
            new.open("a/b/1", &before),
            Err(SealError::UnknownKey { .. })
        ));
    }

    #[test]
    fn keys_that_share_their_first_byte_are_all_tried() {
        let id = |number: u32| {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&number.to_le_bytes());
            (Sha256::digest(key)[0], key)
        };
        let (first, key) = id(0);
        let twin = (1..100_000)
            .map(id)
            .find(|(other, _)| *other == first)
            .unwrap()
            .1;
        let alone = Sealer::from_keys(vec![key], Chance::seeded(1)).unwrap();
        let both = Sealer::from_keys(vec![twin, key], Chance::seeded(1)).unwrap();
        let sealed = alone.seal("a/b/1", "text");
        assert_eq!(both.open("a/b/1", &sealed).unwrap().expose(), "text");
    }

    #[test]
    fn purposes_and_keys_have_keys_of_their_own() {
        let (one, two) = (sealer(&[1, 2]), sealer(&[2]));
        assert_eq!(one.derive("media"), sealer(&[1]).derive("media"));
        assert_ne!(one.derive("media"), one.derive("session"));
        assert_ne!(one.derive("media"), two.derive("media"));
        assert_ne!(one.derive("media"), [1; 32]);
        assert_eq!(
            one.derive_each("media"),
            [one.derive("media"), two.derive("media")]
        );
    }

    #[test]
    fn keys_are_read_as_base64_and_as_hexadecimal() {
        let key: KeyBytes = std::array::from_fn(|index| 0xff - index as u8);
        let base64 = BASE64_STANDARD.encode(key);
        let forms = [
            base64.clone(),
            base64.trim_end_matches('=').to_owned(),
            base64.replace('+', "-").replace('/', "_"),
            format!("  {base64}\n"),
            crate::secret::hex(&key),
            crate::secret::hex(&key).to_uppercase(),
        ];
        for form in forms {
            assert_eq!(
                parse_key(&Secret::new(form.clone())).unwrap(),
                key,
                "{form}"
            );
        }
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_shown() {
        for text in [
            "",
            "passwordpassword",
            &"A".repeat(48),
            "not base64!",
            &"é".repeat(32),
        ] {
            let message = parse_key(&Secret::new(text)).unwrap_err().to_string();
            assert!(message.contains("32 bytes"), "{message}");
            assert!(text.is_empty() || !message.contains(text), "{message}");
        }
        assert!(matches!(
            Sealer::from_keys(Vec::new(), Chance::seeded(1)),
            Err(KeyError::None)
        ));
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", sealer(&[1, 2])), "Sealer(2 keys)");
    }

    #[test]
    fn the_key_file_is_made_once_and_only_for_its_owner() {
        let folder = Folder::new();
        let data = folder.0.join("deep/data");
        let first = load_or_create(&data, &Chance::seeded(1)).unwrap();
        let second = load_or_create(&data, &Chance::seeded(2)).unwrap();
        assert_eq!(first, second);
        let names: Vec<_> = fs::read_dir(&data)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, [KEY_FILE], "nothing temporary stays");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(data.join(KEY_FILE))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn starts_at_the_same_time_agree_on_one_key() {
        let folder = Folder::new();
        let keys: Vec<KeyBytes> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..4)
                .map(|seed| {
                    let data = &folder.0;
                    scope.spawn(move || load_or_create(data, &Chance::seeded(seed)).unwrap())
                })
                .collect();
            starts
                .into_iter()
                .map(|start| start.join().unwrap())
                .collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
    }

    #[test]
    fn a_key_file_with_something_else_is_named_and_left_alone() {
        let folder = Folder::new();
        let path = folder.0.join(KEY_FILE);
        fs::write(&path, "").unwrap();
        let message = load_or_create(&folder.0, &Chance::seeded(1))
            .unwrap_err()
            .to_string();
        assert!(
            message.contains(KEY_FILE) && message.contains("it is empty"),
            "{message}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = Folder::new();
        let file = folder.0.join("file");
        fs::write(&file, "").unwrap();
        let message = load_or_create(&file, &Chance::seeded(1))
            .unwrap_err()
            .to_string();
        assert!(message.contains("file/encryption.key"), "{message}");
    }

    #[test]
    fn the_setting_goes_before_the_file() {
        let folder = Folder::new();
        let keys = [Secret::new(BASE64_STANDARD.encode([9; 32]))];
        let own = Sealer::prepare(Some(&keys), &folder.0, Chance::seeded(1)).unwrap();
        assert!(!folder.0.join(KEY_FILE).exists());
        assert_eq!(own.derive("x"), sealer(&[9]).derive("x"));
        let filed = Sealer::prepare(None, &folder.0, Chance::seeded(1)).unwrap();
        assert!(folder.0.join(KEY_FILE).exists());
        assert_ne!(filed.derive("x"), own.derive("x"));
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in ".*", place in ".*") {
            let sealer = sealer(&[5]);
            let sealed = sealer.seal(&place, &text);
            let opened = sealer.open(&place, &sealed).unwrap();
            prop_assert_eq!(opened.expose(), text);
        }

        #[test]
        fn any_bytes_are_refused_in_peace(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(sealer(&[5]).open("a/b/1", &bytes).is_err());
        }
    }
}
