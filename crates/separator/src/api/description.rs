//! The OpenAPI description, made from the tables of operations and objects.

use std::sync::LazyLock;

use serde_json::{Value, json};
use utoipa::openapi::{
    ComponentsBuilder, Content, ContentBuilder, HttpMethod, InfoBuilder, OneOfBuilder, OpenApi,
    OpenApiBuilder, Paths, Ref, RefOr, Required, ResponseBuilder,
    path::{OperationBuilder, ParameterBuilder, ParameterIn},
    request_body::{RequestBody, RequestBodyBuilder},
    schema::{
        AdditionalProperties, ArrayBuilder, KnownFormat, Object, ObjectBuilder, Schema,
        SchemaFormat, SchemaType, Type,
    },
    security::{
        ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
    },
    tag::Tag,
};

use super::{
    idempotency, objects,
    operation::{Access, Answers, Described, Field, Operation, Parameter, Purpose, Shape, Verb},
    operations,
    rule::Rule,
};
use crate::users::session;

/// Name of the security scheme of programs.
const KEY: &str = "key";

/// Name of the security scheme of browsers.
const SESSION: &str = "session";

/// The description as it is served.
pub(super) static JSON: LazyLock<String> = LazyLock::new(|| {
    // A tree of maps with text keys always becomes JSON.
    serde_json::to_string(&describe()).unwrap_or_default()
});

fn describe() -> OpenApi {
    let mut paths = Paths::new();
    for operation in operations() {
        paths.add_path_operation(
            operation.path,
            vec![method(operation.verb)],
            describe_operation(operation),
        );
    }
    let mut components = ComponentsBuilder::new()
        .schema("Problem", problem_schema())
        .security_scheme(
            KEY,
            SecurityScheme::Http(
                HttpBuilder::new()
                    .scheme(HttpAuthScheme::Bearer)
                    .description(Some(
                        "A key of the scope manage: separator key create --user E --scope manage",
                    ))
                    .build(),
            ),
        );
    components = components.security_scheme(
        SESSION,
        SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
            session::COOKIE,
            "The cookie of a browser that is signed in; changes are taken only from pages of Separator itself.",
        ))),
    );
    for object in objects() {
        for (name, schema) in schemas(object) {
            components = components.schema(name, schema);
        }
    }
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Separator")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(
                    "WhatsApp Business numbers in the Open Lines of Bitrix24. Names are in snake_case, times in RFC \
                     3339 and UTC. Secrets go in and never out. In a change, what is absent stays and null clears.",
                ))
                .build(),
        )
        .tags(Some(tags()))
        .paths(paths)
        .components(Some(components.build()))
        .security(Some([KEY, SESSION].map(|scheme| SecurityRequirement::new(scheme, Vec::<String>::new()))))
        .build()
}

/// The groups of operations in the order in which somebody meets them.
fn tags() -> Vec<Tag> {
    let mut names: Vec<&str> = Vec::new();
    for operation in operations() {
        if !names.contains(&operation.tag) {
            names.push(operation.tag);
        }
    }
    names.into_iter().map(Tag::new).collect()
}

fn method(verb: Verb) -> HttpMethod {
    match verb {
        Verb::Get => HttpMethod::Get,
        Verb::Post => HttpMethod::Post,
        Verb::Patch => HttpMethod::Patch,
        Verb::Delete => HttpMethod::Delete,
    }
}

/// A name for programs: the verb and the path, `get_waba_phones_id_messages`.
fn operation_id(operation: &Operation) -> String {
    let verb = format!("{:?}", operation.verb).to_lowercase();
    let words = operation
        .path
        .trim_start_matches("/api/v1/")
        .split('/')
        .map(|word| word.trim_matches(['{', '}']))
        .collect::<Vec<_>>();
    format!("{verb}_{}", words.join("_"))
}

