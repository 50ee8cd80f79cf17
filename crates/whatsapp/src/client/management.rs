//! Accounts, numbers, subscriptions and templates: the calls of setting up.

use serde_json::json;

use super::answers::{AppInfo, AppWebhook, BusinessAccount, PhoneNumber, SubscribedApp, Template};
use super::{Client, Credentials, opened};
use crate::Secret;
use crate::error::Error;

/// Fields of a callback that matter to whoever sends and receives messages, for [`Client::set_app_webhook`].
/// Source: Meta, "Webhooks: WhatsApp Business Account fields".
pub const WEBHOOK_FIELDS: &[&str] = &[
    "messages",
    "message_template_status_update",
    "message_template_components_update",
    "message_template_quality_update",
    "template_category_update",
    "account_update",
    "account_review_update",
    "account_alerts",
    "account_settings_update",
    "phone_number_quality_update",
    "phone_number_name_update",
    "business_capability_update",
    "user_preferences",
    "security",
    "calls",
    "smb_message_echoes",
];

const PHONE_FIELDS: &str = "id,display_phone_number,verified_name,status,quality_rating,\
    whatsapp_business_manager_messaging_limit,throughput,name_status,code_verification_status,account_mode,\
    platform_type,is_official_business_account,is_pin_enabled,is_on_biz_app,webhook_configuration";
pub(super) const TEMPLATE_FIELDS: &str = "id,name,language,status,category,sub_category,parameter_format,components,\
    quality_score,rejected_reason,previous_category,correct_category";
const ACCOUNT_FIELDS: &str =
    "id,name,status,account_review_status,business_verification_status,country,currency";
const APP_FIELDS: &str = "id,name,link";

impl Client {
    /// A WhatsApp Business Account. Source: Meta, "WhatsApp Business Account".
    pub async fn business_account(
        &self,
        credentials: &Credentials,
        waba_id: &str,
    ) -> Result<BusinessAccount, Error> {
        let mut url = self.url(credentials, &[waba_id])?;
        url.query_pairs_mut().append_pair("fields", ACCOUNT_FIELDS);
        let answer = self.get(credentials, url).await?;
        BusinessAccount::read(&opened(&answer)?).ok_or(Error::Malformed("the account's id"))
    }

    /// The WhatsApp Business Accounts that a token without named objects reaches: those that the businesses of its
    /// holder own and those shared with them. Needs `business_management`.
    /// Source: Meta, "Business: owned and client WhatsApp Business Accounts".
    pub async fn reachable_accounts(
        &self,
        credentials: &Credentials,
    ) -> Result<Vec<BusinessAccount>, Error> {
        let businesses = self
            .pages(
                credentials,
                &["me", "businesses"],
                &[("fields", "id"), ("limit", "100")],
                |business| business.filled("id"),
            )
            .await?;
        let query = [("fields", ACCOUNT_FIELDS), ("limit", "100")];
        let mut found: Vec<BusinessAccount> = Vec::new();
        for business in &businesses {
            for edge in [
                "owned_whatsapp_business_accounts",
                "client_whatsapp_business_accounts",
            ] {
                let accounts = self
                    .pages(
                        credentials,
                        &[business, edge],
                        &query,
                        BusinessAccount::read,
                    )
                    .await?;
                for account in accounts {
                    if !found.iter().any(|known| known.id == account.id) {
                        found.push(account);
                    }
                }
            }
        }
        Ok(found)
    }

    /// An app, as its own token sees it. Meta does not tell whether it is in Development or Live mode.
    /// Source: Meta, "Graph API: application".
    pub async fn app_info(
        &self,
        credentials: &Credentials,
        app_id: &str,
    ) -> Result<AppInfo, Error> {
        let mut url = self.url(credentials, &[app_id])?;
        url.query_pairs_mut().append_pair("fields", APP_FIELDS);
        let answer = self.get(credentials, url).await?;
        AppInfo::read(&opened(&answer)?).ok_or(Error::Malformed("the app's id"))
    }

    /// Sets where the app's callbacks about WhatsApp go and which fields they have. Meta makes its handshake at the
    /// address before it answers; an address that does not pass is refused with code 2200. `credentials` must be the
    /// [app's own](Credentials::of_app). Repeating it does no harm. Source: Meta, "Graph API: application subscriptions".
    pub async fn set_app_webhook(
        &self,
        credentials: &Credentials,
        app_id: &str,
        callback_url: &str,
        verify_token: &Secret,
        fields: &[&str],
    ) -> Result<(), Error> {
        let url = self.url(credentials, &[app_id, "subscriptions"])?;
        // In the body, so that the verify token is in no address.
        let body = json!({
            "object": "whatsapp_business_account",
            "callback_url": callback_url,
            "verify_token": verify_token.expose(),
            "fields": fields.join(","),
        });
        self.post(credentials, url, &body).await.map(drop)
    }

