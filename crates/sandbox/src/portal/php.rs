//! Values as PHP knows them: ordered maps, loose types, and the two notations a portal speaks.
//!
//! The order of keys matters twice: `batch` runs its commands in the order they were written, and an event's body is
//! compared by people with what a real portal sends. A JSON value with sorted keys would lose both, so parameters,
//! results and event data share this type.

use std::{fmt, fmt::Write as _};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, SeqAccess, Visitor},
    ser::{SerializeMap, SerializeSeq},
};

/// A PHP value: what a request parameter, a result or an event's data is made of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// `null`; vanishes from a form body.
    Null,
    /// `true` or `false`; `1` and `0` in a form body.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// A string.
    Text(String),
    /// An array with keys 0, 1, 2 and so on. Empty maps are this too: PHP writes `[]` for both.
    List(Vec<Self>),
    /// An array with other keys, in the order they were set.
    Map(Vec<(String, Self)>),
}

/// A map with the given entries, in the given order.
pub(crate) fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(
        entries
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    )
}

/// What PHP writes for an empty map.
pub(crate) const EMPTY: Value = Value::List(Vec::new());

impl Value {
    /// The entry under `key`, without regard to case, as the connector module reads its parameters.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => entries
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(key))
                .map(|(_, value)| value),
            Self::List(values) => key
                .parse::<usize>()
                .ok()
                .and_then(|index| values.get(index)),
            _ => None,
        }
    }

    /// The entry under `key` as text; empty where it is missing or is not a scalar.
    pub(crate) fn text_of(&self, key: &str) -> String {
        self.get(key).and_then(Self::text).unwrap_or_default()
    }

    /// The entry under `key` as a whole number, numeric strings included.
    pub(crate) fn integer_of(&self, key: &str) -> Option<i64> {
        self.get(key).and_then(Self::integer)
    }

    /// Whether the entry under `key` is true; `default` where it is missing.
    pub(crate) fn switch_of(&self, key: &str, default: bool) -> bool {
        self.get(key).map_or(default, |value| {
            value.truthy() && value.text().as_deref() != Some("N")
        })
    }

    /// A scalar cast to a string.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Integer(number) => Some(number.to_string()),
            Self::Float(number) => Some(number.to_string()),
            Self::Bool(true) => Some("1".to_owned()),
            Self::Bool(false) => Some(String::new()),
            _ => None,
        }
    }

    /// A whole number or a string of digits.
    pub(crate) fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Bool(value) => Some(i64::from(*value)),
            _ => None,
        }
    }

    /// PHP's truth: everything but `null`, `false`, `0`, `""`, `"0"` and `[]`.
    pub(crate) fn truthy(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(value) => *value,
            Self::Integer(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Text(text) => !text.is_empty() && text != "0",
            Self::List(values) => !values.is_empty(),
            Self::Map(entries) => !entries.is_empty(),
        }
    }

    /// Whether this is an array of either kind.
    pub(crate) fn is_array(&self) -> bool {
        matches!(self, Self::List(_) | Self::Map(_))
    }

    /// The elements of an array of either kind, in order; none of a scalar.
    pub(crate) fn elements(&self) -> Vec<&Self> {
        match self {
            Self::List(values) => values.iter().collect(),
            Self::Map(entries) => entries.iter().map(|(_, value)| value).collect(),
            _ => Vec::new(),
        }
    }

    /// The entries of an array of either kind with their keys.
    pub(crate) fn entries(&self) -> Vec<(String, &Self)> {
        match self {
            Self::List(values) => values
                .iter()
                .enumerate()
                .map(|(index, value)| (index.to_string(), value))
                .collect(),
            Self::Map(entries) => entries
                .iter()
                .map(|(key, value)| (key.clone(), value))
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Sets `key` of a map, replacing what is there.
    pub(crate) fn set(&mut self, key: &str, value: Self) {
        if !matches!(self, Self::Map(_)) {
            *self = Self::Map(Vec::new());
        }
        let Self::Map(entries) = self else { return };
        match entries
            .iter_mut()
            .find(|(name, _)| name.eq_ignore_ascii_case(key))
        {
            Some(entry) => entry.1 = value,
            None => entries.push((key.to_owned(), value)),
        }
    }

    /// Takes `key` out of a map.
    pub(crate) fn take(&mut self, key: &str) -> Option<Self> {
        let Self::Map(entries) = self else {
            return None;
        };
        let index = entries
            .iter()
            .position(|(name, _)| name.eq_ignore_ascii_case(key))?;
        Some(entries.remove(index).1)
    }

    /// Reads a query string or form body: `a[b][0]=x` nests, `a[]=x` appends.
    pub(crate) fn from_form(form: &[u8]) -> Self {
        let mut root = Self::Map(Vec::new());
        for (key, value) in url::form_urlencoded::parse(form) {
            let path = key_path(&key);
            place(&mut root, &path, value.into_owned());
        }
        if let Self::Map(entries) = &mut root {
            for (_, value) in entries {
                value.become_list();
            }
        }
        root
    }

    /// Turns maps with keys 0, 1, 2 … into lists, all the way down.
    fn become_list(&mut self) {
        let Self::Map(entries) = self else { return };
        for (_, value) in entries.iter_mut() {
            value.become_list();
        }
        let sequential = entries
            .iter()
            .enumerate()
            .all(|(index, (key, _))| *key == index.to_string());
        if sequential && !entries.is_empty() {
            *self = Self::List(entries.drain(..).map(|(_, value)| value).collect());
        }
    }

    /// The body `http_build_query` writes: brackets percent-encoded, nulls and empty arrays left out, booleans as 1 and
    /// 0, a space as `+`.
    pub(crate) fn to_form(&self) -> String {
        let mut out = String::new();
        for (key, value) in self.entries() {
            append(&mut out, &encode(&key), value);
        }
        out
    }

    /// The same value with every leaf a string and nulls and empty arrays left out: a form body read back.
    pub(crate) fn stringly(&self) -> Option<Self> {
        match self {
            Self::Null => None,
            Self::Bool(value) => Some(Self::Text(u8::from(*value).to_string())),
            Self::List(values) => {
                let values: Vec<Self> = values.iter().filter_map(Self::stringly).collect();
                (!values.is_empty()).then_some(Self::List(values))
            }
            Self::Map(entries) => {
                let entries: Vec<(String, Self)> = entries
                    .iter()
                    .filter_map(|(key, value)| Some((key.clone(), value.stringly()?)))
                    .collect();
                (!entries.is_empty()).then_some(Self::Map(entries))
            }
            scalar => scalar.text().map(Self::Text),
        }
    }

    /// The same value for readers that know JSON only.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or(serde_json::Value::Null)
    }
}

