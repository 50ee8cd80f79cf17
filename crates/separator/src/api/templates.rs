//! `waba/templates`: the catalogue of message templates, as Meta has it.

use axum::http::StatusCode;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use uuid::Uuid;
use whatsapp::client::NewTemplate;

use super::{
    caller::Caller,
    fields::{self, Fields, Mode},
    operation::{Call, Described, Field, Operation, Outcome, Parameter, Purpose, Shape},
    page::Page,
    problem::Problem,
    rule::Rule,
    rules,
};
use crate::{
    account::templates::{self as writing, NotWritten},
    store::templates::{self, Filter, Template},
    translate::template::limits,
};

const PATH: &str = "/api/v1/waba/templates";
const ONE: &str = "/api/v1/waba/templates/{id}";
const TAG: &str = "Templates";

/// What problems call it.
const WHAT: &str = "template";

const FIELDS: &[Field] = &[
    Field::id(),
    Field::read(
        "account",
        Shape::Id,
        "The account that has it.",
        "0199f1c2-4444-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::read(
        "template_id",
        Shape::Text,
        "Meta's id of it.",
        "1689556908129832",
    ),
    Field::read("name", Shape::Text, "Its name.", "order_ready"),
    Field::read("language", Shape::Text, "Its language code.", "en_US"),
    Field::read(
        "category",
        Shape::Text,
        "UTILITY, MARKETING or AUTHENTICATION.",
        "UTILITY",
    ),
    Field::nullable(
        "announced_category",
        Shape::Text,
        "The category that Meta has announced to move it to.",
        "",
    ),
    Field::read(
        "status",
        Shape::Text,
        "APPROVED can be sent. Others: PENDING, REJECTED, PAUSED, DISABLED, IN_APPEAL, PENDING_DELETION, DELETED, \
         LIMIT_EXCEEDED, ARCHIVED, LOCKED.",
        "APPROVED",
    ),
    Field::read(
        "parameter_format",
        Shape::Text,
        "POSITIONAL or NAMED.",
        "POSITIONAL",
    ),
    Field::read(
        "components",
        Shape::Anything,
        "Header, body, footer and buttons, as Meta describes them.",
        "[{\"type\": \"BODY\", \"text\": \"Hello {{1}}\"}]",
    ),
    Field::read(
        "quality",
        Shape::Text,
        "GREEN, YELLOW, RED or UNKNOWN.",
        "GREEN",
    ),
    Field::nullable(
        "reason",
        Shape::Text,
        "Why it was rejected or paused, in Meta's words.",
        "",
    ),
    Field::read(
        "updated_at",
        Shape::Time,
        "When it was fetched, or a callback told something about it.",
        "2026-11-23T04:47:32.010Z",
    ),
];

const FORMATS: &[&str] = &["POSITIONAL", "NAMED"];
const CATEGORIES: &[&str] = &["UTILITY", "MARKETING", "AUTHENTICATION"];

const COMPONENTS: Field = Field::required(
    "components",
    Shape::Anything,
    "Header, body, footer and buttons as Meta describes them, with samples. An address in a header's \
     example.header_handle is fetched and brought to Meta.",
    "[{\"type\": \"BODY\", \"text\": \"Welcome to our shop.\"}]",
);

const CATEGORY: Field = Field::required(
    "category",
    Shape::OneOf(CATEGORIES),
    "What it is for. Meta may move it to another category.",
    "UTILITY",
);

const NEW_FIELDS: &[Field] = &[
    Field::required(
        "account",
        Shape::Id,
        "The account that is to have it.",
        "0199f1c2-4444-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::required(
        "name",
        Shape::Text,
        "Its name: lower-case letters, digits and underscores.",
        "order_ready",
    ),
    Field::required("language", Shape::Text, "Its language code.", "en_US"),
    CATEGORY,
    Field::optional(
        "parameter_format",
        Shape::OneOf(FORMATS),
        "Whether its variables have numbers or names; POSITIONAL where none is given.",
        "POSITIONAL",
    ),
    COMPONENTS,
];

const CHANGE_FIELDS: &[Field] = &[
    Field::optional("category", CATEGORY.shape, CATEGORY.description, "UTILITY"),
    Field::optional(
        "components",
        COMPONENTS.shape,
        COMPONENTS.description,
        COMPONENTS.example,
    ),
];

const FILE_FORMATS: &[&str] = &["IMAGE", "VIDEO", "GIF", "DOCUMENT"];

