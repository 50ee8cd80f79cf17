#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::json;

use super::{limits::faults, *};
use crate::translate::code;

fn buttons(titles: &[&str]) -> Value {
    let buttons: Vec<Value> = titles
        .iter()
        .enumerate()
        .map(|(index, title)| json!({"type": "reply", "reply": {"id": index.to_string(), "title": title}}))
        .collect();
    json!({"type": "button", "body": {"text": "Hello {{1}}"}, "action": {"buttons": buttons}})
}

fn list(rows: usize) -> Value {
    let rows: Vec<Value> = (0..rows)
        .map(|row| json!({"id": row.to_string(), "title": format!("Row {row}")}))
        .collect();
    json!({"type": "list", "body": {"text": "?"},
           "action": {"button": "Choose", "sections": [{"rows": rows}]}})
}

fn link(url: &str) -> Value {
    json!({"type": "cta_url", "body": {"text": "?"},
           "action": {"name": "cta_url", "parameters": {"display_text": "Open", "url": url}}})
}

fn call(parameters: &Value) -> Value {
    json!({"type": "voice_call", "body": {"text": "?"},
           "action": {"name": "voice_call", "parameters": parameters}})
}

fn permission() -> Value {
    json!({"type": "call_permission_request", "action": {"name": "call_permission_request"}})
}

fn with(mut content: Value, at: &str, value: Value) -> Value {
    let (parent, key) = at.rsplit_once('/').unwrap();
    content.pointer_mut(parent).unwrap()[key] = value;
    content
}

fn stored(name: &str, content: Value) -> Interactive {
    Interactive {
        name: name.to_owned(),
        content,
    }
}

fn ask(written: &str, all: &[Interactive]) -> Result<Filled, Refusal> {
    resolve(&code::parse(written).unwrap().unwrap(), all, false)
}

#[test]
fn what_meta_would_refuse_is_told_at_its_field() {
    let text = |length: usize| json!({"text": "x".repeat(length)});
    let cases: Vec<(Value, &[&str])> = vec![
        (buttons(&["Yes", "No", "Later"]), &[]),
        (list(10), &[]),
        (link("https://a.example/{{1}}"), &[]),
        (call(&json!({"display_text": "Call us"})), &[]),
        (
            call(&json!({"display_text": "Call us", "ttl_minutes": 43_200, "payload": "p"})),
            &[],
        ),
        (permission(), &[]),
        (with(permission(), "/body", text(1024)), &[]),
        (json!("text"), &[""]),
        (json!({"type": "flow"}), &["type"]),
        (buttons(&[]), &["action.buttons"]),
        (buttons(&["a", "b", "c", "d"]), &["action.buttons"]),
        (buttons(&["a", "a"]), &["action.buttons[1].reply.title"]),
        (
            buttons(&["a", &"x".repeat(21)]),
            &["action.buttons[1].reply.title"],
        ),
        (buttons(&[" "]), &["action.buttons[0].reply.title"]),
        (with(buttons(&["a"]), "/body", text(1025)), &["body.text"]),
        (with(buttons(&["a"]), "/body", Value::Null), &["body"]),
        (with(buttons(&["a"]), "/footer", text(61)), &["footer.text"]),
        (
            with(
                buttons(&["a"]),
                "/header",
                json!({"type": "text", "text": "x".repeat(61)}),
            ),
            &["header.text"],
        ),
        (
            with(
                buttons(&["a"]),
                "/header",
                json!({"type": "image", "image": {"link": "a.png"}}),
            ),
            &["header.image.link"],
        ),
        (
            with(
                buttons(&["a"]),
                "/header",
                json!({"type": "image", "image": {"link": "https://a.example/1.png"}}),
            ),
            &[],
        ),
        (
            with(
                list(1),
                "/header",
                json!({"type": "image", "image": {"link": "https://a.example/1.png"}}),
            ),
            &["header.type"],
        ),
        (with(permission(), "/footer", text(1)), &["footer"]),
        (with(buttons(&["a"]), "/colour", json!("red")), &["colour"]),
        (list(11), &["action.sections"]),
        (list(0), &["action.sections[0].rows"]),
        (
            with(list(1), "/action/button", json!("x".repeat(21))),
            &["action.button"],
        ),
        (
            with(
                list(1),
                "/action/sections",
                json!([{"rows": [{"id": "1", "title": "a"}]}, {"title": "B", "rows": [{"id": "1", "title": "a"}]}]),
            ),
            &["action.sections[0].title", "action.sections[1].rows[0].id"],
        ),
        (
            with(
                list(1),
                "/action/sections",
                json!([{"rows": [{"id": "", "title": "x".repeat(25), "description": "x".repeat(73)}]}]),
            ),
            &[
                "action.sections[0].rows[0].title",
                "action.sections[0].rows[0].description",
                "action.sections[0].rows[0].id",
            ],
        ),
        (link("a.example"), &["action.parameters.url"]),
        (link("mailto:a@a.example"), &["action.parameters.url"]),
        (
            with(link("https://a.example/"), "/action/name", json!("url")),
            &["action.name"],
        ),
        (
            call(&json!({"display_text": "x", "ttl_minutes": 0})),
            &["action.parameters.ttl_minutes"],
        ),
        (buttons(&["{{name}}"]), &["action.buttons[0].reply.title"]),
        (
            with(buttons(&["a"]), "/body/text", json!("Hello {{2}}")),
            &["body.text"],
        ),
        (
            with(buttons(&["a"]), "/body/text", json!("Hello {{First Name}}")),
            &["body.text"],
        ),
    ];
    for (content, wanted) in cases {
        let found: Vec<String> = faults(&content)
            .into_iter()
            .map(|fault| fault.field)
            .collect();
        assert_eq!(found, wanted, "{content}");
    }
}

