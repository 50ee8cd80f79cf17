//! Callbacks about templates, accounts and numbers themselves.
//!
//! Template ids come as JSON numbers beyond 2^53; they stay text here. Source: Meta, "Webhooks: message_template_status_update"
//! and the pages of the other fields.

use crate::json::Object;

/// Something changed about one template in one language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateNews {
    /// Template id, one for each language.
    pub template_id: String,
    /// Its name.
    pub name: Option<String>,
    /// Its language code.
    pub language: Option<String>,
    /// What changed.
    pub change: TemplateChange,
}

/// What changed about a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateChange {
    /// Field `message_template_status_update`.
    Status {
        /// `APPROVED`, `REJECTED`, `PENDING`, `PAUSED`, `DISABLED`, `FLAGGED`, `IN_APPEAL`, `REINSTATED`,
        /// `LIMIT_EXCEEDED`, `LOCKED`, `DELETED`, `PENDING_DELETION`, `ARCHIVED`, `UNARCHIVED`, or one that is new.
        event: String,
        /// Why, as far as Meta says.
        reason: Option<String>,
        /// Its category at that time.
        category: Option<String>,
    },
    /// Field `message_template_components_update`.
    Components {
        /// Text of the header.
        header: Option<String>,
        /// Text of the body.
        body: Option<String>,
        /// Text of the footer.
        footer: Option<String>,
    },
    /// Field `message_template_quality_update`.
    Quality {
        /// `GREEN`, `YELLOW`, `RED` or `UNKNOWN`.
        score: String,
    },
    /// Field `template_category_update`.
    Category {
        /// The category that it has now.
        category: String,
        /// The category that Meta will move it to.
        announced: Option<String>,
    },
}

impl TemplateNews {
    pub(super) fn read(field: &str, value: &Object<'_>) -> Option<Self> {
        let change = match field {
            "message_template_status_update" => TemplateChange::Status {
                event: value.filled("event")?,
                reason: reason(value),
                category: value.filled("message_template_category"),
            },
            "message_template_components_update" => TemplateChange::Components {
                header: value.filled("message_template_title"),
                body: value.filled("message_template_element"),
                footer: value.filled("message_template_footer"),
            },
            "message_template_quality_update" => TemplateChange::Quality {
                score: value.filled("new_quality_score")?,
            },
            "template_category_update" => TemplateChange::Category {
                category: value.filled("new_category")?,
                announced: value.filled("correct_category"),
            },
            _ => return None,
        };
        Some(Self {
            template_id: value.filled("message_template_id")?,
            name: value.filled("message_template_name"),
            language: value.filled("message_template_language"),
            change,
        })
    }
}

/// The most telling of the places where Meta says why.
fn reason(value: &Object<'_>) -> Option<String> {
    let within = |object: &str, key: &str| value.object(object)?.filled(key);
    within("rejection_info", "reason")
        .or_else(|| within("other_info", "description"))
        .or_else(|| within("other_info", "title"))
        .or_else(|| value.filled("reason"))
        .filter(|reason| reason != "NONE")
}

/// Something changed about an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountNews {
    /// The account where the value names it. In partner events the entry's id is that of a business.
    pub waba_id: Option<String>,
    /// Field `account_update`: `PARTNER_REMOVED`, `DISABLED_UPDATE`, `ACCOUNT_VIOLATION` … Field `account_review_update`:
    /// the decision, such as `APPROVED`.
    pub event: String,
    /// What Meta says about it: the state of a ban, the kind of a violation, a restriction, a reason.
    pub details: Option<String>,
}

impl AccountNews {
    pub(super) fn read(field: &str, value: &Object<'_>) -> Option<Self> {
        let event = match field {
            "account_update" => value.filled("event")?,
            "account_review_update" => value.filled("decision")?,
            _ => return None,
        };
        let within = |object: &str, keys: &[&str]| {
            let object = value.object(object)?;
            let words: Vec<String> = keys.iter().filter_map(|key| object.filled(key)).collect();
            (!words.is_empty()).then(|| words.join(", "))
        };
        let restrictions: Vec<String> = value
            .objects("restriction_info")
            .filter_map(|restriction| restriction.filled("restriction_type"))
            .collect();
        Some(Self {
            waba_id: value
                .object("waba_info")
                .and_then(|account| account.filled("waba_id")),
            event,
            details: within("ban_info", &["waba_ban_state", "waba_ban_date"])
                .or_else(|| within("violation_info", &["violation_type", "remediation"]))
                .or_else(|| within("disconnection_info", &["reason", "initiated_by"]))
                .or_else(|| (!restrictions.is_empty()).then(|| restrictions.join(", "))),
        })
    }
}

