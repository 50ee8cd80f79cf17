//! Messages both ways, events, files.

use super::*;

#[tokio::test]
async fn a_customers_message_opens_a_chat_and_a_session() {
    let setup = Setup::ready().await;
    let result = setup.customer_says("wamid.1", "Hello").await;
    assert_eq!(result["user"], json!("585"));
    assert_eq!(result["session"], json!({ "ID": "323", "CHAT_ID": "1767" }));
    assert_eq!(result["extra"], json!([]));
    assert_eq!(result["message"]["date"], json!({}));
    setup.customer_says("wamid.1", "Hello").await;
    let chats = setup.portal.chats();
    assert_eq!(chats.len(), 1);
    assert_eq!(chats[0].user_name, "Klaus Weber");
    assert_eq!(chats[0].messages.len(), 2, "nothing drops a repeated id");
    assert_eq!(
        (
            chats[0].messages[0].author,
            chats[0].messages[0].text.as_str()
        ),
        (Author::Customer, "Hello")
    );
    assert_eq!(setup.portal.leads().len(), 1);
    setup
        .portal
        .behave(|behaviour| behaviour.deduplicate = true);
    setup.customer_says("wamid.1", "Hello").await;
    assert_eq!(setup.portal.counters().customer_messages, 2);
    setup.events_sent().await;
    let starts = setup.application.events("ONIMCONNECTORDIALOGSTART");
    assert_eq!(starts.len(), 1);
    let item = starts[0]
        .get("data")
        .unwrap()
        .get("DATA")
        .unwrap()
        .elements()[0]
        .clone();
    assert_eq!(item.get("connector").unwrap().text_of("chat_id"), "7");
    assert!(
        starts[0].get("auth").unwrap().get("access_token").is_none(),
        "nobody acted"
    );
    setup.portal.close_session("7").unwrap();
    let result = setup.customer_says("wamid.2", "again").await;
    assert_eq!(result["session"], json!({ "ID": "324", "CHAT_ID": "1767" }));
    let code = setup
        .result("imopenlines.dialog.get", json!({ "CHAT_ID": 1767 }))
        .await["entity_id"]
        .clone();
    assert_eq!(code, json!("ourwa|107|7|585"));
    assert_eq!(
        setup
            .result("imopenlines.session.open", json!({ "USER_CODE": code }))
            .await,
        json!({ "chatId": "1767" })
    );
    let history = setup
        .result(
            "imopenlines.session.history.get",
            json!({ "CHAT_ID": 1767 }),
        )
        .await;
    assert_eq!(
        history["message"]["86497"]["params"]["connectorMid"],
        json!(["wamid.1"])
    );
}

#[tokio::test]
async fn an_operators_message_goes_out_once_and_is_confirmed_once() {
    let setup = Setup::ready().await;
    setup.customer_says("a", "Hello").await;
    let file = Upload::new("Übersicht & plan.png", "png bytes");
    let id = setup
        .portal
        .operator_writes("7", "Guten Tag!\nWie geht's?", vec![file])
        .unwrap();
    setup.events_sent().await;
    let raw = setup
        .application
        .seen
        .lock()
        .unwrap()
        .last()
        .unwrap()
        .2
        .clone();
    assert!(raw.starts_with("event=ONIMCONNECTORMESSAGEADD&event_handler_id=555&data%5BCONNECTOR%5D=ourwa&data%5BLINE%5D=107&"), "{raw}");
    let event = setup
        .application
        .events("ONIMCONNECTORMESSAGEADD")
        .pop()
        .unwrap();
    let message = message_of(&event);
    assert_eq!(
        message.get("im").unwrap().text_of("message_id"),
        id.to_string()
    );
    let body = message.get("message").unwrap();
    assert_eq!(
        (
            body.text_of("user_id").as_str(),
            body.text_of("text").as_str()
        ),
        ("27", "Guten Tag!\nWie geht's?")
    );
    assert!(body.get("id").is_none());
    let auth = event.get("auth").unwrap();
    assert_eq!(auth.text_of("user_id"), "27");
    assert!(auth.get("refresh_token").is_none());
    let file = body.get("files").unwrap().elements()[0].clone();
    assert_eq!(
        (file.text_of("type").as_str(), file.text_of("size").as_str()),
        ("image", "9")
    );
    let (status, location) = setup
        .application
        .request("GET", &file.text_of("link"), None, "")
        .await
        .unwrap();
    assert_eq!(status, 302);
    assert_eq!(
        setup
            .application
            .request("GET", &location, None, "")
            .await
            .unwrap(),
        (200, "png bytes".to_owned())
    );
    assert_eq!(
        setup
            .application
            .request("GET", &file.text_of("downloadLink"), None, "")
            .await
            .unwrap()
            .1,
        "png bytes"
    );
    assert!(setup.portal.message(id).unwrap().sending);
    setup.confirm(id, "wamid.out").await;
    setup.confirm(id, "wamid.other").await;
    let message = setup.portal.message(id).unwrap();
    assert!(message.delivered && !message.sending && !message.red);
    assert_eq!(message.external_ids, ["wamid.out"]);
    assert_eq!(setup.portal.counters().delivered, 1);
}

