//! What the calls answer.

use crate::Secret;
use crate::error::ApiError;
use crate::json::Object;

/// A message was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The message's id.
    pub wamid: String,
    /// The recipient's WhatsApp id, which may differ from the number that was given (Brazil, Mexico, Argentina).
    pub wa_id: Option<String>,
    /// The recipient's user id.
    pub user_id: Option<String>,
    /// Templates only: `accepted`, `held_for_quality_assessment` or `paused`.
    pub message_status: Option<String>,
}

impl Sent {
    pub(super) fn read(answer: &Object<'_>) -> Option<Self> {
        let message = answer.objects("messages").next()?;
        let contact = answer.objects("contacts").next();
        let contact = contact.as_ref();
        Some(Self {
            wamid: message.filled("id")?,
            wa_id: contact.and_then(|contact| contact.filled("wa_id")),
            user_id: contact.and_then(|contact| contact.filled("user_id")),
            message_status: message.filled("message_status"),
        })
    }
}

/// Where a file lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaInfo {
    /// Its address, good for 5 minutes and with the token only.
    pub url: String,
    /// Its media type.
    pub mime_type: Option<String>,
    /// SHA-256 of its bytes; hexadecimal or base64, Meta is not consistent.
    pub sha256: Option<String>,
    /// Its length in bytes.
    pub file_size: Option<u64>,
}

impl MediaInfo {
    pub(super) fn read(answer: &Object<'_>) -> Option<Self> {
        Some(Self {
            url: answer.filled("url")?,
            mime_type: answer.filled("mime_type"),
            sha256: answer.filled("sha256"),
            file_size: answer
                .integer("file_size")
                .and_then(|size| u64::try_from(size).ok()),
        })
    }
}

/// A business number. Values that Meta may add to are kept as text. Source: Meta, "Phone number".
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PhoneNumber {
    /// Phone number id.
    pub id: String,
    /// The number as written for people, as in `+49 1575 5501234`.
    pub display_phone_number: Option<String>,
    /// The name that customers see.
    pub verified_name: Option<String>,
    /// `CONNECTED`, `PENDING`, `DISCONNECTED`, `FLAGGED`, `RESTRICTED`, `BANNED` …
    pub status: Option<String>,
    /// `GREEN`, `YELLOW`, `RED` or `UNKNOWN`.
    pub quality_rating: Option<String>,
    /// `TIER_250` … `TIER_UNLIMITED`, of the whole business portfolio.
    pub messaging_limit: Option<String>,
    /// `STANDARD`, `HIGH` or `NOT_APPLICABLE`.
    pub throughput: Option<String>,
    /// State of the name's review.
    pub name_status: Option<String>,
    /// `NOT_VERIFIED`, `VERIFIED` or `EXPIRED`.
    pub code_verification_status: Option<String>,
    /// `LIVE` or `SANDBOX`.
    pub account_mode: Option<String>,
    /// `CLOUD_API`, `ON_PREMISE` or `NOT_APPLICABLE`.
    pub platform_type: Option<String>,
    /// It has the blue tick.
    pub is_official_business_account: bool,
    /// It has a two-step verification PIN.
    pub is_pin_enabled: bool,
    /// It is also used with the phone app.
    pub is_on_biz_app: bool,
    /// Where the app's callbacks go.
    pub application_callback: Option<String>,
    /// Where the account's callbacks go instead.
    pub account_callback: Option<String>,
    /// Where this number's callbacks go instead.
    pub phone_callback: Option<String>,
}

impl PhoneNumber {
    pub(super) fn read(number: &Object<'_>) -> Option<Self> {
        let webhooks = number.object("webhook_configuration");
        let callback = |key| webhooks.as_ref().and_then(|webhooks| webhooks.filled(key));
        Some(Self {
            id: number.filled("id")?,
            display_phone_number: number.filled("display_phone_number"),
            verified_name: number.filled("verified_name"),
            status: number.filled("status"),
            quality_rating: number.filled("quality_rating"),
            messaging_limit: number.filled("whatsapp_business_manager_messaging_limit"),
            throughput: number
                .object("throughput")
                .and_then(|throughput| throughput.filled("level")),
            name_status: number.filled("name_status"),
            code_verification_status: number.filled("code_verification_status"),
            account_mode: number.filled("account_mode"),
            platform_type: number.filled("platform_type"),
            is_official_business_account: number.flag("is_official_business_account"),
            is_pin_enabled: number.flag("is_pin_enabled"),
            is_on_biz_app: number.flag("is_on_biz_app"),
            application_callback: callback("application"),
            account_callback: callback("whatsapp_business_account"),
            phone_callback: callback("phone_number"),
        })
    }

