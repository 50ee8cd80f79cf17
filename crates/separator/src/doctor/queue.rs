//! What waits and what was given up: all of it is read from the database.

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use super::verdict::{About, Check, Group, Verdict, text};
use crate::{
    app::App,
    registry::{Connection, InstanceState, Phone, Registry},
    store::{self, browse, events, lanes::Side},
    time::Millis,
};

/// A message that waits longer is late.
const LATE: Duration = Duration::from_mins(15);

/// An acknowledged callback that is not translated after this time is late.
const UNTRANSLATED: Duration = Duration::from_mins(2);

const GROUP: Group = Group::Queue;

/// Checks of the installation's queues.
pub(super) const CHECKS: &[Check<Seen>] = &[
    Check {
        about: About::new(
            "translation",
            GROUP,
            "Callbacks are worked through at once",
            "Входящие события обрабатываются сразу",
        ),
        judge: translation,
    },
    Check {
        about: About::new(
            "poison_events",
            GROUP,
            "Every callback could be worked through",
            "Все входящие события обработаны",
        ),
        judge: poison_events,
    },
    Check {
        about: About::new(
            "unknown_numbers",
            GROUP,
            "Callbacks are about numbers that are entered here",
            "События приходят о номерах, которые здесь введены",
        ),
        judge: unknown_numbers,
    },
];

/// Checks of one number's queues.
pub(super) const PHONE_CHECKS: &[Check<PhoneSeen>] = &[
    Check {
        about: About::new(
            "waiting",
            GROUP,
            "Messages do not wait for long",
            "Сообщения не ждут долго",
        ),
        judge: waiting,
    },
    Check {
        about: About::new(
            "dead_letters",
            GROUP,
            "No message was given up",
            "Ни одно сообщение не осталось без доставки",
        )
        .without_alarm(),
        judge: dead_letters,
    },
];

/// What was seen of the installation's queues.
pub(super) struct Seen {
    read: Result<Counts, String>,
    now: Millis,
}

struct Counts {
    oldest_receipt: Option<Millis>,
    poison: i64,
    knocks: Vec<(Option<String>, i64)>,
}

pub(super) async fn see(app: &Arc<App>) -> Seen {
    let counts = async {
        Ok::<_, store::Error>(Counts {
            oldest_receipt: browse::receipts(&app.store, &browse::Reach::Everything)
                .await?
                .oldest,
            poison: store::doctor::kept_events(&app.store, events::State::Poison.as_str()).await?,
            knocks: store::doctor::knocks(&app.store).await?,
        })
    };
    Seen {
        read: counts.await.map_err(|error| error.to_string()),
        now: app.clock.now(),
    }
}

/// What waits for all numbers and what was given up, read once.
pub(super) struct All {
    read: Result<Read, String>,
    now: Millis,
}

struct Read {
    destinations: Vec<browse::Destination>,
    dead: Vec<(Uuid, i64)>,
}

pub(super) async fn see_all(app: &Arc<App>) -> All {
    let read = async {
        Ok::<_, store::Error>(Read {
            destinations: browse::destinations(&app.store, &browse::Reach::Everything).await?,
            dead: store::doctor::dead_letters(&app.store).await?,
        })
    };
    All {
        read: read.await.map_err(|error| error.to_string()),
        now: app.clock.now(),
    }
}

impl All {
    /// What waits for one number.
    pub(super) fn of(&self, registry: &Registry, phone: &Phone) -> PhoneSeen {
        let usable = registry
            .instance_of(phone)
            .is_some_and(|portal| portal.state == InstanceState::Active);
        let read = self.read.as_ref().map_err(Clone::clone);
        PhoneSeen {
            read: read.map(|read| {
                let oldest = |side: Side| {
                    read.destinations
                        .iter()
                        .find(|one| one.phone_id == phone.id && Side::parse(&one.side) == side)
                        .and_then(|one| one.depth.oldest)
                };
                PhoneCounts {
                    oldest_to_portal: oldest(Side::Portal),
                    oldest_to_meta: oldest(Side::Meta),
                    dead: read
                        .dead
                        .iter()
                        .find_map(|(of, count)| (*of == phone.id).then_some(*count))
                        .unwrap_or(0),
                }
            }),
            held: Held {
                to_portal: !usable || phone.connection != Connection::Connected,
                to_meta: phone.paused.is_some(),
            },
            now: self.now,
        }
    }
}

/// What was seen of one number's queues.
pub(super) struct PhoneSeen {
    read: Result<PhoneCounts, String>,
    /// Why nothing can be delivered there, which other checks say.
    held: Held,
    now: Millis,
}

struct PhoneCounts {
    oldest_to_portal: Option<Millis>,
    oldest_to_meta: Option<Millis>,
    dead: i64,
}

/// What keeps a number's messages for a reason that is known.
#[derive(Debug, Clone, Copy)]
struct Held {
    to_portal: bool,
    to_meta: bool,
}

fn unread(why: &str) -> Verdict {
    Verdict::Unknown(text!(
        "The database gave no answer: {why}.",
        "База данных не ответила: {why}."
    ))
}