#[tokio::test]
async fn delivery_status_insists_on_its_types() {
    let setup = Setup::ready().await;
    setup.customer_says("a", "Hello").await;
    let id = setup.portal.operator_writes("7", "Hi", Vec::new()).unwrap();
    let bad = [
        json!({ "CONNECTOR": "ourwa", "LINE": "107", "MESSAGES": [{ "im": { "chat_id": 1767, "message_id": id } }] }),
        json!({ "CONNECTOR": "ourwa", "LINE": 107, "MESSAGES": [{ "im": { "chat_id": "1767", "message_id": id } }] }),
        json!({ "CONNECTOR": "ourwa", "LINE": 107, "MESSAGES": [{ "im": { "chat_id": 1767, "message_id": id }, "message": { "id": "w" } }] }),
        json!({ "CONNECTOR": "ourwa", "LINE": 1, "MESSAGES": [{ "im": { "chat_id": 1767, "message_id": id } }] }),
    ];
    for params in bad {
        assert_eq!(
            setup
                .error("imconnector.send.status.delivery", params)
                .await,
            (400, "ERROR_ARGUMENT".to_owned())
        );
    }
    assert!(setup.portal.message(id).unwrap().sending);
    let cmd = format!(
        "imconnector.send.status.delivery?CONNECTOR=ourwa&LINE=107&MESSAGES[0][im][chat_id]=1767&MESSAGES[0][im][message_id]={id}&MESSAGES[0][message][id][0]=w"
    );
    setup.result("batch", json!({ "cmd": [cmd] })).await;
    assert_eq!(
        setup.portal.message(id).unwrap().external_ids,
        ["w"],
        "a batch has no types to insist on"
    );
}

#[tokio::test]
async fn an_unconfirmed_message_turns_red_after_the_period() {
    let setup = Setup::ready().await;
    setup.customer_says("a", "Hello").await;
    let id = setup.portal.operator_writes("7", "Hi", Vec::new()).unwrap();
    setup.portals.advance(Duration::from_secs(50));
    assert!(!setup.portal.message(id).unwrap().red);
    let red = |portals: &Portals| portals.all()[0].message(id).unwrap().red;
    let waiting = setup.portals.wait_until(red, WAIT);
    setup.portals.advance(Duration::from_secs(11));
    assert!(waiting.await);
    setup.confirm(id, "w").await;
    let message = setup.portal.message(id).unwrap();
    assert!(!message.red && message.late && message.delivered);
}

#[tokio::test]
async fn edits_and_deletions_need_an_id_and_the_connectors_wish() {
    let setup = Setup::ready().await;
    setup.customer_says("a", "Hello").await;
    let id = setup.portal.operator_writes("7", "Hi", Vec::new()).unwrap();
    setup.portal.operator_edits(id, "Hi!").unwrap();
    setup.confirm(id, "wamid.out").await;
    setup.portal.operator_edits(id, "Hi!!").unwrap();
    setup.portal.operator_deletes(id).unwrap();
    setup.events_sent().await;
    let updates = setup.application.events("ONIMCONNECTORMESSAGEUPDATE");
    assert_eq!(updates.len(), 1);
    let body = message_of(&updates[0]).get("message").unwrap();
    assert_eq!(
        (
            body.get("id").unwrap().elements()[0]
                .text()
                .unwrap()
                .as_str(),
            body.text_of("text").as_str()
        ),
        ("wamid.out", "Hi!!")
    );
    let deletions = setup.application.events("ONIMCONNECTORMESSAGEDELETE");
    assert_eq!(
        message_of(&deletions[0])
            .get("message")
            .unwrap()
            .text_of("id"),
        "wamid.out"
    );
    setup
        .register(json!({ "EDIT_INTERNAL_MESSAGES": false }))
        .await;
    setup.portal.operator_edits(id, "no").unwrap();
    setup.events_sent().await;
    assert_eq!(
        setup.application.events("ONIMCONNECTORMESSAGEUPDATE").len(),
        1
    );
    let customers = setup.portal.chat("7").unwrap().messages[0].id;
    assert_eq!(
        setup.portal.operator_edits(customers, "x"),
        Err(Refusal::NotYours)
    );
}