    /// The number in digits, as callbacks give it.
    pub fn digits(&self) -> Option<String> {
        let display = self.display_phone_number.as_ref()?;
        Some(display.chars().filter(char::is_ascii_digit).collect())
    }

    /// It is used on the phone app and the API at once ("coexistence"): fewer messages a second, and no registering.
    pub fn is_coexistence(&self) -> bool {
        self.is_on_biz_app && self.platform_type.as_deref() == Some("CLOUD_API")
    }
}

/// An app that is subscribed to an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribedApp {
    /// The app's id.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// Its callback for this account, where it is not the usual one.
    pub override_callback_uri: Option<String>,
}

impl SubscribedApp {
    pub(super) fn read(element: &Object<'_>) -> Option<Self> {
        let app = element.object("whatsapp_business_api_data")?;
        Some(Self {
            id: app.filled("id")?,
            name: app.filled("name"),
            override_callback_uri: element.filled("override_callback_uri"),
        })
    }
}

/// What a token is and may do. Source: Meta, "Graph API: debug_token".
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenInfo {
    /// The app it was issued for; a token of another app must be refused.
    pub app_id: Option<String>,
    /// `USER`, `SYSTEM_USER`, `APP` …
    pub kind: Option<String>,
    /// Name of the app.
    pub application: Option<String>,
    /// It works.
    pub is_valid: bool,
    /// When it ends, Unix seconds; `None` is never.
    pub expires_at: Option<i64>,
    /// When it stops seeing data unless its user logs in again, Unix seconds; `None` is never. User tokens only.
    pub data_access_expires_at: Option<i64>,
    /// Whose it is.
    pub user_id: Option<String>,
    /// What it may do.
    pub scopes: Vec<String>,
    /// The same with the objects that it may do it to.
    pub granular_scopes: Vec<GranularScope>,
    /// Why it does not work.
    pub error: Option<ApiError>,
}

/// A permission and its objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GranularScope {
    /// The permission.
    pub scope: String,
    /// The objects; empty means all that the token's holder can see.
    pub target_ids: Vec<String>,
}

impl TokenInfo {
    pub(super) fn read(data: &Object<'_>) -> Self {
        let granular = |scope: Object<'_>| {
            Some(GranularScope {
                scope: scope.filled("scope")?,
                target_ids: scope.texts("target_ids"),
            })
        };
        Self {
            app_id: data.filled("app_id"),
            kind: data.filled("type"),
            application: data.filled("application"),
            is_valid: data.flag("is_valid"),
            expires_at: data.integer("expires_at").filter(|time| *time > 0),
            data_access_expires_at: data
                .integer("data_access_expires_at")
                .filter(|time| *time > 0),
            user_id: data.filled("user_id"),
            scopes: data.texts("scopes"),
            granular_scopes: data
                .objects("granular_scopes")
                .filter_map(granular)
                .collect(),
            error: data.object("error").map(|error| ApiError::read(&error)),
        }
    }

    /// The accounts that the token was granted, newest first. Empty means all that its holder can see (or none, where
    /// the [permission](Self::may) is missing).
    pub fn waba_ids(&self) -> &[String] {
        let management = self
            .granular_scopes
            .iter()
            .find(|granular| granular.scope == "whatsapp_business_management");
        management.map_or(&[], |granular| &granular.target_ids)
    }

    /// Whether the token has a permission, for some object or for all.
    pub fn may(&self, scope: &str) -> bool {
        self.scopes.iter().any(|granted| granted == scope)
            || self
                .granular_scopes
                .iter()
                .any(|granular| granular.scope == scope)
    }
}