/// Something changed about a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberNews {
    /// The number in digits; these callbacks name no phone number id.
    pub digits: String,
    /// What changed.
    pub change: NumberChange,
}

/// What changed about a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NumberChange {
    /// Field `phone_number_quality_update`.
    Quality {
        /// `ONBOARDING`, `THROUGHPUT_UPGRADE`, `FLAGGED`, `UNFLAGGED`, `UPGRADE`, `DOWNGRADE`.
        event: String,
        /// The messaging limit from now on, such as `TIER_2K`.
        limit: Option<String>,
    },
    /// Field `phone_number_name_update`.
    Name {
        /// `APPROVED`, `REJECTED` or another decision.
        decision: String,
        /// The name that was asked for.
        name: Option<String>,
        /// Why it was rejected.
        reason: Option<String>,
    },
}

impl NumberNews {
    pub(super) fn read(field: &str, value: &Object<'_>) -> Option<Self> {
        let change = match field {
            "phone_number_quality_update" => NumberChange::Quality {
                event: value.filled("event")?,
                limit: value
                    .filled("max_daily_conversations_per_business")
                    .or_else(|| value.filled("current_limit")),
            },
            "phone_number_name_update" => NumberChange::Name {
                decision: value.filled("decision")?,
                name: value.filled("requested_verified_name"),
                reason: value
                    .filled("rejection_reason")
                    .filter(|reason| reason != "NONE"),
            },
            _ => return None,
        };
        let digits: String = value
            .filled("display_phone_number")?
            .chars()
            .filter(char::is_ascii_digit)
            .collect();
        (!digits.is_empty()).then_some(Self { digits, change })
    }
}

/// Field `account_settings_update`: somebody, perhaps ourselves, changed a number's settings. What they are now has to be
/// asked for: Meta documents no complete list of what stands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsNews {
    /// The number.
    pub phone_number_id: String,
}

