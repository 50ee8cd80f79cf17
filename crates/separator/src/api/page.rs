//! Pages of a list: `?limit=&cursor=` in, `{items, next_cursor}` out.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use uuid::Uuid;

use super::fields::{Query, kind};
use crate::store::browse::Window;

/// Items of a page where nobody says otherwise.
const USUAL: usize = 50;

/// Items of a page at most.
const MOST: usize = 200;

/// The part of a list that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page {
    /// Number of items.
    limit: usize,
    /// The last id of the page before.
    after: Option<Uuid>,
}

impl Page {
    /// Reads `limit` and `cursor`.
    pub(super) fn read(query: &mut Query) -> Self {
        let limit = query.optional("limit", |value| {
            value
                .as_str()
                .and_then(|text| text.parse().ok())
                .filter(|limit| (1..=MOST).contains(limit))
                .ok_or_else(|| format!("must be a whole number from 1 to {MOST}"))
        });
        let after = query.optional("cursor", |value| {
            let Value::String(text) = value else {
                return Err(format!("must be text, not {}", kind(value)));
            };
            decode(text).ok_or_else(|| "must be the next_cursor of the page before".to_owned())
        });
        Self {
            limit: limit.unwrap_or(USUAL),
            after,
        }
    }

    /// The rows to be read: one more than asked for, which tells whether there is a next page.
    pub(super) fn window(self) -> Window {
        Window {
            below: self.after,
            limit: self.limit + 1,
        }
    }

    /// Makes a page of the rows of [`Page::window`].
    pub(super) fn of_rows<T>(
        self,
        mut rows: Vec<T>,
        id: impl Fn(&T) -> Uuid,
        show: impl Fn(&T) -> Value,
    ) -> Value {
        let more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let next = rows.last().filter(|_| more).map(|row| encode(id(row)));
        let items: Vec<Value> = rows.iter().map(show).collect();
        json!({ "items": items, "next_cursor": next })
    }

    /// Makes a page of things that are in memory, the oldest first.
    pub(super) fn of_all<'a, T: 'a>(
        self,
        all: impl Iterator<Item = &'a T>,
        id: impl Fn(&T) -> Uuid,
        show: impl Fn(&T) -> Value,
    ) -> Value {
        let mut rows: Vec<&T> = all
            .filter(|item| self.after.is_none_or(|after| id(item) > after))
            .collect();
        rows.sort_unstable_by_key(|item| id(item));
        self.of_rows(rows, |item| id(item), |item| show(item))
    }
}

fn encode(id: Uuid) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(id.as_bytes())
}

fn decode(cursor: &str) -> Option<Uuid> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
    Uuid::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn page(raw: &str) -> Page {
        let mut query = Query::new(raw);
        let page = Page::read(&mut query);
        query.finish().unwrap();
        page
    }

    #[test]
    fn the_usual_page_has_fifty_items_from_the_beginning() {
        assert_eq!(
            page(""),
            Page {
                limit: 50,
                after: None
            }
        );
    }

    #[test]
    fn a_wrong_limit_or_cursor_is_refused() {
        for wrong in [
            "limit=0",
            "limit=201",
            "limit=x",
            "limit=-1",
            "cursor=x",
            "cursor=!",
            "cursor=AAAA",
        ] {
            let mut query = Query::new(wrong);
            Page::read(&mut query);
            let problem = query.finish().unwrap_err();
            assert_eq!(problem.errors()[0].field, wrong.split('=').next().unwrap());
        }
    }

    #[test]
    fn the_extra_row_becomes_a_cursor_and_not_an_item() {
        let ids: Vec<Uuid> = (1..=3).map(Uuid::from_u128).collect();
        let shown = page("limit=2").of_rows(ids.clone(), |id| *id, |id| json!(id));
        assert_eq!(shown["items"], json!([ids[0], ids[1]]));
        let next = page(&format!(
            "limit=2&cursor={}",
            shown["next_cursor"].as_str().unwrap()
        ));
        assert_eq!(next.window().below, Some(ids[1]));
        let last = page("limit=3").of_rows(ids, |id| *id, |id| json!(id));
        assert_eq!(last["next_cursor"], Value::Null);
    }

    proptest! {
        #[test]
        fn following_the_cursors_visits_everything_once_in_order(count in 0_u128..40, limit in 1_usize..15) {
            let all: Vec<Uuid> = (0..count).rev().map(Uuid::from_u128).collect();
            let (mut seen, mut cursor) = (Vec::new(), String::new());
            loop {
                let shown = page(&format!("limit={limit}&cursor={cursor}")).of_all(all.iter(), |id| *id, |id| json!(id));
                seen.extend(shown["items"].as_array().unwrap().clone());
                match shown["next_cursor"].as_str() {
                    Some(next) => next.clone_into(&mut cursor),
                    None => break,
                }
            }
            let expected: Vec<Value> = (0..count).map(|number| json!(Uuid::from_u128(number))).collect();
            prop_assert_eq!(seen, expected);
        }

        #[test]
        fn a_cursor_survives_its_text(number: u128) {
            prop_assert_eq!(decode(&encode(Uuid::from_u128(number))), Some(Uuid::from_u128(number)));
        }
    }
}
