//! One person, one chat, from whichever side and under whichever id first.

use sandbox::{
    graph::{Customer, part},
    portal::Author,
};
use serde_json::{Value, json};

use crate::world::{World, lena};

/// The user id under which the stand-in for Meta knows Lena.
const LENA: &str = "DE.7Kq2mZ0aXw41";

fn hidden_lena() -> Customer {
    Customer::hidden(LENA, "Lena Klein")
}

/// Sends a text through the API; gives Meta's id of it.
async fn program_says(world: &World, phone: &str, to: &str, text: &str) -> String {
    let path = format!("waba/phones/{phone}/messages");
    let message = world
        .api
        .create(&path, json!({ "to": to, "text": text }))
        .await;
    let path = format!("messages/{}", message["id"].as_str().unwrap());
    let sent = world
        .api
        .until(&path, |message| message["state"] == "delivered")
        .await;
    sent["wamid"].as_str().unwrap().to_owned()
}

/// Enters a second number of the same account and links it to the same portal; gives Meta's id of it and ours.
async fn second_number(world: &World) -> (String, String) {
    let (number, digits) = ("209300000000003", "4915755505678");
    world.graph.add_phone("108200000000001", number, digits);
    let accounts = world.api.get("waba/accounts").await;
    let second = world
        .api
        .create(
            "waba/phones",
            json!({
                "account": accounts["items"][0]["id"], "phone": digits, "phone_id": number,
                "instance": world.instance,
            }),
        )
        .await;
    let phone = second["id"].as_str().unwrap().to_owned();
    world
        .api
        .until(&format!("waba/phones/{phone}"), |phone| {
            phone["connection"] == "connected"
        })
        .await;
    (number.to_owned(), phone)
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_shows_the_number_later_keeps_the_chat() {
    let world = World::start().await;
    world.customer_says(&hidden_lena(), "Ohne Nummer");
    let chat = world.operator_sees_text("Ohne Nummer").await;
    assert_eq!(chat.user_phone, None);
    world.customer_says(&lena(), "Mit Nummer");
    let chat = world.operator_sees_text("Mit Nummer").await;
    assert_eq!(world.portal.chats().len(), 1);
    assert_eq!(chat.user_phone.as_deref(), Some("+4915755509876"));
    world.operator_says(&chat, "Danke");
    let received = world.customer_receives(&lena(), 1).await;
    assert_eq!(received[0].body["to"], "+4915755509876");
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_hides_the_number_later_keeps_the_chat() {
    let world = World::start().await;
    world.customer_says(&lena(), "Mit Nummer");
    world.operator_sees_text("Mit Nummer").await;
    world.customer_says(&hidden_lena(), "Ohne Nummer");
    let chat = world.operator_sees_text("Ohne Nummer").await;
    assert_eq!(world.portal.chats().len(), 1);
    assert_eq!(chat.messages.len(), 2);
    world.operator_says(&chat, "Danke");
    world.customer_receives(&lena(), 1).await;
    world.customer_says(&lena(), "Wieder mit");
    world.operator_sees_text("Wieder mit").await;
    assert_eq!(world.portal.chats().len(), 1);
    assert_eq!(world.portal.leads().len(), 1, "a second lead was made");
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_was_written_to_by_number_and_answers_without_it_is_recognised() {
    let world = World::start().await;
    program_says(&world, &world.phone, "4915755509876", "Ihr Termin").await;
    let chat = world.operator_sees_text("Ihr Termin").await;
    // A status names both ids; only from it can be known who answers here.
    world.customer_says(&hidden_lena(), "Ich komme");
    let answered = world.operator_sees_text("Ich komme").await;
    assert_eq!(answered.id, chat.id);
    assert_eq!(world.portal.chats().len(), 1);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_number_keeps_the_chat_and_frees_the_old_one() {
    let world = World::start().await;
    world.customer_says(&lena(), "Alte Nummer");
    let chat = world.operator_sees_text("Alte Nummer").await;
    let told = world
        .graph
        .customer_changes_number(&world.number, &lena(), "4915755507777");
    assert_eq!(world.bubble(&told).await.author, Author::System);
    let moved = Customer::with_phone("4915755507777").named("Lena Klein");
    world.customer_says(&moved, "Neue Nummer");
    let same = world.operator_sees_text("Neue Nummer").await;
    assert_eq!(same.id, chat.id);
    world.operator_says(&chat, "Notiert");
    let received = world.customer_receives(&moved, 1).await;
    assert_eq!(received[0].body["to"], "+4915755507777");
    // The old number is given to somebody else.
    let stranger = Customer {
        phone: Some("4915755509876".to_owned()),
        user_id: Some("DE.Stranger".to_owned()),
        name: "Otto Neu".to_owned(),
        username: None,
    };
    world.customer_says(&stranger, "Wer ist da?");
    let other = world.operator_sees_text("Wer ist da?").await;
    assert_ne!(other.id, chat.id);
    assert_eq!(other.user_name, "Otto Neu");
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_are_written_in_two_ways_are_one_person() {
    let world = World::start().await;
    for (written, answering) in [
        ("5511987654321", "551187654321"),
        ("5215512345678", "525512345678"),
        ("525587654321", "5215587654321"),
        ("5491123456789", "541123456789"),
    ] {
        // Meta answers a send with the form in which it knows the person.
        world
            .graph
            .add_customer(&Customer::with_phone(answering).named("Ana"));
        let greeting = format!("Olá {written}");
        program_says(&world, &world.phone, written, &greeting).await;
        let chat = world.operator_sees_text(&greeting).await;
        let customer = Customer::with_phone(answering).named("Ana");
        let answer = format!("Sou eu {answering}");
        world.customer_says(&customer, &answer);
        let same = world.operator_sees_text(&answer).await;
        assert_eq!(same.id, chat.id, "{written} and {answering} have two chats");
        let reply = format!("Obrigado {answering}");
        world.operator_says(&same, &reply);
        let sent = world
            .api
            .until(
                &format!("messages?peer={answering}&direction=outbound"),
                |list| {
                    list["items"].as_array().unwrap().iter().any(|message| {
                        message["text"] == reply.as_str() && message["state"] == "delivered"
                    })
                },
            )
            .await;
        assert_eq!(sent["items"][0]["peer"], answering);
        let received = world.received(&customer);
        let last = received.last().unwrap();
        assert_eq!(last.body["text"]["body"], reply.as_str());
        assert_eq!(
            last.body["to"],
            format!("+{answering}"),
            "not Meta's own form"
        );
        // And from the other side: the program writes to either form, the chat stays.
        for form in [written, answering] {
            let again = format!("De novo para {form}");
            program_says(&world, &world.phone, form, &again).await;
            assert_eq!(world.operator_sees_text(&again).await.id, chat.id);
        }
    }
    assert_eq!(world.portal.chats().len(), 4);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_numbers_of_one_account_have_one_person_and_a_chat_each() {
    let world = World::start().await;
    let (number, _) = second_number(&world).await;
    world.customer_says(&lena(), "An die erste");
    let first = world.operator_sees_text("An die erste").await;
    world
        .graph
        .customer_writes(&number, &hidden_lena(), part::text("An die zweite"));
    let other = world.operator_sees_text("An die zweite").await;
    assert_ne!(first.id, other.id);
    assert_ne!(first.line, other.line);
    // What is known of her at one number is known at the other.
    assert_eq!(other.user_phone.as_deref(), Some("+4915755509876"));
    world.operator_says(&other, "Von der zweiten");
    world
        .api
        .until("messages?direction=outbound", |list| {
            list["items"][0]["state"] == "delivered"
        })
        .await;
    assert_eq!(world.received(&lena()).len(), 0);
    let received = world.graph.received(&number, "4915755509876");
    assert_eq!(received[0].body["text"]["body"], "Von der zweiten");
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_rows_that_turn_out_to_be_one_person_become_one() {
    let world = World::start().await;
    // Without any status, nothing tells that the number and the user id belong together.
    let value = |id: &str, fields: Value| {
        let mut message =
            json!({ "id": id, "timestamp": "1795400123", "type": "text", "text": { "body": id } });
        for (name, field) in fields.as_object().unwrap() {
            message[name] = field.clone();
        }
        world.value(json!({ "messages": [message] }))
    };
    world
        .webhook(&[value("by number", json!({ "from": "4915755500042" }))])
        .await;
    world
        .webhook(&[value("by user id", json!({ "from_user_id": "DE.Ida42" }))])
        .await;
    let ida = Customer {
        phone: Some("4915755500042".to_owned()),
        user_id: Some("DE.Ida42".to_owned()),
        ..Customer::default()
    };
    world.graph.add_customer(&ida);
    let first = world.operator_sees_text("by number").await;
    let second = world.operator_sees_text("by user id").await;
    assert_ne!(first.id, second.id);
    let both = json!({ "from": "4915755500042", "from_user_id": "DE.Ida42" });
    world.webhook(&[value("by both", both)]).await;
    assert_eq!(world.operator_sees_text("by both").await.id, first.id);
    // From now on all go to the older chat, under either id.
    world
        .webhook(&[value(
            "later by user id",
            json!({ "from_user_id": "DE.Ida42" }),
        )])
        .await;
    assert_eq!(
        world.operator_sees_text("later by user id").await.id,
        first.id
    );
    // An operator who still has the younger chat open reaches the same customer.
    world.operator_says(&second, "Hier bin ich");
    let received = world.customer_receives(&ida, 1).await;
    assert_eq!(received[0].body["text"]["body"], "Hier bin ich");
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_recognised_late_keeps_the_chats_at_every_number() {
    let world = World::start().await;
    let (number, phone) = second_number(&world).await;
    let ida = Customer {
        phone: Some("4915755500042".to_owned()),
        user_id: Some("DE.Ida42".to_owned()),
        name: "Ida".to_owned(),
        username: None,
    };
    let hidden = Customer::hidden("DE.Ida42", "Ida");
    world.graph.add_customer(&ida);
    world.customer_says(&hidden, "Ohne Nummer");
    let first = world.operator_sees_text("Ohne Nummer").await;
    // To the program she is a stranger, at the other number; the status tells who she is.
    program_says(&world, &phone, "4915755500042", "Ihr Termin").await;
    let second = world.operator_sees_text("Ihr Termin").await;
    assert_ne!(first.id, second.id);
    world
        .graph
        .customer_writes(&number, &hidden, part::text("Ich komme"));
    assert_eq!(world.operator_sees_text("Ich komme").await.id, second.id);
    world.customer_says(&hidden, "Bis dann");
    assert_eq!(world.operator_sees_text("Bis dann").await.id, first.id);
    assert_eq!(world.portal.chats().len(), 2);
    // The operators of either chat reach her.
    world.operator_says(&second, "Schön");
    world.operator_says(&first, "Gut");
    let received = world.customer_receives(&ida, 1).await;
    assert_eq!(received[0].body["text"]["body"], "Gut");
    world.comes_to_rest().await;
    let received = world.graph.received(&number, "4915755500042");
    assert_eq!(received[1].body["text"]["body"], "Schön");
    world.ends_clean().await;
}
