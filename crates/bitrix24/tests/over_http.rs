//! The client and the authorization server against servers that answer, move, break off or are not there.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, Mutex};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Json, Router};
use bitrix24::client::{AGENT, http_builder};
use bitrix24::oauth::{AuthorizationServer, OAuthClass, OFFICIAL, Refusal};
use bitrix24::{AccessToken, Call, ClientSecret, Error, Portal, RefreshToken};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

/// A request as it arrived.
struct Seen {
    line: String,
    headers: HeaderMap,
    body: String,
}

/// A server that gives everybody the same answer and remembers who asked.
#[derive(Clone)]
struct Server {
    answer: (StatusCode, Option<String>, Value),
    seen: Arc<Mutex<Vec<Seen>>>,
}

async fn listen() -> (TcpListener, Url) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/rest/", listener.local_addr().unwrap())).unwrap();
    (listener, url)
}

async fn serve(status: StatusCode, location: Option<&str>, body: Value) -> (Url, Server) {
    let server = Server {
        answer: (status, location.map(str::to_owned), body),
        seen: Arc::default(),
    };
    let app = Router::new()
        .fallback(any(handle))
        .with_state(server.clone());
    let (listener, url) = listen().await;
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, server)
}

async fn handle(State(server): State<Server>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    server.seen.lock().unwrap().push(Seen {
        line: format!("{} {}", parts.method, parts.uri),
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    });
    let (status, location, body) = server.answer;
    match location {
        Some(location) => (status, [(header::LOCATION, location)], Json(body)).into_response(),
        None => (status, Json(body)).into_response(),
    }
}

fn builder() -> reqwest::ClientBuilder {
    // Fails only where another test was first, which is just as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    http_builder().no_proxy()
}

fn http() -> reqwest::Client {
    builder().build().unwrap()
}

fn token() -> AccessToken {
    AccessToken::new("geheim")
}

async fn call(endpoint: Url) -> Result<Value, Error> {
    let portal = Portal::new(http(), endpoint);
    portal
        .call("app.info", &json!({ "A": 1 }), &token())
        .await
        .map(|answer| answer.result)
}

#[tokio::test]
async fn a_call_is_a_post_with_the_token_in_its_body() {
    let (url, server) = serve(StatusCode::OK, None, json!({"result": {"ID": 1}})).await;
    assert_eq!(call(url).await, Ok(json!({"ID": 1})));
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen[0].line, "POST /rest/app.info");
    assert_eq!(seen[0].headers[header::USER_AGENT], AGENT);
    assert_eq!(seen[0].headers[header::CONTENT_TYPE], "application/json");
    let body: Value = serde_json::from_str(&seen[0].body).unwrap();
    assert_eq!(body, json!({"A": 1, "auth": "geheim"}));
}

#[tokio::test]
async fn a_batch_is_one_request() {
    let body = json!({"result": {"result": {"c0": 5}, "result_error": {"c1": {"error": "x"}}, "result_total": []}});
    let (url, server) = serve(StatusCode::OK, None, body).await;
    let calls = [
        Call::new("app.info", json!({})),
        Call::new("profile", json!({})),
    ];
    let portal = Portal::new(http(), url);
    let results = portal.batch(&calls, &token()).await.unwrap();
    assert_eq!(results[0].as_ref().unwrap().result, 5);
    assert_eq!(results[1].as_ref().unwrap_err().code(), Some("X"));
    assert_eq!(server.seen.lock().unwrap().len(), 1);
    let too_many = vec![calls[0].clone(); 51];
    assert!(matches!(
        portal.batch(&too_many, &token()).await,
        Err(Error::NotSent { .. })
    ));
}