impl SettingsNews {
    pub(super) fn read(field: &str, value: &Object<'_>) -> Option<Self> {
        if field != "account_settings_update" {
            return None;
        }
        let phone_number_id = value
            .object("phone_number_settings")?
            .filled("phone_number_id")?;
        Some(Self { phone_number_id })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::super::{ChangeKind, parse};
    use super::*;

    fn kind(field: &str, value: &str) -> ChangeKind {
        let body = format!(
            r#"{{"entry":[{{"id":"108","time":1795400000,"changes":[{{"field":"{field}","value":{value}}}]}}]}}"#
        );
        parse(body.as_bytes()).unwrap().changes.remove(0).kind
    }

    fn template(field: &str, rest: &str) -> TemplateNews {
        let value = format!(
            r#"{{"message_template_id":16895569081298291234,"message_template_name":"order_ready","message_template_language":"de",{rest}}}"#
        );
        match kind(field, &value) {
            ChangeKind::Template(news) => news,
            other => panic!("{field}: {other:?}"),
        }
    }

    #[test]
    fn news_of_templates_keep_ids_beyond_53_bits_and_tell_the_reason() {
        let status = |rest: &str| template("message_template_status_update", rest);
        let approved =
            status(r#""event":"APPROVED","reason":"NONE","message_template_category":"UTILITY""#);
        assert_eq!(approved.template_id, "16895569081298291234");
        assert_eq!(approved.name.as_deref(), Some("order_ready"));
        assert_eq!(
            approved.change,
            TemplateChange::Status {
                event: "APPROVED".to_owned(),
                reason: None,
                category: Some("UTILITY".to_owned())
            }
        );
        for (rest, wanted) in [
            (r#""event":"REJECTED","reason":"SCAM""#, "SCAM"),
            (
                r#""event":"REJECTED","reason":"INVALID_FORMAT","rejection_info":{"reason":"Parameters next to each other","recommendation":"x"}"#,
                "Parameters next to each other",
            ),
            (
                r#""event":"PAUSED","reason":"NONE","other_info":{"title":"FIRST_PAUSE","description":""}"#,
                "FIRST_PAUSE",
            ),
        ] {
            let TemplateChange::Status { reason, .. } = status(rest).change else {
                panic!("{rest}");
            };
            assert_eq!(reason.as_deref(), Some(wanted), "{rest}");
        }
        assert_eq!(
            template(
                "message_template_components_update",
                r#""message_template_title":"Bestellung","message_template_element":"Hallo {{1}}","message_template_footer":"Acme""#
            )
            .change,
            TemplateChange::Components {
                header: Some("Bestellung".to_owned()),
                body: Some("Hallo {{1}}".to_owned()),
                footer: Some("Acme".to_owned())
            }
        );
        assert_eq!(
            template(
                "message_template_quality_update",
                r#""previous_quality_score":"GREEN","new_quality_score":"YELLOW""#
            )
            .change,
            TemplateChange::Quality {
                score: "YELLOW".to_owned()
            }
        );
        assert_eq!(
            template(
                "template_category_update",
                r#""new_category":"UTILITY","correct_category":"MARKETING""#
            )
            .change,
            TemplateChange::Category {
                category: "UTILITY".to_owned(),
                announced: Some("MARKETING".to_owned())
            }
        );
    }

    #[test]
    fn news_of_settings_name_their_number() {
        let told = kind(
            "account_settings_update",
            r#"{"messaging_product":"whatsapp","timestamp":"1795400500","type":"phone_number_settings","phone_number_settings":{"phone_number_id":"209","calling":{"status":"ENABLED"}}}"#,
        );
        let wanted = SettingsNews {
            phone_number_id: "209".to_owned(),
        };
        assert_eq!(told, ChangeKind::Settings(wanted));
        let other = kind(
            "account_settings_update",
            r#"{"type":"phone_number_settings"}"#,
        );
        assert_eq!(other, ChangeKind::Other);
    }

    #[test]
    fn news_of_accounts_and_numbers_are_told_with_their_details() {
        let account = |field: &str, value: &str| match kind(field, value) {
            ChangeKind::Account(news) => (news.waba_id, news.event, news.details),
            other => panic!("{value}: {other:?}"),
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            account(
                "account_update",
                r#"{"event":"PARTNER_REMOVED","waba_info":{"waba_id":"108200000000001"},"disconnection_info":{"reason":"PRIMARY_INACTIVITY","initiated_by":"SYSTEM"}}"#
            ),
            (
                text("108200000000001"),
                "PARTNER_REMOVED".to_owned(),
                text("PRIMARY_INACTIVITY, SYSTEM")
            )
        );
        assert_eq!(
            account(
                "account_update",
                r#"{"event":"DISABLED_UPDATE","ban_info":{"waba_ban_state":"SCHEDULE_FOR_DISABLE","waba_ban_date":"April 17, 2026"}}"#
            ),
            (
                None,
                "DISABLED_UPDATE".to_owned(),
                text("SCHEDULE_FOR_DISABLE, April 17, 2026")
            )
        );
        assert_eq!(
            account(
                "account_update",
                r#"{"event":"ACCOUNT_RESTRICTION","restriction_info":[{"restriction_type":"RESTRICTED_BIZ_INITIATED_MESSAGING","expiration":1}]}"#
            ),
            (
                None,
                "ACCOUNT_RESTRICTION".to_owned(),
                text("RESTRICTED_BIZ_INITIATED_MESSAGING")
            )
        );
        assert_eq!(
            account("account_review_update", r#"{"decision":"REJECTED"}"#),
            (None, "REJECTED".to_owned(), None)
        );
        let number = |field: &str, value: &str| match kind(field, value) {
            ChangeKind::Number(news) => news,
            other => panic!("{value}: {other:?}"),
        };
        assert_eq!(
            number(
                "phone_number_quality_update",
                r#"{"display_phone_number":"4915755501234","event":"FLAGGED","max_daily_conversations_per_business":"TIER_2K"}"#
            ),
            NumberNews {
                digits: "4915755501234".to_owned(),
                change: NumberChange::Quality {
                    event: "FLAGGED".to_owned(),
                    limit: text("TIER_2K")
                }
            }
        );
        assert_eq!(
            number(
                "phone_number_name_update",
                r#"{"display_phone_number":"+49 1575 5501234","decision":"REJECTED","requested_verified_name":"Acme","rejection_reason":"NAME_NOT_CONSISTENT"}"#
            )
            .change,
            NumberChange::Name {
                decision: "REJECTED".to_owned(),
                name: text("Acme"),
                reason: text("NAME_NOT_CONSISTENT")
            }
        );
    }

    #[test]
    fn a_management_field_without_what_it_is_about_is_any_other_field() {
        for (field, value) in [
            ("message_template_status_update", r#"{"event":"APPROVED"}"#),
            ("message_template_status_update", "[]"),
            ("account_update", r#"{"waba_info":{"waba_id":"1"}}"#),
            ("phone_number_name_update", r#"{"decision":"APPROVED"}"#),
            (
                "phone_number_name_update",
                r#"{"decision":"APPROVED","display_phone_number":"-"}"#,
            ),
            ("security", r#"{"event":"PIN_CHANGED"}"#),
        ] {
            assert_eq!(kind(field, value), ChangeKind::Other, "{field} {value}");
        }
    }
}