#[tokio::test]
async fn the_signature_stands_in_front_where_it_is_wanted() {
    let setup = Setup::ready().await;
    setup.register(json!({})).await;
    setup.customer_says("a", "Hello").await;
    setup.portal.operator_writes("7", "Hi", Vec::new()).unwrap();
    setup.portal.automatic_text("7", "We are closed").unwrap();
    setup.events_sent().await;
    let events = setup.application.events("ONIMCONNECTORMESSAGEADD");
    let texts: Vec<String> = events
        .iter()
        .map(|event| message_of(event).get("message").unwrap().text_of("text"))
        .collect();
    assert_eq!(texts, ["[b]Klaus Weber:[/b] [br]Hi", "We are closed"]);
    assert_eq!(
        message_of(&events[1])
            .get("message")
            .unwrap()
            .text_of("user_id"),
        "0"
    );
}

#[tokio::test]
async fn a_quotation_is_a_dashed_block() {
    let setup = Setup::ready().await;
    setup.customer_says("a", "What time?").await;
    let quoted = setup.portal.chat("7").unwrap().messages[0].clone();
    let id = setup.portal.operator_quotes(quoted.id, "At nine").unwrap();
    let text = setup.portal.message(id).unwrap().text;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines[0], lines[3]), (lines[3], "-".repeat(54).as_str()));
    assert!(lines[1].starts_with("Klaus Weber ["));
    assert_eq!((lines[2], lines[4]), ("What time?", "At nine"));
}

#[tokio::test]
async fn notes_make_no_echo_and_operators_named_in_a_call_do() {
    let setup = Setup::ready().await;
    let mut note = item("n", "[color=#ff0000]Not delivered[/color]");
    note["message"]["user_id"] = json!(0);
    setup.item(note).await;
    let mut operator = item("o", "from an SMS");
    operator["message"]["user_id"] = json!(31);
    setup.item(operator).await;
    setup.events_sent().await;
    let authors: Vec<Author> = setup.portal.chats()[0]
        .messages
        .iter()
        .map(|message| message.author)
        .collect();
    assert_eq!(authors, [Author::System, Author::Operator(31)]);
    let events = setup.application.events("ONIMCONNECTORMESSAGEADD");
    assert_eq!(events.len(), 1);
    assert_eq!(
        message_of(&events[0])
            .get("message")
            .unwrap()
            .text_of("user_id"),
        "31"
    );
    let note = json!({ "DIALOG_ID": "chat1767", "MESSAGE": "note", "SYSTEM": "Y" });
    setup.result("im.message.add", note).await;
    setup.events_sent().await;
    assert_eq!(setup.application.events("ONIMCONNECTORMESSAGEADD").len(), 1);
}

#[tokio::test]
async fn files_are_fetched_during_the_call() {
    let setup = Setup::ready().await;
    let name = format!("{}invoice.pdf", "x".repeat(60));
    let with = |id: &str, text: &str, path: &str| {
        let mut item = item(id, text);
        item["message"]["files"] =
            json!([{ "url": format!("{}{path}", setup.application.url), "name": name }]);
        item
    };
    setup.item(with("1", "", "/files/one")).await;
    setup.item(with("2", "text stays", "/files/gone")).await;
    let refused = setup.item(with("3", "", "/files/gone")).await;
    assert_eq!(refused["SUCCESS"], json!(false));
    assert!(
        refused["ERRORS"][0]
            .as_str()
            .unwrap()
            .contains("ot all the required data")
    );
    let messages = setup.portal.chats()[0].messages.clone();
    assert_eq!(messages.len(), 2);
    let file = &messages[0].files[0];
    assert_eq!(
        (file.size, file.name.chars().count(), file.mime.as_str()),
        (9, 50, "application/pdf")
    );
    assert!(file.name.ends_with("invoice.pdf"));
    assert_eq!(
        setup.portal.file_bytes(file.id).unwrap().as_ref(),
        b"the bytes"
    );
    assert!(messages[1].files.is_empty());
}

#[tokio::test]
async fn one_bad_item_spoils_no_other() {
    let setup = Setup::ready().await;
    let mut bad = item("b", "x");
    bad["user"]["name"] = json!("Anna 🌷 2");
    setup
        .portal
        .faults()
        .apply(Rule::new(Fault::ItemFailure, When::Next(1)).chat("8"));
    let mut other = item("c", "y");
    other["chat"]["id"] = json!("8");
    let params =
        json!({ "CONNECTOR": "ourwa", "LINE": 107, "MESSAGES": [item("a", "x"), bad, other] });
    let result = setup.result("imconnector.send.messages", params).await;
    let successes: Vec<&Json> = result["DATA"]["RESULT"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["SUCCESS"])
        .collect();
    assert_eq!(successes, [&json!(true), &json!(false), &json!(false)]);
    assert_eq!(setup.portal.counters().failed_items, 2);
    setup
        .portal
        .behave(|behaviour| behaviour.strict_names = false);
    let mut named = item("d", "x");
    named["user"]["name"] = json!("+49151");
    assert_eq!(setup.item(named).await["SUCCESS"], json!(true));
}

