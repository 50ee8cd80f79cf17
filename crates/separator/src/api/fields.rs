//! Reading a body or a query field by field.
//!
//! Bodies are not decoded by derived code, because its first error is its last and speaks of types. [`Fields`] collects
//! everything that is wrong, each with the name of its field, and knows at the end which fields nobody asked for.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    operation::{Access, Conflicts, Field},
    problem::{FieldError, Problem},
};

/// Whether absent fields are missing or stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Something is made: required fields must be there.
    Create,
    /// Something is changed: what is absent stays.
    Change,
}

/// An object that is being read.
#[derive(Debug)]
pub(super) struct Fields {
    object: Map<String, Value>,
    described: &'static [Field],
    mode: Mode,
    prefix: String,
    errors: Vec<FieldError>,
}

impl Fields {
    /// Begins to read a body. `described` are the fields of the resource, to tell read-only fields from unknown ones.
    pub(super) fn new(
        body: &[u8],
        described: &'static [Field],
        mode: Mode,
    ) -> Result<Self, Problem> {
        let value: Value = serde_json::from_slice(body).map_err(|error| not_json(&error))?;
        let Value::Object(object) = value else {
            return Err(Problem::new(
                axum::http::StatusCode::UNPROCESSABLE_ENTITY,
                format!("the body must be a JSON object, not {}", kind(&value)),
            ));
        };
        Ok(Self::of(object, described, mode))
    }

    pub(super) fn of(object: Map<String, Value>, described: &'static [Field], mode: Mode) -> Self {
        Self {
            object,
            described,
            mode,
            prefix: String::new(),
            errors: Vec::new(),
        }
    }

    /// A field that must be there when something is made, and can never be emptied.
    pub(super) fn required<T>(
        &mut self,
        name: &str,
        rule: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        match (self.object.remove(name), self.mode) {
            (None, Mode::Change) => None,
            (None | Some(Value::Null), Mode::Create) => {
                self.error(name, "is required");
                None
            }
            (Some(Value::Null), Mode::Change) => {
                self.error(name, "cannot be empty");
                None
            }
            (Some(value), _) => self.apply(name, &value, rule),
        }
    }

    /// A field that is made from others where something is made without it, and can never be emptied.
    pub(super) fn required_unless_new<T>(
        &mut self,
        name: &str,
        rule: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        if self.mode == Mode::Create && self.object.get(name).is_none_or(Value::is_null) {
            self.object.remove(name);
            return None;
        }
        self.required(name, rule)
    }

    /// A field that may be empty: `Some(None)` where it is null.
    #[expect(
        clippy::option_option,
        reason = "absent, null and a value are three things"
    )]
    pub(super) fn optional<T>(
        &mut self,
        name: &str,
        rule: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<Option<T>> {
        match self.object.remove(name)? {
            Value::Null => Some(None),
            value => self.apply(name, &value, rule).map(Some),
        }
    }

    /// A field that has a value of its own when nobody gives one; null brings that value back.
    pub(super) fn with_default<T>(
        &mut self,
        name: &str,
        default: T,
        rule: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        match self.object.remove(name)? {
            Value::Null => Some(default),
            value => self.apply(name, &value, rule),
        }
    }

    /// An object within the object.
    pub(super) fn nested<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        match self.object.remove(name)? {
            Value::Null => None,
            Value::Object(object) => {
                let mut inner = Self::of(object, &[], Mode::Create);
                inner.prefix = format!("{}{name}.", self.prefix);
                let value = read(&mut inner);
                self.errors.extend(inner.all_errors());
                value
            }
            value => {
                self.error(name, format!("must be an object, not {}", kind(&value)));
                None
            }
        }
    }

    /// Whether the field is there and not null.
    pub(super) fn has(&self, name: &str) -> bool {
        self.object.get(name).is_some_and(|value| !value.is_null())
    }

    /// Notes that a field is wrong.
    pub(super) fn error(&mut self, name: &str, message: impl Into<String>) {
        self.errors.push(FieldError {
            field: format!("{}{name}", self.prefix),
            message: message.into(),
        });
    }

    /// Notes what stands against the fields.
    pub(super) fn add(&mut self, conflicts: Conflicts) {
        for (name, message) in conflicts {
            self.error(name, message);
        }
    }

    /// Ends the reading: everything that is wrong, also the fields nobody asked for.
    pub(super) fn finish(self) -> Result<(), Problem> {
        let errors = self.all_errors();
        if errors.is_empty() {
            Ok(())
        } else {
            Err(Problem::fields(errors))
        }
    }

    /// Ends the reading where a required value is missing, which has been noted.
    pub(super) fn incomplete(self) -> Problem {
        Problem::fields(self.all_errors())
    }

    fn all_errors(mut self) -> Vec<FieldError> {
        let left: Vec<String> = self.object.keys().cloned().collect();
        for name in left {
            let read_only = self.described.iter().any(|field| {
                field.name == name && matches!(field.access, Access::Read | Access::ReadNullable)
            });
            let message = if read_only {
                "is made by Separator and cannot be set"
            } else {
                "is not a known field"
            };
            self.error(&name, message);
        }
        self.errors
    }

    fn apply<T>(
        &mut self,
        name: &str,
        value: &Value,
        rule: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        rule(value)
            .map_err(|message| self.error(name, message))
            .ok()
    }
}

/// The query of a request, read field by field in the same way.
#[derive(Debug)]
pub(super) struct Query(Fields);

