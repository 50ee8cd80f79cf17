//! A mistake is answered alike wherever it is made: in the chat, in an SMS, by a robot and on a CRM card.

use sandbox::graph::{Customer, Fault, Times};
use serde_json::{Value, json};

use crate::{
    cards::{conversation, template},
    failures::{red, world},
    sms::sms,
    world::{World, lena},
};

/// One mistake.
struct Mistake {
    /// How it is written as a code.
    code: String,
    /// What is said of it, the same everywhere.
    said: &'static str,
    /// How it is made on a card, where it can be: templates are chosen there and not written.
    card: Option<Form>,
}

/// What a card's form sends.
struct Form {
    template: &'static str,
    values: Vec<String>,
    file: Option<String>,
    /// The field at which the card says what is wrong; without one it is found out afterwards, and the card's history
    /// says so.
    field: Option<&'static str>,
}

fn form(
    template: &'static str,
    values: &[&str],
    file: Option<&str>,
    field: Option<&'static str>,
) -> Form {
    Form {
        template,
        values: values.iter().copied().map(str::to_owned).collect(),
        file: file.map(str::to_owned),
        field,
    }
}

fn mistakes(files: &str) -> Vec<Mistake> {
    let note = |values: &[&str]| Some(form("delivery_note", values, None, Some("values")));
    let long = "я".repeat(1025);
    let mut mistakes: Vec<Mistake> = [
        ("template-helo_wrld+en_US", "hello_world", None),
        ("template-hello_world+de", "Its languages: en_US", None),
        (
            "template-delivery_note+en+Lena",
            "takes 2 value(s), the code gives 1",
            note(&["Lena"]),
        ),
        (
            "template-delivery_note+en+a|b|c",
            "takes 2 value(s), the code gives 3",
            note(&["a", "b", "c"]),
        ),
        (
            "template-delivery_note+en+a|",
            "value 2 is empty",
            note(&["a", ""]),
        ),
        (
            "template-delivery_note+en+a|{{2}}",
            "value 2 is still the place {{2}}",
            note(&["a", "{{2}}"]),
        ),
        ("template-hello_world+en_US+a\\", "escapes nothing", None),
        (
            "template-spring_sale",
            "PAUSED",
            Some(form("spring_sale", &[], None, Some("template"))),
        ),
        (
            "template-invoice+en+7",
            "begins with a document",
            Some(form("invoice", &["7"], None, Some("file"))),
        ),
        (
            "template-invoice+en+file_link:prices|7",
            "not an address",
            Some(form("invoice", &["7"], Some("prices"), Some("file"))),
        ),
        (
            "template-hello_world+file_link:https://a.example/a.pdf",
            "no file at its top",
            Some(form(
                "hello_world",
                &[],
                Some("https://a.example/a.pdf"),
                Some("file"),
            )),
        ),
        (
            "template-of_another_account+en",
            "no approved template “of_another_account”",
            None,
        ),
        ("template-", "names no template", None),
        ("interactive+menu", "no stored message", None),
    ]
    .into_iter()
    .map(|(code, said, card)| Mistake {
        code: code.to_owned(),
        said,
        card,
    })
    .collect();
    mistakes.push(Mistake {
        code: format!("template-delivery_note+en+{long}|x"),
        said: "1024 at most",
        card: note(&[&long, "x"]),
    });
    for (link, said) in [
        (format!("{files}/gone.pdf"), "it is not there any more"),
        (format!("{files}/page"), "a web page came in its place"),
        (format!("{files}/large.pdf"), "it is too large"),
        ("http://10.0.0.1/a.pdf".to_owned(), "not a public one"),
        (format!("{files}/inside"), "not a public one"),
    ] {
        mistakes.push(Mistake {
            code: format!("template-invoice+en+file_link:{link}|7"),
            said,
            card: Some(form("invoice", &["7"], Some(&link), None)),
        });
    }
    mistakes
}

