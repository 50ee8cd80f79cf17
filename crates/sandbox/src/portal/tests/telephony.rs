//! Calls of telephone systems outside: registered once, shown, finished once, refused without the permission.

use super::*;

fn registration(external_id: &str, more: &Json) -> Json {
    let mut params = json!({
        "USER_ID": 1, "PHONE_NUMBER": "+49151", "TYPE": 2, "CALL_START_DATE": "2026-11-25T10:00:00+00:00",
        "EXTERNAL_CALL_ID": external_id, "SHOW": 0,
    });
    params
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    params
}

#[tokio::test]
async fn a_call_is_registered_once_shown_and_finished_once() {
    let setup = Setup::installed().await;
    let register = async |id: &str, more: Json| {
        let params = registration(id, &more);
        setup
            .result("telephony.externalCall.register", params)
            .await
    };
    let searched = json!({ "PHONE_NUMBER": "+49151" });
    let search = "telephony.externalCall.searchCrmEntities";
    assert_eq!(setup.result(search, searched.clone()).await, json!([]));
    let first = register("wacid.1", json!({ "CRM_CREATE": 1 })).await;
    let lead = first["CRM_CREATED_LEAD"].clone();
    assert!(lead.is_i64(), "{first}");
    assert_eq!(first["CRM_ENTITY_TYPE"], "LEAD");
    // The same external id is the same call while it goes on, whatever else is said; no second lead.
    let again = register("wacid.1", json!({ "CRM_CREATE": 1, "TYPE": 1 })).await;
    assert_eq!(again["CALL_ID"], first["CALL_ID"]);
    assert_eq!(setup.portal.leads().len(), 1);
    let found = setup.result(search, searched).await;
    let entry = &found[0];
    assert_eq!(
        (&entry["CRM_ENTITY_ID"], &entry["ASSIGNED_BY_ID"]),
        (&lead, &json!(27))
    );

    let one = |more: Json| {
        let mut params = json!({ "CALL_ID": first["CALL_ID"], "USER_ID": 27 });
        params
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        params
    };
    for (method, shown) in [("show", vec![27]), ("hide", vec![])] {
        let method = format!("telephony.externalCall.{method}");
        assert_eq!(setup.result(&method, one(json!({}))).await, json!(true));
        assert_eq!(setup.portal.phone_calls()[0].shown_to, shown, "{method}");
    }
    let finish = "telephony.externalCall.finish";
    let end = json!({ "DURATION": 42, "STATUS_CODE": "304", "FAILED_REASON": "nobody" });
    let finished = setup.result(finish, one(end.clone())).await;
    assert_eq!(
        (&finished["CALL_DURATION"], &finished["CALL_FAILED_CODE"]),
        (&json!(42), &json!("304"))
    );
    let kept = setup.portal.phone_calls()[0].end.clone().unwrap();
    assert_eq!((kept.duration, kept.reason.as_str()), (42, "nobody"));
    assert_eq!(finished["CRM_ACTIVITY_ID"], json!(kept.activity));
    // What is finished is not found any more: neither to be finished nor to be shown.
    let gone = (400, "NOT_FOUND".to_owned());
    assert_eq!(setup.error(finish, one(end)).await, gone);
    let show = "telephony.externalCall.show";
    assert_eq!(setup.error(show, one(json!({}))).await, gone);
    // Afterwards the same external id is another call.
    let later = register("wacid.1", json!({})).await;
    assert_ne!(later["CALL_ID"], first["CALL_ID"]);
}

#[tokio::test]
async fn what_a_call_lacks_is_refused_and_so_is_everything_without_the_permission() {
    let setup = Setup::installed().await;
    let method = "telephony.externalCall.register";
    for wrong in [
        json!({ "USER_ID": 4711 }),
        json!({ "TYPE": 9 }),
        json!({ "PHONE_NUMBER": "" }),
    ] {
        let (status, _) = setup.error(method, registration("wacid.1", &wrong)).await;
        assert_eq!(status, 400, "{wrong}");
    }
    assert!(setup.portal.phone_calls().is_empty());
    setup.portal.set_scope(CLIENT, "imconnector,imopenlines");
    let refused = setup
        .error(method, registration("wacid.1", &json!({})))
        .await;
    assert_eq!(refused, (403, "insufficient_scope".to_owned()));
    setup
        .portal
        .set_scope(CLIENT, "imconnector,imopenlines,telephony");
    let taken = setup
        .result(method, registration("wacid.1", &json!({})))
        .await;
    assert!(
        taken["CALL_ID"]
            .as_str()
            .unwrap()
            .starts_with("externalCall.")
    );
}
