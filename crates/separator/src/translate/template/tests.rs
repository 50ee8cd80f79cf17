#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::translate::code::{self, Code};

fn template(name: &str, language: &str, components: &Value) -> Template {
    Template::read(
        name,
        language,
        "APPROVED",
        "UTILITY",
        "POSITIONAL",
        components,
    )
}

/// The catalogue of these tests.
fn catalogue() -> Vec<Template> {
    let mut templates = vec![
        template(
            "hello_world",
            "en_US",
            &json!([
                { "type": "HEADER", "format": "TEXT", "text": "Hello World" },
                { "type": "BODY", "text": "Welcome!" },
                { "type": "FOOTER", "text": "Acme" },
            ]),
        ),
        template(
            "order_ready",
            "de",
            &json!([
                { "type": "HEADER", "format": "DOCUMENT" },
                { "type": "BODY", "text": "Hallo {{1}}, Bestellung {{2}} ist fertig, {{1}}." },
                { "type": "BUTTONS", "buttons": [
                    { "type": "QUICK_REPLY", "text": "Danke" },
                    { "type": "URL", "text": "Ansehen", "url": "https://a.example/o/{{1}}" },
                ]},
            ]),
        ),
        template(
            "coupon",
            "en",
            &json!([
                { "type": "header", "format": "text", "text": "For {{1}}" },
                { "type": "body", "text": "Your code" },
                { "type": "buttons", "buttons": [{ "type": "copy_code", "text": "Copy" }] },
            ]),
        ),
        template(
            "visit",
            "en",
            &json!([
                { "type": "HEADER", "format": "LOCATION" },
                { "type": "BODY", "text": "See you at {{1}}" },
            ]),
        ),
        template(
            "cards",
            "en",
            &json!([{ "type": "BODY", "text": "x" }, { "type": "CAROUSEL", "cards": [] }]),
        ),
    ];
    let mut named = template(
        "named",
        "en",
        &json!([
            { "type": "HEADER", "format": "TEXT", "text": "Dear {{first_name}}" },
            { "type": "BODY", "text": "{{order}} is ready, {{first_name}}." },
        ]),
    );
    named.named = true;
    templates.push(named);
    for language in ["en_US", "en_GB", "de", "pt_BR"] {
        templates.push(template(
            "many",
            language,
            &json!([{ "type": "BODY", "text": "Hi {{1}}" }]),
        ));
    }
    let mut paused = template("paused", "en", &json!([{ "type": "BODY", "text": "x" }]));
    "PAUSED".clone_into(&mut paused.status);
    templates.push(paused);
    let password = json!([
        { "type": "BODY", "text": "*{{1}}* is your code.", "add_security_recommendation": true },
        { "type": "BUTTONS", "buttons": [{ "type": "OTP", "otp_type": "COPY_CODE", "text": "Copy" }] },
    ]);
    templates.push(Template::read(
        "otp",
        "en",
        "APPROVED",
        "AUTHENTICATION",
        "POSITIONAL",
        &password,
    ));
    templates
}

fn resolved_with(text: &str, languages: Languages<'_>, attached: bool) -> Result<Filled, Refusal> {
    let code = code::parse(text).unwrap().map_err(Refusal::Malformed)?;
    resolve(&code, &catalogue(), languages, attached)
}

fn resolved(text: &str) -> Result<Filled, Refusal> {
    resolved_with(text, Languages::default(), false)
}