fn describe_operation(operation: &Operation) -> utoipa::openapi::path::Operation {
    let mut described = OperationBuilder::new()
        .tag(operation.tag)
        .summary(Some(operation.summary))
        .operation_id(Some(operation_id(operation)));
    let rule = operation.rule.words();
    described = described.description(Some(match operation.description {
        "" => rule.to_owned(),
        text => format!("{text} {rule}"),
    }));
    if operation.path.contains("{id}") {
        described = described.parameter(
            ParameterBuilder::new()
                .name("id")
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .description(Some("Our id of it."))
                .schema(Some(shape_schema(Shape::Id))),
        );
    }
    let paging: &[Parameter] = match operation.answers {
        Answers::Page(_) => &[
            Parameter {
                name: "limit",
                shape: Shape::Whole,
                description: "Items of a page, 1 to 200; 50 otherwise.",
            },
            Parameter {
                name: "cursor",
                shape: Shape::Text,
                description: "The next_cursor of the page before.",
            },
        ],
        Answers::One(_) | Answers::Nothing => &[],
    };
    for parameter in operation.query.iter().chain(paging) {
        described = described.parameter(
            ParameterBuilder::new()
                .name(parameter.name)
                .parameter_in(ParameterIn::Query)
                .required(Required::False)
                .description(Some(parameter.description))
                .schema(Some(shape_schema(parameter.shape))),
        );
    }
    if operation.rule == Rule::Anybody {
        described = described.securities(Some([SecurityRequirement::default()]));
    }
    if operation.verb == Verb::Post && operation.rule != Rule::Anybody {
        described = described.parameter(
            ParameterBuilder::new()
                .name(idempotency::HEADER)
                .parameter_in(ParameterIn::Header)
                .required(Required::False)
                .description(Some(
                    "1 to 255 characters. The same request with the same key has one effect; its answer is repeated \
                     with the header Idempotency-Replayed: true, for at least 24 hours.",
                ))
                .schema(Some(shape_schema(Shape::Text))),
        );
    }
    if let Some(body) = operation.body {
        described = described.request_body(Some(request_body(body)));
    }
    described = described.response(operation.status.as_u16().to_string(), answer(operation));
    for status in refusals(operation) {
        described = described.response(
            status.to_string(),
            ResponseBuilder::new().description(refusal(status)).content(
                "application/problem+json",
                content(Ref::from_schema_name("Problem")),
            ),
        );
    }
    described.build()
}

fn request_body(name: &str) -> RequestBody {
    RequestBodyBuilder::new()
        .required(Some(Required::True))
        .content("application/json", content(Ref::from_schema_name(name)))
        .build()
}

fn content(schema: impl Into<RefOr<Schema>>) -> Content {
    ContentBuilder::new().schema(Some(schema)).build()
}

fn answer(operation: &Operation) -> ResponseBuilder {
    let response = ResponseBuilder::new().description(match operation.status.as_u16() {
        201 => "Made; Location says where it is found.",
        202 => "Queued; Location says where it is found.",
        204 => "Removed.",
        _ => "As asked.",
    });
    match operation.answers {
        Answers::Nothing => response,
        Answers::One(name) => {
            response.content("application/json", content(Ref::from_schema_name(name)))
        }
        Answers::Page(name) => {
            let page = ObjectBuilder::new()
                .property(
                    "items",
                    ArrayBuilder::new().items(Ref::from_schema_name(name)),
                )
                .property(
                    "next_cursor",
                    ObjectBuilder::new()
                        .schema_type(nullable(Type::String))
                        .description(Some("For the next page; null where this is the last.")),
                )
                .required("items")
                .required("next_cursor");
            response.content("application/json", content(page))
        }
    }
}

/// All statuses with which an operation may refuse.
fn refusals(operation: &Operation) -> Vec<u16> {
    let mut statuses = vec![401, 403, 413, 503];
    let post = operation.verb == Verb::Post;
    if operation.path.contains("{id}") {
        statuses.push(404);
    }
    if operation.body.is_some() || post {
        statuses.push(400);
    }
    let query = !operation.query.is_empty() || matches!(operation.answers, Answers::Page(_));
    if operation.body.is_some() || post || query {
        statuses.push(422);
    }
    if operation.body.is_some() || post {
        statuses.push(409);
    }
    statuses.extend(operation.refusals);
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

fn refusal(status: u16) -> &'static str {
    match status {
        400 => "The body is not JSON, or the Idempotency-Key is not usable.",
        401 => "No key, or a wrong one.",
        403 => "The key is for something else, or the caller may not do this.",
        404 => "There is nothing with this id.",
        409 => {
            "It is in use, changed at the same time, or the first request with this Idempotency-Key is in progress."
        }
        410 => "The link does not open anything any more.",
        413 => "The body is too large.",
        422 => {
            "Fields are wrong, each with its name; or the Idempotency-Key was used for a different request."
        }
        429 => "Too many tries; Retry-After says when the next one is taken.",
        502 => "Meta refused or did not answer.",
        503 => "The database is not available.",
        _ => "Refused.",
    }
}

