//! Templates that WhatsApp stops taking while messages or robots use them.
//!
//! A message begins to wait for its template before it would be sent, in `deliver::template_hold`. Here is the rest: when
//! the catalogue changes, messages of templates that are not taken are brought to that check at once; what waits goes on
//! as soon as its template is taken again; and the owner is told, in one alarm for each number, what waits and which
//! robots use such a template.
//!
//! The catalogue may be changed by another process, so it is looked at every few seconds.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    app::App,
    deliver::template_hold,
    registry::Registry,
    store::{
        self, catalogue,
        held::{self, Held},
        instances,
        lanes::{self, NewTask, Priority, Side, Task},
        messages::{self, Change, Journey},
        robot_uses::{self, RobotUse},
    },
    time::Millis,
    translate::{
        message::Language,
        notes::Note,
        template::{Template, Unsendable, sendable},
    },
};

/// How often it is looked around.
const ROUND: Duration = Duration::from_secs(3);
/// What is done in one transaction.
const PIECE: i64 = 100;
/// For so long after its last run a robot is taken to be in use.
const ROBOTS: Duration = Duration::from_hours(90 * 24);

/// Kind of the alarm that templates in use are not taken; the subject is our id of the number.
pub(crate) const ALARM: &str = "template_in_use";

/// The journey's word for a message that goes on because its template is taken again.
pub(crate) const SENT_ON: &str = "sent on: the template is taken again";

/// Templates by number and name, for one look around.
type Catalogue = HashMap<(Uuid, String), Vec<Template>>;

/// What was seen at the last look.
#[derive(Default)]
struct Seen {
    stamp: Option<(i64, Option<i64>)>,
    /// Numbers with something to tell.
    told: HashSet<Uuid>,
    begun: bool,
}

/// Looks around until told to stop.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut seen = Seen::default();
    loop {
        if let Err(error) = look_around(&app, &mut seen).await {
            tracing::warn!(%error, "templates in use could not be looked at; the next round tries again");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(ROUND) => {}
        }
    }
}

async fn look_around(app: &App, seen: &mut Seen) -> Result<(), store::Error> {
    let stamp = Some(catalogue::stamp(&app.store).await?);
    let changed = seen.stamp != stamp;
    let mut known = Catalogue::new();
    let waiting = look_at_waiting(app, &mut known).await?;
    if changed {
        bring_forward(app, &mut known).await?;
    }
    if changed || !waiting.is_empty() || !seen.told.is_empty() {
        tell(app, seen, waiting, &mut known).await?;
    }
    seen.stamp = stamp;
    seen.begun = true;
    Ok(())
}

async fn templates<'a>(
    app: &App,
    known: &'a mut Catalogue,
    phone: Uuid,
    name: &str,
) -> Result<&'a [Template], store::Error> {
    let key = (phone, name.to_owned());
    if !known.contains_key(&key) {
        let names = [name.to_owned()];
        let found = catalogue::of_names(&app.store, phone, &names).await?;
        known.insert(key.clone(), found);
    }
    Ok(known.get(&key).map(Vec::as_slice).unwrap_or_default())
}

/// Whether a task's template is taken; nothing where it is made from none.
async fn judged(
    app: &App,
    known: &mut Catalogue,
    phone: Uuid,
    task: &Task,
    strict: bool,
) -> Result<Option<Unsendable>, store::Error> {
    let Task::Template {
        name,
        language,
        components,
        header,
        ..
    } = task
    else {
        return Ok(None);
    };
    let templates = templates(app, known, phone, name).await?;
    let file = header.as_ref().map(|header| header.kind);
    Ok(sendable(templates, name, language, components, file, strict).err())
}

/// Sends on what waits and is taken again, in the order in which it was written; gives what still waits, by number,
/// template and language, with the reason.
async fn look_at_waiting(
    app: &App,
    known: &mut Catalogue,
) -> Result<Vec<(Held, Unsendable)>, store::Error> {
    let now = app.clock.now();
    let mut still = Vec::new();
    let mut after = Uuid::nil();
    loop {
        let piece = held::for_templates(&app.store, after, PIECE).await?;
        let Some(last) = piece.last() else {
            return Ok(still);
        };
        after = last.message;
        let mut go = Vec::new();
        for held in piece {
            match judged(app, known, held.phone, &held.task, true).await? {
                None => go.push(held),
                Some(why) => {
                    if held.why.as_ref() != Some(&why) {
                        change_reason(app, &held, &why, now).await?;
                    }
                    still.push((held, why));
                }
            }
        }
        if !go.is_empty() {
            send_on(app, go, now).await?;
        }
    }
}

fn language(registry: &Registry, phone: Uuid) -> Language {
    registry
        .phones
        .get(&phone)
        .and_then(|phone| registry.instance_of(phone))
        .map_or(Language::English, |instance| instance.language)
}

fn step(message: Uuid, at: Millis, step: &str, detail: Option<&str>) -> Change {
    Change {
        id: message,
        state: None,
        wamid: None,
        error: None,
        sent_task: None,
        at,
        journey: Journey::new().with(at, step, detail),
    }
}