#[test]
fn values_fill_header_body_and_buttons_in_order() {
    let filled =
        resolved("template-order_ready+de+file_link:https://a.example/r.pdf|Lena|A-1007|77")
            .unwrap();
    assert_eq!(
        json!(filled.components),
        json!([
            { "type": "body", "parameters": [{ "type": "text", "text": "Lena" }, { "type": "text", "text": "A-1007" }] },
            { "type": "button", "sub_type": "url", "index": "1", "parameters": [{ "type": "text", "text": "77" }] },
        ])
    );
    let link = Some("https://a.example/r.pdf".to_owned());
    assert_eq!(
        filled.header,
        Some(HeaderFile {
            kind: HeaderKind::Document,
            link
        })
    );
    assert_eq!(
        filled.shown,
        "Hallo Lena, Bestellung A-1007 ist fertig, Lena.\n[Danke]\n[Ansehen → https://a.example/o/77]"
    );
    let coupon = resolved("template-coupon+Anna|SAVE20").unwrap();
    assert_eq!(
        json!(coupon.components),
        json!([
            { "type": "header", "parameters": [{ "type": "text", "text": "Anna" }] },
            { "type": "button", "sub_type": "copy_code", "index": "0",
              "parameters": [{ "type": "coupon_code", "coupon_code": "SAVE20" }] },
        ])
    );
    assert_eq!(coupon.shown, "*For Anna*\nYour code\n[Copy]");
    let whole = resolved(
        "template-order_ready+de+file_link:https://a.example/r.pdf|Lena|button_param:https://a.example/o/9|A-1",
    )
    .unwrap();
    assert_eq!(whole.components[1]["parameters"][0]["text"], "9");
    assert_eq!(whole.components[0]["parameters"][1]["text"], "A-1");
}

#[test]
fn a_template_without_places_needs_no_components() {
    let filled = resolved("template-Hello_World").unwrap();
    assert_eq!((filled.components.len(), filled.header), (0, None));
    assert_eq!(filled.shown, "*Hello World*\nWelcome!\n_Acme_");
    assert_eq!(filled.language, "en_US");
}

#[test]
fn named_values_come_in_any_order_and_fill_every_place_of_their_name() {
    let wanted = json!([
        { "type": "header", "parameters": [{ "type": "text", "parameter_name": "first_name", "text": "Lena" }] },
        { "type": "body", "parameters": [
            { "type": "text", "parameter_name": "first_name", "text": "Lena" },
            { "type": "text", "parameter_name": "order", "text": "A:1" },
        ] },
    ]);
    for text in [
        "template-named+en+order:A:1|first_name:Lena",
        "template-named+en+Lena|A:1",
        "template-named+en+order:A:1|Lena",
    ] {
        let filled = resolved(text).unwrap();
        assert_eq!(json!(filled.components), wanted, "{text}");
        assert_eq!(filled.shown, "*Dear Lena*\nA:1 is ready, Lena.");
    }
    assert!(matches!(
        resolved("template-named+en+first_nam:Lena|x"),
        Err(Refusal::UnknownValue { name, .. }) if name == "first_nam"
    ));
    assert!(matches!(
        resolved("template-named+en+order:1|order:2"),
        Err(Refusal::Twice { name }) if name == "order"
    ));
}

#[test]
fn a_password_stands_in_the_body_and_on_its_button() {
    let filled = resolved("template-otp+en+123456").unwrap();
    assert_eq!(filled.components[1]["sub_type"], "url");
    assert_eq!(filled.components[1]["parameters"][0]["text"], "123456");
    assert_eq!(filled.shown, "*123456* is your code.\n[Copy]");
}

#[test]
fn a_place_on_the_map_stands_in_the_header() {
    let filled = resolved("template-visit+en+location:52.5,13.4,Acme,Main St. 1|noon").unwrap();
    assert_eq!(
        filled.components[0]["parameters"][0]["location"],
        json!({ "latitude": 52.5, "longitude": 13.4, "name": "Acme", "address": "Main St. 1" })
    );
    for bad in ["noon", "location:91,1|noon", "location:x|noon"] {
        let refused = resolved(&format!("template-visit+en+{bad}"));
        assert_eq!(refused, Err(Refusal::LocationMissing), "{bad}");
    }
}

