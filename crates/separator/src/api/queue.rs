//! `queue`: what waits, where, and since when; and what was given up.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    fields,
    operation::{Call, Described, Field, Operation, Outcome, Parameter, Purpose, Shape},
    page::Page,
    problem::Problem,
    rule::Rule,
    rules,
};
use crate::{
    registry::{Instance, InstanceState, Registry},
    store::{
        browse::{self, DeadLetter, Depth, Destination, Window},
        lanes::Side,
    },
};

const PATH: &str = "/api/v1/queue";
const DEAD_LETTERS: &str = "/api/v1/queue/dead_letters";
const TAG: &str = "Queue";

/// What problems call it.
const WHAT: &str = "dead letter";

/// Dead letters that one call delivers again at most.
const MOST_REPLAYS: usize = 1000;

/// Dead letters that the overview shows.
const SHOWN: usize = 20;

const SIDES: &[&str] = &["portal", "meta"];

const FIELDS: &[Field] = &[
    Field::read(
        "depth",
        Shape::Whole,
        "Messages that wait to be delivered.",
        "3",
    ),
    Field::nullable(
        "oldest",
        Shape::Time,
        "Since when the oldest of them waits.",
        "2026-11-23T04:47:32.010Z",
    ),
    Field::read(
        "destinations",
        Shape::List("Destination"),
        "The same by number and side.",
        "",
    ),
    Field::read(
        "dead_letters",
        Shape::List("DeadLetter"),
        "The 20 newest deliveries that were given up.",
        "",
    ),
    Field::read(
        "dead_letter_count",
        Shape::Whole,
        "How many there are in all.",
        "0",
    ),
    Field::read(
        "receipts",
        Shape::Object("Backlog"),
        "Callbacks that were acknowledged and are not translated yet.",
        "",
    ),
];

const BACKLOG_FIELDS: &[Field] = &[
    Field::read("depth", Shape::Whole, "How many.", "0"),
    Field::nullable("oldest", Shape::Time, "When the oldest of them came.", ""),
];

const DESTINATION_FIELDS: &[Field] = &[
    Field::nullable(
        "phone",
        Shape::Id,
        "The business number.",
        "0199f1c2-3333-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::nullable(
        "instance",
        Shape::Id,
        "In its place the portal to which answers to robots and statuses of SMS go.",
        "",
    ),
    Field::read(
        "side",
        Shape::OneOf(SIDES),
        "To whom: the portal, or Meta.",
        "portal",
    ),
    Field::read("depth", Shape::Whole, "Messages that wait.", "3"),
    Field::nullable(
        "oldest",
        Shape::Time,
        "Since when the oldest of them waits.",
        "2026-11-23T04:47:32.010Z",
    ),
    Field::nullable(
        "paused",
        Shape::Text,
        "Why nothing is delivered there until somebody acts.",
        "",
    ),
];

