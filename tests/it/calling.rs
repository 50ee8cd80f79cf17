//! Calls: what is chosen for a number is saved at Meta, read back, tried again; what Meta refuses is said and stays said.
//! Numbers in the names are those of the cases.

use sandbox::graph::{CallingFaults, Fault, Scope, Times};
use serde_json::{Value, json};

use crate::world::{Options, World};

fn phone(world: &World) -> String {
    format!("waba/phones/{}", world.phone)
}

async fn world() -> World {
    World::with(Options {
        linked: false,
        ..Options::default()
    })
    .await
}

fn enable() -> Value {
    // A name that leads nowhere for certain (RFC 6761): the preflight after saving ends at once.
    json!({ "calling": "enabled", "sip": "enabled", "sip_hostname": "sip.example.invalid" })
}

/// The calls to `/settings` so far: method and body.
fn asked(world: &World) -> Vec<(String, Value)> {
    let path = format!("/{}/settings", world.number);
    let requests = world.graph.requests();
    let about = requests
        .iter()
        .filter(|request| request.path.ends_with(&path));
    about
        .map(|request| {
            (
                request.method.clone(),
                serde_json::from_slice(&request.body).unwrap_or_default(),
            )
        })
        .collect()
}

fn saves(world: &World) -> Vec<Value> {
    asked(world)
        .into_iter()
        .filter(|(method, _)| method == "POST")
        .map(|(_, body)| body)
        .collect()
}

async fn until_state(world: &World, state: &str) -> Value {
    world
        .api
        .until(&phone(world), |phone| {
            phone["calling_status"]["state"] == state
        })
        .await
}

