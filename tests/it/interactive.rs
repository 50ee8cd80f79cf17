//! Interactive messages by their code: from the chat, a card, an SMS, a robot and the API, inside the 24 hours and outside.

use sandbox::{
    graph::{Fault, Times},
    portal::{Author, Chat, StepKind, Upload},
};
use serde_json::{Value, json};

use crate::{
    sms::sms,
    world::{Options, World, lena},
};

/// What is stored in every test here.
fn messages() -> [(&'static str, Value); 5] {
    let reply =
        |id: &str, title: &str| json!({ "type": "reply", "reply": { "id": id, "title": title } });
    [
        (
            "menu",
            json!({
                "type": "button",
                "header": { "type": "text", "text": "Order {{2}}" },
                "body": { "text": "Shall we deliver today, {{1}}?" },
                "footer": { "text": "Klein GmbH" },
                "action": { "buttons": [reply("yes", "Yes"), reply("no", "No")] },
            }),
        ),
        (
            "times",
            json!({
                "type": "list",
                "body": { "text": "When?" },
                "action": { "button": "Choose", "sections": [{ "rows": [
                    { "id": "t1", "title": "Tue 14:00", "description": "{{branch}}" },
                    { "id": "t2", "title": "Wed 09:00" },
                ] }] },
            }),
        ),
        (
            "track",
            json!({
                "type": "cta_url",
                "body": { "text": "Your parcel" },
                "action": { "name": "cta_url", "parameters": { "display_text": "Track", "url": "https://a.example/t?id={{1}}" } },
            }),
        ),
        (
            "call_us",
            json!({
                "type": "voice_call",
                "body": { "text": "Questions?" },
                "action": { "name": "voice_call", "parameters": { "display_text": "Call us", "ttl_minutes": 60 } },
            }),
        ),
        (
            "may_we_call",
            json!({ "type": "call_permission_request", "action": { "name": "call_permission_request" } }),
        ),
    ]
}

/// A world in which messages are stored.
async fn stored() -> World {
    let mut options = Options::default();
    options.behaviour.record_parameters = true;
    let world = World::with(options).await;
    world.without_limits().await;
    world.knows_templates().await;
    let account = world.api.get("waba/accounts").await["items"][0]["id"].clone();
    for (name, content) in messages() {
        let made = world
            .api
            .create(
                "waba/interactive",
                json!({ "account": account, "name": name, "content": content }),
            )
            .await;
        assert_eq!((&made["name"], &made["content"]), (&json!(name), &content));
    }
    world
}

async fn opened() -> (World, Chat) {
    let world = stored().await;
    world.customer_says(&lena(), "Guten Tag");
    let chat = world.operator_sees_text("Guten Tag").await;
    (world, chat)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_is_sent_from_the_chat_shown_there_and_answered_by_the_customer() {
    let (world, chat) = opened().await;
    let id = world.operator_says(
        &chat,
        "[b]Klaus Weber:[/b] [br]interactive+menu|Lena Klein|A \\| 7",
    );
    for code in [
        "interactive+times|branch:Bonn",
        "Interactive+track+A 7&b=c",
        "interactive+call_us",
        "interactive+may_we_call",
    ] {
        world.operator_says(&chat, code);
    }
    let received = world.customer_receives(&lena(), 5).await;
    let sent: Vec<&Value> = received
        .iter()
        .map(|message| &message.body["interactive"])
        .collect();
    let [menu, times, track, call_us, may_we_call] = messages().map(|(_, content)| content);
    let mut wanted = [menu, times, track, call_us, may_we_call];
    wanted[0]["header"]["text"] = json!("Order A | 7");
    wanted[0]["body"]["text"] = json!("Shall we deliver today, Lena Klein?");
    wanted[1]["action"]["sections"][0]["rows"][0]["description"] = json!("Bonn");
    wanted[2]["action"]["parameters"]["url"] = json!("https://a.example/t?id=A%207&b=c");
    assert_eq!(sent, wanted.iter().collect::<Vec<_>>());

    // Operators see in their chat what the customer got, and their message is confirmed.
    let note = world.note("Shall we deliver today, Lena Klein?").await;
    for part in ["menu", "Order A | 7", "Klein GmbH", "Yes]", "No]"] {
        assert!(note.text.contains(part), "{part}: {}", note.text);
    }
    world.note("• Tue 14:00 — Bonn").await;
    world.message_is(&received[0].wamid, "delivered").await;
    world
        .operator_sees("the confirmation", |chat| {
            chat.messages
                .iter()
                .any(|message| message.id == id && message.delivered)
        })
        .await;
    let list = world.api.get("messages?q=Shall%20we").await;
    assert_eq!(
        (&list["items"][0]["type"], &list["items"][0]["state"]),
        (&json!("interactive"), &json!("delivered"))
    );

    // A tap on a button arrives as an answer to this very message.
    world.customer_sends(
        &lena(),
        json!({
            "type": "interactive",
            "context": { "from": "4915755501234", "id": received[0].wamid },
            "interactive": { "type": "button_reply", "button_reply": { "id": "yes", "title": "Yes" } },
        }),
    );
    world
        .operator_sees("the answer", |chat| {
            chat.messages
                .iter()
                .any(|message| message.author == Author::Customer && message.text.contains("Yes"))
        })
        .await;
    world.comes_to_rest().await;
    assert_eq!(world.received(&lena()).len(), 5, "nothing went twice");
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sends_nothing_is_told_to_operators_and_never_to_the_customer() {
    let (world, chat) = opened().await;
    for (code, said) in [
        ("interactive+meny", "close: menu"),
        ("interactive+menu", "takes 2 value(s), the code gives 0"),
        ("interactive+menu|a|b|c", "interactive+menu|{{1}}|{{2}}"),
        ("interactive+menu|a| ", "value 2 is empty"),
        ("interactive+menu|a|b\\", "escapes nothing"),
        ("interactive+", "names no"),
        ("Dear Lena,[br]interactive+menu|a|b", "stand alone"),
        (
            "interactive+menu|file_link:https://a.example/1.png|a|b",
            "takes no file",
        ),
    ] {
        world.operator_says(&chat, code);
        world.note(said).await;
    }
    world.operator_says(&chat, &format!("interactive+menu|{}|b", "x".repeat(1024)));
    world.note("WhatsApp takes 1024 at most").await;
    world
        .portal
        .operator_writes(
            chat.id,
            "interactive+call_us",
            vec![Upload::new("a.pdf", &b"%PDF-1.4 x"[..])],
        )
        .unwrap();
    world.note("“call_us” takes no file").await;
    let path = format!("waba/phones/{}/messages", world.phone);
    let body = json!({ "to": "4915755509876", "shortcode": "interactive+meny" });
    let (status, refusal) = world.api.call("POST", &path, Some(body)).await;
    assert_eq!(
        (status, &refusal["errors"][0]["field"]),
        (422, &json!("shortcode"))
    );
    assert!(world.received(&lena()).is_empty());
    // Its number deleted it: the name is unknown.
    let list = world.api.get("waba/interactive?q=call_us").await;
    let one = format!(
        "waba/interactive/{}",
        list["items"][0]["id"].as_str().unwrap()
    );
    assert_eq!(world.api.call("DELETE", &one, None).await.0, 204);
    world.operator_says(&chat, "interactive+call_us");
    world.note("no stored message “call_us”").await;
    assert!(world.received(&lena()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn outside_the_24_hours_it_waits_in_the_chat_and_is_refused_elsewhere() {
    let world = stored().await;
    let path = format!("waba/phones/{}", world.phone);
    let body = json!({ "to": "4915755509876", "shortcode": "template-hello_world" });
    let (status, _) = world
        .api
        .call("POST", &format!("{path}/messages"), Some(body))
        .await;
    assert_eq!(status, 202);
    world.customer_receives(&lena(), 1).await;
    let chat = world.operator_sees_text("Welcome!").await;
    world.comes_to_rest().await;

    // From the chat it waits, in the order in which everything was written.
    world.operator_says(&chat, "interactive+menu|Lena|A-1");
    world.note("More than 24 hours").await;
    world.operator_says(&chat, "danach");
    let waits = |count: usize| {
        move |list: &Value| {
            list["items"][0]["held"]
                .as_array()
                .is_some_and(|held| held.len() == count)
        }
    };
    let conversations = format!("{path}/conversations");
    world.api.until(&conversations, waits(2)).await;

    // A robot and an SMS are told at once.
    let step = world
        .portal
        .run_step(
            StepKind::Robot,
            "separator_template",
            &[
                ("phone", "+49 1575 5509876"),
                ("template", "interactive+menu"),
                ("values[]", "Lena|A-1"),
            ],
        )
        .unwrap();
    let results = world.answered(&step).await;
    assert_eq!(results["status"], "failed");
    assert!(
        results["error"]
            .as_str()
            .unwrap()
            .contains("Send a template"),
        "{results}"
    );
    assert_eq!(world.received(&lena()).len(), 1);

    // The customer writes: what waited goes out.
    world.customer_says(&lena(), "Ja?");
    let received = world.customer_receives(&lena(), 3).await;
    assert_eq!(
        received[1].body["interactive"]["body"]["text"],
        "Shall we deliver today, Lena?"
    );
    assert_eq!(received[2].body["text"]["body"], "danach");

    // Now a robot sends it, and it is answered with what became of it.
    let step = world
        .portal
        .run_step(
            StepKind::Robot,
            "separator_template",
            &[
                ("phone", "+49 1575 5509876"),
                ("template", "interactive+track"),
                ("values[]", "A-1"),
            ],
        )
        .unwrap();
    assert_eq!(world.answered(&step).await["status"], "sent");
    world.customer_receives(&lena(), 4).await;

    // Meta is the judge: accepted and then said to be too late, it waits as it was, and goes out once.
    world
        .graph
        .faults()
        .set(Fault::FailedStatus(131_047), Times::Next(1));
    world.operator_says(&chat, "interactive+times|Bonn");
    world.api.until(&conversations, waits(1)).await;
    let before = world.received(&lena()).len();
    world.customer_says(&lena(), "Bin da");
    let received = world.customer_receives(&lena(), before + 1).await;
    let row = &received[before].body["interactive"]["action"]["sections"][0]["rows"][0];
    assert_eq!(row["description"], "Bonn");
    world.comes_to_rest().await;
    assert_eq!(world.received(&lena()).len(), before + 1);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sms_of_its_code_is_sent_once_and_the_provider_is_told_what_became_of_it() {
    let world = stored().await;
    let path = format!("waba/phones/{}", world.phone);
    world.api.patch(&path, json!({ "sms_service": true })).await;
    world.phone_is("connected").await;
    let provider = format!("separator_{}", world.number);
    let by_sms = |text: &str| {
        let asked = sms(&provider, "+49 1575 5509876", text);
        world.portal.send_sms(&asked).unwrap()
    };

    // Nobody wrote within the 24 hours: it cannot go out, and both sides are told.
    let early = by_sms("interactive+menu|Lena|A-1");
    world.sms_is(&early, "failed").await;
    world.note("can go out only within them").await;
    assert!(world.received(&lena()).is_empty());

    world.customer_says(&lena(), "Guten Tag");
    world.operator_sees_text("Guten Tag").await;
    let sent = by_sms("interactive+menu|Lena|A \\| 7");
    world.sms_is(&sent, "delivered").await;
    // The portal posts the same SMS again.
    let form = [
        ("type", "SMS"),
        ("code", provider.as_str()),
        ("message_id", sent.as_str()),
        ("message_to", "+49 1575 5509876"),
        ("message_body", "interactive+menu|Lena|A \\| 7"),
    ];
    let again = world.api.http.post(world.sms_handler()).form(&form);
    assert_eq!(again.send().await.unwrap().status(), 200);

    // What the customer never gets is told as such; so is a mistake.
    world
        .graph
        .faults()
        .set(Fault::FailedStatus(131_026), Times::Next(1));
    let lost = by_sms("interactive+call_us");
    world.sms_is(&lost, "undelivered").await;
    let wrong = by_sms("interactive+menu|Lena");
    world.sms_is(&wrong, "failed").await;
    world.note("takes 2 value(s), the code gives 1").await;

    world.comes_to_rest().await;
    let received = world.received(&lena());
    assert_eq!(received.len(), 1, "sent once");
    let interactive = &received[0].body["interactive"];
    assert_eq!(interactive["header"]["text"], "Order A | 7");
    assert_eq!(interactive["body"]["text"], "Shall we deliver today, Lena?");
    // Operators see it once, as said by nobody; it does not come back as an event.
    let chat = world.operator_sees_text("Shall we deliver").await;
    let shown: Vec<Author> = chat
        .messages
        .iter()
        .filter(|message| message.text.contains("Shall we deliver today, Lena?"))
        .map(|message| message.author)
        .collect();
    assert_eq!(shown, [Author::System]);
    for (id, last) in [
        (&early, "failed"),
        (&sent, "delivered"),
        (&lost, "undelivered"),
        (&wrong, "failed"),
    ] {
        // Where Meta says two things at once, the portal is told the later one.
        let told = world.sms_statuses(id);
        let rest = told.strip_suffix(&[last.to_owned()]);
        assert!(
            rest.is_some_and(|rest| rest.is_empty() || rest == ["sent"]),
            "{last}: {told:?}"
        );
    }
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_meta_would_refuse_is_not_stored_and_names_are_unique() {
    let world = stored().await;
    let account = world.api.get("waba/accounts").await["items"][0]["id"].clone();
    let [(_, menu), ..] = messages();
    let asked = |name: &str, content: &Value| json!({ "account": account, "name": name, "content": content });
    let mut wrong = menu.clone();
    wrong["action"]["buttons"][1]["reply"]["title"] = json!("x".repeat(21));
    wrong["footer"]["text"] = json!("x".repeat(61));
    let cases = [
        (asked("Main Menu", &menu), vec![("name", "lower-case")]),
        (asked("menu", &menu), vec![("name", "taken")]),
        (
            asked("other", &wrong),
            vec![
                ("content.footer.text", "61 characters"),
                ("content.action.buttons[1].reply.title", "21 characters"),
            ],
        ),
        (asked("other", &json!("x")), vec![("content", "object")]),
        (
            json!({ "account": world.phone, "name": "other", "content": menu }),
            vec![("account", "does not exist")],
        ),
    ];
    for (body, wanted) in cases {
        let (status, problem) = world.api.call("POST", "waba/interactive", Some(body)).await;
        assert_eq!(status, 422, "{problem}");
        let errors = problem["errors"].as_array().unwrap();
        assert_eq!(errors.len(), wanted.len(), "{problem:#}");
        for (field, words) in wanted {
            let error = errors.iter().find(|error| error["field"] == field);
            let message = error.unwrap_or_else(|| panic!("{field}: {problem:#}"))["message"]
                .as_str()
                .unwrap();
            assert!(message.contains(words), "{message}");
        }
    }
    let list = world.api.get("waba/interactive?limit=2").await;
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    let found = world.api.get("waba/interactive?q=deliver").await;
    let one = &found["items"][0];
    assert_eq!(
        (&one["kind"], &one["places"], &one["code"]),
        (
            &json!("button"),
            &json!(["{{1}}", "{{2}}"]),
            &json!("interactive+menu|{{1}}|{{2}}")
        )
    );
    let path = format!("waba/interactive/{}", one["id"].as_str().unwrap());
    let (status, problem) = world
        .api
        .call("PATCH", &path, Some(json!({ "name": "times" })))
        .await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (422, &json!("name"))
    );
    let changed = world.api.patch(&path, json!({ "name": "main_menu" })).await;
    assert_eq!(
        (&changed["name"], &changed["content"]),
        (&json!("main_menu"), &menu)
    );
    let trail = world.api.get("audit?limit=1").await;
    assert_eq!(
        trail["items"][0]["subject_kind"], "interactive_message",
        "{trail:#}"
    );
    world.ends_clean().await;
}
