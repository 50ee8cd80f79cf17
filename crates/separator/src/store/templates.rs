//! The catalogue of message templates.

use std::collections::HashSet;

use serde_json::Value;
use uuid::Uuid;
use whatsapp::webhook::{TemplateNews, management::TemplateChange};

use super::{
    Cell, Error, Row, Store, Transaction,
    browse::{Conditions, Window},
};
use crate::{identifiers::Ids, time::Millis};

/// A template in one language.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// Our id.
    pub id: Uuid,
    /// The account that has it.
    pub account: Uuid,
    /// Meta's id of it.
    pub template_id: String,
    /// Name.
    pub name: String,
    /// Language code.
    pub language: String,
    /// `APPROVED` and nothing else can be sent.
    pub status: String,
    /// `UTILITY`, `MARKETING` or `AUTHENTICATION`.
    pub category: String,
    /// The category that Meta has announced to move it to.
    pub announced_category: Option<String>,
    /// `POSITIONAL` or `NAMED`.
    pub parameter_format: String,
    /// Header, body, footer and buttons, as Meta describes them.
    pub components: Value,
    /// `GREEN`, `YELLOW`, `RED` or `UNKNOWN`.
    pub quality: String,
    /// Why it is not approved, or was paused.
    pub reason: Option<String>,
    /// When anything about it changed here.
    pub updated_at: Millis,
}

const COLUMNS: &str = "id, account_id, template_id, name, language, status, category, announced_category, \
                       parameter_format, components, quality, reason, updated_at";

fn read(row: &Row) -> Result<Template, Error> {
    Ok(Template {
        id: row.id("id")?,
        account: row.id("account_id")?,
        template_id: row.text("template_id")?,
        name: row.text("name")?,
        language: row.text("language")?,
        status: row.text("status")?,
        category: row.text("category")?,
        announced_category: row.maybe_text("announced_category")?,
        parameter_format: row.text("parameter_format")?,
        components: serde_json::from_str(&row.text("components")?).map_err(|error| {
            Error::Inconsistent {
                table: "waba_templates",
                column: "components",
                why: error.to_string(),
            }
        })?,
        quality: row.text("quality")?,
        reason: row.maybe_text("reason")?,
        updated_at: Millis(row.number("updated_at")?),
    })
}

/// What is looked for in the catalogue; text as Meta writes it.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of these accounts only.
    pub accounts: Vec<Uuid>,
    /// With this status.
    pub status: Option<String>,
    /// In this language.
    pub language: Option<String>,
    /// Of this category.
    pub category: Option<String>,
    /// With this in the name or the components, whatever the case.
    pub text: Option<String>,
}

/// A part of the catalogue.
pub async fn list(store: &Store, filter: &Filter, window: Window) -> Result<Vec<Template>, Error> {
    let mut conditions = Conditions::default();
    conditions.among(
        "account_id",
        filter.accounts.iter().map(|id| Cell::from(*id)),
    );
    conditions.equal("status", filter.status.as_ref());
    conditions.equal("language", filter.language.as_ref());
    conditions.equal("category", filter.category.as_ref());
    if let Some(text) = &filter.text {
        conditions.contains(&["name", "components"], text);
    }
    let select = format!("SELECT {COLUMNS} FROM waba_templates");
    let (sql, cells) = conditions.page(&select, "id", window);
    store.fetch(&sql, &cells).await?.iter().map(read).collect()
}

/// One template.
pub async fn one(store: &Store, id: Uuid) -> Result<Option<Template>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM waba_templates WHERE id = $1");
    let row = store.fetch_optional(&sql, &[id.into()]).await?;
    row.as_ref().map(read).transpose()
}

