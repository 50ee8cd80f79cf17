//! Looking templates up in the catalogue, for the messages that are made from them.

use std::collections::HashMap;

use serde_json::Value;
use uuid::Uuid;

use super::{Cell, Error, Row, Store};
use crate::translate::template::Template;

/// Templates that a note offers at most.
const OFFERED: usize = 10;

const TEMPLATE: &str = "SELECT p.id AS phone_id, t.name, t.language, t.status, t.category, t.parameter_format, \
                        t.components FROM waba_templates t JOIN phones p ON p.account_id = t.account_id";

/// Templates by the number whose account has them.
pub type ByPhone = HashMap<Uuid, Vec<Template>>;

fn read(row: &Row) -> Result<(Uuid, Template), Error> {
    let components: Value =
        serde_json::from_str(&row.text("components")?).map_err(|error| Error::Inconsistent {
            table: "waba_templates",
            column: "components",
            why: error.to_string(),
        })?;
    let format = row.maybe_text("parameter_format")?.unwrap_or_default();
    let template = Template::read(
        &row.text("name")?,
        &row.text("language")?,
        &row.text("status")?,
        &row.text("category")?,
        &format,
        &components,
    );
    Ok((row.id("phone_id")?, template))
}

fn gather(rows: &[Row], phones: &[Uuid], into: &mut ByPhone) -> Result<(), Error> {
    for row in rows {
        let (phone, template) = read(row)?;
        if phones.contains(&phone) {
            into.entry(phone).or_default().push(template);
        }
    }
    Ok(())
}

/// The templates of these names, whatever their case and language. Where a number's account lacks one of them, all its
/// names come along, without components, so that the nearest can be offered.
pub async fn named(store: &Store, phones: &[Uuid], names: &[String]) -> Result<ByPhone, Error> {
    let mut found = ByPhone::new();
    if phones.is_empty() {
        return Ok(found);
    }
    let keys: Vec<Cell> = names
        .iter()
        .map(|name| Cell::text(name.to_ascii_lowercase()))
        .collect();
    let rows = store
        .fetch_in(&format!("{TEMPLATE} WHERE LOWER(t.name) IN"), &keys)
        .await?;
    gather(&rows, phones, &mut found)?;
    let lacks = |phone: &Uuid| {
        let known = found.get(phone).map(Vec::as_slice).unwrap_or_default();
        let has = |name: &String| {
            known
                .iter()
                .any(|template| template.name.eq_ignore_ascii_case(name))
        };
        !names.iter().all(has)
    };
    let lacking: Vec<Cell> = phones
        .iter()
        .filter(|phone| lacks(phone))
        .map(|phone| Cell::Id(*phone))
        .collect();
    let rows = store
        .fetch_in(
            "SELECT p.id AS phone_id, t.name, t.language, t.status, t.category, t.parameter_format, \
             '[]' AS components FROM waba_templates t JOIN phones p ON p.account_id = t.account_id \
             WHERE t.status = 'APPROVED' AND p.id IN",
            &lacking,
        )
        .await?;
    let mut others = ByPhone::new();
    gather(&rows, phones, &mut others)?;
    for (phone, templates) in others {
        let known = found.entry(phone).or_default();
        for template in templates {
            let there = |other: &Template| {
                other.name == template.name && other.language == template.language
            };
            if !known.iter().any(there) {
                known.push(template);
            }
        }
    }
    Ok(found)
}

/// The templates of just these names at a number's account, whatever their status.
pub async fn of_names(
    store: &Store,
    phone: Uuid,
    names: &[String],
) -> Result<Vec<Template>, Error> {
    let keys: Vec<Cell> = names.iter().map(|name| Cell::text(name.as_str())).collect();
    let rows = store
        .fetch_in(&format!("{TEMPLATE} WHERE t.name IN"), &keys)
        .await?;
    let mut found = ByPhone::new();
    gather(&rows, &[phone], &mut found)?;
    Ok(found.remove(&phone).unwrap_or_default())
}

/// Something that is another whenever anything in the catalogue is.
pub async fn stamp(store: &Store) -> Result<(i64, Option<i64>), Error> {
    let row = store
        .fetch_optional(
            "SELECT COUNT(*) AS number, MAX(updated_at) AS latest FROM waba_templates",
            &[],
        )
        .await?;
    match row {
        Some(row) => Ok((row.number("number")?, row.maybe_number("latest")?)),
        None => Ok((0, None)),
    }
}

/// The templates that numbers can send.
pub async fn approved(store: &Store, phones: &[Uuid]) -> Result<ByPhone, Error> {
    let keys: Vec<Cell> = phones.iter().map(|phone| Cell::Id(*phone)).collect();
    let rows = store
        .fetch_in(
            &format!("{TEMPLATE} WHERE t.status = 'APPROVED' AND p.id IN"),
            &keys,
        )
        .await?;
    let mut found = ByPhone::new();
    gather(&rows, phones, &mut found)?;
    Ok(found)
}

/// The codes that a note offers, of the templates that need fewest values.
pub fn offer(templates: &[Template]) -> Vec<String> {
    let mut offered: Vec<&Template> = templates
        .iter()
        .filter(|template| template.beyond.is_none())
        .collect();
    offered.sort_by_cached_key(|template| {
        let (name, language) = (template.name.clone(), template.language.clone());
        (template.values(), name, language)
    });
    offered.truncate(OFFERED);
    offered.into_iter().map(Template::code).collect()
}