#[test]
fn the_language_is_the_only_one_or_the_portals_or_the_numbers() {
    let language = |text: &str, portal, number| {
        resolved_with(text, Languages { portal, number }, false).map(|filled| filled.language)
    };
    for (text, portal, number, wanted) in [
        ("template-many+en_GB+x", None, None, "en_GB"),
        ("template-many+EN-gb+x", None, None, "en_GB"),
        ("template-many++x", Some("de"), None, "de"),
        ("template-many++x", Some("de_AT"), None, "de"),
        ("template-many++x", Some("pt"), None, "pt_BR"),
        ("template-many++x", Some("en"), Some("de"), "de"),
        ("template-many++x", Some("en_US"), Some("de"), "en_US"),
        ("template-many++x", None, Some("en_GB"), "en_GB"),
        ("template-hello_world", Some("ru"), Some("de"), "en_US"),
    ] {
        assert_eq!(
            language(text, portal, number).as_deref(),
            Ok(wanted),
            "{text} {portal:?}"
        );
    }
    let Err(Refusal::Ambiguous { languages, .. }) = language("template-many++x", Some("en"), None)
    else {
        panic!("two kinds of English, and nothing decides")
    };
    assert_eq!(languages, ["de", "en_GB", "en_US", "pt_BR"]);
}

#[test]
fn what_is_not_there_is_answered_with_what_comes_close() {
    let Err(Refusal::UnknownName { nearest, .. }) = resolved("template-helo_wrld+en_US") else {
        panic!("there is no such template")
    };
    assert_eq!(nearest[0], "hello_world");
    assert!(
        !nearest.contains(&"paused".to_owned()),
        "only what can be sent"
    );
    let Err(Refusal::UnknownName { nearest, .. }) = resolved("template-order") else {
        panic!("there is no such template")
    };
    assert_eq!(nearest[0], "order_ready");
    for written in ["en_UK+x", "en+x"] {
        let Err(Refusal::UnknownLanguage { languages, .. }) =
            resolved(&format!("template-many+{written}"))
        else {
            panic!("there is no such language")
        };
        assert!(languages[0].starts_with("en_"), "{languages:?}");
    }
    assert!(matches!(
        resolved("template-hello_world+english"),
        Err(Refusal::UnknownLanguage { language, .. }) if language == "english"
    ));
    assert_eq!(
        resolved("template-paused"),
        Err(Refusal::NotApproved {
            name: "paused".into(),
            language: "en".into(),
            status: "PAUSED".into()
        })
    );
    assert!(
        matches!(resolved("template-cards"), Err(Refusal::Beyond { what, .. }) if what == "CAROUSEL")
    );
    let none = resolve(&Code::template("x", None), &[], Languages::default(), false);
    assert_eq!(none, Err(Refusal::NoTemplates));
}

#[test]
fn too_few_and_too_many_values_show_the_template() {
    for (text, given) in [
        ("template-many+de", 0),
        ("template-many+de+a|b", 2),
        ("template-hello_world+en_US+a|b", 2),
    ] {
        let Err(Refusal::Count {
            wanted,
            given: counted,
            shape,
            ..
        }) = resolved(text)
        else {
            panic!("{text} does not fit")
        };
        assert_eq!(
            (counted, shape.contains("{{1}}")),
            (given, wanted == 1),
            "{text}"
        );
    }
    assert_eq!(
        resolved("template-many+de+button_param:1|a"),
        Err(Refusal::ButtonCount {
            wanted: 0,
            given: 1
        })
    );
    assert_eq!(
        resolved("template-order_ready+de+file_link:https://a.example/r.pdf|a| |c"),
        Err(Refusal::EmptyValue { number: 2 })
    );
    // A ready code is sent as it was offered.
    assert_eq!(
        resolved("template-many+de+{{1}}"),
        Err(Refusal::NotFilled {
            number: 1,
            mark: "{{1}}".to_owned()
        })
    );
}

#[test]
fn files_are_where_they_belong() {
    let missing = Refusal::FileMissing {
        kind: HeaderKind::Document,
    };
    assert_eq!(resolved("template-order_ready+de+a|b|c"), Err(missing));
    let attached =
        resolved_with("template-order_ready+de+a|b|c", Languages::default(), true).unwrap();
    assert_eq!(
        attached.header,
        Some(HeaderFile {
            kind: HeaderKind::Document,
            link: None
        })
    );
    for misplaced in [
        resolved("template-hello_world+file_link:https://a.example/a.png"),
        resolved_with("template-hello_world", Languages::default(), true),
    ] {
        assert_eq!(
            misplaced,
            Err(Refusal::NoPlaceForFile {
                name: "hello_world".into()
            })
        );
    }
    for link in [
        "a.example/r.pdf",
        "ftp://a.example/r.pdf",
        "file:///etc/passwd",
        "",
        "https://",
    ] {
        let refused = resolved(&format!("template-order_ready+de+file_link:{link}|a|b|c"));
        assert_eq!(
            refused,
            Err(Refusal::BadLink { link: link.into() }),
            "{link}"
        );
    }
}

