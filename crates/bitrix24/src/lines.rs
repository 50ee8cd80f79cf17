//! Open lines: making and changing them, and looking into their chats.

mod dialog;
mod settings;

use std::fmt;

use serde_json::{Value, json};

pub use self::dialog::{Dialog, History, HistoryMessage, dialog_get, session_history};
pub use self::settings::{Difference, differences, line_settings};
use crate::client::Call;
use crate::loose;

/// Id of an open line on its portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LineId(pub i64);

impl LineId {
    pub(crate) fn read(value: Option<&Value>) -> Option<Self> {
        value
            .and_then(loose::integer)
            .filter(|id| *id > 0)
            .map(Self)
    }
}

impl fmt::Display for LineId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// An open line as the portal describes it (Bitrix24: imopenlines.config.get, .list.get).
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its id.
    pub id: LineId,
    /// `LINE_NAME`.
    pub name: String,
    /// `ACTIVE`; `None` where the answer does not say.
    pub active: Option<bool>,
    /// Who answers; `None` where the answer does not say, as in lists.
    pub queue: Option<Vec<QueueMember>>,
    /// Everything the answer holds, for [`differences`].
    pub settings: Value,
}

/// Somebody in a line's queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueMember {
    /// `user` or `department`.
    pub kind: String,
    /// Id of the user or department.
    pub id: i64,
}

impl Line {
    /// Reads one line; `None` where there is none, which the portal says by `false`.
    pub fn read(config: &Value) -> Option<Self> {
        let queue = loose::get(config, "QUEUE").map(|queue| {
            loose::items(queue)
                .into_iter()
                .filter_map(QueueMember::read)
                .collect()
        });
        Some(Self {
            id: LineId::read(loose::get(config, "ID"))?,
            name: loose::text_at(config, &["LINE_NAME"]).unwrap_or_default(),
            active: loose::flag_at(config, &["ACTIVE"]),
            queue,
            settings: config.clone(),
        })
    }

    /// Reads the result of [`list`].
    pub fn read_list(result: &Value) -> Vec<Self> {
        loose::items(result)
            .into_iter()
            .filter_map(Self::read)
            .collect()
    }
}

impl QueueMember {
    /// A member is a bare user id in older answers and a map in newer ones.
    fn read(member: &Value) -> Option<Self> {
        if let Some(id) = loose::integer(member) {
            let kind = "user".to_owned();
            return Some(Self { kind, id });
        }
        Some(Self {
            kind: loose::text_at(member, &["ENTITY_TYPE"]).unwrap_or_else(|| "user".to_owned()),
            id: loose::integer_at(member, &["ENTITY_ID"])?,
        })
    }
}

/// Makes a line (Bitrix24: imopenlines.config.add); see [`line_settings`] for the settings.
pub fn add(settings: &Value) -> Call {
    Call::new("imopenlines.config.add", json!({ "PARAMS": settings }))
}

/// Reads the result of [`add`]; `None` where the portal made no line, as over its plan's limit.
pub fn read_added(result: &Value) -> Option<LineId> {
    LineId::read(Some(result))
}

/// Asks for one line with its queue (Bitrix24: imopenlines.config.get).
pub fn get(line: LineId) -> Call {
    Call::new(
        "imopenlines.config.get",
        json!({ "CONFIG_ID": line.0, "WITH_QUEUE": "Y", "SHOW_OFFLINE": "Y" }),
    )
}

/// Lines in one page of [`list`]; a shorter page is the last one.
pub const PAGE: usize = 200;

/// Asks for a page of lines (Bitrix24: imopenlines.config.list.get), which has no marker for a next page.
pub fn list(offset: usize) -> Call {
    Call::new(
        "imopenlines.config.list.get",
        json!({ "PARAMS": {
            "select": ["ID", "LINE_NAME", "ACTIVE"], "order": { "ID": "ASC" }, "limit": PAGE, "offset": offset,
        } }),
    )
}

/// Changes settings of a line (Bitrix24: imopenlines.config.update); those not named stay.
pub fn update(line: LineId, settings: &Value) -> Call {
    Call::new(
        "imopenlines.config.update",
        json!({ "CONFIG_ID": line.0, "PARAMS": settings }),
    )
}

/// Deletes a line (Bitrix24: imopenlines.config.delete).
pub fn delete(line: LineId) -> Call {
    Call::new("imopenlines.config.delete", json!({ "CONFIG_ID": line.0 }))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_line_is_read_from_texts() {
        let line = Line::read(&json!({"ID": "15", "LINE_NAME": "Sales", "ACTIVE": "Y", "QUEUE": ["1", {"ENTITY_TYPE": "department", "ENTITY_ID": "10"}]})).unwrap();
        assert_eq!((line.id, line.active), (LineId(15), Some(true)));
        let member = |kind: &str, id| QueueMember {
            kind: kind.into(),
            id,
        };
        assert_eq!(
            line.queue.unwrap(),
            [member("user", 1), member("department", 10)]
        );
    }

    #[test]
    fn no_line_is_said_by_false() {
        assert_eq!(Line::read(&json!(false)), None);
        assert_eq!(read_added(&json!(false)), None);
        assert_eq!(read_added(&json!(0)), None);
        assert_eq!(read_added(&json!("107")), Some(LineId(107)));
    }

    #[test]
    fn a_list_keeps_what_is_readable() {
        let lines = Line::read_list(
            &json!([{"ID": "15", "LINE_NAME": "a", "ACTIVE": "N"}, {"LINE_NAME": "no id"}]),
        );
        assert_eq!(lines.len(), 1);
        assert_eq!(
            (lines[0].active, lines[0].queue.as_ref()),
            (Some(false), None)
        );
        assert!(Line::read_list(&json!([])).is_empty());
    }
}