fn problem_schema() -> Object {
    let text = |description: &str| {
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .description(Some(description))
    };
    let error = ObjectBuilder::new()
        .property("field", text("Path of the field, such as media.link."))
        .property("message", text("What is wrong with it."))
        .required("field")
        .required("message");
    ObjectBuilder::new()
        .description(Some("A refusal with its reason (RFC 9457)."))
        .property("type", text("about:blank."))
        .property("title", text("The status in words."))
        .property(
            "status",
            ObjectBuilder::new().schema_type(SchemaType::Type(Type::Integer)),
        )
        .property("detail", text("One sentence for people."))
        .property("errors", ArrayBuilder::new().items(error))
        .required("type")
        .required("title")
        .required("status")
        .required("detail")
        .required("errors")
        .examples([json!({
            "type": "about:blank",
            "title": "Unprocessable Entity",
            "status": 422,
            "detail": "phone must be digits with the country code, such as 4915755501234",
            "errors": [{
                "field": "phone",
                "message": "must be digits with the country code, such as 4915755501234",
            }],
        })])
        .build()
}

/// The schemas of an object: as it is shown and, for resources that are written, as it is made and changed.
fn schemas(object: &Described) -> Vec<(String, Object)> {
    let shown = |field: &Field| !matches!(field.access, Access::Secret | Access::RequiredSecret);
    let written = |field: &Field| !matches!(field.access, Access::Read | Access::ReadNullable);
    let must = |field: &Field| matches!(field.access, Access::Required | Access::RequiredSecret);
    let may_be_null = |field: &Field| {
        matches!(
            field.access,
            Access::Optional | Access::Secret | Access::Defaulted
        )
    };

    let select = |keep: &dyn Fn(&Field) -> bool| {
        object
            .fields
            .iter()
            .filter(|field| keep(field))
            .collect::<Vec<_>>()
    };
    let sent = || {
        object_schema(object, &select(&written), &must, &may_be_null)
            .additional_properties(Some(closed()))
    };
    let mut schemas = Vec::new();
    if object.purpose == Purpose::Sent {
        return vec![(object.name.to_owned(), sent().build())];
    }
    let null_where_shown =
        |field: &Field| matches!(field.access, Access::Optional | Access::ReadNullable);
    let as_shown = object_schema(object, &select(&shown), &|_| true, &null_where_shown);
    schemas.push((object.name.to_owned(), as_shown.build()));
    if object.purpose == Purpose::Resource {
        if object.fields.iter().any(must) {
            schemas.push((format!("New{}", object.name), sent().build()));
        }
        let change = object_schema(object, &select(&written), &|_| false, &may_be_null);
        schemas.push((
            format!("{}Change", object.name),
            change.additional_properties(Some(closed())).build(),
        ));
    }
    schemas
}

/// Unknown fields are refused.
fn closed() -> AdditionalProperties<Schema> {
    AdditionalProperties::FreeForm(false)
}

fn object_schema(
    object: &Described,
    fields: &[&Field],
    required: &dyn Fn(&Field) -> bool,
    may_be_null: &dyn Fn(&Field) -> bool,
) -> ObjectBuilder {
    let mut schema = ObjectBuilder::new().description(Some(object.description));
    for field in fields {
        schema = schema.property(field.name, field_schema(field, may_be_null(field)));
        if required(field) {
            schema = schema.required(field.name);
        }
    }
    schema
}