const DEAD_LETTER_FIELDS: &[Field] = &[
    Field::id(),
    Field::nullable(
        "phone",
        Shape::Id,
        "The business number.",
        "0199f1c2-3333-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::nullable(
        "instance",
        Shape::Id,
        "In its place the portal to which answers to robots and statuses of SMS go.",
        "",
    ),
    Field::read(
        "side",
        Shape::OneOf(SIDES),
        "To whom it should have gone.",
        "portal",
    ),
    Field::nullable(
        "message",
        Shape::Id,
        "The message it belongs to.",
        "0199f1c2-6666-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::read("attempts", Shape::Whole, "How often it was tried.", "84"),
    Field::read(
        "reason",
        Shape::Text,
        "Why it was given up.",
        "the portal answered 503 for 72 hours",
    ),
    Field::created_at(),
    Field::read(
        "died_at",
        Shape::Time,
        "When it was given up.",
        "2026-11-26T04:47:32.010Z",
    ),
];

const REPLAY_FIELDS: &[Field] = &[
    Field::optional(
        "ids",
        Shape::Anything,
        "Only these: a list of at most 1000 ids. Nothing else can be given beside it.",
        "[\"0199f1c2-7777-7a41-9c55-2f0e8b1d6a90\"]",
    ),
    Field::optional(
        "phone",
        Shape::Id,
        "Only of this number.",
        "0199f1c2-3333-7a41-9c55-2f0e8b1d6a90",
    ),
    Field::optional(
        "side",
        Shape::OneOf(SIDES),
        "Only those that should have gone there.",
        "portal",
    ),
];

const REPLAYED_FIELDS: &[Field] = &[
    Field::read(
        "replayed",
        Shape::Whole,
        "How many wait in the queue again.",
        "12",
    ),
    Field::read(
        "more",
        Shape::Boolean,
        "Whether there may be more; a call takes 1000 at most.",
        "false",
    ),
];

pub(super) const OBJECTS: &[Described] = &[
    Described {
        name: "ReplayFilter",
        purpose: Purpose::Sent,
        description: "Which dead letters are to be delivered again. Everything given must hold.",
        fields: REPLAY_FIELDS,
    },
    Described {
        name: "Replayed",
        purpose: Purpose::Shown,
        description: "What became of the dead letters that were to be delivered again.",
        fields: REPLAYED_FIELDS,
    },
    Described {
        name: "Queue",
        purpose: Purpose::Shown,
        description: "What waits.",
        fields: FIELDS,
    },
    Described {
        name: "Backlog",
        purpose: Purpose::Shown,
        description: "How much waits, and since when.",
        fields: BACKLOG_FIELDS,
    },
    Described {
        name: "Destination",
        purpose: Purpose::Shown,
        description: "What waits for one number in one direction.",
        fields: DESTINATION_FIELDS,
    },
    Described {
        name: "DeadLetter",
        purpose: Purpose::Shown,
        description: "A delivery that was given up.",
        fields: DEAD_LETTER_FIELDS,
    },
];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        summary: "Show what waits",
        ..Operation::get(PATH, TAG, "Queue", Rule::Users, |call| {
            Box::pin(overview(call))
        })
    },
    Operation {
        summary: "List dead letters",
        description: "Newest first.",
        query: &[Parameter {
            name: "phone",
            shape: Shape::Id,
            description: "Only of this number.",
        }],
        ..Operation::list(DEAD_LETTERS, TAG, "DeadLetter", Rule::Users, |call| {
            Box::pin(list(call))
        })
    },
    Operation {
        summary: "Deliver dead letters again",
        description: "All that fit the filter, the oldest first; without a filter all there are, 1000 in a call at most.",
        body: Some("ReplayFilter"),
        ..Operation::act(
            "/api/v1/queue/dead_letters/replay",
            TAG,
            "Replayed",
            Rule::Users,
            |call| Box::pin(replay_all(call)),
        )
    },
    Operation {
        summary: "Deliver a dead letter again",
        description: "The answer shows the dead letter as it was; it waits in the queue again.",
        ..Operation::act(
            "/api/v1/queue/dead_letters/{id}/replay",
            TAG,
            "DeadLetter",
            Rule::Users,
            |call| Box::pin(replay(call)),
        )
    },
];

/// Why nothing is delivered to a destination, where that is so.
fn paused(destination: &Destination, registry: &Registry) -> Option<String> {
    if let Some(instance) = registry.instances.get(&destination.phone_id) {
        return closed(instance);
    }
    let Some(phone) = registry.phones.get(&destination.phone_id) else {
        return Some("the number was removed".to_owned());
    };
    if Side::parse(&destination.side) == Side::Meta {
        return phone.paused.clone();
    }
    match registry.instance_of(phone) {
        Some(instance) => closed(instance),
        None => Some("the number is not linked to a portal".to_owned()),
    }
}

/// Why a portal takes nothing.
fn closed(instance: &Instance) -> Option<String> {
    match instance.state {
        InstanceState::Active => None,
        InstanceState::NeedsAuthorization => Some(
            instance
                .problem
                .clone()
                .unwrap_or_else(|| "the portal must be authorized again".to_owned()),
        ),
        InstanceState::Uninstalled => {
            Some("the application was removed from the portal".to_owned())
        }
    }
}

/// Whose deliveries these are: a number's, or a portal's own.
fn whose(id: Uuid, registry: &Registry) -> (Option<Uuid>, Option<Uuid>) {
    if registry.instances.contains_key(&id) {
        (None, Some(id))
    } else {
        (Some(id), None)
    }
}

fn show_destination(destination: &Destination, registry: &Registry) -> Value {
    let (phone, instance) = whose(destination.phone_id, registry);
    json!({
        "phone": phone,
        "instance": instance,
        "side": destination.side,
        "depth": destination.depth.depth,
        "oldest": destination.depth.oldest,
        "paused": paused(destination, registry),
    })
}

fn show_dead_letter(letter: &DeadLetter, registry: &Registry) -> Value {
    let (phone, instance) = whose(letter.phone_id, registry);
    json!({
        "id": letter.id,
        "phone": phone,
        "instance": instance,
        "side": letter.side,
        "message": letter.message_id,
        "attempts": letter.attempts,
        "reason": letter.reason,
        "created_at": letter.created_at,
        "died_at": letter.died_at,
    })
}

