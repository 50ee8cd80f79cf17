//! Templates by their code: from the chat and through the API, with files, and what is said where nothing is sent.

use axum::{
    Router,
    http::{StatusCode, header},
    response::Redirect,
    routing::get,
};
use sandbox::{
    graph::Customer,
    portal::{Chat, Upload},
};
use serde_json::{Value, json};

use crate::world::{Options, World, lena};

impl World {
    /// The account's templates are fetched from Meta.
    pub async fn knows_templates(&self) {
        let accounts = self.api.get("waba/accounts").await;
        let account = accounts["items"][0]["id"].as_str().unwrap();
        self.api
            .create(&format!("waba/accounts/{account}/sync"), json!({}))
            .await;
    }
}

/// A customer who wrote a moment ago, and a catalogue.
async fn opened() -> (World, Chat) {
    opened_in("en").await
}

/// The same in a portal of this language.
async fn opened_in(language: &'static str) -> (World, Chat) {
    let mut options = Options::default();
    options.behaviour.language = language;
    let world = World::with(options).await;
    world.without_limits().await;
    world.knows_templates().await;
    world.customer_says(&lena(), "Guten Tag");
    let chat = world.operator_sees_text("Guten Tag").await;
    (world, chat)
}

/// Files of the world outside; gives its address.
pub async fn outside() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let pdf = || async {
        (
            [(header::CONTENT_TYPE, "application/pdf")],
            &b"%PDF-1.4 prices"[..],
        )
    };
    let large = || async {
        let length = (101_u64 << 20).to_string();
        let body = axum::body::Body::from_stream(futures_util::stream::pending::<
            Result<Vec<u8>, std::io::Error>,
        >());
        ([(header::CONTENT_LENGTH, length)], body)
    };
    let router = Router::new()
        .route("/price%20list.pdf", get(pdf))
        .route("/a+b.pdf", get(pdf))
        .route("/large.pdf", get(large))
        .route(
            "/page",
            get(|| async { axum::response::Html("<h1>Log in</h1>") }),
        )
        .route(
            "/inside",
            get(|| async { Redirect::temporary("http://10.0.0.1/a.pdf") }),
        )
        .fallback(|| async { StatusCode::NOT_FOUND });
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_a_code_sends_its_template_and_shows_it_in_the_chat() {
    let (world, chat) = opened().await;
    let files = outside().await;
    let link = format!("{files}/price%20list.pdf");
    let body = |values: &[&str]| {
        let parameters: Vec<Value> = values
            .iter()
            .map(|value| json!({ "type": "text", "text": value }))
            .collect();
        json!({ "type": "body", "parameters": parameters })
    };
    let button = |value: &str| {
        json!({ "type": "button", "sub_type": "url", "index": "0",
                "parameters": [{ "type": "text", "text": value }] })
    };
    let cases = [
        (
            "template-hello_world+en_US".to_owned(),
            "hello_world",
            "en_US",
            Value::Null,
        ),
        (
            "[b]Klaus Weber:[/b] [br]template+hello_world".to_owned(),
            "hello_world",
            "en_US",
            Value::Null,
        ),
        (
            "template-delivery_note+en+Lena|A \\| 1".to_owned(),
            "delivery_note",
            "en",
            json!([body(&["Lena", "A | 1"])]),
        ),
        (
            "template-order_ready+de+Lena[br]Meier|1+1|77".to_owned(),
            "order_ready",
            "de",
            json!([body(&["Lena Meier", "1+1"]), button("77")]),
        ),
        (
            "template-appointment_reminder+en+day:Monday|first_name:Lena".to_owned(),
            "appointment_reminder",
            "en",
            json!([{ "type": "body", "parameters": [
                { "type": "text", "parameter_name": "first_name", "text": "Lena" },
                { "type": "text", "parameter_name": "day", "text": "Monday" },
            ] }]),
        ),
    ];
    for (code, ..) in &cases {
        world.operator_says(&chat, code);
    }
    let received = world.customer_receives(&lena(), cases.len()).await;
    for (message, (code, name, language, components)) in received.iter().zip(&cases) {
        let template = &message.body["template"];
        assert_eq!(message.body["type"], "template", "{code}");
        assert_eq!(
            (&template["name"], &template["language"]["code"]),
            (&json!(name), &json!(language)),
            "{code}"
        );
        let sent = template["components"]
            .as_array()
            .filter(|sent| !sent.is_empty());
        assert_eq!(
            sent.map_or(Value::Null, |sent| json!(sent)),
            *components,
            "{code}"
        );
    }
    // A file by its address: fetched here, uploaded, its name kept.
    world.operator_says(
        &chat,
        &format!("template-invoice+en+file_link:{link}|A-1007"),
    );
    world.operator_says(
        &chat,
        &format!("template-invoice+file_link:{files}/a+b.pdf|A-1008"),
    );
    // A file attached to the code.
    world
        .portal
        .operator_writes(
            chat.id,
            "template-invoice+en+A-1009",
            vec![Upload::new("Rechnung.pdf", &b"%PDF-1.4 attached"[..])],
        )
        .unwrap();
    let received = world.customer_receives(&lena(), cases.len() + 3).await;
    for (message, name) in
        received[cases.len()..]
            .iter()
            .zip(["price list.pdf", "a+b.pdf", "Rechnung.pdf"])
    {
        let header = &message.body["template"]["components"][0];
        assert_eq!(header["type"], "header", "{header:#}");
        let document = &header["parameters"][0]["document"];
        assert_eq!(document["filename"], name);
        assert!(document["id"].is_string() && document["link"].is_null());
    }
    // Operators see what the customer got, and the bubble is confirmed.
    world
        .note("Hallo Lena Meier, Ihre Bestellung 1+1 ist da.")
        .await;
    let wamid = &received[0].wamid;
    world.message_is(wamid, "delivered").await;
    let by_api = json!({ "to": "4915755509876", "shortcode": "template-delivery_note+en+Lena|7" });
    let path = format!("waba/phones/{}/messages", world.phone);
    let (status, sent) = world.api.call("POST", &path, Some(by_api)).await;
    assert_eq!(
        (status, &sent["type"]),
        (202, &json!("template")),
        "{sent:#}"
    );
    world.customer_receives(&lena(), cases.len() + 4).await;
    for (code, said) in [
        ("template-delivery_note+en+Lena", "takes 2 value(s)"),
        ("hello", "is no code"),
    ] {
        let body = json!({ "to": "4915755509876", "shortcode": code });
        let (status, refusal) = world.api.call("POST", &path, Some(body)).await;
        assert_eq!(
            (status, &refusal["errors"][0]["field"]),
            (422, &json!("shortcode"))
        );
        assert!(
            refusal["errors"][0]["message"]
                .as_str()
                .unwrap()
                .contains(said),
            "{refusal:#}"
        );
    }
    world.ends_clean().await;
}