/// `a[b][]` as `["a", "b", ""]`.
fn key_path(key: &str) -> Vec<&str> {
    let Some((first, rest)) = key.split_once('[') else {
        return vec![key];
    };
    let mut path = vec![first];
    path.extend(rest.trim_end_matches(']').split("]["));
    path
}

/// Puts a leaf into nested maps.
fn place(target: &mut Value, path: &[&str], leaf: String) {
    let Some((first, rest)) = path.split_first() else {
        *target = Value::Text(leaf);
        return;
    };
    if !matches!(target, Value::Map(_)) {
        *target = Value::Map(Vec::new());
    }
    let Value::Map(entries) = target else { return };
    let key = if first.is_empty() {
        entries.len().to_string()
    } else {
        (*first).to_owned()
    };
    let index = entries
        .iter()
        .position(|(name, _)| *name == key)
        .unwrap_or_else(|| {
            entries.push((key, Value::Null));
            entries.len() - 1
        });
    place(&mut entries[index].1, rest, leaf);
}

/// Writes one value under an already encoded key.
fn append(out: &mut String, key: &str, value: &Value) {
    match value {
        Value::Null => {}
        Value::List(_) | Value::Map(_) => {
            for (name, inner) in value.entries() {
                append(out, &format!("{key}%5B{}%5D", encode(&name)), inner);
            }
        }
        Value::Bool(flag) => append(out, key, &Value::Integer(i64::from(*flag))),
        scalar => {
            if !out.is_empty() {
                out.push('&');
            }
            out.push_str(key);
            out.push('=');
            out.push_str(&encode(&scalar.text().unwrap_or_default()));
        }
    }
}

/// PHP's `urlencode`: letters, digits, `-`, `_` and `.` stay, a space is `+`, all other bytes are percent-encoded.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl<T: Into<Self>> From<Vec<T>> for Value {
    fn from(values: Vec<T>) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Integer(number) => serializer.serialize_i64(*number),
            Self::Float(number) => serializer.serialize_f64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(values) => {
                let mut sequence = serializer.serialize_seq(Some(values.len()))?;
                for value in values {
                    sequence.serialize_element(value)?;
                }
                sequence.end()
            }
            Self::Map(entries) => {
                let mut object = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    object.serialize_entry(key, value)?;
                }
                object.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = access.next_element()? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_form_body_is_written_as_http_build_query_writes_it() {
        let body = map([
            ("event", "ONX".into()),
            (
                "data",
                map([
                    ("CONNECTOR", "our wa".into()),
                    ("NONE", Value::Null),
                    ("EMPTY", EMPTY),
                    ("OK", true.into()),
                ]),
            ),
            ("list", Value::from(vec!["a~", "b&ü"])),
        ]);
        assert_eq!(
            body.to_form(),
            "event=ONX&data%5BCONNECTOR%5D=our+wa&data%5BOK%5D=1&list%5B0%5D=a%7E&list%5B1%5D=b%26%C3%BC"
        );
    }

    #[test]
    fn brackets_nest_and_number_keys_become_lists() {
        let value = Value::from_form(b"A%5B0%5D%5Bb%5D=c&A[1][b]=d&E[]=x&E[]=y&S[5]=z&auth=t");
        assert_eq!(value.get("a").unwrap().elements()[1].text_of("b"), "d");
        assert_eq!(value.get("E").unwrap(), &Value::from(vec!["x", "y"]));
        assert!(
            matches!(value.get("S").unwrap(), Value::Map(_)),
            "keys with gaps stay a map"
        );
        assert_eq!(value.text_of("AUTH"), "t");
    }

    #[test]
    fn json_keeps_the_order_of_its_keys() {
        let value: Value =
            serde_json::from_str(r#"{"z":1,"a":{"y":null,"b":[true,1.5]}}"#).unwrap();
        assert_eq!(
            serde_json::to_string(&value).unwrap(),
            r#"{"z":1,"a":{"y":null,"b":[true,1.5]}}"#
        );
    }

    #[test]
    fn truth_is_that_of_php() {
        for (text, truth) in [("", false), ("0", false), ("N", true), ("00", true)] {
            assert_eq!(Value::from(text).truthy(), truth, "{text:?}");
        }
    }
}
