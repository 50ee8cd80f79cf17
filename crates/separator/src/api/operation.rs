//! What an operation of the API is: a row of a table from which both the routes and their description are made, so that
//! none can exist without the other.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    body::Bytes,
    http::{HeaderValue, StatusCode},
    routing::MethodFilter,
};
use serde_json::Value;
use uuid::Uuid;

use super::{
    caller::Caller,
    client::Client,
    fields::{Fields, Mode, Query},
    problem::{FieldError, Problem},
    rule::Rule,
    view::View,
};
use crate::{
    app::App,
    registry::Part,
    store::{self, browse::Reach},
};

/// The type of a field, as far as a reader of the description needs it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// An id of ours.
    Id,
    /// Text.
    Text,
    /// A moment, RFC 3339.
    Time,
    /// An address.
    Address,
    /// A whole number.
    Whole,
    /// A number.
    Number,
    /// Yes or no.
    Boolean,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// An object described under this name.
    Object(&'static str),
    /// A list of objects described under this name.
    List(&'static str),
    /// A list of texts.
    Texts,
    /// Any JSON value.
    Anything,
}

/// Who gives a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// We do; never null.
    Read,
    /// We do; may be null.
    ReadNullable,
    /// The caller must when something is made.
    Required,
    /// The caller may; shown as null where it is not given.
    Optional,
    /// The caller may; it has a value of its own otherwise and is never null.
    Defaulted,
    /// The caller must when something is made; never shown.
    RequiredSecret,
    /// The caller may; never shown.
    Secret,
}

/// A field of a resource.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) access: Access,
    pub(super) description: &'static str,
    /// As text; numbers, objects and lists as JSON. Empty: none.
    pub(super) example: &'static str,
}

impl Field {
    const fn new(
        name: &'static str,
        shape: Shape,
        access: Access,
        description: &'static str,
        example: &'static str,
    ) -> Self {
        Self {
            name,
            shape,
            access,
            description,
            example,
        }
    }

    pub(super) const fn read(
        name: &'static str,
        shape: Shape,
        description: &'static str,
        example: &'static str,
    ) -> Self {
        Self::new(name, shape, Access::Read, description, example)
    }

    pub(super) const fn nullable(
        name: &'static str,
        shape: Shape,
        description: &'static str,
        example: &'static str,
    ) -> Self {
        Self::new(name, shape, Access::ReadNullable, description, example)
    }

    pub(super) const fn required(
        name: &'static str,
        shape: Shape,
        description: &'static str,
        example: &'static str,
    ) -> Self {
        Self::new(name, shape, Access::Required, description, example)
    }

    pub(super) const fn optional(
        name: &'static str,
        shape: Shape,
        description: &'static str,
        example: &'static str,
    ) -> Self {
        Self::new(name, shape, Access::Optional, description, example)
    }

    pub(super) const fn defaulted(
        name: &'static str,
        shape: Shape,
        description: &'static str,
        example: &'static str,
    ) -> Self {
        Self::new(name, shape, Access::Defaulted, description, example)
    }

    pub(super) const fn required_secret(
        name: &'static str,
        description: &'static str,
        example: &'static str,
    ) -> Self {
        Self::new(
            name,
            Shape::Text,
            Access::RequiredSecret,
            description,
            example,
        )
    }

    pub(super) const fn secret(
        name: &'static str,
        description: &'static str,
        example: &'static str,
    ) -> Self {
        Self::new(name, Shape::Text, Access::Secret, description, example)
    }

    /// Something that the caller may give and that is shown in another form, if at all.
    pub(super) const fn written(
        name: &'static str,
        shape: Shape,
        description: &'static str,
        example: &'static str,
    ) -> Self {
        Self::new(name, shape, Access::Secret, description, example)
    }

    /// Our id of something, which every resource has.
    pub(super) const fn id() -> Self {
        Self::read(
            "id",
            Shape::Id,
            "Our id; ids grow with time.",
            "0199f1c2-7d3e-7a41-9c55-2f0e8b1d6a90",
        )
    }

    /// When something was made.
    pub(super) const fn created_at() -> Self {
        Self::read(
            "created_at",
            Shape::Time,
            "When it was made.",
            "2026-11-23T04:47:32.010Z",
        )
    }
}

