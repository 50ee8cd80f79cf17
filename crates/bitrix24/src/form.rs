//! Forms as PHP writes them: `data[MESSAGES][0][im][chat_id]=1807`.
//!
//! Events, message service handlers, robots and pages all arrive in this form. Every leaf is text, nulls and empty
//! lists are missing, and lists may have holes in their numbering (Bitrix24: events, `http_build_query`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use thiserror::Error;
use url::form_urlencoded;

/// Deepest nesting that is read; the deepest documented body has seven levels.
pub const MAX_DEPTH: usize = 32;

/// Most fields that are read from one body.
pub const MAX_FIELDS: usize = 50_000;

/// Why a form was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FormError {
    /// A key nests deeper than [`MAX_DEPTH`].
    #[error("the form nests deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// There are more fields than [`MAX_FIELDS`].
    #[error("the form has more than {MAX_FIELDS} fields")]
    TooManyFields,
}

/// Reads a form body into nested maps and lists; the root is always a map and every leaf is text.
///
/// A map whose keys are all whole numbers becomes a list in the order of the numbers. Of two equal keys the last one
/// counts. Text that is not UTF-8 is read with replacement characters. A body that is a JSON object is taken as such.
pub fn decode(body: &[u8]) -> Result<Value, FormError> {
    if let Some(json) = as_json_object(body) {
        return Ok(json);
    }
    let mut root = Branch::default();
    for (count, (name, value)) in form_urlencoded::parse(body).enumerate() {
        if count >= MAX_FIELDS {
            return Err(FormError::TooManyFields);
        }
        if name.is_empty() {
            continue;
        }
        let path = key_path(&name);
        if path.len() > MAX_DEPTH {
            return Err(FormError::TooDeep);
        }
        root.insert(&path, value.into_owned());
    }
    Ok(Value::Object(root.into_map()))
}

/// Writes a value as PHP's `http_build_query` does: null and empty lists are left out, true is 1 and false is 0.
///
/// A root that is neither map nor list has no keys and gives an empty text.
pub fn encode(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) => map
            .iter()
            .for_each(|(key, inner)| write_field(&mut out, key, inner)),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .for_each(|(index, inner)| write_field(&mut out, &index.to_string(), inner)),
        _ => {}
    }
    out
}

fn as_json_object(body: &[u8]) -> Option<Value> {
    if !body.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    serde_json::from_slice(body).ok()
}

fn write_field(out: &mut String, name: &str, value: &Value) {
    let leaf = match value {
        Value::Null => return,
        Value::Bool(true) => "1".to_owned(),
        Value::Bool(false) => "0".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            for (index, inner) in list.iter().enumerate() {
                write_field(out, &format!("{name}[{index}]"), inner);
            }
            return;
        }
        Value::Object(map) => {
            for (key, inner) in map {
                write_field(out, &format!("{name}[{key}]"), inner);
            }
            return;
        }
    };
    if !out.is_empty() {
        out.push('&');
    }
    out.extend(form_urlencoded::byte_serialize(name.as_bytes()));
    out.push('=');
    out.extend(form_urlencoded::byte_serialize(leaf.as_bytes()));
}

/// One step of a key: a name, or the next free number (`a[]`).
enum Step<'a> {
    Key(&'a str),
    Next,
}

/// Takes `a[b][]` apart. A key whose brackets make no sense stays one name, so that nothing is lost.
fn key_path(name: &str) -> Vec<Step<'_>> {
    let open = name.find('[').unwrap_or(name.len());
    if open == 0 {
        return vec![Step::Key(name)];
    }
    let (first, mut rest) = name.split_at(open);
    let mut path = vec![Step::Key(first)];
    while let Some(inner) = rest.strip_prefix('[') {
        let Some((key, after)) = inner.split_once(']') else {
            break;
        };
        path.push(if key.is_empty() {
            Step::Next
        } else {
            Step::Key(key)
        });
        rest = after;
    }
    if path.len() == 1 {
        vec![Step::Key(name)]
    } else {
        path
    }
}

enum Node {
    Leaf(String),
    Branch(Branch),
}

#[derive(Default)]
struct Branch {
    children: BTreeMap<String, Node>,
    next: u64,
}