fn field_schema(field: &Field, null: bool) -> RefOr<Schema> {
    let description = Some(field.description);
    match field.shape {
        Shape::Object(name) if null => OneOfBuilder::new()
            .item(Ref::from_schema_name(name))
            .item(ObjectBuilder::new().schema_type(SchemaType::Type(Type::Null)))
            .description(description)
            .into(),
        Shape::Object(name) => Ref::builder()
            .ref_location_from_schema_name(name)
            .description(description)
            .build()
            .into(),
        Shape::List(name) => {
            let mut list = ArrayBuilder::new()
                .items(Ref::from_schema_name(name))
                .description(description);
            if null {
                list = list.schema_type(nullable(Type::Array));
            }
            list.into()
        }
        Shape::Texts => {
            let mut list = ArrayBuilder::new()
                .items(ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)))
                .description(description);
            if null {
                list = list.schema_type(nullable(Type::Array));
            }
            list.into()
        }
        shape => {
            let mut schema = plain(shape, null).description(description);
            if !field.example.is_empty() {
                schema = schema.examples([example(field)]);
            }
            schema.into()
        }
    }
}

/// The example in its own type.
fn example(field: &Field) -> Value {
    let text = || Value::String(field.example.to_owned());
    match field.shape {
        Shape::Whole | Shape::Number | Shape::Boolean | Shape::Anything => {
            serde_json::from_str(field.example).unwrap_or_else(|_| text())
        }
        _ => text(),
    }
}

fn shape_schema(shape: Shape) -> RefOr<Schema> {
    plain(shape, false).into()
}

/// A schema without parts of its own.
fn plain(shape: Shape, null: bool) -> ObjectBuilder {
    let typed = |kind: Type| {
        let kind = if null {
            nullable(kind)
        } else {
            SchemaType::Type(kind)
        };
        ObjectBuilder::new().schema_type(kind)
    };
    match shape {
        Shape::Id => typed(Type::String).format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid))),
        Shape::Time => {
            typed(Type::String).format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        }
        Shape::Address => typed(Type::String).format(Some(SchemaFormat::Custom("uri".to_owned()))),
        Shape::Text => typed(Type::String),
        Shape::Whole => typed(Type::Integer),
        Shape::Number => typed(Type::Number),
        Shape::Boolean => typed(Type::Boolean),
        Shape::OneOf(words) => {
            let words = words
                .iter()
                .map(|word| json!(word))
                .chain(null.then_some(Value::Null));
            typed(Type::String).enum_values(Some(words))
        }
        Shape::Anything | Shape::Object(_) | Shape::List(_) | Shape::Texts => {
            ObjectBuilder::new().schema_type(SchemaType::AnyValue)
        }
    }
}

fn nullable(kind: Type) -> SchemaType {
    SchemaType::from_iter([kind, Type::Null])
}