fn faults(world: &World, faults: CallingFaults) {
    world.graph.calling_faults(&world.number, faults);
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_39_51_52_53_58_a_telephone_server_is_saved_read_back_and_its_password_kept() {
    let world = world().await;
    let saved = world.api.patch(&phone(&world), enable()).await;
    assert_eq!(saved["calling_status"]["state"], "in_sync", "{saved}");
    assert_eq!(
        (&saved["error"], &saved["calling_status"]["has_password"]),
        (&Value::Null, &json!(true))
    );
    assert_eq!(
        saved["calling_status"]["applied"]["sip_hostname"],
        "sip.example.invalid"
    );
    let server = json!({ "hostname": "sip.example.invalid", "port": 5061 });
    let wanted = json!({ "calling": {
        "status": "ENABLED", "srtp_key_exchange_protocol": "SDES", "callback_permission_status": "ENABLED",
        "sip": { "status": "ENABLED", "webhook_delivery": "ENABLED", "servers": [server] } } });
    let all = asked(&world);
    assert_eq!(
        all.iter()
            .map(|(method, _)| method.as_str())
            .collect::<Vec<_>>(),
        ["POST", "GET"]
    );
    assert_eq!(all[0].1, wanted);

    // The files hide the password; revealing shows it, and an Idempotency-Key does not keep it.
    let files = world
        .api
        .get(&format!("{}/pbx?extension=201", phone(&world)))
        .await;
    assert!(!files.to_string().contains("PLANTED"), "{files}");
    let text = |files: &Value| files["files"][0]["text"].as_str().unwrap().to_owned();
    assert!(text(&files).contains("password = ********\n"));
    assert!(
        files["files"][1]["text"]
            .as_str()
            .unwrap()
            .contains("Dial(PJSIP/201,45)")
    );
    let (status, revealed) = world
        .api
        .call("POST", &format!("{}/pbx/reveal", phone(&world)), None)
        .await;
    assert_eq!(
        (status, &revealed["password"]),
        (200, &json!("PLANTED-sip-password-1"))
    );
    assert!(text(&revealed).contains("password = PLANTED-sip-password-1\n"));
    let (status, _) = world
        .api
        .call("GET", &format!("{}/pbx?extension=a;b", phone(&world)), None)
        .await;
    assert_eq!(status, 422);

    // Another port only: a save of its own, and the look at the server is out of date until the next one.
    let moved = world
        .api
        .patch(&phone(&world), json!({ "sip_port": 5071 }))
        .await;
    assert_eq!(
        (&moved["sip_hostname"], &moved["sip_port"]),
        (&json!("sip.example.invalid"), &json!(5071))
    );
    assert_eq!(
        saves(&world)[1]["calling"]["sip"]["servers"][0]["port"],
        5071
    );
    // Off and on again: the same server, the same password.
    world
        .api
        .patch(
            &phone(&world),
            json!({ "calling": "disabled", "sip": "disabled" }),
        )
        .await;
    let on = world
        .api
        .patch(&phone(&world), json!({ "sip": "enabled" }))
        .await;
    assert_eq!(on["calling_status"]["state"], "in_sync", "{on}");
    assert_eq!(
        on["calling_status"]["warnings"][0]["code"],
        "calling_is_off"
    );
    assert_eq!(
        (&on["sip_port"], &on["calling"]),
        (&json!(5071), &json!("disabled"))
    );
    let (_, revealed) = world
        .api
        .call("POST", &format!("{}/pbx/reveal", phone(&world)), None)
        .await;
    assert_eq!(revealed["password"], "PLANTED-sip-password-1");
    // The world refuses to end where a secret stands in the log.
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_40_41_42_49_50_what_meta_refuses_stays_said_until_meta_takes_it() {
    let mut world = world().await;
    let refuse = |code: u32, details: &str| CallingFaults {
        refuse: [(code, details.to_owned())].into(),
        ..CallingFaults::default()
    };
    faults(
        &world,
        refuse(138_015, "The messaging limit is below 2000."),
    );
    let refused = world.api.patch(&phone(&world), enable()).await;
    assert_eq!(refused["calling_status"]["state"], "refused", "{refused}");
    assert_eq!(refused["calling_status"]["applied"], Value::Null);
    let error = refused["error"].clone();
    assert_eq!(error["code"], "138015");
    assert_eq!(error["details"], "The messaging limit is below 2000.");
    assert!(error["hint"].as_str().unwrap().contains("2000"), "{error}");
    assert!(
        error["documentation"]
            .as_str()
            .unwrap()
            .contains("troubleshooting")
    );

    // Neither looking, nor another field, nor a preflight, nor a restart takes it away or asks Meta again.
    world
        .api
        .patch(&phone(&world), json!({ "automatic_texts": false }))
        .await;
    let (status, _) = world
        .api
        .call("POST", &format!("{}/sip-check", phone(&world)), None)
        .await;
    assert_eq!(status, 200);
    world.server.stop().await;
    world.server.start().await;
    assert_eq!(world.api.get(&phone(&world)).await["error"], error);
    assert_eq!(saves(&world).len(), 1);

    // Refused for another reason, then taken.
    faults(
        &world,
        refuse(138_018, "Technical prerequisites are missing."),
    );
    let (_, refused) = world
        .api
        .call("POST", &format!("{}/calling/apply", phone(&world)), None)
        .await;
    assert_eq!(refused["error"]["code"], "138018");
    let (_, taken) = world
        .api
        .call("POST", &format!("{}/calling/apply", phone(&world)), None)
        .await;
    assert_eq!(
        (&taken["error"], &taken["calling_status"]["state"]),
        (&Value::Null, &json!("in_sync"))
    );

    // SIP off, calling on: the server stays at Meta. Both off: the address stays here.
    let off = world
        .api
        .patch(&phone(&world), json!({ "sip": "disabled" }))
        .await;
    assert_eq!(
        off["calling_status"]["warnings"][0]["code"], "calls_webhook_needed",
        "{off}"
    );
    assert_eq!(
        saves(&world).last().unwrap()["calling"]["sip"],
        json!({ "status": "DISABLED" })
    );
    let off = world
        .api
        .patch(&phone(&world), json!({ "calling": "disabled" }))
        .await;
    assert_eq!(off["sip_hostname"], "sip.example.invalid");
    let both = json!({ "calling": { "status": "DISABLED", "sip": { "status": "DISABLED" } } });
    assert_eq!(saves(&world).last(), Some(&both));
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_43_44_45_46_47_what_passes_is_tried_again_and_what_meta_has_is_compared() {
    let world = world().await;
    // An answer that says nothing: looked up before it is repeated.
    let here = Scope {
        phone_number_id: Some(world.number.clone()),
        customer: None,
    };
    world
        .graph
        .faults()
        .set_for(Fault::ServerError, Times::Next(1), here);
    world.api.patch(&phone(&world), enable()).await;
    let mended = until_state(&world, "in_sync").await;
    assert_eq!(mended["error"], Value::Null);
    let methods: Vec<String> = asked(&world)
        .into_iter()
        .map(|(method, _)| method)
        .collect();
    assert_eq!(methods, ["POST", "GET", "POST", "GET"]);

    // Meta is in trouble: pending, then given up after the last try, with an error.
    faults(
        &world,
        CallingFaults {
            broken_saves: 2,
            ..CallingFaults::default()
        },
    );
    let pending = world
        .api
        .patch(&phone(&world), json!({ "sip_port": 5062 }))
        .await;
    assert_eq!(
        (&pending["calling_status"]["state"], &pending["error"]),
        (&json!("pending"), &Value::Null),
        "{pending}"
    );
    assert!(pending["calling_status"]["next_try_at"].is_string());
    world
        .server
        .sql("UPDATE calling SET attempts = 5, due_at = 1");
    let given_up = until_state(&world, "refused").await;
    assert_eq!(given_up["error"]["code"], "131000");
    assert_eq!(given_up["calling_status"]["applied"]["sip_port"], 5061);

    // Taken, and not read back: no error, a warning, and it is read later.
    faults(
        &world,
        CallingFaults {
            broken_reads: 1,
            ..CallingFaults::default()
        },
    );
    let saved = world
        .api
        .patch(&phone(&world), json!({ "sip_port": 5063 }))
        .await;
    assert_eq!(
        saved["calling_status"]["warnings"][0]["code"], "not_read_back",
        "{saved}"
    );
    let read = world
        .api
        .until(&phone(&world), |phone| {
            phone["calling_status"]["warnings"] == json!([])
        })
        .await;
    assert_eq!(
        (
            &read["error"],
            &read["calling_status"]["applied"]["sip_port"]
        ),
        (&Value::Null, &json!(5063))
    );

    // The key exchange that was put back is sent again, alone.
    faults(
        &world,
        CallingFaults {
            forgets_keys: true,
            ..CallingFaults::default()
        },
    );
    let saved = world
        .api
        .patch(&phone(&world), json!({ "sip_port": 5064 }))
        .await;
    assert_eq!(saved["calling_status"]["state"], "in_sync", "{saved}");
    let alone = json!({ "calling": { "srtp_key_exchange_protocol": "SDES" } });
    assert_eq!(saves(&world).last(), Some(&alone));

    // Another host than the saved one, and another app's server with a password of its own.
    let other = CallingFaults {
        other_host: Some("other.example.com".to_owned()),
        ..CallingFaults::default()
    };
    faults(&world, other);
    let wrong = world
        .api
        .patch(&phone(&world), json!({ "sip_port": 5065 }))
        .await;
    assert_eq!(
        (&wrong["error"]["code"], &wrong["error"]["title"]),
        (&json!("0"), &json!("not applied"))
    );
    assert!(
        wrong["error"]["details"]
            .as_str()
            .unwrap()
            .ends_with("sip_hostname"),
        "{wrong}"
    );
    let foreign = (
        "999".to_owned(),
        "their.example.com".to_owned(),
        "PLANTED-their-password".to_owned(),
    );
    faults(
        &world,
        CallingFaults {
            foreign: Some(foreign),
            ..CallingFaults::default()
        },
    );
    let (_, saved) = world
        .api
        .call("POST", &format!("{}/calling/apply", phone(&world)), None)
        .await;
    assert_eq!(saved["error"], Value::Null);
    let warning = &saved["calling_status"]["warnings"][0];
    assert_eq!(warning["code"], "foreign_server");
    assert!(
        warning["text"]
            .as_str()
            .unwrap()
            .contains("their.example.com")
    );
    let (_, revealed) = world
        .api
        .call("POST", &format!("{}/pbx/reveal", phone(&world)), None)
        .await;
    assert_eq!(revealed["password"], "PLANTED-sip-password-1");
    // A password that Meta does not tell is a warning too.
    faults(
        &world,
        CallingFaults {
            hides_passwords: true,
            ..CallingFaults::default()
        },
    );
    let saved = world
        .api
        .patch(&phone(&world), json!({ "sip_port": 5066 }))
        .await;
    assert_eq!(
        saved["calling_status"]["warnings"][0]["code"], "password_not_readable",
        "{saved}"
    );
    assert_eq!(
        (&saved["error"], &saved["calling_status"]["state"]),
        (&Value::Null, &json!("in_sync"))
    );
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_59_what_is_changed_at_meta_elsewhere_is_shown_and_not_overwritten() {
    let world = world().await;
    world.api.patch(&phone(&world), enable()).await;
    until_state(&world, "in_sync").await;
    world
        .graph
        .calling_changed_elsewhere(&world.number, &json!({ "sip": { "status": "DISABLED" } }));
    let changed = until_state(&world, "changed").await;
    assert_eq!(
        (&changed["sip"], &changed["calling_status"]["outside"]),
        (&json!("enabled"), &json!({ "sip": "disabled" })),
        "{changed}"
    );
    assert_eq!(changed["calling_status"]["applied"]["sip"], "disabled");
    assert_eq!((saves(&world).len(), &changed["error"]), (1, &Value::Null));
    // Only who asks for it has it put back.
    let (_, back) = world
        .api
        .call("POST", &format!("{}/calling/apply", phone(&world)), None)
        .await;
    assert_eq!(back["calling_status"]["state"], "in_sync", "{back}");
    assert_eq!(
        (saves(&world).len(), &back["calling_status"]["outside"]),
        (2, &Value::Null)
    );
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_54_55_56_the_newest_choice_wins_and_a_password_is_made_anew() {
    let world = world().await;
    // The first save waits for its next try when somebody chooses another host: the first is never sent again.
    faults(
        &world,
        CallingFaults {
            broken_saves: 1,
            ..CallingFaults::default()
        },
    );
    let first = world.api.patch(&phone(&world), enable()).await;
    assert_eq!(first["calling_status"]["state"], "pending");
    world
        .api
        .patch(
            &phone(&world),
            json!({ "sip_hostname": "b.example.invalid" }),
        )
        .await;
    until_state(&world, "in_sync").await;
    let hosts: Vec<Value> = saves(&world)
        .iter()
        .map(|body| body["calling"]["sip"]["servers"][0]["hostname"].clone())
        .collect();
    assert_eq!(hosts, ["sip.example.invalid", "b.example.invalid"]);

    // A new password: off and deleted, on again, read.
    let before = asked(&world).len();
    let (_, reset) = world
        .api
        .call(
            "POST",
            &format!("{}/calling/reset-password", phone(&world)),
            None,
        )
        .await;
    assert_eq!(reset["calling_status"]["state"], "in_sync", "{reset}");
    let steps = asked(&world).split_off(before);
    assert_eq!(
        steps
            .iter()
            .map(|(method, _)| method.as_str())
            .collect::<Vec<_>>(),
        ["POST", "POST", "GET"]
    );
    assert_eq!(
        steps[0].1["calling"],
        json!({ "status": "DISABLED", "sip": { "status": "DISABLED", "servers": [] } })
    );
    let (_, revealed) = world
        .api
        .call("POST", &format!("{}/pbx/reveal", phone(&world)), None)
        .await;
    assert_eq!(revealed["password"], "PLANTED-sip-password-2");
    // Where the second step fails, it is seen that SIP is off, and tried again.
    let refuse = [(100, String::new())].into();
    faults(
        &world,
        CallingFaults {
            refuse,
            ..CallingFaults::default()
        },
    );
    let (_, refused) = world
        .api
        .call(
            "POST",
            &format!("{}/calling/reset-password", phone(&world)),
            None,
        )
        .await;
    assert_eq!(refused["calling_status"]["state"], "refused", "{refused}");
    world.graph.faults().clear();
    let saves_before = saves(&world).len();
    let (_, again) = world
        .api
        .call("POST", &format!("{}/calling/apply", phone(&world)), None)
        .await;
    assert_eq!(
        (saves(&world).len(), &again["error"]),
        (saves_before + 1, &Value::Null)
    );

    // Deleting the server at Meta; the address stays here.
    let (_, removed) = world
        .api
        .call(
            "POST",
            &format!("{}/calling/remove-server", phone(&world)),
            None,
        )
        .await;
    assert_eq!(
        (&removed["sip"], &removed["sip_hostname"]),
        (&json!("disabled"), &json!("b.example.invalid"))
    );
    assert_eq!(
        removed["calling_status"]["applied"]["sip_hostname"],
        Value::Null,
        "{removed}"
    );

    // A token that is not good any more: said at once, with what to do, and not tried again.
    let refuse = [(190, String::new())].into();
    faults(
        &world,
        CallingFaults {
            refuse,
            ..CallingFaults::default()
        },
    );
    let refused = world
        .api
        .patch(&phone(&world), json!({ "sip": "enabled" }))
        .await;
    assert_eq!(
        (
            &refused["error"]["code"],
            &refused["calling_status"]["next_try_at"]
        ),
        (&json!("190"), &Value::Null)
    );
    assert!(
        refused["error"]["hint"]
            .as_str()
            .unwrap()
            .contains("Enter a new one")
    );
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_02_03_05_11_57_what_cannot_be_used_is_refused_field_by_field_and_nothing_is_sent() {
    let world = world().await;
    for (body, field, words) in [
        (json!({ "sip": "enabled" }), "sip_hostname", "is required"),
        (
            json!({ "sip": "enabled", "sip_hostname": "  " }),
            "sip_hostname",
            "is required",
        ),
        (json!({ "sip_hostname": "a b" }), "sip_hostname", "one word"),
        (
            json!({ "sip_hostname": "a\r\nb" }),
            "sip_hostname",
            "one word",
        ),
        (
            json!({ "sip_hostname": "_sip.x" }),
            "sip_hostname",
            "host name",
        ),
        (json!({ "sip_hostname": 5 }), "sip_hostname", "text"),
        (json!({ "sip_port": 0 }), "sip_port", "1 to 65535"),
        (json!({ "sip_port": "abc" }), "sip_port", "1 to 65535"),
        (
            json!({ "sip_hostname": "a.example:5081", "sip_port": 5071 }),
            "sip_port",
            "two different ports",
        ),
        (
            json!({ "key_exchange": "zrtp" }),
            "key_exchange",
            "sdes, dtls",
        ),
        (
            json!({ "call_hours": { "timezone_id": "Europe/Berlin" } }),
            "call_hours",
            "weekly_operating_hours",
        ),
        (
            json!({ "sip_parameters": { "a": "\r" } }),
            "sip_parameters",
            "control characters",
        ),
    ] {
        let (status, problem) = world
            .api
            .call("PATCH", &phone(&world), Some(body.clone()))
            .await;
        assert_eq!(status, 422, "{body}");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
        assert!(
            problem["errors"][0]["message"]
                .as_str()
                .unwrap()
                .contains(words),
            "{problem}"
        );
    }
    // Entered, and off: kept here, nothing for Meta.
    let kept = world
        .api
        .patch(
            &phone(&world),
            json!({ "sip_hostname": "sips:u@PBX.example.invalid:5081;transport=tls" }),
        )
        .await;
    assert_eq!(
        (&kept["sip_hostname"], &kept["sip_port"]),
        (&json!("pbx.example.invalid"), &json!(5081))
    );
    let nobody = "waba/phones/0199f1c2-0000-7a41-9c55-2f0e8b1d6a90";
    for (method, path, body) in [
        ("PATCH", nobody.to_owned(), Some(enable())),
        ("POST", format!("{nobody}/sip-check"), None),
        ("POST", format!("{nobody}/calling/apply"), None),
        ("POST", format!("{nobody}/pbx/reveal"), None),
    ] {
        let (status, _) = world.api.call(method, &path, body).await;
        assert_eq!(status, 404, "{method} {path}");
    }
    assert_eq!(asked(&world), []);

    // Looking at a server that is not to be reached, and too often.
    let check = json!({ "hostname": "10.0.0.7" });
    let (_, report) = world
        .api
        .call(
            "POST",
            &format!("{}/sip-check", phone(&world)),
            Some(check.clone()),
        )
        .await;
    assert_eq!(
        (&report["verdict"], &report["stages"][1]["code"]),
        (&json!("red"), &json!("not_public")),
        "{report}"
    );
    let mut statuses = Vec::new();
    for _ in 0..12 {
        statuses.push(
            world
                .api
                .call(
                    "POST",
                    &format!("{}/sip-check", phone(&world)),
                    Some(check.clone()),
                )
                .await
                .0,
        );
    }
    assert!(
        statuses.starts_with(&[200; 5]) && statuses.ends_with(&[429; 2]),
        "{statuses:?}"
    );
    world.ends_clean().await;
}
