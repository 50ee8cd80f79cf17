//! Reading a portal with the rights of the employee who looks at a page.
//!
//! The token is the one that the page was opened with. It is not refreshed: when it ends, so does the page.

use std::{sync::Arc, time::Duration};

use bitrix24::{AccessToken, Call, Class, Error, Portal};
use serde_json::Value;
use url::Url;

use crate::{app::App, registry::Instance, users::frame::Access};

/// How long somebody waits for a page.
const LIMIT: Duration = Duration::from_secs(15);

/// Runs a call as an employee, at the portal's pace, and gives its `result`.
pub async fn ask(
    app: &Arc<App>,
    instance: &Instance,
    access: &Access,
    call: &Call,
) -> Result<Value, Error> {
    let Ok(endpoint) = Url::parse(&instance.client_endpoint) else {
        return Err(Error::NotSent {
            why: "the portal's address is not one",
        });
    };
    if app.outgoing.vet(&endpoint).is_err() {
        return Err(Error::NotSent {
            why: "the portal's address may not be called",
        });
    }
    let token = AccessToken::new(access.expose());
    let portal = Portal::new(app.outgoing.api_client(), endpoint);
    let question = async {
        loop {
            app.dispatcher.pace(instance.id).take().await;
            match portal.run(call, &token).await {
                Err(error) => match error.class() {
                    Class::Limited { wait } => app.dispatcher.pace(instance.id).limited(wait),
                    _ => return Err(error),
                },
                Ok(answer) => return Ok(answer.result),
            }
        }
    };
    tokio::time::timeout(LIMIT, question)
        .await
        .unwrap_or_else(|_| {
            Err(Error::Unreachable {
                detail: "no answer in time".to_owned(),
            })
        })
}