/// Fails a test unless what is shown has exactly the described fields, and null only where the description allows it.
#[cfg(test)]
pub(super) fn assert_described(name: &str, shown: &Value) {
    use std::collections::BTreeSet;

    let Some(object) = objects().find(|object| object.name == name) else {
        panic!("{name} is not described");
    };
    let described: BTreeSet<&str> = object
        .fields
        .iter()
        .filter(|field| !matches!(field.access, Access::Secret | Access::RequiredSecret))
        .map(|field| field.name)
        .collect();
    let present: BTreeSet<&str> = shown
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(described, present, "{name}");
    for field in object.fields {
        let may_be_null = matches!(field.access, Access::Optional | Access::ReadNullable)
            || matches!(field.access, Access::Secret | Access::RequiredSecret);
        assert!(
            may_be_null || !shown[field.name].is_null(),
            "{name}.{} is null",
            field.name
        );
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn description() -> Value {
        serde_json::from_str(&JSON).unwrap()
    }

    /// All `$ref` below a value.
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => {
                if let Some(name) = object.get("$ref").and_then(Value::as_str) {
                    found.insert(
                        name.strip_prefix("#/components/schemas/")
                            .unwrap()
                            .to_owned(),
                    );
                }
                object.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn it_is_openapi_3_1() {
        let description = description();
        assert_eq!(description["openapi"], "3.1.0");
        assert_eq!(
            description["security"],
            json!([{ "key": [] }, { "session": [] }])
        );
        assert_eq!(
            description["components"]["securitySchemes"]["key"]["scheme"],
            "bearer"
        );
    }

    #[test]
    fn every_operation_is_described_and_no_other() {
        let description = description();
        let mut described = BTreeSet::new();
        for (path, item) in description["paths"].as_object().unwrap() {
            for verb in item.as_object().unwrap().keys() {
                described.insert((verb.clone(), path.clone()));
            }
        }
        let served: Vec<(String, String)> = operations()
            .map(|operation| {
                (
                    format!("{:?}", operation.verb).to_lowercase(),
                    operation.path.to_owned(),
                )
            })
            .collect();
        assert_eq!(
            served.len(),
            served.iter().collect::<BTreeSet<_>>().len(),
            "an operation is there twice"
        );
        assert_eq!(described, served.into_iter().collect());
    }

    #[test]
    fn every_resource_of_the_contract_is_there() {
        let paths: BTreeSet<&str> = operations().map(|operation| operation.path).collect();
        for path in [
            "sites",
            "waba/apps",
            "waba/accounts",
            "waba/phones",
            "bitrix/apps",
            "bitrix/instances",
            "messages",
            "events",
            "queue",
            "alarms",
            "waba/phones/{id}/messages",
            "waba/phones/{id}/conversations",
            "waba/accounts/{id}/sync",
            "messages/{id}/retry",
            "messages/retry",
            "queue/dead_letters/{id}/replay",
        ] {
            assert!(paths.contains(format!("/api/v1/{path}").as_str()), "{path}");
        }
    }

    #[test]
    fn names_of_operations_differ() {
        let mut names = BTreeMap::new();
        for operation in operations() {
            let other = names.insert(operation_id(operation), operation.path);
            assert_eq!(other, None, "{}", operation_id(operation));
        }
    }

    #[test]
    fn every_object_that_is_named_is_described_and_the_other_way_round() {
        let description = description();
        let mut named = BTreeSet::new();
        references(&description, &mut named);
        let described: BTreeSet<String> = description["components"]["schemas"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        assert_eq!(named, described);
    }

    #[test]
    fn every_operation_says_how_it_ends_well_and_badly() {
        for (path, item) in description()["paths"].as_object().unwrap() {
            for (verb, operation) in item.as_object().unwrap() {
                let statuses: Vec<&String> =
                    operation["responses"].as_object().unwrap().keys().collect();
                assert!(
                    statuses.iter().any(|status| status.starts_with('2')),
                    "{verb} {path}"
                );
                for needed in ["401", "403", "503"] {
                    assert!(
                        statuses.iter().any(|status| *status == needed),
                        "{verb} {path} {needed}"
                    );
                }
                // Cards and chats of a portal are not ours: they may be gone without an id of ours in the path.
                let may_be_gone = statuses.iter().any(|status| *status == "404");
                assert!(
                    path.contains("{id}") == may_be_gone || path.contains("/frames/"),
                    "{verb} {path}"
                );
                for words in ["summary", "operationId"] {
                    assert!(
                        operation[words]
                            .as_str()
                            .is_some_and(|text| !text.is_empty()),
                        "{verb} {path} {words}"
                    );
                }
            }
        }
    }

    #[test]
    fn secrets_are_taken_and_never_shown() {
        let schemas = &description()["components"]["schemas"];
        let mut secrets = 0;
        for (name, schema) in schemas.as_object().unwrap() {
            for field in ["client_secret", "access_token"] {
                if schema["properties"].get(field).is_some() {
                    let sent = objects()
                        .any(|object| object.name == name && object.purpose == Purpose::Sent);
                    assert!(
                        sent || name.starts_with("New") || name.ends_with("Change"),
                        "{name} shows {field}"
                    );
                    secrets += 1;
                }
            }
        }
        assert_eq!(
            secrets, 10,
            "two of an application of Meta's, one of an account, one of a Bitrix24 application, each new and changed; \
             one to be looked at, one to connect with"
        );
    }

    #[test]
    fn what_is_made_needs_what_is_required() {
        let schemas = &description()["components"]["schemas"];
        assert_eq!(
            schemas["NewPhone"]["required"],
            json!(["account", "phone", "phone_id"])
        );
        assert_eq!(schemas["NewPhone"]["additionalProperties"], json!(false));
        assert_eq!(schemas["PhoneChange"].get("required"), None);
        assert_eq!(
            schemas["PhoneChange"]["properties"]["instance"]["type"],
            json!(["string", "null"])
        );
        assert!(
            schemas.get("NewInstance").is_none(),
            "instances are made by installing"
        );
        assert_eq!(
            schemas["InstanceChange"]["properties"]
                .as_object()
                .unwrap()
                .len(),
            2
        );
    }
}