fn translation(seen: &Seen) -> Verdict {
    let counts = match &seen.read {
        Ok(counts) => counts,
        Err(why) => return unread(why),
    };
    let Some(oldest) = counts
        .oldest_receipt
        .filter(|oldest| seen.now.since(*oldest) > UNTRANSLATED)
    else {
        return Verdict::FINE;
    };
    Verdict::fault(
        text!(
            "A callback that was acknowledged waits to be worked through since {oldest}.",
            "Принятое событие ждёт обработки с {oldest}."
        ),
        text!(
            "Start the program; if it runs, its log says what is in the way.",
            "Запустите программу; если она работает, причина указана в её журнале."
        ),
    )
}

fn poison_events(seen: &Seen) -> Verdict {
    match &seen.read {
        Ok(counts) if counts.poison == 0 => Verdict::FINE,
        Ok(counts) => {
            let count = counts.poison;
            Verdict::fault(
                text!(
                    "{count} callbacks could not be worked through and were set aside.",
                    "Не удалось обработать событий: {count}. Они отложены."
                ),
                text!(
                    "Open WABA, Events with the state poison: each says what was wrong and can be tried again, after an \
                     update of this program at the latest.",
                    "Откройте WABA, Events с состоянием poison: у каждого указано, что не так, и его можно повторить — \
                     самое позднее после обновления программы."
                ),
            )
        }
        Err(why) => unread(why),
    }
}

fn unknown_numbers(seen: &Seen) -> Verdict {
    let knocks = match &seen.read {
        Ok(counts) => &counts.knocks,
        Err(why) => return unread(why),
    };
    if knocks.is_empty() {
        return Verdict::FINE;
    }
    let names: Vec<&str> = knocks
        .iter()
        .map(|(id, _)| id.as_deref().unwrap_or("?"))
        .collect();
    let names = names.join(", ");
    Verdict::fault(
        text!(
            "Meta sends messages of numbers that are not entered here. Their phone number ids: {names}. The messages are \
             kept.",
            "Meta присылает сообщения номеров, которые здесь не введены. Их phone number id: {names}. Сообщения \
             сохраняются."
        ),
        text!(
            "Enter the number under WABA, Phones with this Phone id; what it missed is delivered then.",
            "Введите номер в разделе WABA, Phones с этим Phone id; пропущенное будет доставлено."
        ),
    )
}

fn waiting(seen: &PhoneSeen) -> Verdict {
    let counts = match &seen.read {
        Ok(counts) => counts,
        Err(why) => return unread(why),
    };
    let late = |oldest: Option<Millis>, held: bool| {
        oldest.filter(|oldest| !held && seen.now.since(*oldest) > LATE)
    };
    if let Some(since) = late(counts.oldest_to_portal, seen.held.to_portal) {
        return Verdict::fault(
            text!(
                "A message waits for the portal since {since}.",
                "Сообщение ждёт отправки в портал с {since}."
            ),
            text!(
                "Open Queue: the message's journey says what the portal answered.",
                "Откройте «Очередь»: в истории сообщения видно, что ответил портал."
            ),
        );
    }
    if let Some(since) = late(counts.oldest_to_meta, seen.held.to_meta) {
        return Verdict::fault(
            text!(
                "A message waits for WhatsApp since {since}.",
                "Сообщение ждёт отправки в WhatsApp с {since}."
            ),
            text!(
                "Open Queue: the message's journey says what Meta answered.",
                "Откройте «Очередь»: в истории сообщения видно, что ответила Meta."
            ),
        );
    }
    Verdict::FINE
}

fn dead_letters(seen: &PhoneSeen) -> Verdict {
    match &seen.read {
        Ok(counts) if counts.dead == 0 => Verdict::FINE,
        Ok(counts) => {
            let count = counts.dead;
            Verdict::fault(
                text!(
                    "{count} deliveries of this number were given up.",
                    "Недоставленных отправлений у этого номера: {count}."
                ),
                text!(
                    "Open Queue, Dead letters: each says why. Replay them when the cause is removed.",
                    "Откройте «Очередь», «Недоставленные»: у каждого указана причина. Повторите их, когда она устранена."
                ),
            )
        }
        Err(why) => unread(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(10_000_000_000);

    fn phone(counts: PhoneCounts, held: Held) -> PhoneSeen {
        PhoneSeen {
            read: Ok(counts),
            held,
            now: NOW,
        }
    }

    const FREE: Held = Held {
        to_portal: false,
        to_meta: false,
    };

    #[test]
    fn what_waits_for_a_known_reason_is_not_late() {
        let old = Some(NOW - Duration::from_hours(1));
        let counts = || PhoneCounts {
            oldest_to_portal: None,
            oldest_to_meta: old,
            dead: 0,
        };
        assert!(matches!(
            waiting(&phone(counts(), FREE)),
            Verdict::Fault { .. }
        ));
        let paused = Held {
            to_meta: true,
            ..FREE
        };
        assert_eq!(waiting(&phone(counts(), paused)), Verdict::FINE);
        let young = PhoneCounts {
            oldest_to_portal: Some(NOW - Duration::from_mins(1)),
            oldest_to_meta: None,
            dead: 0,
        };
        assert_eq!(waiting(&phone(young, FREE)), Verdict::FINE);
    }
}
