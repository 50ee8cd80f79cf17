//! `waba/templates`: the catalogue of message templates, as Meta has it.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    caller::Caller,
    fields,
    operation::{Call, Described, Field, Operation, Outcome, Parameter, Purpose, Shape},
    page::Page,
    problem::Problem,
    rule::Rule,
    rules,
};
use crate::store::templates::{self, Filter, Template};

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

pub(super) const OBJECTS: &[Described] = &[Described {
    name: "Template",
    purpose: Purpose::Shown,
    description: "A message template in one language.",
    fields: FIELDS,
}];

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
        summary: "Show a template",
        ..Operation::get(ONE, TAG, "Template", Rule::Known, |call| {
            Box::pin(get(call))
        })
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
fn accounts(call: &Call) -> Vec<Uuid> {
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

async fn get(call: Call) -> Outcome {
    let id = call.id(WHAT)?;
    let found = templates::one(&call.app.store, id).await?;
    found
        .filter(|template| accounts(&call).contains(&template.account))
        .map(|template| show(&template))
        .ok_or_else(|| Problem::unknown(WHAT))
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