#[tokio::test]
async fn a_moved_portal_is_reported_and_not_followed() {
    let (new, unasked) = serve(StatusCode::OK, None, json!({"result": true})).await;
    let location = new.join("app.info").unwrap();
    let (old, _) = serve(StatusCode::FOUND, Some(location.as_str()), Value::Null).await;
    assert_eq!(call(old).await, Err(Error::Moved { to: new }));
    assert!(unasked.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_client_that_follows_redirects_is_found_out() {
    let (new, _) = serve(StatusCode::OK, None, json!({"result": true})).await;
    let location = new.join("app.info").unwrap();
    let (old, _) = serve(StatusCode::FOUND, Some(location.as_str()), Value::Null).await;
    let following = builder()
        .redirect(reqwest::redirect::Policy::limited(3))
        .build()
        .unwrap();
    let answer = Portal::new(following, old)
        .call("app.info", &Value::Null, &token())
        .await;
    assert_eq!(answer, Err(Error::Moved { to: new }));
}

#[tokio::test]
async fn a_portal_that_is_not_there_is_unreachable() {
    let (listener, url) = listen().await;
    drop(listener);
    assert!(matches!(call(url).await, Err(Error::Unreachable { .. })));
}

#[tokio::test]
async fn an_answer_that_breaks_off_leaves_the_outcome_unknown() {
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"result\":",
    ] {
        let (listener, url) = listen().await;
        let portal = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            assert!(socket.read(&mut request).await.unwrap() > 0);
            socket.write_all(answer.as_bytes()).await.unwrap();
        });
        assert!(
            matches!(call(url).await, Err(Error::Unknown { .. })),
            "{answer:?}"
        );
        portal.await.unwrap();
    }
}

#[tokio::test]
async fn a_refresh_is_a_form_whose_secret_is_not_in_the_address() {
    let pair =
        json!({"access_token": "a", "refresh_token": "b", "expires_in": 3600, "member_id": "m"});
    let (url, server) = serve(StatusCode::OK, None, pair).await;
    let only = url.join("/").unwrap();
    let oauth = AuthorizationServer::choose(http(), Some(&only), None).unwrap();
    let tokens = oauth
        .refresh(
            "local.1",
            &ClientSecret::new("s3cret"),
            &RefreshToken::new("old"),
        )
        .await
        .unwrap();
    assert_eq!(
        (tokens.access_token.expose(), tokens.refresh_token.expose()),
        ("a", "b")
    );
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen[0].line, "POST /oauth/token/");
    assert_eq!(
        seen[0].body,
        "grant_type=refresh_token&client_id=local.1&client_secret=s3cret&refresh_token=old"
    );
}

#[tokio::test]
async fn an_unknown_token_proves_no_installation() {
    let (url, server) = serve(
        StatusCode::UNAUTHORIZED,
        None,
        json!({"error": "NO_AUTH_FOUND"}),
    )
    .await;
    let only = url.join("/").unwrap();
    let oauth = AuthorizationServer::choose(http(), Some(&only), None).unwrap();
    let error = oauth.app_info(&token()).await.unwrap_err();
    assert_eq!(error.class(), OAuthClass::Permanent(Refusal::UnknownToken));
    assert_eq!(server.seen.lock().unwrap()[0].line, "POST /rest/app.info");
}

#[tokio::test]
async fn only_known_authorization_servers_are_asked() {
    let choose = |asked: &str| {
        let asked = Url::parse(asked).unwrap();
        AuthorizationServer::choose(http(), None, Some(&asked))
            .map(|server| server.base().to_string())
    };
    assert_eq!(
        choose("https://oauth.bitrix.info/rest/").as_deref(),
        Ok(OFFICIAL[0])
    );
    assert_eq!(
        choose("https://oauth.bitrix24.tech/rest/").as_deref(),
        Ok(OFFICIAL[1])
    );
    for other in [
        "http://oauth.bitrix.info/rest/",
        "https://oauth.bitrix.info:8443/rest/",
        "https://oauth.bitrix.info.evil.example/rest/",
        "https://acme.bitrix24.com/rest/",
    ] {
        assert!(choose(other).is_err(), "{other}");
    }
    let only = Url::parse("http://127.0.0.1:9/oauth-stand-in").unwrap();
    let asked = Url::parse(OFFICIAL[0]).unwrap();
    let server = AuthorizationServer::choose(http(), Some(&only), Some(&asked)).unwrap();
    assert_eq!(server.base().as_str(), "http://127.0.0.1:9/oauth-stand-in/");
}
