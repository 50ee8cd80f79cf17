//! The open line of a number: found, chosen, or made.

use bitrix24::{
    LineId,
    lines::{self, Line},
};
use serde_json::{Value, json};

use super::{PREFIX, Prepared, Rest, Step, Trouble, noted};
use crate::{portal::lines::Warning, store::instances::Place};

/// Pages of lines that are looked through; more lines than any plan has.
const MOST_PAGES: usize = 50;

/// What a number needs.
#[derive(Debug, Clone)]
pub(crate) struct NumberWish {
    /// Digits.
    pub(crate) digits: String,
    /// The line that it has or had.
    pub(crate) line: Option<LineId>,
    /// The line that somebody chose for it.
    pub(crate) chosen: Option<LineId>,
}

/// A line that was found or made.
#[derive(Debug)]
pub(crate) struct FoundLine {
    pub(super) id: LineId,
    pub(super) name: String,
    pub(super) active: bool,
    /// Somebody else's: nothing but our connector is changed on it.
    pub(super) foreign: bool,
    pub(super) warnings: Vec<Warning>,
}

impl FoundLine {
    /// Where the number is to be remembered.
    pub(crate) fn place(&self, connector: &str) -> Place {
        Place {
            connector: connector.to_owned(),
            line_id: self.id.0,
            line_name: self.name.clone(),
        }
    }
}

/// Finds the number's open line or makes it: the chosen one; else the remembered one, else one of its name, else a new
/// one.
///
/// Settings of a line that is there already are its administrator's; only a new line gets ours.
pub(crate) async fn find_line(
    rest: &impl Rest,
    prepared: &Prepared,
    wish: &NumberWish,
) -> Result<FoundLine, Trouble> {
    noted(rest, Step::Line, found_line(rest, prepared, wish)).await
}

async fn found_line(
    rest: &impl Rest,
    prepared: &Prepared,
    wish: &NumberWish,
) -> Result<FoundLine, Trouble> {
    if let Some(chosen) = wish.chosen {
        return chosen_line(rest, prepared, chosen).await;
    }
    if let Some(line) = wish.line
        && let Some(line) = read_line(rest, line).await?
    {
        return Ok(found(&line));
    }
    let name = line_name(&wish.digits);
    if let Some(line) = line_named(rest, &name).await?
        && let Some(line) = read_line(rest, line).await?
    {
        return Ok(found(&line));
    }
    make_line(rest, prepared, &name).await
}

/// A line that is not ours: it is used as it is, and what is odd about it is said.
async fn chosen_line(
    rest: &impl Rest,
    prepared: &Prepared,
    chosen: LineId,
) -> Result<FoundLine, Trouble> {
    let Some(line) = read_line(rest, chosen).await? else {
        return Err(Trouble::lasting(
            "LINE_NOT_FOUND",
            "The open line that was chosen for the number does not exist on the portal.",
            "Choose another line, or let the number have its own.",
        ));
    };
    if line.active == Some(false) {
        let title = format!("The open line {} is switched off.", line.name);
        return Err(Trouble::lasting(
            "LINE_INACTIVE",
            &title,
            "Switch it on in the Contact Center of the portal, then publish the number again; or choose another line.",
        ));
    }
    let others = crate::portal::lines::others_on(rest, chosen, &prepared.connector).await?;
    Ok(FoundLine {
        foreign: true,
        warnings: crate::portal::lines::warnings(&line, &others),
        ..found(&line)
    })
}

fn found(line: &Line) -> FoundLine {
    let deserted = line.queue.as_ref().is_some_and(Vec::is_empty);
    FoundLine {
        id: line.id,
        name: line.name.clone(),
        active: line.active != Some(false),
        foreign: false,
        warnings: deserted
            .then(|| Warning::queue_empty(&line.name))
            .into_iter()
            .collect(),
    }
}

/// Name of a number's line.
fn line_name(digits: &str) -> String {
    format!("{PREFIX}{digits}")
}

async fn read_line(rest: &impl Rest, line: LineId) -> Result<Option<Line>, Trouble> {
    Ok(Line::read(&rest.run(lines::get(line)).await?))
}

/// The line of this name; of several the oldest, so that everybody finds the same.
async fn line_named(rest: &impl Rest, name: &str) -> Result<Option<LineId>, Trouble> {
    for page in 0..MOST_PAGES {
        let list = Line::read_list(&rest.run(lines::list(page * lines::PAGE)).await?);
        if let Some(line) = list.iter().find(|line| line.name == name) {
            return Ok(Some(line.id));
        }
        if list.len() < lines::PAGE {
            break;
        }
    }
    Ok(None)
}

async fn make_line(
    rest: &impl Rest,
    prepared: &Prepared,
    name: &str,
) -> Result<FoundLine, Trouble> {
    let settings = lines::line_settings(name, prepared.language, prepared.user);
    let Some(id) = lines::read_added(&rest.run(lines::add(&settings)).await?) else {
        return Err(Trouble::lasting(
            "LINE_NOT_CREATED",
            "The portal did not make an open line.",
            "Its plan may not allow another one: delete a line that is not used or change the plan, then link the \
             number again.",
        ));
    };
    let mut line = read_line(rest, id).await?;
    if line
        .as_ref()
        .is_some_and(|line| differs(line, &settings, "QUEUE"))
    {
        // Some portals take the queue only from a change.
        rest.run(lines::update(id, &json!({ "QUEUE": settings["QUEUE"] })))
            .await?;
        line = read_line(rest, id).await?;
    }
    let Some(line) = line else {
        return Err(Trouble::passing(
            "LINE_NOT_FOUND",
            "The portal does not show the open line that it just made.",
        ));
    };
    for difference in lines::differences(&settings, &line.settings) {
        tracing::info!(
            line = id.0,
            setting = difference.setting,
            "the portal gave a new line another setting"
        );
    }
    let deserted = differs(&line, &settings, "QUEUE");
    Ok(FoundLine {
        warnings: deserted
            .then(|| Warning::queue_empty(&line.name))
            .into_iter()
            .collect(),
        ..found(&line)
    })
}

fn differs(line: &Line, settings: &Value, setting: &str) -> bool {
    lines::differences(settings, &line.settings)
        .iter()
        .any(|difference| difference.setting == setting)
}