#[test]
fn values_fill_their_places_and_what_is_sent_is_shown() {
    let menu = with(
        buttons(&["Yes {{2}}", "No"]),
        "/footer",
        json!({"text": "{{3}}"}),
    );
    let shop = with(
        link("https://a.example/{{what}}?for={{name}}"),
        "/body/text",
        json!("For {{name}}"),
    );
    let times = with(
        list(2),
        "/action/sections/0/rows/1/description",
        json!("in {{1}}"),
    );
    let all = [
        stored("menu", menu),
        stored("shop", shop),
        stored("times", times),
        stored("call", permission()),
    ];
    let filled = ask("interactive+menu|Anna Meier|sure|x⏎", &all).unwrap();
    assert_eq!(filled.shown, "Hello Anna Meier\n_x⏎_\n[Yes sure]\n[No]");
    assert_eq!(
        filled.content["action"]["buttons"][0]["reply"],
        json!({"id": "0", "title": "Yes sure"})
    );
    // Lines are kept in the text and nowhere else.
    let lines = ask("interactive+MENU|two\nlines|a\nb|c", &all).unwrap();
    assert_eq!(lines.shown, "Hello two\nlines\n_c_\n[Yes a b]\n[No]");
    let named = ask("interactive+shop|what:a b|Anna & Co", &all).unwrap();
    assert_eq!(
        named.content["action"]["parameters"]["url"],
        "https://a.example/a%20b?for=Anna%20&%20Co"
    );
    assert_eq!(all[1].code(), "interactive+shop|{{name}}|{{what}}");
    let list = ask("interactive+times+Bonn", &all).unwrap();
    assert_eq!(list.shown, "?\n[Choose]\n• Row 0\n• Row 1 — in Bonn");
    assert_eq!(ask("interactive+call", &all).unwrap().shown, "[☎ ?]");
    assert_eq!(all[0].code(), "interactive+menu|{{1}}|{{2}}|{{3}}");
}

#[test]
fn what_does_not_fit_is_refused_with_its_reason() {
    let menu = stored("menu", buttons(&["{{2}}", "No"]));
    let shop = stored("shop", link("https://a.example/{{page}}"));
    let host = stored("host", link("https://{{1}}/"));
    let all = [menu, shop, host];
    let refusal = |written: &str| ask(written, &all).unwrap_err();
    assert_eq!(
        refusal("interactive+meny|a|b"),
        Refusal::NoInteractive {
            name: "meny".to_owned(),
            nearest: vec!["menu".to_owned(), "host".to_owned(), "shop".to_owned()],
        }
    );
    for (written, given) in [
        ("interactive+menu", 0),
        ("interactive+menu|a", 1),
        ("interactive+menu|a|b|c", 3),
    ] {
        let Refusal::InteractiveCount {
            wanted,
            given: found,
            shape,
            code,
            ..
        } = refusal(written)
        else {
            panic!("{written}");
        };
        assert_eq!((wanted, found), (2, given));
        assert_eq!(shape, "Hello {{1}}\n[{{2}}]\n[No]");
        assert_eq!(code, "interactive+menu|{{1}}|{{2}}");
    }
    assert_eq!(
        refusal("interactive+menu|a| "),
        Refusal::EmptyValue { number: 2 }
    );
    assert_eq!(
        refusal("interactive+menu|a|No"),
        Refusal::SameTitles {
            title: "No".to_owned()
        }
    );
    assert_eq!(
        refusal("interactive+menu|a|twenty-one characters"),
        Refusal::TooLong {
            part: Part::Label,
            length: 21,
            limit: 20
        }
    );
    let long = "x".repeat(1020);
    assert!(matches!(
        refusal(&format!("interactive+menu|{long}|b")),
        Refusal::TooLong {
            part: Part::Body,
            length: 1026,
            ..
        }
    ));
    assert_eq!(
        refusal("interactive+shop|page:a|page:b"),
        Refusal::Twice {
            name: "page".to_owned()
        }
    );
    assert!(matches!(
        refusal("interactive+host|a b"),
        Refusal::BadLink { .. }
    ));
    assert!(matches!(
        refusal("interactive+menu|file_link:https://a.example/1.png"),
        Refusal::InteractiveFile { .. }
    ));
    let none = resolve(
        &code::parse("interactive+menu").unwrap().unwrap(),
        &[],
        true,
    );
    assert!(matches!(none, Err(Refusal::NoInteractive { nearest, .. }) if nearest.is_empty()));
}

proptest! {
    #[test]
    fn a_ready_code_sends_its_message(places in prop::collection::vec("[a-z]{1,6}", 0..4)) {
        let text: Vec<String> = places.iter().map(|name| format!("{{{{{name}}}}}")).collect();
        let content = with(buttons(&["a"]), "/body/text", json!(format!("x {}", text.join(" "))));
        prop_assert!(faults(&content).is_empty());
        let message = stored("m", content);
        let filled = ask(&message.code(), std::slice::from_ref(&message));
        prop_assert_eq!(filled.unwrap().shown, message.shape());
    }

    #[test]
    fn no_object_panics(kind in 0..5_usize, key in "[a-z/]{0,12}", value in "\\PC{0,30}") {
        let mut content = json!({"type": limits::KINDS[kind], "action": {}});
        content[key] = json!([value.clone(), {"text": value}]);
        let _ = faults(&content);
        let message = stored("m", content);
        let _ = (message.code(), message.shape());
    }
}