/// A second account of the same app, whose templates are not this number's.
async fn another_account(world: &World) {
    world.graph.add_account("108200000000077");
    world
        .graph
        .console()
        .add_template("108200000000077", "of_another_account", "en", "Not yours.");
    let body = json!({ "app": world.app["id"], "waba_id": "108200000000077" });
    let other = world.api.create("waba/accounts", body).await;
    let sync = format!("waba/accounts/{}/sync", other["id"].as_str().unwrap());
    world.api.create(&sync, json!({})).await;
}

fn person(number: usize) -> Customer {
    Customer::with_phone(format!("49157556{number:05}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_answered_alike_in_the_chat_in_an_sms_and_to_a_robot_and_nothing_is_sent() {
    let (mut world, provider) = world("en").await;
    another_account(&world).await;
    world.knows_templates().await;
    world.customer_says(&lena(), "Guten Tag");
    let chat = world.operator_sees_text("Guten Tag").await;
    let mistakes = mistakes(&crate::codes::outside().await);
    for (number, Mistake { code, said, .. }) in mistakes.iter().enumerate() {
        // Each way has its own person, so that the answers are told apart.
        let (by_sms, by_robot) = (person(2 * number), person(2 * number + 1));
        let sent = world
            .portal
            .send_sms(&sms(&provider, by_sms.phone.as_deref().unwrap(), code))
            .unwrap();
        let step = world.robot(by_robot.phone.as_deref().unwrap(), code);
        world.operator_says(&chat, code);
        world.sms_is(&sent, "failed").await;
        let results = world.answered(&step).await;
        assert_eq!(results["status"], "failed", "{code}");
        let error = results["error"].as_str().unwrap();
        assert!(error.contains(said), "{code}: {error}");
        for customer in [by_sms, by_robot] {
            let (chat, note) = world.note_to(&customer, said).await;
            assert_eq!(red(&chat), 1, "{code}: {note}");
            assert!(world.received(&customer).is_empty(), "{code}");
        }
        world.note_to(&lena(), said).await;
    }
    world.comes_to_rest().await;
    assert!(world.received(&lena()).is_empty());
    // Nothing is lost: each stands among the messages with its reason, three times.
    let failed = world.api.get("messages?state=failed&limit=100").await;
    let failed = failed["items"].as_array().unwrap();
    assert_eq!(failed.len(), 3 * mistakes.len());
    assert!(
        failed
            .iter()
            .all(|message| message["error"]["code"].is_string())
    );
    // What failed for its file can be sent again once that is there, so it stands among the dead letters too.
    world.server.stop().await;
    world.server.check_log(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_answered_alike_on_a_card_at_its_field_or_in_its_history_and_nothing_is_sent() {
    let (mut world, _) = world("en").await;
    another_account(&world).await;
    world.knows_templates().await;
    let number = world.phone.clone();
    let options = json!({ "ID": "1207" });
    let page = world.opens("CRM_DEAL_DETAIL_TAB", &options, 27).await.api;
    let shown = page
        .get("frames/place?place=CRM_DEAL_DETAIL_TAB&card=1207")
        .await;
    let key = shown["recipients"][0]["key"].as_str().unwrap();
    let account = world.api.get(&format!("waba/phones/{number}")).await["account"].clone();
    let id = async |name: &str, own: bool| {
        let list = world.api.get(&format!("waba/templates?q={name}")).await;
        let found = list["items"].as_array().unwrap();
        let found = found
            .iter()
            .find(|one| one["name"] == name && (one["account"] == account) == own);
        found.unwrap_or_else(|| panic!("{name}: {list:#}"))["id"].clone()
    };
    let send = async |body: Value| page.call("POST", "frames/messages", Some(body)).await;

    // The newest message of the card's history has failed, and operators are told why.
    let fails = async |id: &Value, said: &str| {
        let history = page
            .until(&conversation(&number, key), |shown| {
                let newest = &shown["messages"][0];
                newest["id"] == *id && newest["state"] == "failed"
            })
            .await;
        let error = history["messages"][0]["error"].as_str().unwrap();
        assert!(error.contains(said), "{error}");
        world.note_to(&lena(), said).await;
    };
    let mut afterwards = Vec::new();
    for Mistake { said, card, .. } in mistakes(&crate::codes::outside().await) {
        let Some(card) = card else { continue };
        let mut body = json!({
            "number": number, "recipient": key, "template": id(card.template, true).await, "values": card.values,
        });
        if let Some(file) = card.file {
            body["file"] = file.into();
        }
        let (status, answer) = send(body).await;
        if let Some(field) = card.field {
            assert_eq!(
                (status, &answer["errors"][0]["field"]),
                (422, &json!(field)),
                "{said}: {answer:#}"
            );
            let message = answer["errors"][0]["message"].as_str().unwrap();
            assert!(message.contains(said), "{message}");
            continue;
        }
        // Whether the file can be had shows when it is fetched.
        assert_eq!(status, 202, "{said}: {answer:#}");
        afterwards.push(answer["id"].clone());
        fails(&answer["id"], said).await;
        // Some are said in the same words.
        let told = afterwards.len();
        world
            .operator_sees("a note of each", |chat| red(chat) == told)
            .await;
    }
    assert_eq!(afterwards.len(), 5);

    // What is written as a name in a code is chosen on a card: what is not there to be chosen cannot be sent.
    let nobody = json!("0199f1c2-7d3e-7a41-9c55-2f0e8b1d6a90");
    let greeting = id("hello_world", true).await;
    let other = id("of_another_account", false).await;
    let notes = shown["recipients"].as_array().unwrap();
    let notes = notes.iter().find(|one| one["address"] == "see notes");
    for (name, value, said) in [
        (
            "template",
            &nobody,
            "does not belong to this number's account",
        ),
        (
            "template",
            &other,
            "does not belong to this number's account",
        ),
        ("number", &nobody, "is not linked to this portal"),
        // A phone that is none, which is shown and cannot be chosen; and one that the page never showed.
        ("recipient", &notes.unwrap()["key"], "must not be empty"),
        (
            "recipient",
            &json!("4915755509876"),
            "choose the recipient again",
        ),
    ] {
        let mut body = json!({ "number": number, "recipient": key, "template": greeting });
        body[name] = value.clone();
        let (status, problem) = send(body).await;
        assert_eq!(
            (status, &problem["errors"][0]["field"]),
            (422, &json!(name)),
            "{problem:#}"
        );
        let message = problem["errors"][0]["message"].as_str().unwrap();
        assert!(message.to_lowercase().contains(said), "{message}");
    }
    let body = json!({ "number": number, "recipient": key, "interactive": nobody, "values": [] });
    let (status, problem) = send(body).await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (422, &json!("interactive")),
        "{problem:#}"
    );

    // That a recipient has no WhatsApp is what Meta says afterwards.
    world
        .graph
        .faults()
        .set(Fault::FailedStatus(131_026), Times::Next(1));
    assert_eq!(
        template(&page, &number, "hello_world").await["id"],
        greeting
    );
    let (status, sent) =
        send(json!({ "number": number, "recipient": key, "template": greeting })).await;
    assert_eq!(status, 202, "{sent:#}");
    let said = "WhatsApp cannot deliver to this customer";
    fails(&sent["id"], said).await;

    world.comes_to_rest().await;
    assert!(world.received(&lena()).is_empty());
    let notes: usize = world.portal.chats().iter().map(red).sum();
    assert_eq!(notes, afterwards.len() + 1, "each is told once");
    // Nothing is lost: what was taken stands among the messages with its reason.
    let failed = world.api.get("messages?state=failed&limit=100").await;
    let failed = failed["items"].as_array().unwrap();
    assert_eq!(failed.len(), afterwards.len() + 1);
    assert!(
        failed
            .iter()
            .all(|message| message["error"]["code"].is_string())
    );
    // What failed for its file can be sent again once that is there, so it stands among the dead letters too.
    world.server.stop().await;
    world.server.check_log(&[]);
}
