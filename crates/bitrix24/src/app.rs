//! What a portal says about the application and the employee whose token it is.

use serde_json::{Value, json};

use crate::client::Call;
use crate::loose;

/// The application on a portal (Bitrix24: app.info, the portal's own).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppInfo {
    /// `CODE`: the client id.
    pub client_id: Option<String>,
    /// `INSTALLED`: while false, no event is sent and no page is shown, though binding them succeeds.
    pub installed: Option<bool>,
    /// `PAYMENT_EXPIRED`.
    pub payment_expired: Option<bool>,
    /// `STATUS`: L local, F free, D demo, T trial, P paid.
    pub status: Option<String>,
    /// `VERSION`.
    pub version: Option<String>,
    /// `LANGUAGE_ID`: language of the portal.
    pub language: Option<String>,
    /// `LICENSE`: the portal's plan.
    pub license: Option<String>,
}

/// Asks about the application.
pub fn info() -> Call {
    Call::new("app.info", json!({}))
}

impl AppInfo {
    /// Reads the result of [`info`].
    pub fn read(result: &Value) -> Self {
        let text = |key: &str| loose::text_at(result, &[key]);
        Self {
            client_id: text("CODE"),
            installed: loose::flag_at(result, &["INSTALLED"]),
            payment_expired: loose::flag_at(result, &["PAYMENT_EXPIRED"]),
            status: text("STATUS"),
            version: text("VERSION"),
            language: text("LANGUAGE_ID"),
            license: text("LICENSE"),
        }
    }
}

/// The employee whose token it is (Bitrix24: profile).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// `ID` of the user.
    pub id: i64,
    /// `ADMIN`: needed for placements, message services and robots.
    pub admin: bool,
    /// `NAME`.
    pub name: Option<String>,
    /// `LAST_NAME`.
    pub last_name: Option<String>,
}

/// Asks whose token it is.
pub fn profile() -> Call {
    Call::new("profile", json!({}))
}

impl Profile {
    /// Reads the result of [`profile`].
    pub fn read(result: &Value) -> Option<Self> {
        Some(Self {
            id: loose::integer_at(result, &["ID"])?,
            admin: loose::flag_at(result, &["ADMIN"]).unwrap_or(false),
            name: loose::text_at(result, &["NAME"]),
            last_name: loose::text_at(result, &["LAST_NAME"]),
        })
    }
}

/// Asks whether a method exists (Bitrix24: method.get); boxes may be years behind.
pub fn method_get(name: &str) -> Call {
    Call::new("method.get", json!({ "name": name }))
}

/// Whether a method can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Availability {
    /// The portal has the method.
    pub existing: bool,
    /// The application may call it.
    pub available: bool,
}

impl Availability {
    /// Reads the result of [`method_get`].
    pub fn read(result: &Value) -> Self {
        let flag = |key: &str| loose::flag_at(result, &[key]).unwrap_or(false);
        Self {
            existing: flag("isExisting"),
            available: flag("isAvailable"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn answers_are_read_whatever_their_types() {
        let info = AppInfo::read(
            &json!({"ID": 1, "CODE": "local.65e", "VERSION": 3, "INSTALLED": false, "PAYMENT_EXPIRED": "N", "LANGUAGE_ID": "de"}),
        );
        assert_eq!(
            (info.client_id.as_deref(), info.installed),
            (Some("local.65e"), Some(false))
        );
        assert_eq!(
            (info.version.as_deref(), info.payment_expired),
            (Some("3"), Some(false))
        );
        let profile =
            Profile::read(&json!({"ID": "1", "ADMIN": true, "NAME": "A", "LAST_NAME": ""}))
                .unwrap();
        assert_eq!(
            (profile.id, profile.admin, profile.last_name),
            (1, true, None)
        );
        let availability = Availability::read(&json!({"isExisting": true, "isAvailable": false}));
        assert!(availability.existing && !availability.available);
        assert_eq!(AppInfo::read(&json!([])).installed, None);
    }
}
