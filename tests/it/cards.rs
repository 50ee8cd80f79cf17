//! Templates from CRM cards and chats inside Bitrix24, and the settings of robots, as the portal opens these pages.

use sandbox::{
    graph::{Fault, Times},
    portal::{Card, StepKind},
};
use serde_json::{Value, json};

use crate::{
    codes,
    frames::Page,
    world::{ACCESS_TOKEN, Api, CLIENT_ID, CLIENT_SECRET, PATIENCE, World, lena},
};

const ROBOT: &str = "separator_template";

/// A connected portal with a catalogue and its pages bound.
async fn ready() -> World {
    let world = World::start().await;
    world.without_limits().await;
    world.knows_templates().await;
    world
}

impl World {
    /// Opens one of our pages in its place, as the portal does for an employee.
    pub async fn opens(&self, place: &str, options: &Value, user: i64) -> Page {
        let placements = self.portal.placements();
        let bound = placements.iter().find(|bound| bound.placement == place);
        let handler = bound.unwrap_or_else(|| panic!("nothing is bound to {place}"));
        let answer = self
            .portal
            .open_page(
                CLIENT_ID,
                &handler.handler,
                place,
                Some(&options.to_string()),
                user,
            )
            .await
            .unwrap();
        assert!(!answer.sets_cookie);
        Page::read(self, &answer).unwrap_or_else(|| panic!("{place}: {}", answer.body))
    }
}

/// A template by its name, as the page lists it.
pub async fn template(page: &Api, number: &str, name: &str) -> Value {
    let path = format!("frames/templates?number={number}&q={name}");
    page.get(&path).await["items"][0].clone()
}