/// Takes over what Meta lists for an account, asked at a moment. What a callback told later stays as the callback told it;
/// what is not listed goes.
pub async fn replace(
    store: &Store,
    ids: &Ids,
    account: Uuid,
    listed: &[whatsapp::client::Template],
    asked_at: Millis,
) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    write(&mut tx, ids, account, listed, asked_at);
    let listed: HashSet<&str> = listed.iter().map(|template| template.id.as_str()).collect();
    let known = tx
        .fetch(
            "SELECT id, template_id FROM waba_templates WHERE account_id = $1 AND told_at <= $2",
            &[account.into(), asked_at.0.into()],
        )
        .await?;
    let mut gone = Vec::new();
    for row in &known {
        if !listed.contains(row.text("template_id")?.as_str()) {
            gone.push(Cell::Id(row.id("id")?));
        }
    }
    tx.write_in("DELETE FROM waba_templates WHERE id IN", &gone);
    tx.commit().await
}

/// Takes over what Meta says of one template, asked at a moment; gives our id of it.
pub async fn put(
    store: &Store,
    ids: &Ids,
    account: Uuid,
    template: &whatsapp::client::Template,
    asked_at: Millis,
) -> Result<Option<Uuid>, Error> {
    let mut tx = store.begin().await?;
    write(
        &mut tx,
        ids,
        account,
        std::slice::from_ref(template),
        asked_at,
    );
    tx.commit().await?;
    let row = store
        .fetch_optional(
            "SELECT id FROM waba_templates WHERE account_id = $1 AND template_id = $2",
            &[account.into(), template.id.as_str().into()],
        )
        .await?;
    row.map(|row| row.id("id")).transpose()
}

/// Takes a template out of the catalogue: Meta has deleted it.
pub async fn remove(store: &Store, id: Uuid) -> Result<(), Error> {
    store
        .execute("DELETE FROM waba_templates WHERE id = $1", &[id.into()])
        .await
        .map(drop)
}

fn write(
    tx: &mut Transaction,
    ids: &Ids,
    account: Uuid,
    listed: &[whatsapp::client::Template],
    asked_at: Millis,
) {
    let text = |text: &Option<String>, usual: &str| {
        Cell::text(text.clone().unwrap_or_else(|| usual.to_owned()))
    };
    let rows: Vec<Vec<Cell>> = listed
        .iter()
        .map(|template| {
            vec![
                ids.next().into(),
                account.into(),
                template.id.as_str().into(),
                template.name.as_str().into(),
                template.language.as_str().into(),
                text(&template.status, "UNKNOWN"),
                text(&template.category, "UNKNOWN"),
                template.correct_category.clone().into(),
                text(&template.parameter_format, "POSITIONAL"),
                template.components.to_string().into(),
                text(&template.quality, "UNKNOWN"),
                template.rejected_reason.clone().into(),
                asked_at.0.into(),
                asked_at.0.into(),
            ]
        })
        .collect();
    tx.write_rows(
        "INSERT INTO waba_templates (id, account_id, template_id, name, language, status, category, \
         announced_category, parameter_format, components, quality, reason, told_at, updated_at) VALUES",
        rows,
        "ON CONFLICT (account_id, template_id) DO UPDATE SET name = excluded.name, language = excluded.language, \
         status = excluded.status, category = excluded.category, announced_category = excluded.announced_category, \
         parameter_format = excluded.parameter_format, components = excluded.components, \
         quality = excluded.quality, reason = excluded.reason, told_at = excluded.told_at, \
         updated_at = excluded.updated_at WHERE waba_templates.told_at <= excluded.told_at",
    );
}