impl Query {
    /// Takes a raw query apart. Of a name that comes twice the last one counts.
    pub(super) fn new(raw: &str) -> Self {
        let object = url::form_urlencoded::parse(raw.as_bytes())
            .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
            .collect();
        Self(Fields::of(object, &[], Mode::Create))
    }

    /// A value; empty counts as absent.
    pub(super) fn optional<T>(
        &mut self,
        name: &str,
        rule: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        if self.0.object.get(name).is_some_and(|value| value == "") {
            self.0.object.remove(name);
        }
        self.0.optional(name, rule).flatten()
    }

    /// Ends the reading, as [`Fields::finish`].
    pub(super) fn finish(self) -> Result<(), Problem> {
        self.0.finish()
    }
}

/// What a JSON value is, for sentences.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Reads an id of ours.
pub(super) fn id(value: &Value) -> Result<Uuid, String> {
    let Value::String(text) = value else {
        return Err(format!("must be an id, not {}", kind(value)));
    };
    text.parse().map_err(|_| {
        "must be an id as the API gives it, such as 0199f1c2-7d3e-7a41-9c55-2f0e8b1d6a90".to_owned()
    })
}

fn not_json(error: &serde_json::Error) -> Problem {
    Problem::new(
        axum::http::StatusCode::BAD_REQUEST,
        format!("the body is not JSON: {error}"),
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;
    use crate::api::{operation::Shape, rules};

    const FIELDS: &[Field] = &[
        Field::read("id", Shape::Id, "", ""),
        Field::required("phone", Shape::Text, "", ""),
        Field::optional("name", Shape::Text, "", ""),
    ];

    fn create(body: &str) -> Fields {
        Fields::new(body.as_bytes(), FIELDS, Mode::Create).unwrap()
    }

    fn change(body: &str) -> Fields {
        Fields::new(body.as_bytes(), FIELDS, Mode::Change).unwrap()
    }

    fn messages(problem: &Problem) -> Vec<(&str, &str)> {
        problem
            .errors()
            .iter()
            .map(|error| (error.field.as_str(), error.message.as_str()))
            .collect()
    }

    #[test]
    fn all_errors_are_collected() {
        let mut fields = create(r#"{"id": "x", "name": 5, "colour": "red"}"#);
        assert_eq!(fields.required("phone", rules::phone), None);
        assert_eq!(fields.optional("name", rules::text(10)), None);
        let problem = fields.finish().unwrap_err();
        assert_eq!(
            messages(&problem),
            [
                ("phone", "is required"),
                ("name", "must be text, not a number"),
                ("colour", "is not a known field"),
                ("id", "is made by Separator and cannot be set"),
            ]
        );
    }

    #[test]
    fn a_change_leaves_what_is_absent_and_clears_what_is_null() {
        let mut fields = change(r#"{"name": null}"#);
        assert_eq!(fields.required("phone", rules::phone), None);
        assert_eq!(fields.optional("name", rules::text(10)), Some(None));
        assert_eq!(fields.optional("other", rules::text(10)), None);
        assert_eq!(fields.with_default("port", 5061, rules::port), None);
        assert!(fields.finish().is_ok());
    }

    #[test]
    fn a_change_cannot_empty_what_is_required() {
        let mut fields = change(r#"{"phone": null}"#);
        assert_eq!(fields.required("phone", rules::phone), None);
        assert_eq!(
            messages(&fields.finish().unwrap_err()),
            [("phone", "cannot be empty")]
        );
    }

    #[test]
    fn null_brings_a_default_back() {
        let mut fields = change(r#"{"port": null}"#);
        assert_eq!(fields.with_default("port", 5061, rules::port), Some(5061));
        assert!(fields.finish().is_ok());
    }

    #[test]
    fn errors_within_an_object_carry_its_name() {
        let mut fields = create(r#"{"media": {"link": 5, "size": 1}, "list": []}"#);
        fields.nested("media", |media| media.optional("link", rules::text(10)));
        fields.nested("list", |_| Some(()));
        assert_eq!(
            messages(&fields.finish().unwrap_err()),
            [
                ("media.link", "must be text, not a number"),
                ("media.size", "is not a known field"),
                ("list", "must be an object, not a list"),
            ]
        );
    }

    #[test]
    fn what_is_not_json_is_told_with_its_position() {
        let problem = Fields::new(b"{\n  \"a\" 5}", FIELDS, Mode::Create).unwrap_err();
        assert_eq!(problem.status(), 400);
        assert!(
            format!("{problem:?}").contains("line 2 column 7"),
            "{problem:?}"
        );
        assert_eq!(
            Fields::new(b"", FIELDS, Mode::Create).unwrap_err().status(),
            400
        );
        assert_eq!(
            Fields::new(b"[]", FIELDS, Mode::Create)
                .unwrap_err()
                .status(),
            422
        );
    }

    #[test]
    fn a_query_is_read_the_same_way() {
        let mut query = Query::new("q=a%20b&state=&colour=red");
        assert_eq!(query.optional("q", rules::text(10)), Some("a b".to_owned()));
        assert_eq!(query.optional("state", rules::text(10)), None);
        assert_eq!(
            messages(&query.finish().unwrap_err()),
            [("colour", "is not a known field")]
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_but_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(mut fields) = Fields::new(&bytes, FIELDS, Mode::Create) {
                fields.required("phone", rules::phone);
                let _ = fields.finish();
            }
        }
    }
}