impl Branch {
    fn insert(&mut self, path: &[Step<'_>], value: String) {
        let Some((step, rest)) = path.split_first() else {
            return;
        };
        let key = match step {
            Step::Key(key) => (*key).to_owned(),
            Step::Next => self.next.to_string(),
        };
        if let Some(number) = whole_number(&key) {
            self.next = self.next.max(number.saturating_add(1));
        }
        if rest.is_empty() {
            self.children.insert(key, Node::Leaf(value));
            return;
        }
        let child = self
            .children
            .entry(key)
            .or_insert_with(|| Node::Branch(Self::default()));
        if matches!(child, Node::Leaf(_)) {
            *child = Node::Branch(Self::default());
        }
        if let Node::Branch(branch) = child {
            branch.insert(rest, value);
        }
    }

    fn into_map(self) -> Map<String, Value> {
        self.children
            .into_iter()
            .map(|(key, node)| (key, node.into_value()))
            .collect()
    }

    fn into_value(self) -> Value {
        let numbers: Option<Vec<u64>> = self.children.keys().map(|key| whole_number(key)).collect();
        let Some(numbers) = numbers else {
            return Value::Object(self.into_map());
        };
        let mut items: Vec<_> = numbers
            .into_iter()
            .zip(self.children.into_values())
            .collect();
        items.sort_by_key(|(number, _)| *number);
        Value::Array(
            items
                .into_iter()
                .map(|(_, node)| node.into_value())
                .collect(),
        )
    }
}

impl Node {
    fn into_value(self) -> Value {
        match self {
            Self::Leaf(text) => Value::String(text),
            Self::Branch(branch) => branch.into_value(),
        }
    }
}

/// A key that PHP itself would have turned into a number: digits without a leading zero.
fn whole_number(key: &str) -> Option<u64> {
    let canonical = key == "0" || !key.starts_with('0');
    (canonical && key.len() <= 18 && key.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| key.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_documented_event_body_is_read() {
        let body = b"event=ONIMCONNECTORMESSAGEADD&event_handler_id=555&data%5BCONNECTOR%5D=ourwa&data%5BLINE%5D=107\
            &data%5BMESSAGES%5D%5B0%5D%5Bim%5D%5Bchat_id%5D=1807\
            &data%5BMESSAGES%5D%5B0%5D%5Bmessage%5D%5Btext%5D=%5Bb%5DKlaus+Weber%3A%5B%2Fb%5D+%5Bbr%5DGuten+Tag%21";
        let value = decode(body).unwrap();
        assert_eq!(
            value,
            json!({
                "event": "ONIMCONNECTORMESSAGEADD", "event_handler_id": "555",
                "data": {"CONNECTOR": "ourwa", "LINE": "107", "MESSAGES": [
                    {"im": {"chat_id": "1807"}, "message": {"text": "[b]Klaus Weber:[/b] [br]Guten Tag!"}}
                ]}
            })
        );
    }

    #[test]
    fn odd_keys_lose_nothing() {
        let table = [
            ("a=1&a=2", json!({"a": "2"})),
            ("a[5]=x&a[10]=z&a[7]=y", json!({"a": ["x", "y", "z"]})),
            (
                "a[]=x&a[]=y&a[4]=z&a[]=w",
                json!({"a": ["x", "y", "z", "w"]}),
            ),
            ("a[0]=x&a[k]=y", json!({"a": {"0": "x", "k": "y"}})),
            ("a[01]=x", json!({"a": {"01": "x"}})),
            ("a=1&a[b]=2", json!({"a": {"b": "2"}})),
            ("a[b]=2&a=1", json!({"a": "1"})),
            ("a[b=1", json!({"a[b": "1"})),
            ("[a]=1", json!({"[a]": "1"})),
            ("a[b]c=1", json!({"a": {"b": "1"}})),
            ("a[b][c=1", json!({"a": {"b": "1"}})),
            ("0=x&1=y", json!({"0": "x", "1": "y"})),
            ("=x&&a", json!({"a": ""})),
            (
                "t=a%F0%9F%98%80%ff+%2B%zz",
                json!({"t": "a😀\u{fffd} +%zz"}),
            ),
            ("", json!({})),
        ];
        for (body, expected) in table {
            assert_eq!(decode(body.as_bytes()).unwrap(), expected, "{body}");
        }
    }

    #[test]
    fn a_json_object_is_taken_and_something_like_it_is_a_form() {
        assert_eq!(
            decode(b" {\"event\":\"X\",\"data\":107}").unwrap(),
            json!({"event": "X", "data": 107})
        );
        assert_eq!(decode(b"{\"event\"=1").unwrap(), json!({"{\"event\"": "1"}));
    }

    #[test]
    fn bodies_without_end_are_refused() {
        let deep = format!("a{}=1", "[b]".repeat(MAX_DEPTH));
        assert_eq!(decode(deep.as_bytes()), Err(FormError::TooDeep));
        let long = "a[]=1&".repeat(MAX_FIELDS + 1);
        assert_eq!(decode(long.as_bytes()), Err(FormError::TooManyFields));
    }

    #[test]
    fn encoding_follows_php() {
        let value =
            json!({"a": true, "b": false, "c": null, "d": [], "e": {"f": ["x y", 2]}, "g": "~"});
        assert_eq!(
            encode(&value),
            "a=1&b=0&e%5Bf%5D%5B0%5D=x+y&e%5Bf%5D%5B1%5D=2&g=%7E"
        );
        assert_eq!(encode(&json!("text")), "");
    }

    /// What a value looks like after PHP has written and read it.
    fn normal(value: &Value) -> Option<Value> {
        match value {
            Value::Null => None,
            Value::Bool(flag) => Some(Value::from(if *flag { "1" } else { "0" })),
            Value::Number(number) => Some(Value::from(number.to_string())),
            Value::String(_) => Some(value.clone()),
            Value::Array(list) => {
                let kept: Vec<_> = list.iter().filter_map(normal).collect();
                (!kept.is_empty()).then_some(Value::Array(kept))
            }
            Value::Object(map) => {
                let kept: Map<_, _> = map
                    .iter()
                    .filter_map(|(key, inner)| Some((key.clone(), normal(inner)?)))
                    .collect();
                (!kept.is_empty()).then_some(Value::Object(kept))
            }
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..6).prop_map(Value::from),
                btree_map("[A-Za-z_][A-Za-z0-9_ .&=+%~-]{0,6}", inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn what_is_written_is_read(fields in btree_map("[A-Za-z_][A-Za-z0-9_ .&=+%~-]{0,6}", values(), 0..6)) {
            let value = Value::Object(fields.into_iter().collect());
            let expected = normal(&value).unwrap_or_else(|| json!({}));
            prop_assert_eq!(decode(encode(&value).as_bytes()).unwrap(), expected);
        }

        #[test]
        fn no_bytes_cause_panic(body in vec(any::<u8>(), 0..300)) {
            let _ = decode(&body);
        }

        #[test]
        fn no_brackets_cause_panic(body in "[a-c\\[\\]=&%0-9{]{0,80}") {
            prop_assert!(decode(body.as_bytes()).unwrap().is_object());
        }
    }
}
