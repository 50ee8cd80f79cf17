//! What follows from choices and from what Meta says.

#![expect(clippy::unwrap_used, reason = "tests")]

use whatsapp::{ApiError, Error, client::SipServer};

use super::*;
use crate::translate::message::Language;

const APP: &str = "730100";

fn wish() -> Wish {
    Wish {
        calling: true,
        sip: true,
        hostname: Some("sip.example.com".to_owned()),
        ..Wish::default()
    }
}

fn server(app_id: Option<&str>, hostname: &str, password: Option<&str>) -> SipServer {
    SipServer {
        parameters: None,
        hostname: hostname.to_owned(),
        port: 5061,
        app_id: app_id.map(str::to_owned),
        password: password.map(whatsapp::Secret::new),
    }
}

fn told(servers: Vec<SipServer>) -> CallingSettings {
    CallingSettings {
        enabled: Some(true),
        key_exchange: Some(KeyExchange::Sdes),
        callback_permission: Some(true),
        sip_enabled: Some(true),
        servers,
        ..CallingSettings::default()
    }
}

fn applied_to(wish: &Wish) -> Applied {
    applied(
        &told(vec![server(Some(APP), "sip.example.com", None)]),
        APP,
        wish,
    )
    .0
}

#[test]
fn case_39_enabling_is_exactly_this_request() {
    let body = wish().change(None).to_json();
    let wanted = json!({ "calling": {
        "status": "ENABLED", "srtp_key_exchange_protocol": "SDES", "callback_permission_status": "ENABLED",
        "sip": { "status": "ENABLED", "webhook_delivery": "ENABLED",
                 "servers": [{ "hostname": "sip.example.com", "port": 5061 }] } } });
    assert_eq!(body, wanted);
    let more = Wish {
        sdes: false,
        call_icon: false,
        call_hours: Some(json!({ "status": "ENABLED" })),
        parameters: [("tgrp".to_owned(), "a%3Bb".to_owned())].into(),
        ..wish()
    };
    let body = more.change(None).to_json();
    assert_eq!(body["calling"]["srtp_key_exchange_protocol"], "DTLS");
    assert_eq!(body["calling"]["call_icon_visibility"], "DISABLE_ALL");
    assert_eq!(body["calling"]["call_hours"]["status"], "ENABLED");
    assert_eq!(
        body["calling"]["sip"]["servers"][0]["request_uri_user_params"]["tgrp"],
        "a%3Bb"
    );
    // What was switched on before is switched off by name.
    let before = Applied {
        call_icon: Some(false),
        call_hours: Some(true),
        ..Applied::default()
    };
    let body = wish().change(Some(&before)).to_json();
    assert_eq!(body["calling"]["call_icon_visibility"], "DEFAULT");
    assert_eq!(
        body["calling"]["call_hours"],
        json!({ "status": "DISABLED" })
    );
}

#[test]
fn case_47_the_password_is_that_of_our_app_and_never_just_any() {
    let wish = wish();
    let both = told(vec![
        server(Some("999"), "sip.example.com", Some("theirs")),
        server(Some(APP), "sip.example.com", Some("ours")),
    ]);
    let (seen, password) = applied(&both, APP, &wish);
    assert_eq!(password.unwrap().expose(), "ours");
    assert_eq!(
        seen.foreign,
        [ForeignServer {
            app_id: Some("999".to_owned()),
            hostname: "sip.example.com".to_owned()
        }]
    );
    let foreign = told(vec![server(Some("999"), "sip.example.com", Some("theirs"))]);
    let (seen, password) = applied(&foreign, APP, &wish);
    assert_eq!((seen.hostname, password), (None, None));
    // Where Meta does not say whose they are, the address decides.
    let nameless = told(vec![
        server(None, "other.example.com", Some("a")),
        server(None, "SIP.example.com", Some("b")),
    ]);
    assert_eq!(applied(&nameless, APP, &wish).1.unwrap().expose(), "b");
}

