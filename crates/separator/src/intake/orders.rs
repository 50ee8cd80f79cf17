//! What Bitrix24 wants done: SMS through a number's provider, robots and actions of workflows.
//!
//! Each ends in a report, whatever becomes of it; see [`crate::store::orders`].

use std::time::Duration;

use bitrix24::{bizproc, sms};
use uuid::Uuid;

use super::{
    codes::{self, Made},
    work::{Lane, Named, Work},
    wrap,
};
use crate::{
    person::{canonical, dialled},
    receive::orders::sender_code,
    registry::{Instance, InstanceState, Phone, Registry},
    store::{
        conversations::{Conversation, Deed},
        events::State as KeptState,
        lanes::{Report, Task},
        messages::{Direction, Journey, NewMessage, State},
        orders::{NewOrder, News, Order},
        receipts::Receipt,
        robot_uses::RobotUse,
    },
    time::Millis,
    translate::{
        code::{self, Code, Kind, Malformed},
        notes::Words,
        template::{Part, Refusal, Template},
    },
};

/// When a step of a workflow goes on at the latest, whatever is known by then.
const ANSWER_WITHIN: Duration = Duration::from_mins(10);
/// The same for one that waits until the message is on the customer's phone.
const DELIVERED_WITHIN: Duration = Duration::from_hours(1);

const NUMBER_GONE: Words = Words {
    english: "the number that was chosen is not linked to this portal any more: choose another one",
    russian: "выбранный номер больше не подключён к этому порталу: выберите другой",
};

const NO_NUMBER: Words = Words {
    english: "no WhatsApp number is linked to this portal: link one",
    russian: "к этому порталу не подключён ни один номер WhatsApp: подключите номер",
};

const SEVERAL_NUMBERS: Words = Words {
    english: "several WhatsApp numbers are linked to this portal: choose one",
    russian: "к этому порталу подключено несколько номеров WhatsApp: выберите один",
};

const NO_RECIPIENT: Words = Words {
    english: "the recipient is no phone number that WhatsApp could have: write it with its country code",
    russian: "у получателя нет номера телефона, который мог бы быть в WhatsApp: укажите номер с кодом страны",
};

/// What an order asks for, as far as it can be told before anything is known of the customer.
pub(super) struct Asked<'a> {
    pub(super) phone: &'a Phone,
    /// Digits with the country code.
    pub(super) to: Option<String>,
    pub(super) body: Body,
}

/// What is to be sent.
pub(super) enum Body {
    Text(String),
    Code(Result<Code, Malformed>),
}

impl Body {
    /// Whether a stored interactive message is named.
    pub(super) fn is_interactive(&self) -> bool {
        matches!(self, Self::Code(Ok(code)) if code.kind == Kind::Interactive)
    }

    /// The template that is named, so that it can be looked up.
    pub(super) fn template(&self) -> Option<&str> {
        match self {
            Self::Code(Ok(code)) => Some(&code.name),
            _ => None,
        }
    }
}

/// Names the deed of sending an SMS.
pub(super) fn sms_deed(instance: Uuid, request: &sms::Request) -> Deed {
    Deed::new(&[
        "sms",
        &instance.to_string(),
        &request.code,
        &request.message_id,
    ])
}

/// Names the deed of doing a step of a workflow.
pub(super) fn robot_deed(instance: Uuid, request: &bizproc::Request) -> Deed {
    Deed::new(&["robot", &instance.to_string(), &request.event_token])
}

/// What an SMS asks for; `None` where no number of the portal has the provider.
pub(super) fn of_sms<'a>(
    registry: &'a Registry,
    instance: Uuid,
    request: &sms::Request,
) -> Option<Asked<'a>> {
    let phone = registry
        .phones_of(instance)
        .find(|phone| sender_code(phone) == request.code)?;
    let body = match code::parse(&request.body) {
        Some(reading) => Body::Code(reading),
        None => Body::Text(request.body.trim().to_owned()),
    };
    Some(Asked {
        phone,
        to: dialled(&request.to, &phone.phone),
        body,
    })
}

/// What a step of a workflow asks for, or why it cannot be done.
pub(super) fn of_robot<'a>(
    registry: &'a Registry,
    instance: Uuid,
    request: &bizproc::Request,
) -> Result<Asked<'a>, Words> {
    let phones: Vec<&Phone> = registry.phones_of(instance).collect();
    let phone = match (request.text("number"), phones.as_slice()) {
        (Some(number), phones) => phones
            .iter()
            .find(|phone| phone.id.to_string() == number.trim())
            .ok_or(NUMBER_GONE)?,
        (None, [only]) => only,
        (None, []) => return Err(NO_NUMBER),
        (None, _) => return Err(SEVERAL_NUMBERS),
    };
    let written = request.text("template").unwrap_or_default();
    let reading = code::parse(&written)
        .or_else(|| code::parse_bare(&written))
        .unwrap_or(Err(Malformed::BadName(written.chars().take(60).collect())));
    let body = Body::Code(reading.map(|mut code| {
        code.values.extend(request.texts("values"));
        code.file = code.file.or_else(|| request.text("file"));
        code
    }));
    let to = request.text("phone").unwrap_or_default();
    Ok(Asked {
        phone,
        to: dialled(&to, &phone.phone),
        body,
    })
}

