//! The catalogue as people write it: made, reviewed, changed and deleted, with Meta's refusals at their field.

use axum::{Router, http::header, routing::get};
use serde_json::{Value, json};

use crate::world::{World, lena};

/// Asks for something that is refused with this status; gives the problem.
async fn refuses(
    world: &World,
    method: &str,
    path: &str,
    body: Option<Value>,
    status: u16,
) -> Value {
    let (found, problem) = world.api.call(method, path, body).await;
    assert_eq!(found, status, "{method} {path}: {problem}");
    problem
}

/// The account of every world.
const WABA: &str = "108200000000001";

/// A component list with this body and samples for its variables.
fn body(text: &str, samples: &[&str]) -> Value {
    let mut body = json!({ "type": "BODY", "text": text });
    if !samples.is_empty() {
        body["example"] = json!({ "body_text": [samples] });
    }
    json!([body])
}

async fn new(world: &World, name: &str, components: Value) -> Value {
    let account = world.api.get("waba/accounts").await["items"][0]["id"].clone();
    json!({ "account": account, "name": name, "language": "en", "category": "UTILITY", "components": components })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_is_made_reviewed_sent_changed_and_deleted() {
    let world = World::start().await;
    world.customer_says(&lena(), "Guten Tag");
    let chat = world.operator_sees_text("Guten Tag").await;
    let text = "Hello {{1}}, we are open until {{2}} today.";
    let asked = new(&world, "opening_hours", body(text, &["Lena", "six"])).await;
    let made = world.api.create("waba/templates", asked.clone()).await;
    assert_eq!(
        (&made["status"], &made["name"]),
        (&json!("PENDING"), &json!("opening_hours"))
    );
    let path = format!("waba/templates/{}", made["id"].as_str().unwrap());

    // In review it is not sent, and cannot be changed.
    world.operator_says(&chat, "template-opening_hours+en+Lena|five");
    world.note("opening_hours").await;
    assert!(world.received(&lena()).is_empty());
    let change = json!({ "components": body("Hello {{1}}, we are closed today.", &["Lena"]) });
    let refused = refuses(&world, "PATCH", &path, Some(change.clone()), 409).await;
    assert!(
        refused["detail"].as_str().unwrap().contains("PENDING"),
        "{refused}"
    );

    // Meta's review ends.
    let console = world.graph.console();
    console.set_template_status(WABA, "opening_hours", "en", "APPROVED", "NONE");
    world
        .api
        .until(&path, |template| template["status"] == "APPROVED")
        .await;
    world.operator_says(&chat, "template-opening_hours+en+Lena|five");
    let received = world.customer_receives(&lena(), 1).await;
    assert_eq!(received[0].body["template"]["name"], "opening_hours");

    // Changed, it is in review again, and may be refused.
    let changed = world.api.patch(&path, change).await;
    assert_eq!(changed["status"], "PENDING");
    assert_eq!(
        changed["components"][0]["text"],
        "Hello {{1}}, we are closed today."
    );
    console.set_template_status(WABA, "opening_hours", "en", "REJECTED", "INVALID_FORMAT");
    let rejected = world
        .api
        .until(&path, |template| template["status"] == "REJECTED")
        .await;
    assert_eq!(rejected["reason"], "INVALID_FORMAT");

    // Deleted, it is gone here and there, and its name is not free.
    let (status, _) = world.api.call("DELETE", &path, None).await;
    assert_eq!(status, 204);
    refuses(&world, "GET", &path, None, 404).await;
    let again = refuses(&world, "POST", "waba/templates", Some(asked), 422).await;
    assert_eq!(again["errors"][0]["field"], "name");
    assert!(
        again["errors"][0]["message"]
            .as_str()
            .unwrap()
            .contains("2388023"),
        "{again}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_meta_refuses_of_a_template_is_told_at_its_field() {
    let world = World::start().await;
    let with = |other: Value| json!([{ "type": "BODY", "text": "We are open today." }, other]);
    let long = "x".repeat(61);
    let cases = [
        // Told before Meta is asked.
        ("a", json!([]), "components.body", "required"),
        ("a", body("Hello {{1}}.", &[]), "components.body", "sample"),
        ("a", body(&"x".repeat(1025), &[]), "components.body", "1025"),
        (
            "a",
            body("{{1}} is open.", &["x"]),
            "components.body",
            "begin or end",
        ),
        (
            "a",
            with(json!({ "type": "HEADER", "format": "TEXT", "text": long })),
            "components.header",
            "61",
        ),
        (
            "a",
            with(json!({ "type": "FOOTER", "text": "to {{1}}" })),
            "components.footer",
            "variables",
        ),
        (
            "a",
            with(json!({ "type": "BUTTONS", "buttons": [] })),
            "components.buttons",
            "1 to 10",
        ),
        ("Not Plain", body("We are open.", &[]), "name", "lower-case"),
        // Told by Meta.
        (
            "hello",
            body("Hi {{1}} {{2}} ok", &["x", "y"]),
            "components.body",
            "2388293",
        ),
        (
            "delivery_note",
            body("We are open.", &[]),
            "name",
            "2388024",
        ),
        (
            "sampled",
            with(
                json!({ "type": "HEADER", "format": "IMAGE", "example": { "header_handle": ["4::none"] } }),
            ),
            "components",
            "2388273",
        ),
    ];
    for (name, components, field, word) in cases {
        let asked = new(&world, name, components).await;
        let refused = refuses(&world, "POST", "waba/templates", Some(asked), 422).await;
        assert_eq!(refused["errors"][0]["field"], field, "{name}: {refused}");
        let message = refused["errors"][0]["message"].as_str().unwrap();
        assert!(message.contains(word), "{name}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_of_a_header_is_fetched_and_brought_to_meta() {
    let world = World::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let files = format!("http://{}", listener.local_addr().unwrap());
    let pdf = || async {
        (
            [(header::CONTENT_TYPE, "application/pdf")],
            &b"%PDF-1.4 plan"[..],
        )
    };
    let router = Router::new().route("/plan.pdf", get(pdf));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let components = |format: &str, link: &str| {
        json!([
            { "type": "HEADER", "format": format, "example": { "header_handle": [link] } },
            { "type": "BODY", "text": "This is our plan of the week." },
        ])
    };
    let link = format!("{files}/plan.pdf");
    let asked = new(&world, "weekly_plan", components("DOCUMENT", &link)).await;
    let made = world.api.create("waba/templates", asked).await;
    let handle = made["components"][0]["example"]["header_handle"][0]
        .as_str()
        .unwrap();
    assert!(handle.starts_with("4::"), "{made}");

    for (format, link, word) in [
        ("IMAGE", link.as_str(), "JPEG"),
        ("DOCUMENT", &format!("{files}/none.pdf"), "404"),
        ("DOCUMENT", "http://10.0.0.1/plan.pdf", "10.0.0.1"),
    ] {
        let asked = new(&world, "other_plan", components(format, link)).await;
        let refused = refuses(&world, "POST", "waba/templates", Some(asked), 422).await;
        assert_eq!(
            refused["errors"][0]["field"], "components.header",
            "{refused}"
        );
        assert!(
            refused["errors"][0]["message"]
                .as_str()
                .unwrap()
                .contains(word),
            "{refused}"
        );
    }
}
