#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Multipart, Request, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{any, post};
use tokio::net::TcpListener;

use super::*;
use crate::codes::Class;
use crate::send::{Outgoing, Phone, Recipient};

/// What a call looked like: method, path with query, authorization, body.
type Calls = Arc<Mutex<Vec<(String, String, String, String)>>>;

/// A server that answers every call alike and remembers them.
struct Server {
    client: Client,
    base: Url,
    calls: Calls,
}

impl Server {
    async fn answering(status: u16, body: impl Into<String>) -> Self {
        let body = body.into();
        Self::with(move |_| (StatusCode::from_u16(status).unwrap(), body.clone()).into_response())
            .await
    }

    async fn with(
        answer: impl Fn(&str) -> axum::response::Response + Clone + Send + Sync + 'static,
    ) -> Self {
        let calls = Calls::default();
        let handler = move |State(calls): State<Calls>, request: Request| async move {
            let (head, body) = request.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            let authorization = head
                .headers
                .get("authorization")
                .map(|value| value.to_str().unwrap().to_owned());
            let target = head.uri.path_and_query().unwrap().to_string();
            let answer = answer(&target);
            let call = (
                head.method.to_string(),
                target,
                authorization.unwrap_or_default(),
                String::from_utf8_lossy(&body).into_owned(),
            );
            calls.lock().unwrap().push(call);
            answer
        };
        Self::serving(
            Router::new()
                .fallback(any(handler))
                .with_state(Arc::clone(&calls)),
            calls,
        )
        .await
    }

    async fn serving(router: Router, calls: Calls) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base: Url = format!("http://{}", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            client: Client::new(http(), base.clone(), "v25.0"),
            base,
            calls,
        }
    }

    fn calls(&self) -> Vec<(String, String, String, String)> {
        self.calls.lock().unwrap().clone()
    }
}

fn http() -> reqwest::Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    // Without TLS provider for the whole process this panics, even for plain HTTP.
    reqwest::Client::builder()
        .tls_certs_only(std::iter::empty())
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .unwrap()
}

fn credentials() -> Credentials {
    Credentials {
        access_token: Secret::new("EAATESTTOKEN"),
        app_secret: Some(Secret::new("test-app-secret")),
    }
}

const PROOF: &str = "ba901af273193122e6a09621afeeeca2f0178ec975261a5cb1daeaea1c0635c2";

fn hello() -> OutgoingMessage {
    OutgoingMessage {
        recipient: Recipient::Phone(Phone::new("4915755509876").unwrap()),
        context: None,
        callback_data: Some("row-1".to_owned()),
        content: Outgoing::Text {
            body: "Hallo".to_owned(),
            preview_url: false,
        },
    }
}

async fn sending(status: u16, body: &str) -> Result<Sent, Error> {
    let server = Server::answering(status, body).await;
    server.client.send(&credentials(), "209", &hello()).await
}