#[tokio::test]
async fn customers_can_edit_and_take_back() {
    let setup = Setup::ready().await;
    setup.customer_says("a", "Helo").await;
    let change = |id: &str| {
        json!({ "CONNECTOR": "ourwa", "LINE": 107, "MESSAGES": [
        { "user": { "id": "7" }, "message": { "id": id, "text": "Hello" }, "chat": { "id": "7" } }] })
    };
    let updated = setup
        .result("imconnector.update.messages", change("a"))
        .await;
    assert_eq!(updated["DATA"]["RESULT"][0]["SUCCESS"], json!(true));
    let unknown = setup
        .result("imconnector.update.messages", change("zz"))
        .await;
    assert_eq!(unknown["DATA"]["RESULT"][0]["SUCCESS"], json!(false));
    let message = setup.portal.chats()[0].messages[0].clone();
    assert!(message.edited && message.text == "Hello");
    setup
        .result("imconnector.delete.messages", change("a"))
        .await;
    assert!(setup.portal.chats()[0].messages[0].deleted);
}

#[tokio::test]
async fn a_second_lead_comes_for_everything_but_n() {
    let setup = Setup::ready().await;
    setup.customer_says("a", "x").await;
    setup.customer_says("b", "x").await;
    assert_eq!(setup.portal.leads().len(), 1);
    setup
        .result(
            "imopenlines.config.update",
            json!({ "CONFIG_ID": 107, "PARAMS": { "CRM_CREATE_SECOND": "0" } }),
        )
        .await;
    setup.customer_says("c", "x").await;
    setup.customer_says("d", "x").await;
    assert_eq!(setup.portal.leads().len(), 3);
    let chats = setup
        .result(
            "imopenlines.crm.chat.get",
            json!({ "CRM_ENTITY_TYPE": "lead", "CRM_ENTITY": 1209 }),
        )
        .await;
    assert_eq!(chats[0]["CHAT_ID"], json!("1767"));
}

#[tokio::test]
async fn events_can_be_lost_doubled_swapped_nameless_and_json() {
    let setup = Setup::ready().await;
    setup.customer_says("a", "Hello").await;
    let faults = setup.portal.faults();
    let event = "onimconnectormessageadd";
    let write = |text: &str| setup.portal.operator_writes("7", text, Vec::new()).unwrap();
    for (fault, text) in [
        (Fault::EventDropped, "lost"),
        (Fault::EventDuplicated, "twice"),
        (Fault::EventSwapped, "later"),
        (Fault::EventWithoutUser, "nameless"),
    ] {
        faults.apply(Rule::new(fault, When::Next(1)).method(event));
        write(text);
    }
    faults.apply(Rule::new(Fault::EventJson, When::Next(1)).method(event));
    write("json");
    setup.events_sent().await;
    let events = setup.application.events("ONIMCONNECTORMESSAGEADD");
    let texts: Vec<String> = events
        .iter()
        .map(|event| message_of(event).get("message").unwrap().text_of("text"))
        .collect();
    assert_eq!(texts, ["twice", "twice", "nameless", "later"]);
    let auth = events[2].get("auth").unwrap();
    assert!(auth.get("access_token").is_none() && auth.get("application_token").is_some());
    let (_, content_type, body) = setup
        .application
        .seen
        .lock()
        .unwrap()
        .last()
        .unwrap()
        .clone();
    let body: Json = serde_json::from_str(&body).unwrap();
    assert_eq!(content_type, "application/json");
    assert_eq!(body["data"]["LINE"], json!("107"), "every leaf is a string");
    assert_eq!(setup.portal.counters().events_dropped, 1);
}

#[tokio::test]
async fn events_of_a_chat_keep_their_order_under_load() {
    let setup = Setup::ready().await;
    setup.portal.faults().set(Fault::Unlimited, When::Always);
    for chat in 0..20 {
        let mut first = item("x", "x");
        first["chat"]["id"] = json!(format!("c{chat}"));
        setup.item(first).await;
    }
    for number in 0..25 {
        for chat in 0..20 {
            setup
                .portal
                .operator_writes(format!("c{chat}"), &number.to_string(), Vec::new())
                .unwrap();
        }
    }
    setup.events_sent().await;
    let mut next = std::collections::HashMap::new();
    for event in setup.application.events("ONIMCONNECTORMESSAGEADD") {
        let message = message_of(&event);
        let expected = next
            .entry(message.get("chat").unwrap().text_of("id"))
            .or_insert(0);
        assert_eq!(
            message.get("message").unwrap().text_of("text"),
            expected.to_string()
        );
        *expected += 1;
    }
    assert!(next.len() == 20 && next.values().all(|count| *count == 25));
}
