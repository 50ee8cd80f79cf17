//! Templates of every kind, sent from everywhere: the chat, a CRM card, a robot, an SMS.

use axum::{Router, routing::get};
use sandbox::portal::StepKind;
use serde_json::{Value, json};

use crate::{
    cards::template,
    sms::sms,
    world::{World, lena},
};

const ACCOUNT: &str = "108200000000001";
const PDF: &[u8] = b"%PDF-1.4 prices";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10\x08\x06 picture";
const MP4: &[u8] = b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2 film";

/// What is sent.
struct Case {
    template: &'static str,
    /// Path of the header's file.
    file: Option<(&'static str, &'static [u8])>,
    /// Values as they are written in a code, the header's location among them.
    values: &'static [&'static str],
    /// The components that Meta is given, without the id of the file.
    components: Value,
}

fn text(value: &str) -> Value {
    json!({ "type": "text", "text": value })
}

fn cases() -> Vec<Case> {
    let media = |kind: &str, value: &str| {
        json!([
            { "type": "header", "parameters": [{ "type": kind, kind: {} }] },
            { "type": "body", "parameters": [text(value)] },
        ])
    };
    let named =
        |name: &str, value: &str| json!({ "type": "text", "parameter_name": name, "text": value });
    vec![
        Case {
            template: "appointment_reminder",
            file: None,
            values: &["day:Monday", "first_name:Lena"],
            components: json!([{ "type": "body", "parameters": [named("first_name", "Lena"), named("day", "Monday")] }]),
        },
        Case {
            template: "invoice",
            file: Some(("a.pdf", PDF)),
            values: &["17"],
            components: media("document", "17"),
        },
        Case {
            template: "photo",
            file: Some(("a.png", PNG)),
            values: &["Lena"],
            components: media("image", "Lena"),
        },
        Case {
            template: "film",
            file: Some(("a.mp4", MP4)),
            values: &["Lena"],
            components: media("video", "Lena"),
        },
        Case {
            template: "wink",
            file: Some(("a.mp4", MP4)),
            values: &["Lena"],
            components: media("gif", "Lena"),
        },
        Case {
            template: "shop",
            file: None,
            values: &["location:52.52,13.40,Shop,Main Street 1", "Lena"],
            components: json!([
                { "type": "header", "parameters": [{ "type": "location", "location": {
                    "latitude": 52.52, "longitude": 13.4, "name": "Shop", "address": "Main Street 1",
                } }] },
                { "type": "body", "parameters": [text("Lena")] },
            ]),
        },
    ]
}

/// Files of the world outside; gives its address.
async fn outside() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new()
        .route("/a.pdf", get(|| async { PDF }))
        .route("/a.png", get(|| async { PNG }))
        .route("/a.mp4", get(|| async { MP4 }));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// The components of a sent template without what differs from one sending to the next: the file's id and name.
fn components(sent: &Value) -> Value {
    let mut components = sent["template"]["components"].clone();
    for part in components.as_array_mut().into_iter().flatten() {
        let Some(parameter) = part["parameters"].get_mut(0) else {
            continue;
        };
        for kind in ["document", "image", "video", "gif"] {
            if let Some(file) = parameter.get_mut(kind).and_then(Value::as_object_mut) {
                assert!(file.remove("id").is_some_and(|id| id.is_string()));
                file.remove("filename");
            }
        }
    }
    components
}

#[tokio::test(flavor = "multi_thread")]
async fn values_files_and_places_reach_meta_alike_from_the_chat_a_card_a_robot_and_an_sms() {
    let world = World::start().await;
    world.without_limits().await;
    for (name, format) in [
        ("photo", "IMAGE"),
        ("film", "VIDEO"),
        ("wink", "GIF"),
        ("shop", "LOCATION"),
    ] {
        let components = json!([
            { "type": "HEADER", "format": format },
            { "type": "BODY", "text": "For you, {{1}}, with our thanks." },
        ]);
        world
            .graph
            .console()
            .add_template_of(ACCOUNT, name, "en", components);
    }
    world.knows_templates().await;
    let path = format!("waba/phones/{}", world.phone);
    world.api.patch(&path, json!({ "sms_service": true })).await;
    world.phone_is("connected").await;
    world.customer_says(&lena(), "Guten Tag");
    let chat = world.operator_sees_text("Guten Tag").await;
    let page = world
        .opens("CRM_DEAL_DETAIL_TAB", &json!({ "ID": "1207" }), 27)
        .await
        .api;
    let shown = page
        .get("frames/place?place=CRM_DEAL_DETAIL_TAB&card=1207")
        .await;
    let recipient = &shown["recipients"][0]["key"];
    let files = outside().await;
    let mut sent = 0;
    for case in cases() {
        let link = case.file.map(|(path, _)| format!("{files}/{path}"));
        let values = case.values.join("|");
        let code = match &link {
            Some(link) => format!("{}+en+file_link:{link}|{values}", case.template),
            None => format!("{}+en+{values}", case.template),
        };
        world.operator_says(&chat, &format!("template-{code}"));
        world.customer_receives(&lena(), sent + 1).await;

        let chosen = template(&page, &world.phone, case.template).await;
        let (places, written): (Vec<&str>, Vec<&str>) =
            (case.values.iter()).partition(|value| value.starts_with("location:"));
        // A card has a field for each value, in the order of the places.
        let mut written: Vec<&str> = (written.iter())
            .map(|value| value.split_once(':').map_or(*value, |(_, value)| value))
            .collect();
        if case.template == "appointment_reminder" {
            written.reverse();
        }
        let mut body = json!({
            "number": world.phone, "recipient": recipient, "template": chosen["id"], "values": written,
        });
        if let Some(link) = &link {
            body["file"] = json!(link);
        }
        if let Some(place) = places.first() {
            body["location"] = json!(place.trim_start_matches("location:"));
        }
        page.create("frames/messages", body).await;
        world.customer_receives(&lena(), sent + 2).await;

        let named = format!("{}+en", case.template);
        let mut step = vec![("phone", "+49 1575 5509876"), ("template", named.as_str())];
        step.push(("values[]", values.as_str()));
        step.extend(link.as_deref().map(|link| ("file", link)));
        let step = world
            .portal
            .run_step(StepKind::Robot, "separator_template", &step)
            .unwrap();
        let results = world.answered(&step).await;
        assert_eq!(results["status"], "sent", "{code}: {results:#}");
        world.customer_receives(&lena(), sent + 3).await;

        let provider = format!("separator_{}", world.number);
        let asked = sms(&provider, "+49 1575 5509876", &code);
        let asked = world.portal.send_sms(&asked).unwrap();
        world.sms_is(&asked, "delivered").await;
        let received = world.customer_receives(&lena(), sent + 4).await;

        for (message, place) in received[sent..]
            .iter()
            .zip(["chat", "card", "robot", "SMS"])
        {
            assert_eq!(message.body["template"]["name"], case.template, "{place}");
            assert_eq!(components(&message.body), case.components, "{place}");
            let file = message.media.as_ref().map(|file| file.bytes.as_ref());
            assert_eq!(
                file,
                case.file.map(|(_, bytes)| bytes),
                "{place}: {}",
                case.template
            );
        }
        sent += 4;
    }
    world.ends_clean().await;
}
