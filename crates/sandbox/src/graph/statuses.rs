//! What becomes of a message after it was accepted: the statuses, in time.

use super::{
    Progress, Shared,
    error::GraphError,
    escape,
    outbox::{self, Part},
    sending,
    world::{Direction, World},
};
use std::{fmt::Write as _, sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::Instant};
use url::Url;

/// How long Meta waits for a file given by link.
const LINK_LIMIT: Duration = Duration::from_secs(30);
/// Redirects followed for a file given by link.
const REDIRECTS: usize = 3;

/// What a message is to become, and when.
pub(super) struct Step {
    pub(super) due: Instant,
    pub(super) message: usize,
    pub(super) end: End,
}

/// How a message ends.
pub(super) enum End {
    /// It reaches the customer.
    Arrives,
    /// It fails.
    Fails(GraphError),
    /// Its file is fetched first; then it reaches the customer or fails with 131053.
    Fetches {
        /// Where the file is.
        url: Url,
        /// `image`, `document` and so on, which the content type has to suit.
        kind: String,
    },
}

/// Takes the steps one after the other, each when it is due. They all wait equally long, so their order is kept.
pub(super) async fn run(shared: Arc<Shared>, mut steps: mpsc::UnboundedReceiver<Step>) {
    loop {
        let step = tokio::select! {
            () = shared.cancel.cancelled() => return,
            step = steps.recv() => step,
        };
        let Some(step) = step else { return };
        tokio::time::sleep_until(step.due).await;
        apply(&shared, step.message, step.end);
    }
}

/// Lets a message end.
pub(super) fn apply(shared: &Arc<Shared>, message: usize, end: End) {
    match end {
        End::Arrives => arrive(shared, message),
        End::Fails(error) => fail(shared, message, &error),
        End::Fetches { url, kind } => {
            let shared_here = Arc::clone(shared);
            shared.runtime.spawn(async move {
                let cancel = shared_here.cancel.clone();
                tokio::select! {
                    () = cancel.cancelled() => {}
                    () = fetch(&shared_here, message, url, &kind) => {}
                }
            });
        }
    }
}

fn arrive(shared: &Arc<Shared>, index: usize) {
    let mut world = shared.world();
    report(shared, &mut world, index, Progress::Sent);
    let message = &mut world.messages[index];
    let (number, person) = (Arc::clone(&message.number), message.person);
    let reaction = message.kind() == "reaction";
    world.thread_mut(&number, person).received.push(index);
    world.thread_mut(&number, person).typing_until = 0;
    world.counters.received += 1;
    // Meta reports no `delivered` for a reaction.
    if reaction {
        world.messages[index].progress = Progress::Delivered;
    } else {
        report(shared, &mut world, index, Progress::Delivered);
    }
    drop(world);
    shared.bump();
}

fn fail(shared: &Arc<Shared>, index: usize, error: &GraphError) {
    let mut world = shared.world();
    world.messages[index].error = Some((error.code, error.details.clone()));
    world.counters.failed += 1;
    report(shared, &mut world, index, Progress::Failed);
    drop(world);
    shared.bump();
}

async fn fetch(shared: &Arc<Shared>, index: usize, url: Url, kind: &str) {
    let downloaded = download(shared, url).await.and_then(|(mime_type, bytes)| {
        match sending::kind_of_mime(&mime_type) {
            Some((found, _)) if found == kind => Ok((mime_type, bytes)),
            _ if kind == "document" => Ok((mime_type, bytes)),
            _ => Err(format!("content type {mime_type} does not suit {kind}")),
        }
    });
    match downloaded {
        Ok((mime_type, bytes)) => {
            let mut world = shared.world();
            let number = Arc::clone(&world.messages[index].number);
            let filename = world.messages[index].body["document"]["filename"]
                .as_str()
                .map(ToOwned::to_owned);
            let id = world.store_file(bytes, &mime_type, filename, Some(number));
            world.messages[index].media = Some(id);
            drop(world);
            arrive(shared, index);
        }
        Err(reason) => {
            let error = GraphError::new(131_053, format!("Media upload error: {reason}"));
            fail(shared, index, &error);
        }
    }
}