fn note(app: &App, held: &Held, text: String, now: Millis) -> NewTask {
    NewTask {
        id: app.ids.next(),
        lane: held.conversation,
        side: Side::Portal,
        phone: held.phone,
        message: None,
        media: None,
        priority: Priority::Conversation,
        due_at: now,
        created_at: now,
        task: Task::Post {
            external_id: format!("note-{}", app.ids.next().simple()),
            text,
            note: true,
        },
    }
}

async fn send_on(app: &App, held: Vec<Held>, now: Millis) -> Result<(), store::Error> {
    let registry = app.directory.snapshot();
    let ids: Vec<Uuid> = held.iter().map(|held| held.message).collect();
    let mut tx = app.store.begin().await?;
    let taken = held::take(&mut tx, &ids).await?;
    let held: Vec<Held> = held
        .into_iter()
        .filter(|held| taken.contains(&held.message))
        .collect();
    let changes = held
        .iter()
        .map(|held| step(held.message, now, SENT_ON, None))
        .collect();
    messages::change(&mut tx, changes);
    let mut tasks = Vec::new();
    for one in &held {
        if let Some((name, of)) = one.template() {
            let words = Note::TemplateGoesOn {
                name: name.to_owned(),
                language: of.to_owned(),
            };
            let markup = words.markup(language(&registry, one.phone));
            tasks.push(note(app, one, markup, now));
        }
        tasks.push(NewTask {
            id: app.ids.next(),
            lane: one.conversation,
            side: Side::Meta,
            phone: one.phone,
            message: Some(one.message),
            media: one.media,
            priority: Priority::Conversation,
            due_at: now,
            created_at: now,
            task: one.task.clone(),
        });
    }
    lanes::enqueue(&mut tx, &tasks);
    tx.commit().await?;
    for task in &tasks {
        app.dispatcher.wake(task.phone, task.side);
    }
    Ok(())
}

/// It waits on, for another reason: operators and the journey are told.
async fn change_reason(
    app: &App,
    held: &Held,
    why: &Unsendable,
    now: Millis,
) -> Result<(), store::Error> {
    let Some((name, of)) = held.template() else {
        return Ok(());
    };
    let words = Note::TemplateWaits {
        name: name.to_owned(),
        language: of.to_owned(),
        why: why.clone(),
    };
    let registry = app.directory.snapshot();
    let mut tx = app.store.begin().await?;
    if !held::change_reason(&mut tx, held.message, why).await? {
        return Ok(());
    }
    let said = words.text(Language::English);
    let change = step(held.message, now, template_hold::WAITS, Some(&said));
    messages::change(&mut tx, vec![change]);
    let markup = words.markup(language(&registry, held.phone));
    lanes::enqueue(&mut tx, &[note(app, held, markup, now)]);
    tx.commit().await?;
    app.dispatcher.wake(held.phone, Side::Portal);
    Ok(())
}

/// Messages of templates that are not taken are looked at now, whenever their next try would have been.
async fn bring_forward(app: &App, known: &mut Catalogue) -> Result<(), store::Error> {
    let mut due: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
    let mut after = Uuid::nil();
    loop {
        let piece = lanes::templates_behind(&app.store, after, PIECE).await?;
        let Some(last) = piece.last() else {
            break;
        };
        after = last.id;
        for row in piece {
            if judged(app, known, row.phone, &row.task, false)
                .await?
                .is_some()
            {
                due.entry(row.phone).or_default().push(row.lane);
            }
        }
    }
    for (phone, lanes) in due {
        let mut tx = app.store.begin().await?;
        lanes::make_due(&mut tx, Side::Meta, &lanes, app.clock.now());
        tx.commit().await?;
        app.dispatcher.wake(phone, Side::Meta);
    }
    Ok(())
}

/// What is to be told of one template of a number.
#[derive(Default)]
struct Told {
    why: Option<Unsendable>,
    waiting: usize,
    robots: Vec<String>,
}

/// Raises, changes and clears the alarms.
async fn tell(
    app: &App,
    seen: &mut Seen,
    waiting: Vec<(Held, Unsendable)>,
    known: &mut Catalogue,
) -> Result<(), store::Error> {
    let now = app.clock.now();
    let mut all: BTreeMap<Uuid, BTreeMap<(String, String), Told>> = BTreeMap::new();
    for (held, why) in waiting {
        if let Some((name, language)) = held.template() {
            let key = (name.to_owned(), language.to_owned());
            let told = all.entry(held.phone).or_default().entry(key).or_default();
            told.waiting += 1;
            told.why = Some(why);
        }
    }
    let registry = app.directory.snapshot();
    for used in robot_uses::since(&app.store, now - ROBOTS).await? {
        let templates = templates(app, known, used.phone, &used.template).await?;
        if let Some(why) = trouble(&used, templates) {
            let portal = registry.instances.get(&used.instance);
            let domain = portal.map_or("a portal", |portal| portal.domain.as_str());
            let key = (used.template, used.language);
            let told = all.entry(used.phone).or_default().entry(key).or_default();
            told.robots.push(format!("{} of {domain}", used.document));
            told.why.get_or_insert(why);
        }
    }
    let mut open: HashSet<Uuid> = HashSet::new();
    for (phone, templates) in &all {
        let Some(number) = registry.phones.get(phone) else {
            continue;
        };
        let text = sentence(&number.phone, templates);
        let (id, subject) = (app.ids.next(), phone.to_string());
        if instances::tell_alarm(&app.store, id, now, ALARM, &subject, &text).await? {
            tracing::warn!(%phone, text, "templates in use are not taken");
        }
        open.insert(*phone);
    }
    // After a start it is not known what was told before.
    let before: Vec<Uuid> = if seen.begun {
        seen.told.difference(&open).copied().collect()
    } else {
        let phones = registry.phones.keys().copied();
        phones.filter(|phone| !open.contains(phone)).collect()
    };
    for phone in before {
        instances::clear_alarm(&app.store, now, ALARM, &phone.to_string()).await?;
    }
    seen.told = open;
    Ok(())
}

