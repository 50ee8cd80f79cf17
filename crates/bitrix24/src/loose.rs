//! Reading what PHP writes: numbers as text, empty maps as `[]`, lists as maps, "Y" for true, keys in either case.

use serde_json::Value;

/// The value under a key, whatever the key's case; null counts as absent.
pub(crate) fn get<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    let map = value.as_object()?;
    map.get(key)
        .or_else(|| {
            map.iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(key))
                .map(|(_, found)| found)
        })
        .filter(|found| !found.is_null())
}

/// The value at the end of a path of keys.
pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |inner, key| get(inner, key))
}

/// A leaf as text: strings as they are, numbers and booleans as PHP's forms write them.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(if *flag { "1" } else { "0" }.to_owned()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The leaf under a key as text; an empty one counts as absent.
pub(crate) fn text_at(value: &Value, path: &[&str]) -> Option<String> {
    at(value, path)
        .and_then(text)
        .filter(|found| !found.is_empty())
}

/// A leaf as a whole number.
pub(crate) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            let float = number.as_f64()?;
            (float.fract() == 0.0 && float.abs() < 9e15).then_some(float as i64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// The leaf under a key as a whole number.
pub(crate) fn integer_at(value: &Value, path: &[&str]) -> Option<i64> {
    at(value, path).and_then(integer)
}

/// A leaf as a number with a fraction.
pub(crate) fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text
            .trim()
            .parse()
            .ok()
            .filter(|float: &f64| float.is_finite()),
        _ => None,
    }
}

/// Yes or no in all the ways PHP modules say it; `None` when it says neither.
pub(crate) fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => number.as_f64().map(|float| float != 0.0),
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" | "1" | "true" => Some(true),
            "n" | "no" | "0" | "false" | "" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// The leaf under a key as yes or no.
pub(crate) fn flag_at(value: &Value, path: &[&str]) -> Option<bool> {
    at(value, path).and_then(flag)
}

/// Keys and values of a map, or indexes and values of a list; a leaf has none.
pub(crate) fn entries(value: &Value) -> Vec<(String, &Value)> {
    match value {
        Value::Array(list) => list
            .iter()
            .enumerate()
            .map(|(index, item)| (index.to_string(), item))
            .collect(),
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().map(|(key, item)| (key.clone(), item)).collect();
            // Text order would put "10" before "2".
            entries.sort_by_key(|(key, _)| key.parse::<u64>().unwrap_or(u64::MAX));
            entries
        }
        _ => Vec::new(),
    }
}

/// The elements of a list, however PHP wrote it: a list, or a map whose keys are ordered as numbers.
pub(crate) fn items(value: &Value) -> Vec<&Value> {
    entries(value).into_iter().map(|(_, item)| item).collect()
}

/// Texts of a list, or the one text that stands where a list could be.
pub(crate) fn texts(value: &Value) -> Vec<String> {
    match text(value) {
        Some(only) if only.is_empty() => Vec::new(),
        Some(only) => vec![only],
        None => items(value).into_iter().filter_map(text).collect(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    #[test]
    fn leaves_are_read_whatever_their_type() {
        assert_eq!(integer(&json!("585")), Some(585));
        assert_eq!(integer(&json!(585.0)), Some(585));
        assert_eq!(integer(&json!(0.5)), None);
        assert_eq!(integer(&json!({})), None);
        assert_eq!(text(&json!(107)), Some("107".into()));
        assert_eq!(text(&json!({})), None);
        assert_eq!(flag(&json!("Y")), Some(true));
        assert_eq!(flag(&json!("")), Some(false));
        assert_eq!(flag(&json!("perhaps")), None);
    }

    #[test]
    fn keys_are_found_in_either_case_and_null_is_absent() {
        let value = json!({"CONNECTOR": "a", "line": null});
        assert_eq!(get(&value, "connector").unwrap(), "a");
        assert!(get(&value, "LINE").is_none());
    }

    #[test]
    fn lists_written_as_maps_keep_the_order_of_numbers() {
        let value = json!({"10": "c", "2": "b", "0": "a"});
        assert_eq!(texts(&value), ["a", "b", "c"]);
        assert_eq!(texts(&json!("wamid.1")), ["wamid.1"]);
        assert!(texts(&json!([])).is_empty());
    }
}