#[tokio::test]
async fn sends_with_the_token_in_the_header() {
    let server = Server::answering(
        200,
        r#"{"contacts":[{"input":"+49","wa_id":"49157"}],"messages":[{"id":"wamid.1","message_status":"accepted"}]}"#,
    )
    .await;
    let sent = server
        .client
        .send(&credentials(), "209", &hello())
        .await
        .unwrap();
    assert_eq!(
        (sent.wamid.as_str(), sent.wa_id.as_deref()),
        ("wamid.1", Some("49157"))
    );
    let calls = server.calls();
    let (method, target, authorization, body) = &calls[0];
    assert_eq!(
        (method.as_str(), authorization.as_str()),
        ("POST", "Bearer EAATESTTOKEN")
    );
    assert_eq!(
        target,
        &format!("/v25.0/209/messages?appsecret_proof={PROOF}")
    );
    assert!(
        body.contains(r#""to":"+4915755509876""#)
            && body.contains(r#""biz_opaque_callback_data":"row-1""#)
    );
}

#[tokio::test]
async fn answers_are_judged_by_their_content() {
    let refused = r#"{"error":{"message":"(#131047)","code":131047,"error_data":{"details":"More than 24 hours"}}}"#;
    for (status, body, wanted) in [
        (400, refused, Class::Refused),
        (200, refused, Class::Refused),
        (
            503,
            r#"{"error":{"message":"busy","code":2}}"#,
            Class::Retry { at_most: None },
        ),
        (
            401,
            r#"{"error":{"message":"expired","code":190,"error_subcode":463}}"#,
            Class::Blocked,
        ),
        (200, "<html>", Class::Unknown),
        (200, r#"{"messages":[]}"#, Class::Unknown),
        (200, r#"{"messages":"#, Class::Unknown),
        (502, "bad gateway", Class::Unknown),
        (502, "{}", Class::Unknown),
        (408, "", Class::Unknown),
        (302, "", Class::Unknown),
        (403, "forbidden", Class::Retry { at_most: Some(3) }),
    ] {
        assert_eq!(
            sending(status, body).await.unwrap_err().class(),
            wanted,
            "{status} {body}"
        );
    }
}

#[tokio::test]
async fn a_call_that_never_left_is_told_from_one_that_was_cut() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base: Url = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let client = Client::new(http(), base, "v25.0");
    let cut = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        stream.readable().await.unwrap();
    });
    let error = client
        .send(&credentials(), "209", &hello())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unknown(_)), "{error:?}");
    cut.await.unwrap();
    let error = client
        .send(&credentials(), "209", &hello())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
    assert!(!format!("{error} {error:?}").contains(PROOF));
}

#[tokio::test]
async fn ids_cannot_change_the_call() {
    let server = Server::answering(200, "{}").await;
    for id in ["", "..", "1/2", "1?a=b", "1%2f2", "a b"] {
        let error = server
            .client
            .send(&credentials(), id, &hello())
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Request(_)), "{id:?}");
    }
    let broken = Credentials {
        access_token: Secret::new("a\nb"),
        app_secret: None,
    };
    let error = server
        .client
        .send(&broken, "209", &hello())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Request(_)), "{error:?}");
    assert!(server.calls().is_empty());
}

