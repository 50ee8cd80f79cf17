//! The connector on a number's line: switched on with its data, read back, looked at later, taken off.
//!
//! The order is part of the protocol: activating wipes the connector's data, so data follow activation, and what the
//! portal says about the line at the very end is what counts. Nothing else in the program calls `imconnector.activate`.

use std::time::Duration;

use bitrix24::{
    Call, LineId,
    connector::{self, ConnectorData, Health, Status},
    lines,
};
use serde_json::json;

use super::{Prepared, Rest, Step, Trouble, line::FoundLine, noted};
use crate::{portal::lines::Warning, registry::PhoneError};

/// Pauses before the state of a line is read again: a portal writes an activation after it has answered it.
pub(super) const STATUS_PAUSES: [Duration; 5] = [
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// What the number's connection came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Connected {
    /// Something that a person should put right although messages pass.
    pub(crate) warning: Option<PhoneError>,
}

/// Makes the connector work on a number's line: activate, then write its data, then read the line's state back.
pub(crate) async fn connect(
    rest: &impl Rest,
    prepared: &Prepared,
    line: &FoundLine,
    digits: &str,
) -> Result<Connected, Trouble> {
    noted(rest, Step::Activation, async {
        if !line.active && !line.foreign {
            require(rest, lines::update(line.id, &json!({ "ACTIVE": "Y" }))).await?;
        }
        switch(rest, &prepared.connector, line.id, true).await
    })
    .await?;
    let address = format!("https://wa.me/{digits}");
    let data = ConnectorData {
        id: digits.to_owned(),
        url: address.clone(),
        url_im: address,
        name: format!("+{digits}"),
    };
    noted(
        rest,
        Step::Data,
        require(
            rest,
            connector::set_data(&prepared.connector, line.id, &data),
        ),
    )
    .await?;
    noted(rest, Step::State, async {
        if becomes_live(rest, &prepared.connector, line.id).await? {
            return Ok(());
        }
        Err(Trouble::passing(
            "NOT_LIVE",
            "The portal does not show the connector as working on its line.",
        ))
    })
    .await?;
    Ok(Connected {
        warning: line.warnings.first().map(Warning::shown),
    })
}

/// Takes the connector off a line that a number leaves.
pub(crate) async fn withdraw(rest: &impl Rest, connector: &str, line: i64) -> Result<(), Trouble> {
    switch(rest, connector, LineId(line), false).await
}

/// The only place where a connector is put on a line or taken off.
async fn switch(
    rest: &impl Rest,
    connector: &str,
    line: LineId,
    active: bool,
) -> Result<(), Trouble> {
    require(rest, connector::activate(connector, line, active)).await
}

/// Runs a call whose result says by itself whether it worked.
async fn require(rest: &impl Rest, call: Call) -> Result<(), Trouble> {
    let method = call.method.clone();
    let result = rest.run(call).await?;
    if connector::read_success(&result) {
        return Ok(());
    }
    let title = format!("The portal did not carry out {method}.");
    Err(Trouble::lasting(
        "NOT_DONE",
        &title,
        "Link the number again; if it stays so, look at the line on the portal.",
    )
    .with_details(result.to_string()))
}

async fn becomes_live(rest: &impl Rest, connector: &str, line: LineId) -> Result<bool, Trouble> {
    for pause in std::iter::once(None).chain(STATUS_PAUSES.into_iter().map(Some)) {
        if let Some(pause) = pause {
            rest.pause(pause).await;
        }
        let status = status(rest, connector, line).await?;
        if status.health() == Health::Live && status.configured != Some(false) {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn status(rest: &impl Rest, connector: &str, line: LineId) -> Result<Status, Trouble> {
    Ok(Status::read(
        &rest.run(connector::status(connector, line)).await?,
    ))
}

/// How a connected number is found at a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Messages pass, as far as the portal says.
    Fine,
    /// The connector is gone or its line is dead.
    Fallen,
}

/// The connectors that the portal lists.
pub(crate) async fn listed(rest: &impl Rest) -> Result<Vec<String>, Trouble> {
    let list = connector::read_list(&rest.run(connector::list()).await?);
    Ok(list
        .into_iter()
        .map(|(id, _name)| id.to_lowercase())
        .collect())
}

/// Looks whether a connected number still is. What the portal does not say is no fall.
pub(crate) async fn check(
    rest: &impl Rest,
    listed: &[String],
    connector: &str,
    line: LineId,
) -> Result<Finding, Trouble> {
    if !listed.contains(&connector.to_lowercase()) {
        return Ok(Finding::Fallen);
    }
    let health = status(rest, connector, line).await?.health();
    Ok(if health == Health::Down {
        Finding::Fallen
    } else {
        Finding::Fine
    })
}
