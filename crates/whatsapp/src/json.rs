//! Reading JSON that somebody else may change at any time.
//!
//! Meta sends ids as text or as numbers, leaves fields out, adds types without notice and packs up to a thousand
//! updates into a body, one of which may be damaged. Derived decoders answer all of that with one error for the whole
//! document. Here a document is opened level by level instead: every value stays the text it was until somebody asks
//! for it, so a value that is not what we expect is missing and nothing else is lost.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A piece of JSON exactly as it was received, for keeping what was not understood.
#[derive(Clone, PartialEq, Eq)]
pub struct Raw(Box<str>);

impl Raw {
    pub(crate) fn new(raw: &RawValue) -> Self {
        Self(raw.get().into())
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The JSON as a tree; text that is nested deeper than the parser allows comes back as one string.
    pub fn to_value(&self) -> serde_json::Value {
        serde_json::from_str(&self.0)
            .unwrap_or_else(|_| serde_json::Value::String(self.0.to_string()))
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// One JSON object, its values unopened.
pub(crate) struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Object<'a> {
    /// Opens an object; anything else is `None`.
    pub(crate) fn open(raw: &'a RawValue) -> Option<Self> {
        Self::parse(raw.get())
    }

    /// Opens an object given as text.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The value under a key; `null` counts as absent. Of doubled keys the first counts.
    pub(crate) fn raw(&self, key: &str) -> Option<&'a RawValue> {
        let (_, raw) = self.0.iter().find(|(name, _)| name == key)?;
        (raw.get() != "null").then_some(*raw)
    }

    /// Text, or the digits of a number exactly as written, so that ids beyond 2^53 survive.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        text(self.raw(key)?)
    }

    /// Like [`text`](Self::text), with empty text counting as absent.
    pub(crate) fn filled(&self, key: &str) -> Option<String> {
        self.text(key).filter(|text| !text.is_empty())
    }

    /// A whole number, given as a number or as text.
    pub(crate) fn integer(&self, key: &str) -> Option<i64> {
        let raw = self.raw(key)?.get().trim_matches('"');
        raw.parse().ok().or_else(|| {
            let number: f64 = raw.parse().ok()?;
            (number.abs() < 9e15).then_some(number as i64)
        })
    }

    /// A finite number, given as a number or as text.
    pub(crate) fn decimal(&self, key: &str) -> Option<f64> {
        let number: f64 = self.raw(key)?.get().trim_matches('"').parse().ok()?;
        number.is_finite().then_some(number)
    }

    /// A truth value; absent and anything strange count as false.
    pub(crate) fn flag(&self, key: &str) -> bool {
        self.raw(key)
            .is_some_and(|raw| raw.get().trim_matches('"') == "true")
    }

    /// An object below this one.
    pub(crate) fn object(&self, key: &str) -> Option<Object<'a>> {
        Self::open(self.raw(key)?)
    }

    /// The elements of an array, unopened. Absent is empty; a single value where an array belongs is its only element.
    pub(crate) fn list(&self, key: &str) -> Vec<&'a RawValue> {
        let Some(raw) = self.raw(key) else {
            return Vec::new();
        };
        serde_json::from_str(raw.get()).unwrap_or_else(|_| vec![raw])
    }

    /// Those elements of an array that are objects.
    pub(crate) fn objects(&self, key: &str) -> impl Iterator<Item = Object<'a>> {
        self.list(key).into_iter().filter_map(Object::open)
    }

    /// Those elements of an array that are text or numbers.
    pub(crate) fn texts(&self, key: &str) -> Vec<String> {
        self.list(key).into_iter().filter_map(text).collect()
    }
}

/// A text, number or truth value as text.
pub(crate) fn text(raw: &RawValue) -> Option<String> {
    match raw.get().as_bytes().first()? {
        b'"' => serde_json::from_str(raw.get()).ok(),
        b'{' | b'[' | b'n' => None,
        _ => Some(raw.get().to_owned()),
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    fields.push((key, value));
                }
                Ok(fields)
            }
        }

        deserializer.deserialize_map(Fields).map(Self)
    }
}

/// `Cow` alone never borrows when decoded; in a newtype it does.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// Replaces halves of surrogate pairs that stand alone (`\ud83d` without its second half), which no JSON parser takes
/// as text. They come from emoji that were cut in two somewhere on the way.
pub(crate) fn mend_surrogates(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut mended = String::new();
    let mut copied = 0;
    let mut position = 0;
    while let Some(found) = bytes
        .get(position..)
        .and_then(|rest| rest.iter().position(|&byte| byte == b'\\'))
    {
        position += found;
        match (surrogate(bytes, position), surrogate(bytes, position + 6)) {
            (None, _) => position += 2,
            (Some(Half::First), Some(Half::Second)) => position += 12,
            (Some(_), _) => {
                mended.push_str(&text[copied..position]);
                mended.push_str("\\ufffd");
                position += 6;
                copied = position;
            }
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    mended.push_str(&text[copied..]);
    Cow::Owned(mended)
}

enum Half {
    First,
    Second,
}

fn surrogate(bytes: &[u8], at: usize) -> Option<Half> {
    let [b'\\', b'u', b'd' | b'D', second, third, fourth] = bytes.get(at..at + 6)? else {
        return None;
    };
    if !third.is_ascii_hexdigit() || !fourth.is_ascii_hexdigit() {
        return None;
    }
    match second {
        b'8' | b'9' | b'a' | b'b' | b'A' | b'B' => Some(Half::First),
        b'c' | b'd' | b'e' | b'f' | b'C' | b'D' | b'E' | b'F' => Some(Half::Second),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn values_are_taken_in_whichever_form_they_come() {
        let object = Object::parse(
            r#"{"id":90071992547409931234,"time":"1795400000","price":"19.9","whole":3.0,"yes":"true","none":null,"deep":{"a":1},"one":{"x":2}}"#,
        )
        .unwrap();
        assert_eq!(object.text("id").unwrap(), "90071992547409931234");
        assert_eq!(object.integer("time"), Some(1_795_400_000));
        assert_eq!(object.integer("whole"), Some(3));
        assert_eq!(object.decimal("price"), Some(19.9));
        assert!(object.flag("yes"));
        assert_eq!(object.text("none"), None);
        assert_eq!(object.text("deep"), None);
        assert_eq!(object.objects("one").count(), 1);
        assert!(object.list("absent").is_empty());
    }

    #[test]
    fn lone_surrogates_are_replaced_and_pairs_kept() {
        for (given, wanted) in [
            (r#""\ud83d\udc4b""#, r#""\ud83d\udc4b""#),
            (r#""\ud83d""#, r#""\ufffd""#),
            (r#""a\udc4bb\ud83dc""#, r#""a\ufffdb\ufffdc""#),
            (r#""\\ud83d""#, r#""\\ud83d""#),
            (r#""\ud83d\ud83d\udc4b""#, r#""\ufffd\ud83d\udc4b""#),
            (r#""\"#, r#""\"#),
        ] {
            assert_eq!(mend_surrogates(given), wanted);
        }
    }
}
