//! What is said where a template does not arrive: every error of Meta's that concerns templates, and every fault of
//! those who send them, in the chat, to the SMS provider and to the workflow that asked.

use std::collections::BTreeMap;

use sandbox::{
    graph::{Customer, Fault, Scope, Times},
    portal::{Author, Behaviour, Chat, Fault as PortalFault, StepKind, When},
};
use serde_json::json;

use crate::{
    sms::sms,
    world::{Options, World, lena},
};

const WABA: &str = "108200000000001";
const ROBOT: &str = "separator_template";

/// Meta's code; the beginning of what operators read of it in English and in Russian; what the SMS ends as.
type Row = (u32, &'static str, &'static str, &'static str);

/// The errors that concern templates (Meta: error codes), those left out that stop the number itself.
const ERRORS: &[Row] = &[
    (
        100,
        "WhatsApp does not accept this message in this form",
        "WhatsApp не принимает сообщение в таком виде",
        "failed",
    ),
    (
        130_472,
        "Meta holds back marketing messages",
        "Meta временно не доставляет",
        "undelivered",
    ),
    (
        130_497,
        "Your company may not write to customers in this country",
        "Вашей компании нельзя писать",
        "undelivered",
    ),
    (
        131_000,
        "WhatsApp had a passing fault",
        "Временный сбой",
        "failed",
    ),
    (
        131_008,
        "WhatsApp does not accept this message in this form",
        "WhatsApp не принимает сообщение в таком виде",
        "failed",
    ),
    (
        131_009,
        "WhatsApp does not accept this message in this form",
        "WhatsApp не принимает сообщение в таком виде",
        "failed",
    ),
    (
        131_016,
        "WhatsApp had a passing fault",
        "Временный сбой",
        "failed",
    ),
    (
        131_026,
        "WhatsApp cannot deliver to this customer",
        "WhatsApp не может доставить",
        "undelivered",
    ),
    (
        131_030,
        "This is Meta's test number",
        "Это тестовый номер Meta",
        "undelivered",
    ),
    (
        131_047,
        "More than 24 hours have passed",
        "С последнего сообщения клиента прошло больше 24 часов",
        "failed",
    ),
    (
        131_049,
        "WhatsApp held this message back",
        "WhatsApp не доставил сообщение",
        "undelivered",
    ),
    (
        131_050,
        "The customer has stopped marketing messages",
        "Клиент отказался от ваших рекламных",
        "undelivered",
    ),
    (
        131_051,
        "WhatsApp does not support this kind of message",
        "WhatsApp не поддерживает здесь",
        "failed",
    ),
    (
        131_052,
        "WhatsApp could not load the file",
        "WhatsApp не смог загрузить файл",
        "failed",
    ),
    (
        131_053,
        "WhatsApp does not accept this file",
        "WhatsApp не принимает этот файл",
        "failed",
    ),
    (
        131_062,
        "The customer hides their phone number",
        "Клиент скрывает номер телефона",
        "failed",
    ),
    (
        131_063,
        "Marketing templates cannot go this way",
        "Рекламные шаблоны нельзя отправить этим путём",
        "failed",
    ),
    (
        131_064,
        "WhatsApp restricted the account because templates",
        "WhatsApp ограничил аккаунт из-за шаблонов",
        "failed",
    ),
    (
        132_000,
        "The values for the template do not fit it",
        "Значения не подходят к шаблону",
        "failed",
    ),
    (
        132_001,
        "There is no approved template of this name",
        "Нет одобренного шаблона",
        "failed",
    ),
    (
        132_005,
        "With these values the template's text is too long",
        "С этими значениями текст шаблона слишком длинный",
        "failed",
    ),
    (
        132_007,
        "What the template says breaks a WhatsApp rule",
        "Содержание шаблона нарушает правила",
        "failed",
    ),
    (
        132_008,
        "The values for the template do not fit it",
        "Значения не подходят к шаблону",
        "failed",
    ),
    (
        132_012,
        "The values for the template do not fit it",
        "Значения не подходят к шаблону",
        "failed",
    ),
    (
        132_015,
        "WhatsApp has paused it",
        "WhatsApp приостановил его",
        "failed",
    ),
    (
        132_016,
        "WhatsApp has disabled it",
        "WhatsApp отключил его",
        "failed",
    ),
    (
        132_018,
        "The values for the template do not fit it",
        "Значения не подходят к шаблону",
        "failed",
    ),
    (
        132_068,
        "The form (flow) in this message",
        "Форма (flow) в сообщении",
        "failed",
    ),
    (
        132_069,
        "The form (flow) in this message",
        "Форма (flow) в сообщении",
        "failed",
    ),
    (
        134_100,
        "Marketing templates cannot go this way",
        "Рекламные шаблоны нельзя отправить этим путём",
        "failed",
    ),
    (
        134_101,
        "The template was approved only a moment ago",
        "Шаблон одобрен только что",
        "failed",
    ),
    (
        134_102,
        "Marketing templates cannot go this way",
        "Рекламные шаблоны нельзя отправить этим путём",
        "failed",
    ),
    (
        135_000,
        "WhatsApp does not accept this message in this form",
        "WhatsApp не принимает сообщение в таком виде",
        "failed",
    ),
];

/// Who sends, in the order in which each code has its customers.
const ORIGINS: [&str; 3] = ["chat", "sms", "robot"];

/// Codes of templates that Meta does not take at present: their messages wait.
const OF_TEMPLATES: [u32; 2] = [132_015, 132_016];

/// A portal in one language with a number that is an SMS provider; gives the provider's code.
pub async fn world(language: &'static str) -> (World, String) {
    let world = World::with(Options {
        behaviour: Behaviour {
            language,
            record_parameters: true,
            ..Behaviour::default()
        },
        ..Options::default()
    })
    .await;
    world.without_limits().await;
    let path = format!("waba/phones/{}", world.phone);
    world.api.patch(&path, json!({ "sms_service": true })).await;
    world.phone_is("connected").await;
    let provider = format!("separator_{}", world.number);
    (world, provider)
}

/// The customer of one code and one way to send.
fn customer(code: u32, origin: &str) -> Customer {
    let way = ORIGINS.iter().position(|one| *one == origin).unwrap();
    Customer::with_phone(format!("491575{code:06}{way}"))
}

impl World {
    /// Waits until the chat of a customer holds a note with this text; gives the chat and the note.
    pub async fn note_to(&self, customer: &Customer, text: &str) -> (Chat, String) {
        let phone = customer.phone.clone().unwrap();
        let is = |message: &&sandbox::portal::Message| {
            message.author == Author::System && message.text.contains(text)
        };
        let chat = self
            .operator_sees(&format!("{text} in the chat of {phone}"), |chat| {
                let shown: String = chat
                    .user_phone
                    .iter()
                    .flat_map(|shown| shown.chars())
                    .collect();
                shown.trim_start_matches('+') == phone
                    && chat.messages.iter().any(|message| is(&message))
            })
            .await;
        let note = chat.messages.iter().find(is).unwrap().text.clone();
        (chat, note)
    }

    /// A step of a workflow that waits for delivery.
    pub fn robot(&self, to: &str, template: &str) -> String {
        let properties = [("phone", to), ("template", template), ("wait", "Y")];
        self.portal
            .run_step(StepKind::Robot, ROBOT, &properties)
            .unwrap()
    }
}

/// Red notes of a chat.
pub fn red(chat: &Chat) -> usize {
    let notes = chat.messages.iter();
    notes
        .filter(|message| message.text.starts_with("[color=#ff0000]"))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_about_templates_is_told_to_whoever_sent_it_in_the_portals_language() {
    for (language, russian) in [("en", false), ("ru", true)] {
        let (world, provider) = world(language).await;
        for (code, ..) in ERRORS {
            for origin in ORIGINS {
                let name = format!("{origin}_{code}");
                world
                    .graph
                    .console()
                    .add_template(WABA, &name, "en", "Your order is ready.");
                let scope = Scope {
                    customer: customer(*code, origin).phone,
                    ..Scope::default()
                };
                world
                    .graph
                    .faults()
                    .set_for(Fault::FailedStatus(*code), Times::Always, scope);
            }
        }
        world.knows_templates().await;
        let (mut steps, mut messages) = (BTreeMap::new(), BTreeMap::new());
        for (code, ..) in ERRORS {
            world.customer_says(&customer(*code, "chat"), &format!("Hallo {code}"));
            let to = |origin| customer(*code, origin).phone.unwrap();
            steps.insert(code, world.robot(&to("robot"), &format!("robot_{code}")));
            let sms = sms(&provider, &to("sms"), &format!("sms_{code}"));
            messages.insert(code, world.portal.send_sms(&sms).unwrap());
        }
        for (code, ..) in ERRORS {
            let chat = world.operator_sees_text(&format!("Hallo {code}")).await;
            world.operator_says(&chat, &format!("template-chat_{code}"));
        }
        for (code, in_english, in_russian, sms) in ERRORS {
            let words = if russian { in_russian } else { in_english };
            for origin in ORIGINS {
                let customer = customer(*code, origin);
                let (chat, note) = world.note_to(&customer, words).await;
                assert!(
                    note.starts_with("[color=#ff0000]"),
                    "{origin} {code}: {note}"
                );
                // What the operator wrote waits instead of failing, where only the time is over.
                let waits = *code == 131_047 && origin == "chat";
                let waits = waits || OF_TEMPLATES.contains(code);
                assert_eq!(
                    note.contains(&format!("({code})")),
                    !waits,
                    "{origin} {code}: {note}"
                );
                assert_eq!(red(&chat), 1, "{origin} {code}: told once");
                assert!(world.received(&customer).is_empty());
            }
            if OF_TEMPLATES.contains(code) {
                continue;
            }
            world.sms_is(&messages[code], sms).await;
            let results = world.answered(&steps[code]).await;
            assert_eq!(results["status"], "failed", "{code}");
            let error = results["error"].as_str().unwrap();
            assert!(
                error.contains(words) && error.ends_with(&format!("({code})")),
                "{code}: {error}"
            );
        }
        // What waits for its template is given up after a day, and whoever ordered it hears so.
        let expire = "UPDATE held SET expires_at = 1 WHERE template IS NOT NULL";
        world.server.sql(expire);
        for code in OF_TEMPLATES {
            world.sms_is(&messages[&code], "failed").await;
            let results = world.answered(&steps[&code]).await;
            assert_eq!(results["status"], "failed", "{code}");
            let customer = customer(code, "chat");
            let words = if russian {
                "24 часа"
            } else {
                "for 24 hours"
            };
            world.note_to(&customer, words).await;
        }
        world.comes_to_rest().await;
        // None was tried again: each says what a person has to do first.
        for (code, ..) in ERRORS {
            for origin in ORIGINS {
                let peer = customer(*code, origin).phone.unwrap();
                let list = world
                    .api
                    .get(&format!("messages?direction=outbound&peer={peer}"))
                    .await;
                let list = list["items"].as_array().unwrap();
                assert_eq!(list.len(), 1, "{origin} {code}");
                if !(*code == 131_047 && origin == "chat") {
                    let expected = if OF_TEMPLATES.contains(code) {
                        "TEMPLATE_UNAVAILABLE".to_owned()
                    } else {
                        code.to_string()
                    };
                    assert_eq!(list[0]["error"]["code"], expected, "{origin}");
                }
            }
        }
        world.ends_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_sms_became_is_told_forwards_only_in_whatever_order_it_is_heard() {
    let (world, provider) = world("en").await;
    world.knows_templates().await;
    world.graph.faults().set(Fault::WebhookHeld, Times::Always);
    // The portal writes some of them down only after it has posted them.
    world
        .portal
        .faults()
        .set(PortalFault::SmsUnknown, When::Next(2));
    let mut cases = Vec::new();
    for (facts, last) in [
        (&["sent", "delivered", "read"][..], "delivered"),
        (&["sent", "read"], "delivered"),
        (&["sent", "failed"], "undelivered"),
        (&["sent", "delivered", "failed"], "delivered"),
    ] {
        for order in crate::statuses::orders(facts) {
            cases.push((order, last));
        }
    }
    let mut sent = Vec::new();
    for number in 0..cases.len() {
        let customer = Customer::with_phone(format!("49157557{number:05}"));
        let to = customer.phone.clone().unwrap();
        let id = world
            .portal
            .send_sms(&sms(&provider, &to, "hello_world"))
            .unwrap();
        sent.push((id, customer));
    }
    for ((order, _), (_, customer)) in cases.iter().zip(&sent) {
        let wamid = world.customer_receives(customer, 1).await[0].wamid.clone();
        // These statuses name nothing but the wamid, which has to be on disk.
        world.message(&wamid).await;
        for name in order {
            // Everything is heard twice.
            let status = crate::statuses::status(&wamid, name);
            let value = world.value(json!({ "statuses": [status.clone(), status] }));
            world.webhook(&[value]).await;
        }
    }
    for ((_, last), (id, _)) in cases.iter().zip(&sent) {
        world.sms_is(id, last).await;
    }
    world.comes_to_rest().await;
    let calls = world.portal.calls();
    for ((order, last), (id, _)) in cases.iter().zip(&sent) {
        let told = world.sms_statuses(id);
        let rank = |status: &String| {
            ["sent", "undelivered", "delivered"]
                .iter()
                .position(|known| known == status)
        };
        assert!(
            told.is_sorted_by(|before, after| rank(before) < rank(after)),
            "{order:?} was told as {told:?}"
        );
        assert_eq!(told.last().map(String::as_str), Some(*last), "{order:?}");
    }
    let unknown = calls
        .iter()
        .filter(|call| call.method == "messageservice.message.status.update" && call.status == 400);
    assert_eq!(
        unknown.count(),
        2,
        "asked again until the portal knew the SMS"
    );
    world.graph.faults().off(Fault::WebhookHeld);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_answered_although_the_program_was_killed_or_the_number_is_gone() {
    let (mut world, _) = world("en").await;
    world.knows_templates().await;
    // Killed while Meta's answer is on its way: the send is not repeated, the step is answered.
    world.graph.faults().set(Fault::WebhookHeld, Times::Always);
    world.graph.faults().set(
        Fault::Slow(std::time::Duration::from_millis(700)),
        Times::Next(1),
    );
    let (lena, step) = (lena(), world.robot("4915755509876", "hello_world"));
    world.customer_receives(&lena, 1).await;
    world.server.kill();
    world.server.start().await;
    world.graph.faults().off(Fault::WebhookHeld);
    let results = world.answered(&step).await;
    assert_eq!(results["status"], "delivered", "{results:#}");
    assert_eq!(world.received(&lena).len(), 1, "sent once");
    // Killed with the post on disk and nothing else done.
    let steps: Vec<String> = (0..5)
        .map(|number| world.robot(&format!("4915755800{number:03}"), "helo"))
        .collect();
    world
        .api
        .until("messages?state=failed", |list| {
            !list["items"].as_array().unwrap().is_empty()
        })
        .await;
    world.server.kill();
    world.server.start().await;
    for step in &steps {
        let results = world.answered(step).await;
        assert_eq!(results["status"], "failed", "{results:#}");
    }
    // A step waits for delivery, and its number is taken off the portal: both are answered.
    world.graph.faults().set(Fault::WebhookHeld, Times::Always);
    let waits = world.robot("4915755509876", "hello_world");
    world.customer_receives(&lena, 2).await;
    let path = format!("waba/phones/{}", world.phone);
    world.api.patch(&path, json!({ "instance": null })).await;
    let late = world
        .portal
        .run_step(
            StepKind::Robot,
            ROBOT,
            &[("phone", "4915755509876"), ("template", "hello_world")],
        )
        .unwrap();
    let results = world.answered(&late).await;
    assert_eq!(results["status"], "failed");
    assert!(
        results["error"]
            .as_str()
            .unwrap()
            .contains("no WhatsApp number is linked"),
        "{results:#}"
    );
    world.graph.faults().off(Fault::WebhookHeld);
    assert_eq!(world.answered(&waits).await["status"], "delivered");
    world.server.stop().await;
    world.server.check_log(&[]);
}