/// What a described object is for, which decides which of its fields are part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A resource: described as it is shown and, where it has fields to write, as `New…` and `…Change`.
    Resource,
    /// Only ever shown.
    Shown,
    /// Only ever sent to us.
    Sent,
}

/// An object of the API by name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Described {
    pub(super) name: &'static str,
    pub(super) purpose: Purpose,
    pub(super) description: &'static str,
    pub(super) fields: &'static [Field],
}

/// A parameter of a query.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) description: &'static str,
}

/// What an operation answers with when all is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answers {
    /// An object of this name.
    One(&'static str),
    /// A page of objects of this name.
    Page(&'static str),
    /// 204 and nothing.
    Nothing,
}

/// The largest body that an operation takes which says nothing else, in bytes. The longest text of a message has 4096
/// characters.
pub(super) const BODY_LIMIT: usize = 256 * 1024;

/// The HTTP methods that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
    Patch,
    Delete,
}

impl Verb {
    pub(super) fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Patch => MethodFilter::PATCH,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

/// What is set up already and stands against a change: field and message.
pub(super) type Conflicts = Vec<(&'static str, String)>;

/// What a handler gives.
pub(super) type Outcome = Result<Value, Problem>;

/// A handler at work.
pub(super) type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// One operation of the API.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation {
    pub(super) verb: Verb,
    /// In full, with `{id}` where an id belongs.
    pub(super) path: &'static str,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    /// More about it; empty: nothing to add.
    pub(super) description: &'static str,
    pub(super) query: &'static [Parameter],
    /// Name of the object that is its body.
    pub(super) body: Option<&'static str>,
    pub(super) status: StatusCode,
    pub(super) answers: Answers,
    /// Where the thing that the answer shows is found: this path and its id.
    pub(super) location: Option<&'static str>,
    /// Statuses of refusals besides those that every operation of its kind has.
    pub(super) refusals: &'static [u16],
    /// Who may call it.
    pub(super) rule: Rule,
    /// The largest body that it takes, in bytes.
    pub(super) body_limit: usize,
    /// Whether its answer shows a secret that is not to be kept.
    pub(super) secret_answer: bool,
    /// Whether nothing is written into the audit, because the change is a record itself.
    pub(super) records_itself: bool,
    pub(super) run: fn(Call) -> Running,
}

impl Operation {
    /// An operation with this rule. It is a parameter, here and below, so that no operation is without one.
    const fn of(rule: Rule, run: fn(Call) -> Running) -> Self {
        Self {
            rule,
            run,
            ..Self::EMPTY
        }
    }

    const EMPTY: Self = Self {
        verb: Verb::Get,
        path: "",
        tag: "",
        summary: "",
        description: "",
        query: &[],
        body: None,
        status: StatusCode::OK,
        answers: Answers::Nothing,
        location: None,
        refusals: &[],
        rule: Rule::Administrators,
        body_limit: BODY_LIMIT,
        secret_answer: false,
        records_itself: false,
        run: |_| Box::pin(async { Ok(Value::Null) }),
    };

    /// A list, in pages.
    pub(super) const fn list(
        path: &'static str,
        tag: &'static str,
        name: &'static str,
        rule: Rule,
        run: fn(Call) -> Running,
    ) -> Self {
        Self {
            path,
            tag,
            answers: Answers::Page(name),
            ..Self::of(rule, run)
        }
    }

    /// One thing.
    pub(super) const fn get(
        path: &'static str,
        tag: &'static str,
        name: &'static str,
        rule: Rule,
        run: fn(Call) -> Running,
    ) -> Self {
        Self {
            path,
            tag,
            answers: Answers::One(name),
            ..Self::of(rule, run)
        }
    }

    /// A new thing, found at `path` and its id afterwards.
    pub(super) const fn create(
        path: &'static str,
        tag: &'static str,
        body: &'static str,
        name: &'static str,
        rule: Rule,
        run: fn(Call) -> Running,
    ) -> Self {
        Self {
            verb: Verb::Post,
            path,
            tag,
            body: Some(body),
            status: StatusCode::CREATED,
            answers: Answers::One(name),
            location: Some(path),
            ..Self::of(rule, run)
        }
    }

    /// Something to be done.
    pub(super) const fn act(
        path: &'static str,
        tag: &'static str,
        name: &'static str,
        rule: Rule,
        run: fn(Call) -> Running,
    ) -> Self {
        Self {
            verb: Verb::Post,
            path,
            tag,
            answers: Answers::One(name),
            ..Self::of(rule, run)
        }
    }