#[test]
fn case_46_what_differs_is_named() {
    let wish = wish();
    let good = applied_to(&wish);
    assert_eq!(wish.compare(&good), Comparison::Same);
    let keys = Applied {
        sdes: false,
        ..good.clone()
    };
    assert_eq!(wish.compare(&keys), Comparison::OnlyKeyExchange);
    let host = Applied {
        hostname: Some("other.example.com".to_owned()),
        sdes: false,
        ..good.clone()
    };
    assert_eq!(
        wish.compare(&host),
        Comparison::Differs(vec!["sip_hostname", "key_exchange"])
    );
    let off = Applied {
        calling: None,
        sip: Some(false),
        ..good
    };
    assert_eq!(
        wish.compare(&off),
        Comparison::Differs(vec!["calling", "sip"])
    );
    // With everything off nothing else matters.
    assert_eq!(
        Wish::default().compare(&Applied::default()),
        Comparison::Same
    );
}

#[test]
fn case_49_without_sip_the_server_stays_at_meta() {
    let body = Wish {
        sip: false,
        ..wish()
    }
    .change(None)
    .to_json();
    assert_eq!(body["calling"]["sip"], json!({ "status": "DISABLED" }));
    assert_eq!(body["calling"]["status"], "ENABLED");
}

#[test]
fn case_50_with_both_off_the_request_says_only_that() {
    let body = Wish {
        sip: false,
        calling: false,
        ..wish()
    }
    .change(None)
    .to_json();
    assert_eq!(
        body,
        json!({ "calling": { "status": "DISABLED", "sip": { "status": "DISABLED" } } })
    );
}

#[test]
fn case_55_a_server_is_deleted_together_with_switching_off() {
    let wanted = json!({ "calling": { "status": "DISABLED", "sip": { "status": "DISABLED", "servers": [] } } });
    assert_eq!(removal(true).to_json(), wanted);
    assert_eq!(
        removal(false).to_json(),
        json!({ "calling": { "sip": { "status": "DISABLED", "servers": [] } } })
    );
}

