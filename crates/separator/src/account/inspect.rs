//! What a token opens, before anything is entered or changed.

use std::sync::Arc;

use uuid::Uuid;
use whatsapp::client::{BusinessAccount, Client, Credentials, PhoneNumber, TokenInfo};

use super::{Trouble, client, connect::needs_registering, health};
use crate::{
    app::App,
    registry::{Registry, WabaApp},
    secret::Secret,
    time::Millis,
};

/// What was found.
#[derive(Debug)]
pub struct Inspection {
    /// The token as Meta describes it.
    pub token: TokenInfo,
    /// When it ends; none: never.
    pub expires_at: Option<Millis>,
    /// Permissions that it lacks.
    pub missing_scopes: Vec<&'static str>,
    /// The app's name.
    pub app_name: Option<String>,
    /// The accounts that it sees.
    pub accounts: Vec<Seen>,
    /// What is wrong, the worst first.
    pub troubles: Vec<Trouble>,
}

/// An account that the token sees.
#[derive(Debug)]
pub struct Seen {
    /// The account.
    pub account: BusinessAccount,
    /// Our id, where it is entered.
    pub entered: Option<Uuid>,
    /// Its numbers.
    pub phones: Vec<SeenNumber>,
}

/// A number that the token sees.
#[derive(Debug)]
pub struct SeenNumber {
    /// The number.
    pub number: PhoneNumber,
    /// Our id, where it is entered.
    pub entered: Option<Uuid>,
    /// What stands in its way.
    pub trouble: Option<Trouble>,
}

/// Why nothing could be found out.
#[derive(Debug)]
pub enum Failure {
    /// Neither given nor stored.
    NoToken,
    /// Meta did not answer.
    Meta(whatsapp::Error),
}

/// Looks at a token (the app's own where none is given), the accounts and the numbers that it sees. Changes nothing.
pub async fn inspect(
    app: &Arc<App>,
    waba_app: &WabaApp,
    token: Option<&Secret>,
) -> Result<Inspection, Failure> {
    let token = token
        .or(waba_app.access_token.as_ref())
        .ok_or(Failure::NoToken)?;
    let client = client(app);
    let secret = whatsapp::Secret::new(waba_app.client_secret.expose());
    let own = Credentials::of_app(&waba_app.client_id, &secret);
    let token = whatsapp::Secret::new(token.expose());
    let mut found = Inspection {
        token: TokenInfo::default(),
        expires_at: None,
        missing_scopes: Vec::new(),
        app_name: None,
        accounts: Vec::new(),
        troubles: Vec::new(),
    };
    match client.debug_token(&own, &token).await {
        Ok(info) => found.token = info,
        Err(error) if health::is_wrong_secret(&error) => {
            found.troubles.push(Trouble::WrongSecret);
            return Ok(found);
        }
        Err(error) => return Err(Failure::Meta(error)),
    }
    found.app_name = match client.app_info(&own, &waba_app.client_id).await {
        Ok(info) => info.name,
        // Meta tells the name with the token, too.
        Err(_) => found.token.application.clone(),
    };
    let now = app.clock.now();
    found.expires_at = health::ends_at(&found.token);
    found.troubles = health::troubles(&found.token, &waba_app.client_id, now);
    if !found.token.is_valid {
        return Ok(found);
    }
    let lacks = |scope: &&str| !found.token.may(scope);
    found.missing_scopes = health::SCOPES.into_iter().filter(lacks).collect();
    if found.token.app_id.as_ref() != Some(&waba_app.client_id) {
        return Ok(found);
    }
    if found.missing_scopes.is_empty() {
        found.troubles.push(Trouble::LiveUnknown);
    }
    let credentials = Credentials {
        access_token: token,
        app_secret: Some(secret),
    };
    let granted = match granted(&client, &credentials, &found.token).await {
        Ok(granted) => granted,
        Err(error) if error.api().is_some() => Vec::new(),
        Err(error) => return Err(Failure::Meta(error)),
    };
    if granted.is_empty() {
        found.troubles.push(Trouble::NoAccount);
    }
    let registry = app.directory.snapshot();
    for waba_id in granted {
        match look_at(&client, &credentials, &registry, waba_app.id, &waba_id).await {
            Ok((seen, troubles)) => {
                found.accounts.push(seen);
                found.troubles.extend(troubles);
            }
            Err(error) if error.api().is_some() => {
                found.troubles.push(Trouble::AccountInvisible { waba_id });
            }
            Err(error) => return Err(Failure::Meta(error)),
        }
    }
    found
        .troubles
        .sort_by_key(|trouble| trouble.severity() as u8);
    Ok(found)
}

/// The accounts that a token was granted, by its granular scopes, or through the businesses of its holder where they name
/// none. Source: Meta, "Graph API: debug_token".
pub(super) async fn granted(
    client: &Client,
    credentials: &Credentials,
    info: &TokenInfo,
) -> Result<Vec<String>, whatsapp::Error> {
    if !info.waba_ids().is_empty() || !info.may(health::SCOPES[0]) {
        return Ok(info.waba_ids().to_vec());
    }
    match client.reachable_accounts(credentials).await {
        Ok(accounts) => Ok(accounts.into_iter().map(|account| account.id).collect()),
        // Without business_management nothing can be listed; ids can still be entered by hand.
        Err(error) if error.api().is_some_and(whatsapp::ApiError::is_permission) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

async fn look_at(
    client: &Client,
    credentials: &Credentials,
    registry: &Registry,
    waba_app: Uuid,
    waba_id: &str,
) -> Result<(Seen, Vec<Trouble>), whatsapp::Error> {
    let account = client.business_account(credentials, waba_id).await?;
    let numbers = client.phone_numbers(credentials, waba_id).await?;
    let mut troubles = Vec::new();
    let entered = registry
        .accounts
        .values()
        .find(|account| account.waba_id == waba_id);
    if entered.is_some_and(|account| account.app_id != waba_app) {
        troubles.push(Trouble::AccountElsewhere {
            waba_id: waba_id.to_owned(),
        });
    }
    let own = entered.filter(|account| account.app_id == waba_app);
    if let Some(state) = account.review_status.as_ref()
        && state != "APPROVED"
    {
        troubles.push(Trouble::AccountNotApproved {
            waba_id: waba_id.to_owned(),
            state: state.clone(),
        });
    }
    let phones = numbers
        .into_iter()
        .map(|number| {
            let digits = number.digits().unwrap_or_default();
            let known = registry.phone_by_number_id(&number.id);
            let here = known.filter(|phone| own.is_some_and(|own| own.id == phone.account_id));
            let elsewhere = here.is_none() && (known.is_some() || registry.is_own_number(&digits));
            let trouble = if elsewhere {
                Some(Trouble::NumberElsewhere { phone: digits })
            } else if needs_registering(&number) {
                Some(Trouble::NotRegistered { phone: digits })
            } else {
                None
            };
            SeenNumber {
                entered: here.map(|phone| phone.id),
                number,
                trouble,
            }
        })
        .collect();
    Ok((
        Seen {
            entered: own.map(|account| account.id),
            account,
            phones,
        },
        troubles,
    ))
}