const SAMPLE_FIELDS: &[Field] = &[
    Field::required(
        "account",
        Shape::Id,
        "The account whose template is to have it.",
        "0199f1c2-4444-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::required(
        "format",
        Shape::OneOf(FILE_FORMATS),
        "The format of the header that it is for.",
        "IMAGE",
    ),
    Field::required("name", Shape::Text, "The file's name.", "shop.png"),
    Field::required(
        "content",
        Shape::Text,
        "The file in base64: JPEG or PNG of at most 5 MB, MP4 or PDF of at most 16 MB.",
        "iVBORw0KGgo=",
    ),
];

pub(super) const OBJECTS: &[Described] = &[
    Described {
        name: "NewTemplateSample",
        purpose: Purpose::Sent,
        description: "A file for Meta's reviewers: the sample of a template's header.",
        fields: SAMPLE_FIELDS,
    },
    Described {
        name: "TemplateSample",
        purpose: Purpose::Shown,
        description: "What Meta calls a sample that it has.",
        fields: &[Field::read(
            "handle",
            Shape::Text,
            "Belongs into the header's example.header_handle.",
            "4::aW1hZ2UvcG5n:ARb",
        )],
    },
    Described {
        name: "Template",
        purpose: Purpose::Shown,
        description: "A message template in one language.",
        fields: FIELDS,
    },
    Described {
        name: "NewTemplate",
        purpose: Purpose::Sent,
        description: "A template that is to be made.",
        fields: NEW_FIELDS,
    },
    Described {
        name: "TemplateChange",
        purpose: Purpose::Sent,
        description: "What is to be another of a template.",
        fields: CHANGE_FIELDS,
    },
];

/// The largest sample in base64, and room for the other fields.
#[expect(clippy::cast_possible_truncation, reason = "16 MB")]
const SAMPLE_BODY: usize = writing::SAMPLE_LIMIT as usize / 3 * 4 + 8 * 1024;

const QUERY: &[Parameter] = &[
    Parameter {
        name: "account",
        shape: Shape::Id,
        description: "Of this account.",
    },
    Parameter {
        name: "status",
        shape: Shape::Text,
        description: "With this status.",
    },
    Parameter {
        name: "language",
        shape: Shape::Text,
        description: "In this language.",
    },
    Parameter {
        name: "category",
        shape: Shape::Text,
        description: "Of this category.",
    },
    Parameter {
        name: "q",
        shape: Shape::Text,
        description: "With this in the name or the text.",
    },
];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        summary: "List templates",
        description: "The templates of all accounts, or in a portal of the accounts of its numbers. They are fetched when an \
                      account is connected, on demand (sync) and daily, and callbacks keep them true in between.",
        query: QUERY,
        ..Operation::list(PATH, TAG, "Template", Rule::Known, |call| {
            Box::pin(list(call))
        })
    },
    Operation {
        summary: "Make a template",
        description: "It goes to Meta, whose review takes minutes to a day; a callback tells its end. What Meta refuses is \
                      told at its field.",
        refusals: &[409, 502],
        ..Operation::create(PATH, TAG, "NewTemplate", "Template", Rule::Users, |call| {
            Box::pin(create(call))
        })
    },
    Operation {
        summary: "Bring the sample of a header to Meta",
        description: "The handle that comes back belongs into the header's example.header_handle. What Meta does not take as a \
                      sample is told at the field.",
        body: Some("NewTemplateSample"),
        body_limit: SAMPLE_BODY,
        // Nothing changes here, and the file itself is nothing to write down.
        records_itself: true,
        refusals: &[502],
        ..Operation::act(
            "/api/v1/waba/templates/samples",
            TAG,
            "TemplateSample",
            Rule::Users,
            |call| Box::pin(sample(call)),
        )
    },
    Operation {
        summary: "Show a template",
        ..Operation::get(ONE, TAG, "Template", Rule::Known, |call| {
            Box::pin(get(call))
        })
    },
    Operation {
        summary: "Change a template",
        description: "Meta reviews it again, and it cannot be sent meanwhile. Meta takes changes to approved, rejected and \
                      paused templates; to an approved one once a day, ten times in 30 days.",
        refusals: &[409, 502],
        ..Operation::change(
            ONE,
            TAG,
            "TemplateChange",
            "Template",
            Rule::Users,
            |call| Box::pin(change(call)),
        )
    },
    Operation {
        summary: "Delete a template",
        description: "In its language, at Meta. Its name cannot be used again for 30 days.",
        refusals: &[409, 502],
        ..Operation::delete(ONE, TAG, Rule::Users, |call| Box::pin(delete(call)))
    },
];