/// Takes what waits at all destinations together.
fn total(destinations: &[Destination]) -> Depth {
    Depth {
        depth: destinations
            .iter()
            .map(|destination| destination.depth.depth)
            .sum(),
        oldest: destinations
            .iter()
            .filter_map(|destination| destination.depth.oldest)
            .min(),
    }
}

async fn overview(call: Call) -> Outcome {
    call.query().finish()?;
    let (store, reach) = (&call.app.store, call.reach());
    let destinations = browse::destinations(store, &reach).await?;
    let letters = browse::dead_letters(
        store,
        &reach,
        None,
        Window {
            below: None,
            limit: SHOWN,
        },
    )
    .await?;
    let dead_letter_count = browse::dead_letter_count(store, &reach).await?;
    let receipts = browse::receipts(store, &reach).await?;
    let registry = call.registry();
    let whole = total(&destinations);
    let shown: Vec<Value> = destinations
        .iter()
        .map(|destination| show_destination(destination, &registry))
        .collect();
    Ok(json!({
        "depth": whole.depth,
        "oldest": whole.oldest,
        "destinations": shown,
        "dead_letters": letters.iter().map(|letter| show_dead_letter(letter, &registry)).collect::<Vec<_>>(),
        "dead_letter_count": dead_letter_count,
        "receipts": { "depth": receipts.depth, "oldest": receipts.oldest },
    }))
}

async fn list(call: Call) -> Outcome {
    let mut query = call.query();
    let page = Page::read(&mut query);
    let phone = query.optional("phone", fields::id);
    query.finish()?;
    let rows = browse::dead_letters(&call.app.store, &call.reach(), phone, page.window()).await?;
    let registry = call.registry();
    Ok(page.of_rows(
        rows,
        |letter| letter.id,
        |letter| show_dead_letter(letter, &registry),
    ))
}

async fn replay(call: Call) -> Outcome {
    let id = call.id(WHAT)?;
    call.optional_fields(&[])?.finish()?;
    let Some(letter) = browse::dead_letter(&call.app.store, &call.reach(), id).await? else {
        return Err(Problem::unknown(WHAT));
    };
    if !crate::deliver::replay_dead_letter(&call.app, id).await? {
        return Err(Problem::unknown(WHAT));
    }
    Ok(show_dead_letter(&letter, &call.registry()))
}

/// Replays dead letters, selected ones or all of a filter.
async fn replay_all(call: Call) -> Outcome {
    let mut fields = call.optional_fields(&[])?;
    let (store, reach) = (&call.app.store, call.reach());
    let mut replayed = 0;
    if fields.has("ids") {
        let ids = fields.required("ids", rules::ids(MOST_REPLAYS));
        fields.finish()?;
        let mut ids = ids.unwrap_or_default();
        ids.sort_unstable();
        for id in ids {
            let known = browse::dead_letter(store, &reach, id).await?.is_some();
            if known && crate::deliver::replay_dead_letter(&call.app, id).await? {
                replayed += 1;
            }
        }
        return Ok(json!({ "replayed": replayed, "more": false }));
    }
    let phone = fields.optional("phone", fields::id).flatten();
    let side = fields.optional("side", rules::choice(SIDES)).flatten();
    fields.finish()?;
    let window = Window {
        below: None,
        limit: MOST_REPLAYS,
    };
    let mut letters = browse::dead_letters(store, &reach, phone, window).await?;
    let more = letters.len() == MOST_REPLAYS;
    letters.reverse();
    for letter in letters {
        let wanted = side.as_ref().is_none_or(|side| *side == letter.side);
        if wanted && crate::deliver::replay_dead_letter(&call.app, letter.id).await? {
            replayed += 1;
        }
    }
    Ok(json!({ "replayed": replayed, "more": more }))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::time::Millis;

    fn destination(depth: i64, oldest: Option<i64>) -> Destination {
        let depth = Depth {
            depth,
            oldest: oldest.map(Millis),
        };
        Destination {
            phone_id: Uuid::nil(),
            side: "meta".to_owned(),
            depth,
        }
    }

    #[test]
    fn the_whole_is_the_sum_and_the_oldest_of_its_parts() {
        assert_eq!(total(&[]), Depth::default());
        let parts = [destination(2, Some(9)), destination(3, Some(4))];
        assert_eq!(
            total(&parts),
            Depth {
                depth: 5,
                oldest: Some(Millis(4))
            }
        );
    }

    #[test]
    fn what_waits_for_a_removed_number_says_so() {
        let shown = show_destination(&destination(1, None), &Registry::default());
        assert_eq!(shown["paused"], "the number was removed");
        crate::api::description::assert_described("Destination", &shown);
    }
}