#[test]
fn case_43_pauses_grow_and_end() {
    let pauses: Vec<_> = (1..8).map(next_try).collect();
    assert_eq!(pauses[0], Some(Duration::from_secs(1)));
    assert!(pauses[..5].windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(&pauses[5..], [None, None]);
}

#[test]
fn case_56_what_somebody_has_to_mend_is_not_tried_again() {
    let meta = |code| {
        Error::Api(Box::new(ApiError {
            code: Some(code),
            ..ApiError::default()
        }))
    };
    for code in [
        10, 100, 190, 200, 131_055, 138_000, 138_014, 138_015, 138_018,
    ] {
        assert!(
            matches!(Failure::of(&meta(code)), Failure::Refused(_)),
            "{code}"
        );
        let error = CallingError::of_meta(meta(code).api().unwrap(), Millis(0), 1);
        assert!(
            error.hint(Language::English).is_some() && error.hint(Language::Russian).is_some(),
            "{code}"
        );
    }
    for code in [4, 613, 80_007, 131_000] {
        assert!(
            matches!(Failure::of(&meta(code)), Failure::Passing(_)),
            "{code}"
        );
    }
    assert!(matches!(
        Failure::of(&Error::Unknown("cut".to_owned())),
        Failure::Unknown(_)
    ));
    assert!(matches!(
        Failure::of(&Error::Unreachable("no".to_owned())),
        Failure::Passing(_)
    ));
    assert!(
        CallingError::of_meta(
            &ApiError {
                code: Some(987_654),
                ..ApiError::default()
            },
            Millis(0),
            1
        )
        .hint(Language::English)
        .is_none()
    );
}

#[test]
fn case_40_metas_words_for_people_go_first() {
    let error = ApiError {
        code: Some(138_015),
        subcode: Some(7),
        message: "(#138015) message".to_owned(),
        details: Some("details".to_owned()),
        user_title: Some("Limit too low".to_owned()),
        user_message: Some("Raise it".to_owned()),
        ..ApiError::default()
    };
    let told = CallingError::of_meta(&error, Millis(0), 1);
    assert_eq!(told.line(), "138015: Limit too low, Raise it");
    let plain = ApiError {
        user_title: None,
        user_message: None,
        ..error
    };
    assert_eq!(
        CallingError::of_meta(&plain, Millis(0), 1).line(),
        "138015: (#138015) message, details"
    );
    let json = told.to_json(Language::Russian);
    assert_eq!(
        (&json["code"], &json["subcode"]),
        (&json!("138015"), &json!("7"))
    );
    assert!(json["hint"].as_str().unwrap().contains("2000"));
    assert!(
        json["documentation"]
            .as_str()
            .unwrap()
            .ends_with("/calling/troubleshooting/")
    );
}

#[test]
fn case_42_only_another_choice_is_a_reason_to_ask_meta() {
    let mut calling = Calling::default();
    // Nothing was chosen, and nothing is to be.
    let next = calling.chosen(
        Wish {
            port: 5071,
            ..Wish::default()
        },
        Millis(1),
    );
    assert_eq!(
        (next.version, next.state, next.due_at),
        (1, State::None, None)
    );
    let next = calling.chosen(wish(), Millis(1));
    assert_eq!((next.state, next.due_at), (State::Pending, Some(Millis(1))));
    // Refused, then the form is brought back to what Meta has: no request, no error.
    calling = Calling {
        version: 4,
        wish: wish(),
        state: State::Refused,
        applied: Some(applied_to(&wish())),
        ..calling
    };
    calling.error = Some(CallingError::own(OwnError::NoToken, Millis(0), 1));
    let other = calling.chosen(
        Wish {
            port: 5071,
            ..wish()
        },
        Millis(2),
    );
    assert_eq!(
        (other.version, other.state, other.error.is_some()),
        (5, State::Pending, true)
    );
    let back = calling.chosen(wish(), Millis(2));
    assert_eq!(
        (back.version, back.state, back.due_at, back.error),
        (5, State::InSync, None, None)
    );
    // What Meta does not tell counts as it was given: other hours are another choice.
    let hours = |open: &str| Wish {
        call_hours: Some(json!({ "status": "ENABLED", "open_time": open })),
        ..wish()
    };
    let with_hours = Applied {
        call_hours: Some(true),
        agreed: Some(Box::new(hours("0900"))),
        ..applied_to(&wish())
    };
    calling.applied = Some(with_hours);
    assert_eq!(
        calling.chosen(hours("0900"), Millis(2)).state,
        State::InSync
    );
    assert_eq!(
        calling.chosen(hours("1000"), Millis(2)).state,
        State::Pending
    );
    // While a save is under way nobody knows what Meta has.
    calling.state = State::Pending;
    assert_eq!(calling.chosen(wish(), Millis(2)).state, State::Pending);
}

#[test]
fn case_59_what_others_change_at_meta_is_told_and_nothing_is_overwritten() {
    let good = applied_to(&wish());
    let mut calling = Calling {
        wish: wish(),
        state: State::InSync,
        applied: Some(good.clone()),
        ..Calling::default()
    };
    let off = Applied {
        sip: Some(false),
        ..good.clone()
    };
    calling.looked(off.clone(), Millis(5));
    assert_eq!((calling.state, calling.due_at), (State::Changed, None));
    assert_eq!(calling.outside, Some(json!({ "sip": "disabled" })));
    // A second change adds to the first.
    calling.looked(Applied { sdes: false, ..off }, Millis(6));
    assert_eq!(
        calling.outside,
        Some(json!({ "sip": "disabled", "key_exchange": "dtls" }))
    );
    assert_eq!(calling.wish, wish());
    // What was refused is no change of others.
    let mut refused = Calling {
        wish: Wish {
            port: 5071,
            ..wish()
        },
        state: State::Refused,
        applied: Some(good.clone()),
        ..Calling::default()
    };
    refused.looked(good, Millis(5));
    assert_eq!((refused.state, refused.outside), (State::Refused, None));
}

#[test]
fn case_46_our_own_errors_are_told_in_the_language_of_whoever_looks() {
    let error = CallingError::own(OwnError::NotApplied(vec!["sip".to_owned()]), Millis(0), 1);
    let russian = error.to_json(Language::Russian);
    assert_eq!(russian["title"], "не применено");
    assert!(
        russian["line"]
            .as_str()
            .unwrap()
            .starts_with("0: не применено")
    );
    let cut = ApiError {
        code: Some(0),
        message: "connection reset".to_owned(),
        ..ApiError::default()
    };
    let told = CallingError::of_meta(&cut, Millis(0), 6);
    assert!(told.hint(Language::English).unwrap().contains("Internet"));
}