pub fn conversation(number: &str, key: &str) -> String {
    format!("frames/conversation?number={number}&recipient={key}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_sends_a_template_with_the_employees_rights_and_shows_what_became_of_it() {
    let world = ready().await;
    let number = world.phone.clone();
    for (place, id, title, recipients) in [
        ("CRM_DEAL_DETAIL_TAB", 1207, "Order 1207", 3),
        ("CRM_DEAL_DETAIL_ACTIVITY", 1207, "Order 1207", 3),
        ("CRM_LEAD_DETAIL_TAB", 41, "Lena Klein", 1),
        ("CRM_CONTACT_DETAIL_TAB", 3, "Lena Klein", 2),
        ("CRM_COMPANY_DETAIL_ACTIVITY", 9, "Klein GmbH", 1),
        ("CRM_DYNAMIC_1038_DETAIL_TAB", 5, "Delivery 5", 2),
    ] {
        let page = world
            .opens(place, &json!({ "ID": id.to_string() }), 27)
            .await;
        assert_eq!(page.place, place);
        let path = format!("frames/place?place={place}&card={id}");
        let shown = page.api.get(&path).await;
        assert_eq!(shown["title"], title, "{place}");
        assert_eq!(shown["numbers"][0]["id"], number.as_str());
        assert_eq!(
            shown["recipients"].as_array().unwrap().len(),
            recipients,
            "{shown:#}"
        );
    }
    let page = world
        .opens("CRM_DEAL_DETAIL_TAB", &json!({ "ID": "1207" }), 27)
        .await;
    let shown = page
        .api
        .get("frames/place?place=CRM_DEAL_DETAIL_TAB&card=1207")
        .await;
    let recipient = &shown["recipients"][0];
    assert_eq!(recipient["address"], "+49 1575 5509876");
    let fields = shown["fields"].as_array().unwrap();
    for (name, value) in [("Name", "Lena"), ("Title", "Order 1207"), ("Amount", "249")] {
        let field = fields.iter().find(|field| field["name"] == name);
        assert_eq!(field.unwrap()["value"], value);
    }
    // A phone that is none is shown and cannot be chosen.
    let unusable = shown["recipients"].as_array().unwrap();
    let notes = unusable
        .iter()
        .find(|one| one["address"] == "see notes")
        .unwrap();
    assert_eq!(
        (&notes["usable"], &notes["key"]),
        (&json!(false), &json!(""))
    );

    let key = recipient["key"].as_str().unwrap();
    let before = page.api.get(&conversation(&number, key)).await;
    assert_eq!(
        before,
        json!({
            "window": { "open": false, "open_until": null },
            "held": 0,
            "marketing_stopped_at": null,
            "messages": [],
        })
    );
    let chosen = template(&page.api, &number, "order_ready").await;
    let parts: Vec<&Value> = chosen["values"]
        .as_array()
        .unwrap()
        .iter()
        .map(|place| &place["part"])
        .collect();
    assert_eq!(parts, ["body", "body", "button"]);
    let body = json!({
        "number": number, "recipient": key, "template": chosen["id"], "values": ["Lena", "A|1", "A-1"],
        "place": "CRM_DEAL_DETAIL_TAB 1207",
    });
    let message = page.api.create("frames/messages", body.clone()).await;
    let received = world.customer_receives(&lena(), 1).await;
    let components = &received[0].body["template"]["components"];
    assert_eq!(
        components[0]["parameters"][1]["text"], "A|1",
        "{components:#}"
    );
    let after = page
        .api
        .until(&conversation(&number, key), |shown| {
            shown["messages"][0]["state"] == "delivered"
        })
        .await;
    assert_eq!(after["messages"][0]["id"], message["id"]);
    for secret in [
        ACCESS_TOKEN,
        CLIENT_SECRET,
        page.api.key.as_str(),
        world.api.key.as_str(),
    ] {
        assert!(!format!("{shown}{after}{message}").contains(secret));
    }
    // Operators see it in the line's chat; the journey says who sent it.
    world.note("Ihre Bestellung A|1 ist da").await;
    let whole = world
        .api
        .get(&format!("messages/{}", message["id"].as_str().unwrap()))
        .await;
    let first = whole["journey"][0]["detail"].as_str().unwrap().to_owned();
    assert!(
        first.contains("Klaus Weber") && first.contains("CRM_DEAL_DETAIL_TAB 1207"),
        "{first}"
    );

    // The customer answers: the window is open, and both are in the history.
    world.customer_says(&lena(), "Danke!");
    let open = page
        .api
        .until(&conversation(&number, key), |shown| {
            shown["window"]["open"] == true
        })
        .await;
    assert!(open["window"]["open_until"].is_string());
    let whole = world
        .api
        .get(&format!("messages/{}", message["id"].as_str().unwrap()))
        .await;
    assert_eq!(whole["window"], open["window"]);
    assert_eq!(open["messages"][0]["text"], "Danke!");

    // Now a stored interactive message goes out as well; it is filled in like a template.
    let account = world.api.get("waba/accounts").await["items"][0]["id"].clone();
    let content = json!({
        "type": "cta_url", "body": { "text": "Track {{1}}" },
        "action": { "name": "cta_url", "parameters": { "display_text": "Open", "url": "https://a.example/{{1}}" } },
    });
    let stored = json!({ "account": account, "name": "track", "content": content });
    let stored = world.api.create("waba/interactive", stored).await;
    let offered = page
        .api
        .get(&format!("frames/interactive?number={number}"))
        .await;
    assert_eq!(offered["items"][0], stored);
    let interactive = |recipient: &Value, values: Value| json!({ "number": number, "recipient": recipient, "interactive": stored["id"], "values": values });
    page.api
        .create(
            "frames/messages",
            interactive(&recipient["key"], json!(["A-1"])),
        )
        .await;
    let received = world.customer_receives(&lena(), 2).await;
    let sent = &received[1].body["interactive"];
    assert_eq!(sent["action"]["parameters"]["url"], "https://a.example/A-1");
    // Not to whom did not write within the 24 hours, not with other values, and not beside a template.
    let stranger = shown["recipients"]
        .as_array()
        .unwrap()
        .iter()
        .rfind(|one| one["usable"] == true && one["address"] != recipient["address"])
        .unwrap();
    let both = json!({ "number": number, "recipient": key, "interactive": stored["id"], "template": chosen["id"] });
    for (body, field) in [
        (interactive(&stranger["key"], json!(["A-1"])), "interactive"),
        (interactive(&recipient["key"], json!([])), "values"),
        (both, "template"),
    ] {
        let (status, problem) = page.api.call("POST", "frames/messages", Some(body)).await;
        assert_eq!(
            (status, &problem["errors"][0]["field"]),
            (422, &json!(field)),
            "{problem:#}"
        );
    }

    // Who stopped marketing messages gets none from the card either, and the page says so.
    world.graph.console().set_template_status(
        "108200000000001",
        "spring_sale",
        "en",
        "REINSTATED",
        "NONE",
    );
    world
        .graph
        .customer_chooses_marketing(&world.number, &lena(), true);
    page.api
        .until(&conversation(&number, key), |shown| {
            shown["marketing_stopped_at"].is_string()
        })
        .await;
    page.api
        .until(
            &format!("frames/templates?number={number}&q=spring"),
            |list| list["items"][0]["name"] == "spring_sale",
        )
        .await;
    let sale = template(&page.api, &number, "spring_sale").await;
    let asked = json!({ "number": number, "recipient": key, "template": sale["id"], "values": [] });
    let (status, problem) = page.api.call("POST", "frames/messages", Some(asked)).await;
    assert_eq!(status, 422, "{problem:#}");
    assert_eq!(problem["errors"][0]["field"], "template", "{problem:#}");
    assert!(
        problem.to_string().contains("no marketing messages"),
        "{problem:#}"
    );

    // A header's file that nobody gives is the number's own, where it has one.
    let invoice = template(&page.api, &number, "invoice").await;
    assert_eq!(invoice["has_file"], false);
    let asked =
        json!({ "number": number, "recipient": key, "template": invoice["id"], "values": ["A-1"] });
    let (status, problem) = page
        .api
        .call("POST", "frames/messages", Some(asked.clone()))
        .await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (422, &json!("file"))
    );
    let own = format!("{}/a+b.pdf", codes::outside().await);
    world
        .api
        .patch(
            &format!("waba/phones/{number}/messaging"),
            json!({ "document_link": own }),
        )
        .await;
    assert_eq!(
        template(&page.api, &number, "invoice").await["has_file"],
        true
    );
    page.api.create("frames/messages", asked).await;
    let received = world.customer_receives(&lena(), 3).await;
    let header = &received[2].body["template"]["components"][0]["parameters"][0];
    assert_eq!(header["document"]["filename"], "a+b.pdf", "{header:#}");

    // Meta says later that the customer has no WhatsApp: the page says so in a sentence.
    world
        .graph
        .faults()
        .set(Fault::FailedStatus(131_026), Times::Next(1));
    page.api.create("frames/messages", body).await;
    let failed = page
        .api
        .until(&conversation(&number, key), |shown| {
            shown["messages"][0]["state"] == "failed"
        })
        .await;
    let why = failed["messages"][0]["error"].as_str().unwrap();
    assert!(
        why.starts_with("Message not delivered.") && why.contains("131026"),
        "{why}"
    );
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_shows_and_sends_nothing_that_its_reader_may_not_see() {
    let world = ready().await;
    let number = world.phone.clone();
    let deal = "frames/place?place=CRM_DEAL_DETAIL_TAB&card=1207";
    let options = json!({ "ID": "1207" });
    let klaus = world.opens("CRM_DEAL_DETAIL_TAB", &options, 27).await.api;
    let maria = world.opens("CRM_DEAL_DETAIL_TAB", &options, 31).await.api;
    let key = klaus.get(deal).await["recipients"][0]["key"]
        .as_str()
        .unwrap()
        .to_owned();
    // Maria may not see the deal; Klaus's recipient is nobody for her, and nobody invents one.
    let (status, problem) = maria.call("GET", deal, None).await;
    assert_eq!(status, 403);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("does not show you")
    );
    for (who, key) in [
        (&maria, key.as_str()),
        (&klaus, "4915755509876"),
        (&klaus, ""),
    ] {
        let (status, problem) = who.call("GET", &conversation(&number, key), None).await;
        assert_eq!(status, 422, "{problem:#}");
    }
    // Users of the panel are no people of a portal.
    assert_eq!(world.api.call("GET", deal, None).await.0, 403);
    for (path, status) in [
        ("frames/place?place=CRM_DEAL_DETAIL_TAB&card=9999", 403),
        ("frames/place?place=CRM_DEAL_DETAIL_TAB", 422),
        ("frames/place?place=CRM_DEAL_LIST_MENU&card=1207", 422),
        ("frames/place?place=IM_TEXTAREA&dialog=chat999", 404),
        ("frames/place?place=IM_TEXTAREA&dialog=27", 404),
    ] {
        let (found, problem) = klaus.call("GET", path, None).await;
        assert_eq!(found, status, "{path}: {problem:#}");
    }
    let order = template(&klaus, &number, "order_ready").await["id"].clone();
    let invoice = template(&klaus, &number, "invoice").await;
    assert_eq!(invoice["file"], "document");
    let nobody = "0199f1c2-7d3e-7a41-9c55-2f0e8b1d6a90";
    let long = "x".repeat(1025);
    let full = json!(["Lena", "A-1", "A-1"]);
    for (changed, field, said) in [
        (
            json!({ "number": nobody }),
            "number",
            "is not linked to this portal",
        ),
        (
            json!({ "template": nobody }),
            "template",
            "does not belong to this number's account",
        ),
        (
            json!({ "recipient": "x" }),
            "recipient",
            "choose the recipient again",
        ),
        (json!({ "values": ["Lena"] }), "values", "takes 3 value(s)"),
        (json!({ "values": ["Lena", " ", "A-1"] }), "values", "empty"),
        (json!({ "values": [long, "A-1", "A-1"] }), "values", "1024"),
        (
            json!({ "file": "https://example.com/a.pdf" }),
            "file",
            "no file",
        ),
        (
            json!({ "template": invoice["id"], "values": ["5"] }),
            "file",
            "file",
        ),
        (json!({ "values": "x" }), "values", "list"),
    ] {
        let mut body =
            json!({ "number": number, "recipient": key, "template": order, "values": full });
        for (name, value) in changed.as_object().unwrap() {
            body[name] = value.clone();
        }
        let (status, problem) = klaus.call("POST", "frames/messages", Some(body)).await;
        assert_eq!(status, 422, "{changed}: {problem:#}");
        assert_eq!(
            problem["errors"][0]["field"], field,
            "{changed}: {problem:#}"
        );
        let message = problem["errors"][0]["message"]
            .as_str()
            .unwrap()
            .to_lowercase();
        assert!(message.contains(said), "{changed}: {message}");
    }
    // A card without a phone, and one whose contact is hidden.
    let card = Card {
        title: "No phone".to_owned(),
        contacts: vec![77],
        ..Card::default()
    };
    world.portal.put_card(2, 1300, card);
    let shown = klaus
        .get("frames/place?place=CRM_DEAL_DETAIL_TAB&card=1300")
        .await;
    assert_eq!(shown["recipients"], json!([]));
    // A number that left the portal, and a portal that removed the application.
    world
        .api
        .patch(
            &format!("waba/phones/{number}"),
            json!({ "instance": null }),
        )
        .await;
    let body = json!({ "number": number, "recipient": key, "template": order, "values": full });
    let (status, problem) = klaus.call("POST", "frames/messages", Some(body)).await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (422, &json!("number"))
    );
    assert!(world.received(&lena()).is_empty());
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_sends_a_template_to_its_customer_and_shows_until_when_the_window_is_open() {
    let world = ready().await;
    world.customer_says(&lena(), "Guten Tag");
    let chat = world.operator_sees_text("Guten Tag").await;
    let dialog = format!("chat{}", chat.id);
    for place in ["IM_TEXTAREA", "IM_SIDEBAR"] {
        let bound = world.portal.placements();
        let bound = bound.iter().find(|bound| bound.placement == place).unwrap();
        assert_eq!(bound.context, "LINES", "only in chats of lines");
        let page = world.opens(place, &json!({ "dialogId": dialog }), 27).await;
        let shown = page
            .api
            .get(&format!("frames/place?place={place}&dialog={dialog}"))
            .await;
        assert_eq!(shown["recipients"].as_array().unwrap().len(), 1);
        assert_eq!(shown["recipients"][0]["address"], "4915755509876");
        let key = shown["recipients"][0]["key"].as_str().unwrap();
        let state = page.api.get(&conversation(&world.phone, key)).await;
        assert_eq!(state["window"]["open"], true);
        assert_eq!(state["messages"][0]["text"], "Guten Tag");
    }
    let page = world
        .opens("IM_TEXTAREA", &json!({ "dialogId": dialog }), 31)
        .await;
    let shown = page
        .api
        .get(&format!("frames/place?place=IM_TEXTAREA&dialog={dialog}"))
        .await;
    let chosen = template(&page.api, &world.phone, "hello_world").await;
    let body = json!({ "number": world.phone, "recipient": shown["recipients"][0]["key"], "template": chosen["id"] });
    page.api.create("frames/messages", body).await;
    let received = world.customer_receives(&lena(), 1).await;
    assert_eq!(received[0].body["template"]["name"], "hello_world");
    world.note("Welcome! This message shows").await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_a_robot_are_chosen_on_our_page_and_a_removed_portals_robot_sends_nothing() {
    let mut world = ready().await;
    let robots = world.portal.robots();
    assert!(
        robots
            .iter()
            .all(|robot| robot.settings_page.ends_with("/placement/"))
    );
    let form = world.portal.robot_form(ROBOT, 1).unwrap();
    let answer = world.portal.post_page(&form).await.unwrap();
    let page = Page::read(&world, &answer).unwrap();
    assert_eq!(page.options["code"], ROBOT);
    assert_eq!(
        page.options["document_fields"]["TITLE"]["Name"],
        "Deal name"
    );
    let chosen = template(&page.api, &world.phone, "delivery_note").await;
    assert_eq!(chosen["values"].as_array().unwrap().len(), 2);
    // The portal removes the application; what its workflows still post sends nothing and loses nothing else.
    let token = world
        .portal
        .run_step(
            StepKind::Robot,
            ROBOT,
            &[("phone", "4915755509876"), ("template", "hello_world")],
        )
        .unwrap();
    let answered = world
        .portals
        .wait_until(
            |_| {
                world
                    .portal
                    .step(&token)
                    .is_some_and(|step| step.results.is_some())
            },
            PATIENCE,
        )
        .await;
    assert!(answered);
    world.customer_receives(&lena(), 1).await;
    world.comes_to_rest().await;
    let robot = robots[0].handler.clone();
    world.portal.uninstall(false);
    world
        .api
        .until(&format!("bitrix/instances/{}", world.instance), |shown| {
            shown["status"] == "uninstalled"
        })
        .await;
    let late = format!(
        "code={ROBOT}&event_token=late&properties[phone]=4915755509876&properties[template]=hello_world\
         &auth[member_id]={}&auth[application_token]=anything",
        world.portal.member_id()
    );
    let posted = world
        .api
        .http
        .post(&robot)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(late)
        .send()
        .await
        .unwrap();
    assert_eq!(posted.status(), 401);
    // Nor does a page that was open meanwhile.
    let (status, problem) = page.api.call("GET", "frames/templates", None).await;
    assert_eq!(status, 401, "{problem:#}");
    assert_eq!(world.received(&lena()).len(), 1);
    world.expect_errors("uninstall");
    world.ends_clean().await;
}