/// Codes that send nothing; what operators read of why and what to do, in English and in Russian.
fn refusals() -> Vec<(String, &'static str, &'static str)> {
    let long = format!("template-delivery_note+en+{}|x", "я".repeat(1025));
    let mut refusals: Vec<(String, &'static str, &'static str)> = [
        (
            "template-helo_wrld+en_US",
            "come close: hello_world",
            "Похожие названия: hello_world",
        ),
        (
            "template-order",
            "come close: order_ready, ",
            "Похожие названия: order_ready, ",
        ),
        (
            "template-hello_world+de",
            "Its languages: en_US. Write one of them",
            "языки: en_US. Укажите один из них",
        ),
        (
            "template-hello_world+english",
            "language “english”. Its languages: en_US",
            "языке «english» нет. Доступные языки: en_US",
        ),
        (
            "template-spring_sale",
            "(PAUSED): WhatsApp has paused it for low quality. Choose another",
            "(PAUSED): WhatsApp приостановил его из-за низкого качества. Выберите другой",
        ),
        (
            "template-win_a_prize+en",
            "(REJECTED): WhatsApp has rejected it. Choose another",
            "(REJECTED): WhatsApp отклонил его. Выберите другой",
        ),
        (
            "template-delivery_note+en+Lena",
            "takes 2 value(s), the code gives 1. Write it as template-delivery_note+en+{{1}}|{{2}}",
            "нужно значений: 2, в коде их 1. Напишите так: template-delivery_note+en+{{1}}|{{2}}",
        ),
        (
            "template-delivery_note+en+a|b|c",
            "gives 3. Write it as",
            "в коде их 3. Напишите так",
        ),
        (
            "template-delivery_note+en+a||",
            "the template reads: Hello {{1}}, your parcel {{2}}",
            "текст шаблона: Hello {{1}}, your parcel {{2}}",
        ),
        (
            "template-delivery_note+en+a| ",
            "value 2 is empty. WhatsApp takes no empty values: write something",
            "значение 2 пустое. WhatsApp не принимает пустых значений: впишите",
        ),
        (
            "template-delivery_note+en+{{1}}|{{2}}",
            "value 1 is still the place {{1}}. Put there",
            "вместо значения 1 осталось место {{1}}. Впишите",
        ),
        (
            "template-appointment_reminder+en+first_nam:a|b",
            "no place “first_nam”. Its places: first_name, day. Correct",
            "нет места «first_nam». Места: first_name, day. Исправьте",
        ),
        (
            "template-invoice+en+7",
            "begins with a document. Attach it",
            "начинается с файла: документ. Прикрепите его",
        ),
        (
            "template-invoice+en+file_link:prices|7",
            "“prices” is not an address of a file. Write it in full",
            "«prices» не адрес файла. Напишите его полностью",
        ),
        (
            "template-hello_world+file_link:https://a.example/a.pdf",
            "no file at its top. Send the file by itself",
            "нет места для файла. Отправьте файл отдельно",
        ),
        (
            "template-hello_world+en_US+a\\",
            "escapes nothing. Take it off",
            "за которым ничего нет. Уберите его",
        ),
        (
            "template-",
            "names no template. Write it as template-NAME",
            "нет названия шаблона. Напишите его так: template-НАЗВАНИЕ",
        ),
        (
            "template-based on this",
            "cannot be a template's name. Write the code as",
            "не может быть названием шаблона. Напишите код так",
        ),
        (
            "Look:\ntemplate-hello_world",
            "stand alone in the message. Send it without",
            "стоять в сообщении один. Отправьте его без",
        ),
        (
            "interactive+menu",
            "no stored message “menu”, and none at all for this number. Ask the administrator",
            "сообщения «menu» нет, и других у этого номера тоже нет. Попросите администратора",
        ),
    ]
    .into_iter()
    .map(|(code, english, russian)| (code.to_owned(), english, russian))
    .collect();
    refusals.push((
        long,
        "1024 at most. Shorten the values",
        "не больше 1024. Сократите значения",
    ));
    refusals
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_code_does_not_send_is_said_to_operators_with_what_to_do_and_never_reaches_the_customer()
 {
    let refusals = refusals();
    for language in ["en", "ru"] {
        let (world, chat) = opened_in(language).await;
        for (code, english, russian) in &refusals {
            let said = if language == "ru" { russian } else { english };
            world.operator_says(&chat, code);
            // A note is a message that only operators see.
            let note = world.note(said).await;
            assert!(note.text.starts_with("[color=#ff0000]"), "{}", note.text);
            assert_eq!(note.chat_id, chat.id);
        }
        world.comes_to_rest().await;
        assert_eq!(world.received(&lena()).len(), 0);
        // Nothing is lost: each stands among the messages with its reason.
        let failed = world.api.get("messages?state=failed&limit=100").await;
        let failed = failed["items"].as_array().unwrap();
        assert_eq!(failed.len(), refusals.len());
        assert!(
            failed
                .iter()
                .all(|message| message["error"]["code"] == "TEMPLATE_CODE")
        );
        world.ends_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_had_is_told_and_what_only_we_cannot_fetch_is_left_to_meta() {
    let (mut world, chat) = opened().await;
    let files = outside().await;
    for (link, said) in [
        (format!("{files}/gone.pdf"), "it is not there any more"),
        (format!("{files}/page"), "a web page came in its place"),
        (format!("{files}/large.pdf"), "it is too large"),
        ("http://10.0.0.1/a.pdf".to_owned(), "not a public one"),
        (
            "http://[::ffff:10.0.0.1]/a.pdf".to_owned(),
            "not a public one",
        ),
        (format!("{files}/inside"), "not a public one"),
    ] {
        world.operator_says(&chat, &format!("template-invoice+en+file_link:{link}|7"));
        let wanted = format!("{link}” could not be fetched: ");
        let note = world.note(&wanted).await;
        assert!(note.text.contains(said), "{}", note.text);
    }
    assert_eq!(world.received(&lena()).len(), 0);
    // The kind is told by the bytes: this one is no document's name, but any file may be a document.
    world
        .portal
        .operator_writes(
            chat.id,
            "template-invoice+en+8",
            vec![Upload::new(
                "scan.png",
                &b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10"[..],
            )],
        )
        .unwrap();
    let received = world.customer_receives(&lena(), 1).await;
    assert_eq!(received[0].body["template"]["name"], "invoice");
    // Nobody listens there; Meta is given the address.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}/a.pdf", closed.local_addr().unwrap());
    drop(closed);
    world.operator_says(&chat, &format!("template-invoice+en+file_link:{nobody}|9"));
    let note = world.note("(13105").await;
    assert!(
        note.text.contains("Message not delivered."),
        "{}",
        note.text
    );
    world.server.stop().await;
    world.server.check_log(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn notes_and_languages_are_the_portals() {
    let world = World::with(crate::world::Options {
        behaviour: sandbox::portal::Behaviour {
            language: "ru",
            ..sandbox::portal::Behaviour::default()
        },
        ..crate::world::Options::default()
    })
    .await;
    world
        .graph
        .console()
        .add_template("108200000000001", "greeting", "ru", "Здравствуйте, {{1}}!");
    world
        .graph
        .console()
        .add_template("108200000000001", "greeting", "en_US", "Hello {{1}}!");
    world.knows_templates().await;
    let customer: Customer = lena();
    world.customer_says(&customer, "Привет");
    let chat = world.operator_sees_text("Привет").await;
    world.operator_says(&chat, "template-greeting++Лена");
    let received = world.customer_receives(&customer, 1).await;
    assert_eq!(received[0].body["template"]["language"]["code"], "ru");
    world.operator_says(&chat, "template-greting");
    let note = world.note("Шаблон не отправлен").await;
    assert!(note.text.contains("greeting"), "{}", note.text);
    world.ends_clean().await;
}