#[test]
fn a_file_keeps_the_name_of_its_address() {
    for (link, name) in [
        (
            "https://a.example/x/price%20list.pdf?v=1#2",
            "price list.pdf",
        ),
        ("https://a.example/%D0%9F.pdf", "П.pdf"),
        ("https://a.example/100%.pdf", "100%.pdf"),
        ("https://a.example/%", "%"),
        ("https://a.example", ""),
        ("nonsense", ""),
    ] {
        assert_eq!(name_of_link(link), name, "{link}");
    }
}

#[test]
fn what_would_be_too_long_is_refused_before_it_is_sent() {
    let long = |count| "ж".repeat(count);
    assert!(resolved(&format!("template-many+de+{}", long(1021))).is_ok());
    for (text, part, length, limit) in [
        (
            format!("template-many+de+{}", long(1022)),
            Part::Body,
            1025,
            1024,
        ),
        (
            format!("template-coupon+en+{}|x", long(57)),
            Part::Header,
            61,
            60,
        ),
        (
            format!(
                "template-order_ready+de+file_link:https://a.example/r|a|b|{}",
                long(1981)
            ),
            Part::Button,
            2001,
            2000,
        ),
    ] {
        assert_eq!(
            resolved(&text),
            Err(Refusal::TooLong {
                part,
                length,
                limit
            })
        );
    }
}

#[test]
fn values_are_made_acceptable() {
    for (value, wanted) in [
        ("a\nb", "a b"),
        ("a\r\n\r\n  b", "a b"),
        ("a\tb", "a b"),
        ("a    b", "a    b"),
        ("a     b", "a b"),
        ("  a  ", "a"),
        ("\n", ""),
    ] {
        assert_eq!(acceptable(value), wanted, "{value:?}");
    }
}

#[test]
fn the_ready_code_of_each_template_names_all_its_places() {
    let codes: Vec<String> = catalogue().iter().map(Template::code).collect();
    for wanted in [
        "template-hello_world+en_US",
        "template-order_ready+de+file_link:https://…|{{1}}|{{2}}|{{1}}",
        "template-coupon+en+{{1}}|{{code}}",
        "template-named+en+{{first_name}}|{{order}}",
        "template-visit+en+location:…|{{1}}",
    ] {
        assert!(codes.contains(&wanted.to_owned()), "{wanted} {codes:?}");
    }
}

proptest! {
    #[test]
    fn no_code_and_no_template_cause_panic(
        body in r"[a-z{}0-9_ ]{0,40}",
        url in r"https://a/[{}1]{0,6}",
        values in r"[a-z:|+_ \n]{0,30}",
        named in any::<bool>(),
    ) {
        let components = json!([
            { "type": "HEADER", "format": "TEXT", "text": body },
            { "type": "BODY", "text": body },
            { "type": "BUTTONS", "buttons": [{ "type": "URL", "url": url, "text": "x" }] },
        ]);
        let format = if named { "NAMED" } else { "POSITIONAL" };
        let template = Template::read("a", "en", "APPROVED", "MARKETING", format, &components);
        if let Some(Ok(code)) = code::parse(&format!("template-a+en+{values}")) {
            let _ = resolve(&code, std::slice::from_ref(&template), Languages::default(), false);
        }
        prop_assert!(template.code().starts_with("template-a+en"));
    }

    #[test]
    fn acceptable_values_have_nothing_that_meta_refuses(value in any::<String>()) {
        let value = acceptable(&value);
        prop_assert!(!value.contains(['\n', '\t', '\r']) && !value.contains("     "));
    }
}