fn show(template: &Template) -> Value {
    json!({
        "id": template.id,
        "account": template.account,
        "template_id": template.template_id,
        "name": template.name,
        "language": template.language,
        "category": template.category,
        "announced_category": template.announced_category,
        "status": template.status,
        "parameter_format": template.parameter_format,
        "components": template.components,
        "quality": template.quality,
        "reason": template.reason,
        "updated_at": template.updated_at,
    })
}

/// The accounts whose templates the caller may see.
pub(super) fn accounts(call: &Call) -> Vec<Uuid> {
    let registry = call.registry();
    let mut accounts: Vec<Uuid> = match &call.caller {
        Caller::Nobody => Vec::new(),
        Caller::User(_) => registry.accounts.keys().copied().collect(),
        Caller::Portal(person) => registry
            .phones_of(person.instance)
            .map(|phone| phone.account_id)
            .collect(),
    };
    accounts.sort_unstable();
    accounts.dedup();
    accounts
}

async fn list(call: Call) -> Outcome {
    let mut query = call.query();
    let page = Page::read(&mut query);
    let account = query.optional("account", fields::id);
    let filter = Filter {
        accounts: accounts(&call)
            .into_iter()
            .filter(|id| account.is_none_or(|account| account == *id))
            .collect(),
        status: query.optional("status", rules::text(40)),
        language: query.optional("language", rules::language),
        category: query.optional("category", rules::text(40)),
        text: query.optional("q", rules::text(200)),
    };
    query.finish()?;
    let rows = templates::list(&call.app.store, &filter, page.window()).await?;
    Ok(page.of_rows(rows, |template| template.id, show))
}

async fn found(call: &Call) -> Result<Template, Problem> {
    let id = call.id(WHAT)?;
    let found = templates::one(&call.app.store, id).await?;
    found
        .filter(|template| accounts(call).contains(&template.account))
        .ok_or_else(|| Problem::unknown(WHAT))
}

async fn get(call: Call) -> Outcome {
    found(&call).await.map(|template| show(&template))
}

fn components(value: &Value) -> Result<Value, String> {
    if value.is_array() {
        Ok(value.clone())
    } else {
        Err(format!("must be a list, not {}", fields::kind(value)))
    }
}

/// Notes at its place what Meta would refuse.
fn check(fields: &mut Fields, components: &Value, category: &str, format: &str) {
    for fault in limits::faults(components, category, format == "NAMED") {
        fields.error(&field_of(fault.place), fault.message);
    }
}

fn field_of(place: &str) -> String {
    if place.is_empty() {
        "components".to_owned()
    } else {
        format!("components.{place}")
    }
}

async fn create(call: Call) -> Outcome {
    let mut fields = call.fields(NEW_FIELDS, Mode::Create)?;
    let account = fields.required("account", fields::id);
    let name = fields.required("name", rules::template_name);
    let language = fields.required("language", rules::language);
    let category = fields.required("category", rules::choice(CATEGORIES));
    let format = fields
        .optional("parameter_format", rules::choice(FORMATS))
        .flatten()
        .unwrap_or_else(|| "POSITIONAL".to_owned());
    let components = fields.required("components", components);
    if account.is_some_and(|account| !accounts(&call).contains(&account)) {
        fields.error("account", "does not exist");
    }
    if let (Some(components), Some(category)) = (&components, &category) {
        check(&mut fields, components, category, &format);
    }
    let (Some(account), Some(name), Some(language), Some(category), Some(components)) =
        (account, name, language, category, components)
    else {
        return Err(fields.incomplete());
    };
    fields.finish()?;
    let new = NewTemplate {
        name,
        language,
        category,
        parameter_format: format,
        components,
    };
    let id = writing::create(&call.app, account, new)
        .await
        .map_err(refused)?;
    let made = templates::one(&call.app.store, id).await?;
    made.map(|template| show(&template))
        .ok_or_else(|| Problem::unknown(WHAT))
}

fn base64(value: &Value) -> Result<Vec<u8>, String> {
    let text = value
        .as_str()
        .ok_or_else(|| format!("must be text, not {}", fields::kind(value)))?;
    let bytes = BASE64_STANDARD
        .decode(text)
        .map_err(|_| "must be the file in base64".to_owned())?;
    if bytes.is_empty() {
        return Err("is an empty file: choose another one".to_owned());
    }
    Ok(bytes)
}