/// Works through an SMS.
pub(super) fn apply_sms(work: &mut Work<'_>, receipt: &Receipt, request: &sms::Request) {
    let registry = work.registry;
    let Some(asked) = of_sms(registry, receipt.owner, request) else {
        let why = format!("no number of this portal has the provider {}", request.code);
        work.keep(KeptState::NotUnderstood, why);
        return;
    };
    if !work.first_time(sms_deed(receipt.owner, request)) {
        return;
    }
    work.count("sms");
    let order = Order::Sms {
        code: request.code.clone(),
        sms: request.message_id.clone(),
    };
    let body = bare(work, asked.phone, asked.body, &request.body);
    let asked = Asked { body, ..asked };
    let detail = format!("SMS {} of Bitrix24, on disk", request.message_id);
    place(work, receipt, asked, order, None, "sms", &detail);
}

/// Works through a step of a workflow.
pub(super) fn apply_robot(work: &mut Work<'_>, receipt: &Receipt, request: &bizproc::Request) {
    let registry = work.registry;
    let Some(instance) = registry.instances.get(&receipt.owner) else {
        let why = "the portal is not known any more".to_owned();
        work.keep(KeptState::NotUnderstood, why);
        return;
    };
    if instance.state == InstanceState::Uninstalled {
        let why = "the application was removed from the portal".to_owned();
        work.keep(KeptState::NotUnderstood, why);
        return;
    }
    if !work.first_time(robot_deed(receipt.owner, request)) {
        return;
    }
    work.count("robot");
    let wait = request.flag("wait");
    let order = Order::Robot {
        event_token: request.event_token.clone(),
        wait,
    };
    match of_robot(registry, instance.id, request) {
        Ok(asked) => {
            let within = if wait {
                DELIVERED_WITHIN
            } else {
                ANSWER_WITHIN
            };
            let deadline = Some(receipt.received_at + within);
            let document = request.document.as_deref().unwrap_or("a document");
            remember(work, instance.id, &asked, document);
            let detail = format!("robot of Bitrix24 for {document}, token verified, on disk");
            place(work, receipt, asked, order, deadline, "robot", &detail);
        }
        Err(why) => cannot(work, instance, &order, why),
    }
}

/// Remembers what a robot is set to, so that whoever set it up can be told when its template changes.
fn remember(work: &mut Work<'_>, instance: Uuid, asked: &Asked<'_>, document: &str) {
    let Body::Code(Ok(code)) = &asked.body else {
        return;
    };
    // `DEAL_123` is a deal; of smart processes (`DYNAMIC_128_4`) the number of the type belongs to it.
    let kind = document.rsplit_once('_').map_or(document, |(kind, _)| kind);
    work.robot_uses.push(RobotUse {
        instance,
        phone: asked.phone.id,
        document: kind.chars().take(60).collect(),
        template: code.name.clone(),
        language: code.language.clone().unwrap_or_default(),
        given: i64::try_from(code.values.len()).unwrap_or(i64::MAX),
        used_at: work.now,
    });
}

/// An SMS without a prefix is a code where it begins with the name of a template.
fn bare(work: &Work<'_>, phone: &Phone, body: Body, written: &str) -> Body {
    let Body::Text(text) = body else {
        return body;
    };
    let Some(reading) = code::parse_bare(written) else {
        return Body::Text(text);
    };
    let known = |template: &Template, name: &str| template.name == name && template.is_approved();
    let templates = work.known.templates.get(&phone.id).into_iter().flatten();
    let named = written.trim().split('+').next().unwrap_or_default();
    if templates.into_iter().any(|template| known(template, named)) {
        Body::Code(reading)
    } else {
        Body::Text(text)
    }
}