async fn download(shared: &Shared, mut url: Url) -> Result<(String, bytes::Bytes), String> {
    for _ in 0..=REDIRECTS {
        let answer = shared
            .wire
            .send(
                "GET",
                &url,
                &[("User-Agent", "facebookexternalhit/1.1")],
                &[],
                LINK_LIMIT,
            )
            .await
            .map_err(|error| error.to_string())?;
        match (answer.status, answer.location) {
            (200, _) => return Ok((answer.content_type, answer.body)),
            (301 | 302 | 303 | 307 | 308, Some(location)) => {
                url = url.join(&location).map_err(|error| error.to_string())?;
            }
            (status, _) => return Err(format!("the link answered {status}")),
        }
    }
    Err("too many redirects".to_owned())
}

/// The customer reads everything that came from the number.
pub(super) fn read_all(shared: &Arc<Shared>, phone_number_id: &str, customer: &str) {
    let mut world = shared.world();
    let unread: Vec<usize> = world
        .thread(phone_number_id, customer)
        .map(|thread| thread.received.clone())
        .unwrap_or_default()
        .into_iter()
        .filter(|&index| {
            let message = &world.messages[index];
            message.progress < Progress::Read && message.kind() != "reaction"
        })
        .collect();
    for index in unread {
        report(shared, &mut world, index, Progress::Read);
    }
    drop(world);
    shared.bump();
}

/// Moves a message to the business's credit further, never back.
pub(super) fn advance(shared: &Arc<Shared>, wamid: &str, progress: Progress) {
    let mut world = shared.world();
    let Some(index) = world.message_index(wamid) else {
        return;
    };
    let message = &world.messages[index];
    if message.direction == Direction::ToCustomer && message.progress < progress {
        report(shared, &mut world, index, progress);
    }
    drop(world);
    shared.bump();
}

/// Notes the progress and queues the status about it.
fn report(shared: &Arc<Shared>, world: &mut World, index: usize, progress: Progress) {
    world.messages[index].progress = progress;
    let status = status_json(world, index, progress);
    let message = &world.messages[index];
    let (number, person) = (Arc::clone(&message.number), message.person);
    let about = format!("status {}", progress.as_str());
    outbox::push(
        shared,
        world,
        &number,
        person,
        index,
        Part::Status(status),
        about,
    );
}

/// The status as Meta writes it. Written by hand, because a flood makes tens of thousands of them.
fn status_json(world: &World, index: usize, progress: Progress) -> String {
    let message = &world.messages[index];
    let person = &world.persons[message.person];
    let failed = progress == Progress::Failed;
    let to_phone = message.body["to"].is_string() || message.body["to"].is_number();
    let mut text = format!(
        r#"{{"id":{},"status":"{}","timestamp":"{}""#,
        escape::quoted(&message.wamid),
        progress.as_str(),
        world.clock.now() / 1000
    );
    if let Some(phone) = person.phone.as_ref().filter(|_| to_phone || !failed) {
        let _ = write!(text, r#","recipient_id":{}"#, escape::quoted(phone));
    }
    if !(failed && to_phone) {
        let _ = write!(
            text,
            r#","recipient_user_id":{}"#,
            escape::quoted(&person.user_id)
        );
    }
    if let Some(data) = message.body["biz_opaque_callback_data"].as_str() {
        let _ = write!(
            text,
            r#","biz_opaque_callback_data":{}"#,
            escape::quoted(data)
        );
    }
    if matches!(progress, Progress::Sent | Progress::Delivered) {
        let _ = write!(
            text,
            r#","pricing":{{"billable":true,"pricing_model":"PMP","type":"regular","category":"{}"}}"#,
            message.category
        );
    }
    if let Some((code, details)) = message.error.as_ref().filter(|_| failed) {
        let error = GraphError::new(*code, details.as_str()).in_status();
        let _ = write!(text, r#","errors":[{}]"#, escape::ascii(&error));
    }
    text.push('}');
    text
}