#[tokio::test]
async fn the_usage_header_says_how_long_to_wait() {
    let server = Server::with(|_| {
        let usage = r#"{"108":[{"type":"whatsapp","call_count":101,"estimated_time_to_regain_access":0},{"estimated_time_to_regain_access":7}]}"#;
        (StatusCode::BAD_REQUEST, [("x-business-use-case-usage", usage)], r#"{"error":{"code":80007}}"#).into_response()
    })
    .await;
    let error = server
        .client
        .subscribe(&credentials(), "108")
        .await
        .unwrap_err();
    assert_eq!(error.api().unwrap().wait, Some(Duration::from_mins(7)));
}

#[tokio::test]
async fn lists_are_walked_to_their_end() {
    let server = Server::with(|target| {
        let body = if target.contains("after=B") {
            r#"{"data":[{"id":"3"}],"paging":{"cursors":{"after":"C"}}}"#
        } else {
            r#"{"data":[{"id":1,"display_phone_number":"+49 1575 5501234","is_on_biz_app":true,"platform_type":"CLOUD_API","throughput":{"level":"HIGH"},"webhook_configuration":{"application":"https://a"}},{"name":"no id"}],"paging":{"cursors":{"after":"B"},"next":"https://graph/secret"}}"#
        };
        body.into_response()
    })
    .await;
    let numbers = server
        .client
        .phone_numbers(&credentials(), "108")
        .await
        .unwrap();
    assert_eq!(
        numbers
            .iter()
            .map(|number| number.id.as_str())
            .collect::<Vec<_>>(),
        ["1", "3"]
    );
    assert_eq!(numbers[0].digits().as_deref(), Some("4915755501234"));
    assert!(numbers[0].is_coexistence() && !numbers[1].is_coexistence());
    assert_eq!(
        numbers[0].application_callback.as_deref(),
        Some("https://a")
    );
    assert_eq!(server.calls().len(), 2);
}

#[tokio::test]
async fn a_cursor_that_stays_ends_the_walk() {
    let server = Server::answering(
        200,
        r#"{"data":[],"paging":{"cursors":{"after":"A"},"next":"x"}}"#,
    )
    .await;
    assert!(
        server
            .client
            .message_templates(&credentials(), "108")
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(server.calls().len(), 2);
    let server = Server::answering(200, r#"{"success":true}"#).await;
    assert!(
        server
            .client
            .message_templates(&credentials(), "108")
            .await
            .is_err()
    );
}

#[tokio::test]
async fn templates_subscriptions_and_tokens_are_read() {
    let server = Server::answering(200, r#"{"data":[{"id":"16","name":"order_ready","language":"de","status":"APPROVED","components":[{"type":"BODY"}],"rejected_reason":"NONE","quality_score":{"score":"GREEN"}}]}"#).await;
    let template = server
        .client
        .message_templates(&credentials(), "108")
        .await
        .unwrap()
        .remove(0);
    assert_eq!(
        (template.quality.as_deref(), template.rejected_reason),
        (Some("GREEN"), None)
    );
    assert_eq!(template.components, json!([{ "type": "BODY" }]));

    let server = Server::answering(200, r#"{"data":[{"whatsapp_business_api_data":{"id":7301,"name":"Acme"},"override_callback_uri":"https://b"}]}"#).await;
    let app = server
        .client
        .subscriptions(&credentials(), "108")
        .await
        .unwrap()
        .remove(0);
    assert_eq!(
        (app.id.as_str(), app.override_callback_uri.as_deref()),
        ("7301", Some("https://b"))
    );

    let server = Server::answering(200, r#"{"data":{"app_id":"7301","type":"SYSTEM_USER","is_valid":true,"expires_at":0,"scopes":["a","b"],"granular_scopes":[{"scope":"whatsapp_business_management","target_ids":["108",109]}]}}"#).await;
    let token = server
        .client
        .debug_token(&credentials(), &Secret::new("OTHER"))
        .await
        .unwrap();
    assert!(token.is_valid && token.expires_at.is_none());
    assert_eq!(token.waba_ids(), ["108", "109"]);
    let server = Server::answering(
        200,
        r#"{"data":{"is_valid":false,"error":{"code":190,"subcode":463,"message":"expired"}}}"#,
    )
    .await;
    let token = server
        .client
        .debug_token(&credentials(), &Secret::new("OTHER"))
        .await
        .unwrap();
    let error = token.error.unwrap();
    assert_eq!((error.class(), error.subcode), (Class::Blocked, Some(463)));
}

#[tokio::test]
async fn small_calls_say_what_meta_expects() {
    let server = Server::answering(200, r#"{"success":true,"url":"https://lookaside.fbsbx.com/x","mime_type":"image/jpeg","file_size":"30392","id":"209"}"#).await;
    let (client, credentials) = (
        &server.client,
        Credentials {
            app_secret: None,
            ..credentials()
        },
    );
    client
        .mark_read(&credentials, "209", "wamid.A", true)
        .await
        .unwrap();
    client
        .register(&credentials, "209", "123456")
        .await
        .unwrap();
    client.subscribe(&credentials, "108").await.unwrap();
    assert_eq!(
        client.phone_number(&credentials, "209").await.unwrap().id,
        "209"
    );
    let info = client.media_info(&credentials, "771", "209").await.unwrap();
    assert_eq!(
        (info.url.as_str(), info.file_size),
        ("https://lookaside.fbsbx.com/x", Some(30392))
    );
    let calls = server.calls();
    let targets: Vec<(&str, &str)> = calls
        .iter()
        .map(|call| (call.0.as_str(), call.1.split("?fields").next().unwrap()))
        .collect();
    assert_eq!(
        targets,
        [
            ("POST", "/v25.0/209/messages"),
            ("POST", "/v25.0/209/register"),
            ("POST", "/v25.0/108/subscribed_apps"),
            ("GET", "/v25.0/209"),
            ("GET", "/v25.0/771?phone_number_id=209"),
        ]
    );
    let read: Value = serde_json::from_str(&calls[0].3).unwrap();
    assert_eq!(read["typing_indicator"], json!({ "type": "text" }));
    assert_eq!(read["status"], "read");
}

#[tokio::test]
async fn uploads_are_streamed_with_their_type_and_length() {
    async fn take(mut form: Multipart) -> String {
        let mut seen = Vec::new();
        while let Some(field) = form.next_field().await.unwrap() {
            let head = format!(
                "{}|{}|{}",
                field.name().unwrap(),
                field.file_name().unwrap_or("-"),
                field.content_type().unwrap_or("-")
            );
            seen.push(format!("{head}|{}", field.text().await.unwrap()));
        }
        json!({ "id": seen.join(" ; ") }).to_string()
    }
    let router = Router::new().route("/v25.0/209/media", post(take));
    let server = Server::serving(router, Calls::default()).await;
    let (mut writer, reader) = tokio::io::duplex(8);
    tokio::spawn(
        async move { tokio::io::AsyncWriteExt::write_all(&mut writer, b"twelve bytes").await },
    );
    let body = reqwest::Body::wrap_stream(tokio_util::io::ReaderStream::new(reader));
    let id = server
        .client
        .media_upload(
            &credentials(),
            "209",
            "audio/ogg; codecs=opus",
            "Größe \"1\".ogg",
            12,
            body,
        )
        .await;
    assert_eq!(
        id.unwrap(),
        "messaging_product|-|-|whatsapp ; type|-|-|audio/ogg; codecs=opus ; file|Gr__e__1_.ogg|audio/ogg; codecs=opus|twelve bytes"
    );
    let strange = server
        .client
        .media_upload(&credentials(), "209", "no type", "a", 0, "")
        .await;
    assert!(matches!(strange, Err(Error::Request(_))));
}

#[tokio::test]
async fn files_are_fetched_with_the_token_from_meta_only() {
    let server = Server::with(|target| match target {
        "/moved" => (StatusCode::FOUND, [("location", "/file")]).into_response(),
        "/away" => (StatusCode::FOUND, [("location", "http://127.0.0.1:1/file")]).into_response(),
        "/round" => (StatusCode::FOUND, [("location", "/round")]).into_response(),
        "/gone" => StatusCode::NOT_FOUND.into_response(),
        _ => Body::from("bytes").into_response(),
    })
    .await;
    let fetch = async |path: &str| {
        server
            .client
            .media_download(&credentials(), server.base.join(path).unwrap().as_str())
            .await
    };
    assert_eq!(
        fetch("/moved").await.unwrap().text().await.unwrap(),
        "bytes"
    );
    assert!(matches!(fetch("/away").await, Err(Error::ForeignHost(host)) if host == "127.0.0.1"));
    assert!(matches!(fetch("/round").await, Err(Error::Unknown(_))));
    assert!(matches!(
        fetch("/gone").await,
        Err(Error::Http { status: 404 })
    ));
    assert!(
        server
            .calls()
            .iter()
            .all(|call| call.2 == "Bearer EAATESTTOKEN")
    );
    for foreign in [
        "https://evil.example/x",
        "https://facebook.com.evil.example/x",
        "https://evilfacebook.com/",
        "http://a.facebook.com/x",
        "none",
    ] {
        let refused = server.client.media_download(&credentials(), foreign).await;
        assert!(
            matches!(refused, Err(Error::ForeignHost(_) | Error::Request(_))),
            "{foreign}"
        );
    }
    for ours in [
        "https://lookaside.fbsbx.com/x",
        "https://graph.facebook.com/x",
        "https://mmg.whatsapp.net/x",
    ] {
        assert!(server.client.vet(&ours.parse().unwrap()).is_ok(), "{ours}");
    }
}

#[tokio::test]
async fn a_code_becomes_a_token_and_neither_stands_in_an_address() {
    let server = Server::answering(
        200,
        r#"{"access_token":"EAAGNEW","token_type":"bearer","expires_in":5183944}"#,
    )
    .await;
    let exchange = async |server: &Server| {
        server
            .client
            .exchange_code(
                "7301",
                &Secret::new("test-app-secret"),
                "https://separator.example.com/waba/callback/",
                &Secret::new("c0de"),
            )
            .await
    };
    let token = exchange(&server).await.unwrap();
    assert_eq!(
        (token.access_token.expose(), token.expires_in),
        ("EAAGNEW", Some(5_183_944))
    );
    let calls = server.calls();
    let (method, target, authorization, body) = &calls[0];
    assert_eq!(
        (method.as_str(), target.as_str(), authorization.as_str()),
        ("POST", "/v25.0/oauth/access_token", "")
    );
    for part in [
        "client_id=7301",
        "client_secret=test-app-secret",
        "redirect_uri=https%3A%2F%2Fseparator.example.com%2Fwaba%2Fcallback%2F",
        "code=c0de",
    ] {
        assert!(body.contains(part), "{part} is missing in {body}");
    }

    let long = server
        .client
        .extend_token(
            "7301",
            &Secret::new("test-app-secret"),
            &Secret::new("EAAGSHORT"),
        )
        .await
        .unwrap();
    assert_eq!(long.access_token.expose(), "EAAGNEW");
    let call = server.calls().remove(1);
    assert_eq!(call.1, "/v25.0/oauth/access_token");
    assert!(
        call.3.contains("grant_type=fb_exchange_token"),
        "{}",
        call.3
    );
    assert!(call.3.contains("fb_exchange_token=EAAGSHORT"), "{}", call.3);

    for subcode in [36_009, 36_008] {
        let answer =
            format!(r#"{{"error":{{"message":"m","code":100,"error_subcode":{subcode}}}}}"#);
        let server = Server::answering(400, answer).await;
        let error = exchange(&server).await.unwrap_err();
        let error = error.api().unwrap();
        assert_eq!(error.is_used_code(), subcode == 36_009);
        assert_eq!(error.is_other_redirect(), subcode == 36_008);
    }
    let server = Server::answering(200, r#"{"token_type":"bearer"}"#).await;
    assert_eq!(
        exchange(&server).await,
        Err(Error::Malformed("an access token"))
    );
}

#[test]
fn the_dialog_asks_by_configuration_or_by_permissions() {
    let facebook: Url = "https://www.facebook.com".parse().unwrap();
    let login = Login {
        app_id: "7301",
        redirect_uri: "https://a.example/waba/callback/",
        state: "s t",
        config_id: None,
        again: true,
    };
    let plain = login.dialog(&facebook, "v25.0");
    assert!(
        plain
            .as_str()
            .starts_with("https://www.facebook.com/v25.0/dialog/oauth?client_id=7301&"),
        "{plain}"
    );
    let query = |url: &Url, name: &str| {
        let found = url.query_pairs().find(|(key, _)| key == name);
        found.map(|(_, value)| value.into_owned())
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        query(&plain, "redirect_uri"),
        text("https://a.example/waba/callback/")
    );
    assert_eq!(query(&plain, "state"), text("s t"));
    assert_eq!(query(&plain, "response_type"), text("code"));
    assert_eq!(query(&plain, "auth_type"), text("rerequest"));
    assert!(
        query(&plain, "scope")
            .unwrap()
            .contains("whatsapp_business_messaging")
    );

    let configured = Login {
        config_id: Some("99"),
        again: false,
        ..login
    }
    .dialog(&facebook, "v25.0");
    assert_eq!(query(&configured, "config_id"), text("99"));
    assert_eq!(
        query(&configured, "override_default_response_type"),
        text("true")
    );
    assert_eq!(query(&configured, "scope"), None);
    assert_eq!(query(&configured, "auth_type"), None);
}

#[tokio::test]
async fn an_apps_callback_is_set_with_its_own_token_and_read_back() {
    let server = Server::answering(
        200,
        r#"{"success":true,"data":[{"object":"user"},{"object":"whatsapp_business_account","callback_url":"https://a.example/api/waba/","active":true,
            "fields":[{"name":"messages","version":"v25.0"},{"name":"account_update","version":"v25.0"}]}]}"#,
    )
    .await;
    let app = Credentials::of_app("7301", &Secret::new("test-app-secret"));
    server
        .client
        .set_app_webhook(
            &app,
            "7301",
            "https://a.example/api/waba/",
            &Secret::new("V"),
            &["messages", "calls"],
        )
        .await
        .unwrap();
    let webhook = server
        .client
        .app_webhook(&app, "7301")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        webhook.callback_url.as_deref(),
        Some("https://a.example/api/waba/")
    );
    assert!(webhook.active);
    assert_eq!(webhook.fields, ["messages", "account_update"]);

    let calls = server.calls();
    let (method, target, authorization, body) = &calls[0];
    assert_eq!(
        (method.as_str(), target.as_str(), authorization.as_str()),
        (
            "POST",
            "/v25.0/7301/subscriptions",
            "Bearer 7301|test-app-secret"
        )
    );
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        body,
        json!({
            "object": "whatsapp_business_account", "callback_url": "https://a.example/api/waba/",
            "verify_token": "V", "fields": "messages,calls",
        })
    );
    let none = Server::answering(200, r#"{"data":[]}"#).await;
    assert_eq!(none.client.app_webhook(&app, "7301").await.unwrap(), None);
}

#[tokio::test]
async fn accounts_are_shown_overridden_and_found_through_the_businesses() {
    let server = Server::with(|target| {
        let body = if target.starts_with("/v25.0/me/businesses") {
            r#"{"data":[{"id":"55"},{"id":"56"}]}"#
        } else if target.starts_with("/v25.0/55/owned") {
            r#"{"data":[{"id":"108","name":"Acme","account_review_status":"APPROVED","status":"ACTIVE","business_verification_status":"verified"}]}"#
        } else if target.contains("whatsapp_business_accounts") {
            r#"{"data":[{"id":"108"},{"id":"109"}]}"#
        } else {
            r#"{"id":"108","name":"Acme","account_review_status":"PENDING"}"#
        };
        body.into_response()
    })
    .await;
    let found = server
        .client
        .reachable_accounts(&credentials())
        .await
        .unwrap();
    let ids: Vec<&str> = found.iter().map(|account| account.id.as_str()).collect();
    assert_eq!(ids, ["108", "109"]);
    assert_eq!(found[0].review_status.as_deref(), Some("APPROVED"));
    assert_eq!(found[0].business_verification.as_deref(), Some("verified"));

    let before = server.calls().len();
    let account = server
        .client
        .business_account(&credentials(), "108")
        .await
        .unwrap();
    assert_eq!(
        (account.name.as_deref(), account.review_status.as_deref()),
        (Some("Acme"), Some("PENDING"))
    );
    let app = server
        .client
        .app_info(&credentials(), "7301")
        .await
        .unwrap();
    assert_eq!(app.name.as_deref(), Some("Acme"));
    server
        .client
        .subscribe_with_callback(
            &credentials(),
            "108",
            "https://b.example/",
            &Secret::new("V"),
        )
        .await
        .unwrap();
    server
        .client
        .unsubscribe(&credentials(), "108")
        .await
        .unwrap();
    let calls = server.calls();
    let methods: Vec<&str> = calls[before..].iter().map(|call| call.0.as_str()).collect();
    assert_eq!(methods, ["GET", "GET", "POST", "DELETE"]);
    let body: Value = serde_json::from_str(&calls[before + 2].3).unwrap();
    assert_eq!(
        body,
        json!({ "override_callback_uri": "https://b.example/", "verify_token": "V" })
    );
}