/// Sends what is asked for, or says why not.
fn place(
    work: &mut Work<'_>,
    receipt: &Receipt,
    asked: Asked<'_>,
    order: Order,
    deadline: Option<Millis>,
    origin: &'static str,
    detail: &str,
) {
    let Asked { phone, to, body } = asked;
    let Some(instance) = work.registry.instance_of(phone) else {
        return;
    };
    let Some(to) = to.filter(|to| !work.registry.is_own_number(to)) else {
        cannot(work, instance, &order, NO_RECIPIENT);
        return;
    };
    let person = work
        .known_person(phone.account_id, &canonical(&to))
        .unwrap_or_else(|| {
            let named = Named {
                wa_id: Some(&to),
                ..Named::default()
            };
            work.person(phone.account_id, named)
        });
    let conversation = work.conversation(phone, person);
    let mirror = work.registry.messaging_of(phone.id).mirror;
    let id = work.ids.next();
    let mut new = NewMessage {
        id,
        phone: phone.id,
        conversation: conversation.id,
        direction: Direction::Outbound,
        origin,
        peer: work.peer(&conversation),
        kind: "template".to_owned(),
        text: written(&body),
        state: State::Queued,
        wamid: None,
        im: None,
        media: None,
        created_at: receipt.received_at,
        journey: Journey::new()
            .with(receipt.received_at, "received", Some(detail))
            .with(work.now, "translated", None),
    };
    work.orders.push(NewOrder {
        message: id,
        phone: phone.id,
        instance: instance.id,
        deadline,
        order,
    });
    match content(work, phone, &conversation, body) {
        Ok(Content::Text(text)) => {
            "text".clone_into(&mut new.kind);
            work.add_message(new);
            if mirror {
                let shown = crate::translate::from_whatsapp::markup::with_marks(&text);
                work.note((&conversation).into(), format!("[b]SMS:[/b] {shown}"));
            }
            let task = Task::Text {
                body: text,
                context: None,
                confirm: None,
            };
            work.tell_customer((&conversation).into(), id, None, task);
        }
        Ok(Content::Made(made)) => {
            let media = made.media(work, phone, None);
            new.media = media;
            made.kind().clone_into(&mut new.kind);
            made.text().clone_into(&mut new.text);
            work.add_message(new);
            if let Made::Interactive(filled) = made.as_ref() {
                work.interactive.push((id, filled.content.clone()));
            }
            if mirror {
                work.note((&conversation).into(), made.shown());
            }
            work.tell_customer((&conversation).into(), id, media, made.task(None));
        }
        Err(refusal) => {
            work.add_message(new);
            let error = codes::refuse(work, phone, &conversation, id, refusal, mirror);
            work.news.push(News {
                message: id,
                state: Some(State::Failed),
                error: Some(error),
            });
        }
    }
}

enum Content {
    Text(String),
    Made(Box<Made>),
}

fn written(body: &Body) -> String {
    match body {
        Body::Text(text) => text.clone(),
        Body::Code(Ok(code)) => code.to_string(),
        Body::Code(Err(Malformed::BadName(name))) => name.clone(),
        Body::Code(Err(_)) => String::new(),
    }
}

fn content(
    work: &Work<'_>,
    phone: &Phone,
    conversation: &Conversation,
    body: Body,
) -> Result<Content, Refusal> {
    let text = match body {
        Body::Code(reading) => {
            let made = codes::resolve(work, phone, reading, false)?.wanted(conversation)?;
            if let Made::Interactive(filled) = &made
                && !conversation.takes_everything(work.now)
            {
                let name = filled.name.clone();
                return Err(Refusal::InteractiveClosed { name });
            }
            return Ok(Content::Made(Box::new(made)));
        }
        Body::Text(text) => text,
    };
    if text.is_empty() {
        return Err(Refusal::EmptyValue { number: 1 });
    }
    if conversation.takes_everything(work.now) {
        let length = text.chars().count();
        if length > whatsapp::send::TEXT_LIMIT {
            return Err(Refusal::TooLong {
                part: Part::Body,
                length,
                limit: whatsapp::send::TEXT_LIMIT,
            });
        }
        return Ok(Content::Text(text));
    }
    let messaging = work.registry.messaging_of(phone.id);
    let wrapper = messaging.wrapper.as_ref().ok_or(Refusal::NoWrapper)?;
    let approved = work.known.approved.get(&phone.id);
    let filled = wrap::fill(
        wrapper,
        vec![text],
        approved.map(Vec::as_slice).unwrap_or_default(),
        codes::languages(work.registry, phone),
    )?;
    let filled = codes::wanted(conversation, filled)?;
    Ok(Content::Made(Box::new(Made::Template(filled))))
}

/// Nothing can be sent, and there is nobody in whose chat it could be said: Bitrix24 is told, and the post is kept.
fn cannot(work: &mut Work<'_>, instance: &Instance, order: &Order, why: Words) {
    work.keep(KeptState::NotUnderstood, why.english.to_owned());
    let lane = Lane {
        // The portal's own: there may be no number at all.
        phone: instance.id,
        conversation: work.ids.next(),
    };
    let report = match order {
        Order::Sms { code, sms } => Report::Sms {
            code: code.clone(),
            sms: sms.clone(),
            status: "failed".to_owned(),
        },
        Order::Robot { event_token, .. } => Report::Robot {
            event_token: event_token.clone(),
            message: String::new(),
            status: "failed".to_owned(),
            error: why.in_language(instance.language).to_owned(),
            failure: None,
        },
    };
    work.tell_portal(lane, None, None, Task::Report(report));
}