/// Why a robot's next run would send nothing.
fn trouble(used: &RobotUse, templates: &[Template]) -> Option<Unsendable> {
    let meant: Vec<&Template> = templates
        .iter()
        .filter(|template| used.language.is_empty() || template.language == used.language)
        .collect();
    let taken: Vec<&&Template> = meant
        .iter()
        .filter(|template| template.is_approved())
        .collect();
    let Some(first) = taken.first() else {
        return Some(
            meant
                .first()
                .map_or(Unsendable::Gone, |template| Unsendable::NotApproved {
                    status: template.status.clone(),
                }),
        );
    };
    let values = |template: &Template| i64::try_from(template.values()).unwrap_or(i64::MAX);
    let fits = taken.iter().any(|template| values(template) == used.given);
    (!fits).then(|| Unsendable::Changed {
        shape: first.shape(),
    })
}

fn sentence(digits: &str, templates: &BTreeMap<(String, String), Told>) -> String {
    let mut said = vec![format!(
        "Templates of +{digits} that are in use are not taken by WhatsApp."
    )];
    for ((name, language), told) in templates {
        let why = match &told.why {
            Some(Unsendable::NotApproved { status }) => format!("status {status}"),
            Some(Unsendable::Changed { .. }) => "its places were changed".to_owned(),
            Some(Unsendable::Gone) | None => "it was deleted".to_owned(),
        };
        let language = if language.is_empty() {
            "any language"
        } else {
            language
        };
        let mut line = format!("{name} ({language}): {why}");
        let waiting = match told.waiting {
            0 => String::new(),
            1 => "; 1 message waits".to_owned(),
            number => format!("; {number} messages wait"),
        };
        line.push_str(&waiting);
        if !told.robots.is_empty() {
            line.push_str("; robots and workflows that use it: ");
            line.push_str(&told.robots.join(", "));
        }
        line.push('.');
        said.push(line);
    }
    said.push(
        "What waits is sent by itself once the template is taken again within 24 hours. Choose another template where \
         robots use it."
            .to_owned(),
    );
    said.join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn used(language: &str, given: i64) -> RobotUse {
        RobotUse {
            instance: Uuid::nil(),
            phone: Uuid::nil(),
            document: "DEAL".to_owned(),
            template: "order_ready".to_owned(),
            language: language.to_owned(),
            given,
            used_at: Millis(0),
        }
    }

    fn template(language: &str, status: &str) -> Template {
        let body = json!([{ "type": "BODY", "text": "Hallo {{1}}, {{2}} ist da." }]);
        Template::read(
            "order_ready",
            language,
            status,
            "UTILITY",
            "POSITIONAL",
            &body,
        )
    }

    #[test]
    fn a_robot_is_in_trouble_where_no_template_that_it_may_mean_takes_its_values() {
        let both = [template("de", "PAUSED"), template("en", "APPROVED")];
        assert_eq!(trouble(&used("en", 2), &both), None);
        assert_eq!(trouble(&used("", 2), &both), None);
        let status = "PAUSED".to_owned();
        assert_eq!(
            trouble(&used("de", 2), &both),
            Some(Unsendable::NotApproved { status })
        );
        assert!(matches!(
            trouble(&used("en", 1), &both),
            Some(Unsendable::Changed { .. })
        ));
        assert_eq!(trouble(&used("de", 2), &[]), Some(Unsendable::Gone));
    }

    #[test]
    fn the_alarm_names_number_template_messages_and_robots() {
        let told = Told {
            why: Some(Unsendable::NotApproved {
                status: "PAUSED".to_owned(),
            }),
            waiting: 3,
            robots: vec!["DEAL of acme.bitrix24.de".to_owned()],
        };
        let key = ("order_ready".to_owned(), "de".to_owned());
        let text = sentence("4915755501234", &BTreeMap::from([(key, told)]));
        for part in [
            "+4915755501234",
            "order_ready (de): status PAUSED; 3 messages wait; robots and workflows that use it: DEAL of acme.bitrix24.de.",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