/// A token that was just issued. Source: Meta, "Facebook Login: exchanging code for an access token".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// The token.
    pub access_token: Secret,
    /// How many seconds it lives; `None` where it does not expire.
    pub expires_in: Option<i64>,
}

impl NewToken {
    pub(super) fn read(answer: &Object<'_>) -> Option<Self> {
        Some(Self {
            access_token: Secret::new(answer.filled("access_token")?),
            expires_in: answer.integer("expires_in"),
        })
    }
}

/// An app. Source: Meta, "Graph API: application".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppInfo {
    /// App ID.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
}

impl AppInfo {
    pub(super) fn read(app: &Object<'_>) -> Option<Self> {
        Some(Self {
            id: app.filled("id")?,
            name: app.filled("name"),
        })
    }
}

/// Where an app's callbacks about one kind of object go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppWebhook {
    /// The kind of object, such as `whatsapp_business_account`.
    pub object: String,
    /// The address.
    pub callback_url: Option<String>,
    /// Whether Meta posts to it.
    pub active: bool,
    /// The fields that are subscribed to.
    pub fields: Vec<String>,
}

impl AppWebhook {
    pub(super) fn read(subscription: &Object<'_>) -> Option<Self> {
        // A field is an object with its name and version; older answers hold the names alone.
        let named = subscription
            .objects("fields")
            .filter_map(|field| field.filled("name"));
        Some(Self {
            object: subscription.filled("object")?,
            callback_url: subscription.filled("callback_url"),
            active: subscription.flag("active"),
            fields: named.chain(subscription.texts("fields")).collect(),
        })
    }
}

/// A WhatsApp Business Account. Values that Meta may add to are kept as text.
/// Source: Meta, "WhatsApp Business Account".
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BusinessAccount {
    /// WABA id.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// `ACTIVE`, or why it is not.
    pub status: Option<String>,
    /// `PENDING`, `APPROVED`, `REJECTED` or `LIMIT_REACHED`.
    pub review_status: Option<String>,
    /// Whether the business behind it is verified.
    pub business_verification: Option<String>,
}

impl BusinessAccount {
    pub(super) fn read(account: &Object<'_>) -> Option<Self> {
        Some(Self {
            id: account.filled("id")?,
            name: account.filled("name"),
            status: account.filled("status"),
            review_status: account.filled("account_review_status"),
            business_verification: account.filled("business_verification_status"),
        })
    }
}

/// A message template. Source: Meta, "WABA: message templates".
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// Template id; one for each language.
    pub id: String,
    /// Name; together with the language unique in its account.
    pub name: String,
    /// Language code, as in `de` or `en_US`.
    pub language: String,
    /// `APPROVED` and nothing else can be sent.
    pub status: Option<String>,
    /// `UTILITY`, `MARKETING` or `AUTHENTICATION`.
    pub category: Option<String>,
    /// A finer category.
    pub sub_category: Option<String>,
    /// `POSITIONAL` or `NAMED`.
    pub parameter_format: Option<String>,
    /// `GREEN`, `YELLOW`, `RED` or `UNKNOWN`.
    pub quality: Option<String>,
    /// Why it was rejected.
    pub rejected_reason: Option<String>,
    /// The category that Meta will move it to, where it has announced that.
    pub correct_category: Option<String>,
    /// Header, body, footer and buttons, as Meta describes them.
    pub components: serde_json::Value,
}

impl Template {
    pub(super) fn read(template: &Object<'_>) -> Option<Self> {
        let components = template
            .raw("components")
            .and_then(|raw| serde_json::from_str(raw.get()).ok());
        Some(Self {
            id: template.filled("id")?,
            name: template.filled("name")?,
            language: template.filled("language")?,
            status: template.filled("status"),
            category: template.filled("category"),
            sub_category: template.filled("sub_category"),
            parameter_format: template.filled("parameter_format"),
            quality: template
                .object("quality_score")
                .and_then(|quality| quality.filled("score")),
            rejected_reason: template
                .filled("rejected_reason")
                .filter(|reason| reason != "NONE"),
            correct_category: template.filled("correct_category"),
            components: components.unwrap_or_else(|| serde_json::Value::Array(Vec::new())),
        })
    }
}
