//! What is fetched from Meta about an account that is entered: its review, its numbers, its templates.

use std::{sync::Arc, time::Duration};

use uuid::Uuid;
use whatsapp::client::{Client, Credentials, PhoneNumber};

use super::{Trouble, client, of_account};
use crate::{
    app::App,
    registry::{Account, Registry, meta::NumberFacts},
    store::{self, meta, templates},
    time::Millis,
};

/// Everything is fetched anew so often, whatever callbacks say.
pub(super) const ROUND: Duration = Duration::from_hours(24);
/// A try that failed is repeated after this.
const AGAIN: Duration = Duration::from_mins(15);

/// Why something could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Meta(#[from] whatsapp::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// When an account is to be fetched; at once where it never was.
pub(super) fn due_at(registry: &Registry, account: Uuid) -> Millis {
    let facts = registry.meta.accounts.get(&account);
    facts.map_or(Millis(0), |facts| facts.due_at)
}

/// Fetches what is known about an account and notes how it went. Numbers that are not entered are left alone.
pub(super) async fn refresh(app: &Arc<App>, id: Uuid) -> Result<(), store::Error> {
    let registry = app.directory.snapshot();
    let Some(account) = registry.accounts.get(&id) else {
        return Ok(());
    };
    let credentials = registry
        .waba_apps
        .get(&account.app_id)
        .and_then(|waba_app| of_account(account, waba_app));
    let Some(credentials) = credentials else {
        return Ok(());
    };
    let outcome = async {
        let client = client(app);
        let numbers = client.phone_numbers(&credentials, &account.waba_id).await?;
        keep_numbers(app, &numbers).await?;
        fetch(app, &client, &credentials, account).await
    };
    match outcome.await {
        Ok(_) => {}
        Err(FetchError::Store(error)) => return Err(error),
        Err(FetchError::Meta(error)) => {
            tracing::warn!(%error, account = %id, "an account could not be looked at");
            let again = app.clock.now() + AGAIN;
            let trouble = Trouble::of(&error);
            meta::save_account(&app.store, id, None, None, Some(&trouble), again).await?;
        }
    }
    app.refresh_meta().await
}

/// Fetches review and templates of an account; gives how many templates there are. The caller reloads.
pub(super) async fn fetch(
    app: &App,
    client: &Client,
    credentials: &Credentials,
    account: &Account,
) -> Result<usize, FetchError> {
    // Before the question, so that a callback about what happens meanwhile is not taken for older.
    let asked_at = app.clock.now();
    let found = client
        .business_account(credentials, &account.waba_id)
        .await?;
    let listed = client
        .message_templates(credentials, &account.waba_id)
        .await?;
    templates::replace(&app.store, &app.ids, account.id, &listed, asked_at).await?;
    let next = asked_at + ROUND;
    meta::save_account(
        &app.store,
        account.id,
        Some(asked_at),
        found.review_status.as_deref(),
        None,
        next,
    )
    .await?;
    Ok(listed.len())
}

/// Keeps what Meta says about numbers that are entered.
pub(super) async fn keep_numbers(app: &App, numbers: &[PhoneNumber]) -> Result<(), store::Error> {
    let registry = app.directory.snapshot();
    let now = app.clock.now();
    for number in numbers {
        if let Some(phone) = registry.phone_by_number_id(&number.id) {
            meta::save_number(&app.store, phone.id, &facts(number, now)).await?;
        }
    }
    Ok(())
}

fn facts(number: &PhoneNumber, now: Millis) -> NumberFacts {
    NumberFacts {
        verified_name: number.verified_name.clone(),
        status: number.status.clone(),
        quality: number.quality_rating.clone(),
        messaging_limit: number.messaging_limit.clone(),
        throughput: number.throughput.clone(),
        name_status: number.name_status.clone(),
        on_phone_app: number.is_on_biz_app,
        notice: None,
        notice_at: None,
        updated_at: now,
    }
}