    /// Where the app's callbacks about WhatsApp go; `None` where nothing was set.
    /// Source: Meta, "Graph API: application subscriptions".
    pub async fn app_webhook(
        &self,
        credentials: &Credentials,
        app_id: &str,
    ) -> Result<Option<AppWebhook>, Error> {
        let all = self
            .pages(
                credentials,
                &[app_id, "subscriptions"],
                &[],
                AppWebhook::read,
            )
            .await?;
        Ok(all
            .into_iter()
            .find(|webhook| webhook.object == "whatsapp_business_account"))
    }

    /// Subscribes the token's app to an account with a callback of the account's own, which takes the place of the
    /// app's for messages and calls (never for templates and the account itself). Meta makes its handshake at once.
    /// Source: Meta, "Webhooks: override the callback".
    pub async fn subscribe_with_callback(
        &self,
        credentials: &Credentials,
        waba_id: &str,
        callback_url: &str,
        verify_token: &Secret,
    ) -> Result<(), Error> {
        let url = self.url(credentials, &[waba_id, "subscribed_apps"])?;
        let body = json!({
            "override_callback_uri": callback_url,
            "verify_token": verify_token.expose(),
        });
        self.post(credentials, url, &body).await.map(drop)
    }

    /// Ends the subscription of the token's app to an account. Source: Meta, "WABA: subscribed apps".
    pub async fn unsubscribe(&self, credentials: &Credentials, waba_id: &str) -> Result<(), Error> {
        let url = self.url(credentials, &[waba_id, "subscribed_apps"])?;
        self.answer(credentials, self.http.delete(url))
            .await
            .map(drop)
    }

    /// All business numbers of a WhatsApp Business Account. Source: Meta, "WABA: phone numbers".
    pub async fn phone_numbers(
        &self,
        credentials: &Credentials,
        waba_id: &str,
    ) -> Result<Vec<PhoneNumber>, Error> {
        let query = [("fields", PHONE_FIELDS), ("limit", "100")];
        self.pages(
            credentials,
            &[waba_id, "phone_numbers"],
            &query,
            PhoneNumber::read,
        )
        .await
    }

    /// One business number. Source: Meta, "Phone number".
    pub async fn phone_number(
        &self,
        credentials: &Credentials,
        phone_number_id: &str,
    ) -> Result<PhoneNumber, Error> {
        let mut url = self.url(credentials, &[phone_number_id])?;
        url.query_pairs_mut().append_pair("fields", PHONE_FIELDS);
        let answer = self.get(credentials, url).await?;
        PhoneNumber::read(&opened(&answer)?).ok_or(Error::Malformed("the number's id"))
    }

    /// Subscribes the token's app to an account; without it the app hears nothing. Repeating it does no harm.
    /// Source: Meta, "WABA: subscribed apps".
    pub async fn subscribe(&self, credentials: &Credentials, waba_id: &str) -> Result<(), Error> {
        let url = self.url(credentials, &[waba_id, "subscribed_apps"])?;
        self.answer(credentials, self.http.post(url))
            .await
            .map(drop)
    }

    /// The apps that are subscribed to an account. Source: Meta, "WABA: subscribed apps".
    pub async fn subscriptions(
        &self,
        credentials: &Credentials,
        waba_id: &str,
    ) -> Result<Vec<SubscribedApp>, Error> {
        self.pages(
            credentials,
            &[waba_id, "subscribed_apps"],
            &[],
            SubscribedApp::read,
        )
        .await
    }

    /// All message templates of an account. Source: Meta, "WABA: message templates".
    pub async fn message_templates(
        &self,
        credentials: &Credentials,
        waba_id: &str,
    ) -> Result<Vec<Template>, Error> {
        let query = [("fields", TEMPLATE_FIELDS), ("limit", "100")];
        self.pages(
            credentials,
            &[waba_id, "message_templates"],
            &query,
            Template::read,
        )
        .await
    }

    /// Registers a number on the Cloud API with its two-step verification PIN of six digits, or sets one if it has
    /// none. Ten tries in 72 hours. Not for numbers that stay on the phone app. Source: Meta, "Phone number: register".
    pub async fn register(
        &self,
        credentials: &Credentials,
        phone_number_id: &str,
        pin: &str,
    ) -> Result<(), Error> {
        let url = self.url(credentials, &[phone_number_id, "register"])?;
        let body = json!({ "messaging_product": "whatsapp", "pin": pin });
        self.post(credentials, url, &body).await.map(drop)
    }
}