/// Takes over what a callback told at a moment. Gives false where the template is not known or the callback does not
/// tell all: the account is to be asked.
pub async fn news(
    tx: &mut Transaction,
    account: Uuid,
    news: &TemplateNews,
    at: Millis,
    now: Millis,
) -> Result<bool, Error> {
    let mut set: Vec<(&str, Cell)> = Vec::new();
    let mut whole = true;
    match &news.change {
        TemplateChange::Status {
            event,
            reason,
            category,
        } => {
            match event.as_str() {
                // A warning: it can still be sent.
                "FLAGGED" => {}
                "REINSTATED" | "UNARCHIVED" => set.push(("status", "APPROVED".into())),
                status => set.push(("status", status.into())),
            }
            set.push(("reason", reason.clone().into()));
            if let Some(category) = category {
                set.push(("category", category.as_str().into()));
            }
        }
        TemplateChange::Quality { score } => set.push(("quality", score.as_str().into())),
        TemplateChange::Category {
            category,
            announced,
        } => {
            set.push(("category", category.as_str().into()));
            set.push(("announced_category", announced.clone().into()));
        }
        TemplateChange::Components {
            header,
            body,
            footer,
        } => {
            // Buttons and examples are told incompletely: the account is asked as well.
            whole = false;
            if let Some(components) = components(tx, account, &news.template_id).await? {
                let components = patched(
                    components,
                    header.as_deref(),
                    body.as_deref(),
                    footer.as_deref(),
                );
                set.push(("components", components.to_string().into()));
            }
        }
    }
    set.push(("updated_at", now.0.into()));
    set.push(("told_at", at.0.into()));
    let assignments: Vec<String> = set
        .iter()
        .enumerate()
        .map(|(index, (column, _))| format!("{column} = ${}", index + 4))
        .collect();
    let mut cells: Vec<Cell> = vec![
        account.into(),
        news.template_id.as_str().into(),
        at.0.into(),
    ];
    cells.extend(set.into_iter().map(|(_, cell)| cell));
    let touched = tx.execute(
        &format!(
            "UPDATE waba_templates SET {} WHERE account_id = $1 AND template_id = $2 AND told_at <= $3",
            assignments.join(", ")
        ),
        &cells,
    )
    .await?;
    // One that is older than what is known, or about a template that is not, has to be asked about.
    Ok(whole && touched > 0)
}

/// Meta said at a moment of a template that was sent through a number that it has this status; what was told of it since
/// stands. In the caller's transaction.
pub fn refused(
    tx: &mut Transaction,
    phone: Uuid,
    name: &str,
    language: &str,
    status: &str,
    at: Millis,
) {
    tx.write(
        "UPDATE waba_templates SET status = $1, told_at = $2, updated_at = $2 WHERE name = $3 AND language = $4 \
         AND told_at <= $2 AND account_id = (SELECT account_id FROM phones WHERE id = $5)",
        &[
            status.into(),
            at.0.into(),
            name.into(),
            language.into(),
            phone.into(),
        ],
    );
}

async fn components(
    tx: &mut Transaction,
    account: Uuid,
    template_id: &str,
) -> Result<Option<Value>, Error> {
    let rows = tx
        .fetch(
            "SELECT components FROM waba_templates WHERE account_id = $1 AND template_id = $2",
            &[account.into(), template_id.into()],
        )
        .await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    Ok(serde_json::from_str(&row.text("components")?).ok())
}

/// Components with other texts.
fn patched(
    mut components: Value,
    header: Option<&str>,
    body: Option<&str>,
    footer: Option<&str>,
) -> Value {
    for component in components.as_array_mut().into_iter().flatten() {
        let kind = component["type"].as_str().unwrap_or_default();
        let text = match kind.to_ascii_uppercase().as_str() {
            "HEADER" if component["text"].is_string() => header,
            "BODY" => body,
            "FOOTER" => footer,
            _ => continue,
        };
        if let Some(text) = text {
            component["text"] = text.into();
        }
    }
    components
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn other_texts_take_the_place_of_the_old_ones_and_nothing_else_changes() {
        let before = json!([
            {"type": "HEADER", "format": "IMAGE"},
            {"type": "body", "text": "Hallo", "example": 1},
            {"type": "FOOTER", "text": "Acme"},
            {"type": "BUTTONS", "buttons": []},
        ]);
        assert_eq!(
            patched(before, Some("Titel"), Some("Guten Tag"), None),
            json!([
                {"type": "HEADER", "format": "IMAGE"},
                {"type": "body", "text": "Guten Tag", "example": 1},
                {"type": "FOOTER", "text": "Acme"},
                {"type": "BUTTONS", "buttons": []},
            ])
        );
        assert_eq!(patched(json!("odd"), None, None, None), json!("odd"));
    }
}