async fn sample(call: Call) -> Outcome {
    let mut fields = call.fields(SAMPLE_FIELDS, Mode::Create)?;
    let account = fields.required("account", fields::id);
    let format = fields.required("format", rules::choice(FILE_FORMATS));
    let name = fields.required("name", rules::text(240));
    let content = fields.required("content", base64);
    if account.is_some_and(|account| !accounts(&call).contains(&account)) {
        fields.error("account", "does not exist");
    }
    let (Some(account), Some(format), Some(name), Some(content)) = (account, format, name, content)
    else {
        return Err(fields.incomplete());
    };
    fields.finish()?;
    let handle = writing::hand_over_sample(&call.app, account, content, &name, &format)
        .await
        .map_err(refused)?;
    Ok(json!({ "handle": handle }))
}

async fn change(call: Call) -> Outcome {
    let before = found(&call).await?;
    let mut fields = call.fields(CHANGE_FIELDS, Mode::Change)?;
    let category = fields
        .optional("category", rules::choice(CATEGORIES))
        .flatten()
        .filter(|category| *category != before.category);
    let components = fields.optional("components", components).flatten();
    if let Some(components) = &components {
        let category = category.as_deref().unwrap_or(&before.category);
        check(&mut fields, components, category, &before.parameter_format);
    }
    if category.is_some() && before.status == "APPROVED" {
        fields.error(
            "category",
            "of an approved template cannot be changed; make another one",
        );
    }
    fields.finish()?;
    if !matches!(before.status.as_str(), "APPROVED" | "REJECTED" | "PAUSED") {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            format!(
                "the template is {}; Meta takes changes only while it is APPROVED, REJECTED or PAUSED",
                before.status
            ),
        ));
    }
    if category.is_some() || components.is_some() {
        writing::edit(&call.app, &before, category, components)
            .await
            .map_err(refused)?;
    }
    get(call).await
}

async fn delete(call: Call) -> Outcome {
    let template = found(&call).await?;
    if template.status == "DISABLED" {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "Meta has disabled the template, and does not let disabled ones be deleted",
        ));
    }
    writing::delete(&call.app, &template)
        .await
        .map_err(refused)?;
    Ok(Value::Null)
}

/// The field that an error of Meta about a template belongs to, by its subcode; see Meta, "Error codes".
fn field_of_error(subcode: Option<i64>) -> Option<&'static str> {
    Some(match subcode? {
        2_388_023 | 2_388_024 => "name",
        2_388_019 => "account",
        2_388_047 => "components.header",
        2_388_072 | 2_388_293 | 2_388_299 => "components.body",
        2_388_073 => "components.footer",
        2_388_039 | 2_388_040 => "components",
        _ => return None,
    })
}

fn refused(error: NotWritten) -> Problem {
    match error {
        NotWritten::UnknownAccount => Problem::unknown(WHAT),
        NotWritten::NoToken => Problem::field("account", error.to_string()),
        NotWritten::Sample(why) => Problem::field("components.header", why),
        NotWritten::Store(error) => error.into(),
        NotWritten::Meta(whatsapp::Error::Api(api)) => {
            let said = [&api.user_message, &api.details]
                .into_iter()
                .flatten()
                .next()
                .unwrap_or(&api.message);
            let code = api.subcode.or(api.code).unwrap_or_default();
            let words = format!("is not taken by Meta: {said} ({code})");
            match field_of_error(api.subcode) {
                Some(field) => Problem::field(field, words),
                None if api.code == Some(100) => Problem::field("components", words),
                None => Problem::new(
                    StatusCode::BAD_GATEWAY,
                    format!("Meta did not take it: {said} ({code})"),
                ),
            }
        }
        NotWritten::Meta(error) => Problem::new(
            StatusCode::BAD_GATEWAY,
            format!("Meta did not take it: {error}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Millis;

    #[test]
    fn what_is_shown_is_what_is_described() {
        let template = Template {
            id: Uuid::nil(),
            account: Uuid::nil(),
            template_id: "1".to_owned(),
            name: "a".to_owned(),
            language: "en".to_owned(),
            status: "APPROVED".to_owned(),
            category: "UTILITY".to_owned(),
            announced_category: None,
            parameter_format: "NAMED".to_owned(),
            components: json!([]),
            quality: "GREEN".to_owned(),
            reason: None,
            updated_at: Millis(0),
        };
        crate::api::description::assert_described("Template", &show(&template));
    }
}