    /// A change to a thing.
    pub(super) const fn change(
        path: &'static str,
        tag: &'static str,
        body: &'static str,
        name: &'static str,
        rule: Rule,
        run: fn(Call) -> Running,
    ) -> Self {
        Self {
            verb: Verb::Patch,
            path,
            tag,
            body: Some(body),
            answers: Answers::One(name),
            ..Self::of(rule, run)
        }
    }

    /// The end of a thing.
    pub(super) const fn delete(
        path: &'static str,
        tag: &'static str,
        rule: Rule,
        run: fn(Call) -> Running,
    ) -> Self {
        Self {
            verb: Verb::Delete,
            path,
            tag,
            status: StatusCode::NO_CONTENT,
            refusals: &[409],
            ..Self::of(rule, run)
        }
    }
}

/// Cookies that an answer sets.
#[derive(Debug, Clone, Default)]
pub(super) struct Cookies(Arc<Mutex<Vec<HeaderValue>>>);

impl Cookies {
    /// Adds one.
    pub(super) fn set(&self, cookie: Option<HeaderValue>) {
        let mut cookies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cookies.extend(cookie);
    }

    /// Gives them out.
    pub(super) fn take(&self) -> Vec<HeaderValue> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A request that is known to come from somebody who may make it.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// The running program.
    pub(super) app: Arc<App>,
    /// Who makes it.
    pub(super) caller: Caller,
    /// With what it is made.
    pub(super) client: Client,
    /// Cookies that the answer sets.
    pub(super) cookies: Cookies,
    /// The `{id}` of the path, as it was sent.
    pub(super) id: Option<String>,
    /// The query, as it was sent.
    pub(super) query: String,
    /// The body, as it was sent.
    pub(super) body: Bytes,
}

impl Call {
    /// The id in the path. What is no id is the id of nothing.
    pub(super) fn id(&self, what: &str) -> Result<Uuid, Problem> {
        self.id
            .as_deref()
            .and_then(|id| id.parse().ok())
            .ok_or_else(|| Problem::unknown(what))
    }

    /// The query, to be read.
    pub(super) fn query(&self) -> Query {
        Query::new(&self.query)
    }

    /// The body, to be read.
    pub(super) fn fields(
        &self,
        described: &'static [Field],
        mode: Mode,
    ) -> Result<Fields, Problem> {
        Fields::new(&self.body, described, mode)
    }

    /// The body of an operation that can do without one.
    pub(super) fn optional_fields(&self, described: &'static [Field]) -> Result<Fields, Problem> {
        if self.body.is_empty() {
            return Ok(Fields::of(serde_json::Map::new(), described, Mode::Create));
        }
        self.fields(described, Mode::Create)
    }

    /// What is set up now, as far as the caller may see it.
    pub(super) fn registry(&self) -> View {
        View::of(&self.caller, self.app.directory.snapshot())
    }

    /// Whose messages, callbacks and queues the caller may look up.
    pub(super) fn reach(&self) -> Reach {
        self.registry().reach(&self.caller)
    }

    /// Makes a change to a part of the set-up known, and gives the set-up with it.
    pub(super) async fn changed_part(&self, part: Part) -> Result<View, Problem> {
        self.app.refresh(part).await?;
        Ok(self.registry())
    }

    /// Makes a change to the set-up known, and gives the set-up with it.
    pub(super) async fn changed(&self) -> Result<View, Problem> {
        self.app.reload().await?;
        Ok(self.registry())
    }

    /// The refusal for a change that the database did not take. Where somebody else entered the same in between, looking
    /// for conflicts once more names the field and the holder.
    pub(super) async fn refused(
        &self,
        error: store::Error,
        conflicts: impl FnOnce(&View) -> Conflicts,
    ) -> Problem {
        if !error.is_refusal() {
            return error.into();
        }
        let found = match self.changed().await {
            Ok(registry) => conflicts(&registry),
            Err(problem) => return problem,
        };
        if found.is_empty() {
            return error.into();
        }
        let field_error = |(field, message): (&str, String)| FieldError {
            field: field.to_owned(),
            message,
        };
        Problem::fields(found.into_iter().map(field_error).collect())
    }
}
