//! People: the first administrator, sessions across a restart, addresses behind a proxy, and what pages may do.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, ChildStdout, Stdio},
};

use reqwest::{Response, StatusCode};
use sandbox::{
    graph::{self, Graph},
    portal::{self, Portals},
};
use serde_json::{Value, json};

use crate::world::{Options, Server, World, http};

const PASSWORD: &str = "correct horse PLANTED";

/// A program whose output is read, ended with the test.
struct Running {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Running {
    fn start(server: &Server) -> Self {
        let mut child = server
            .command(&["serve"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// Reads on to the line that holds a link, and gives the token behind its `#`.
    fn link_token(&mut self) -> String {
        for line in self.output.by_ref().lines() {
            if let Some((_, token)) = line.unwrap().split_once("/link#") {
                return token.trim().to_owned();
            }
        }
        panic!("no link was printed");
    }

    /// Ends it as a crash does; gives what it said since.
    fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        rest
    }
}

async fn post(server: &Server, path: &str, body: &Value, headers: &[(&str, &str)]) -> Response {
    let mut request = http()
        .post(format!("{}/api/v1/{path}", server.url()))
        .json(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

/// The session's cookie as a browser sends it back.
fn cookie(answer: &Response) -> String {
    answer
        .headers()
        .get_all("set-cookie")
        .iter()
        .map(|value| value.to_str().unwrap())
        .find(|value| value.starts_with("__Host-separator="))
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned()
}

async fn who(server: &Server, cookie: &str) -> (StatusCode, Value) {
    let answer = http()
        .get(format!("{}/api/v1/session", server.url()))
        .header("cookie", cookie)
        .send()
        .await
        .unwrap();
    (answer.status(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_installation_prints_one_link_to_its_first_administrator_whose_session_survives_a_crash()
 {
    let graph = Graph::start(graph::Settings::default()).await.unwrap();
    let portals = Portals::start(portal::Settings::default()).await.unwrap();
    let server = Server::new(&graph, &portals, &BTreeMap::new());
    let mut program = Running::start(&server);
    let token = program.link_token();
    server.ready().await;
    let chosen = json!({ "token": token, "email": "root@example.com", "password": PASSWORD });
    let answer = post(&server, "session/link", &chosen, &[]).await;
    assert_eq!(answer.status(), 201);
    let cookie = cookie(&answer);
    let again = post(&server, "session/link", &chosen, &[]).await;
    assert_eq!(again.status(), 410);
    program.kill();

    let program = Running::start(&server);
    server.ready().await;
    let (status, session) = who(&server, &cookie).await;
    assert_eq!(status, 200);
    assert_eq!(session["user"]["email"], "root@example.com");
    assert_eq!(session["user"]["role"], "administrator");
    let said = program.kill();
    assert!(!said.contains("link#"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_failed_to_get_in_is_known_by_the_address_that_our_proxy_tells() {
    let world = World::with(Options {
        variables: BTreeMap::from([("SEPARATOR_TRUST_PROXY", "127.0.0.0/8".to_owned())]),
        linked: false,
        ..Options::default()
    })
    .await;
    let wrong = json!({ "email": "admin@example.com", "password": PASSWORD });
    let behind = [("x-forwarded-for", "203.0.113.9, 198.51.100.7")];
    let answer = post(&world.server, "session", &wrong, &behind).await;
    assert_eq!(answer.status(), 401);
    let audit = world.api.get("audit?action=sign_in").await;
    assert_eq!(audit["items"][0]["state"], "refused", "{audit:#}");
    assert_eq!(audit["items"][0]["address"], "198.51.100.7");
    // What commands did is told as well.
    let audit = world.api.get("audit?q=command+line&subject=key").await;
    assert_eq!(audit["items"][0]["action"], "create", "{audit:#}");
    assert!(!world.server.log().contains("PLANTED"));
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_administrators_who_remove_each_other_leave_one() {
    let world = World::with(Options {
        linked: false,
        ..Options::default()
    })
    .await;
    let first = world.api.get("users").await["items"][0]["id"].clone();
    let second = world
        .api
        .create(
            "users",
            json!({ "email": "second@example.com", "role": "administrator" }),
        )
        .await;
    let disable = async |id: &Value| {
        let path = format!("users/{}", id.as_str().unwrap());
        let body = json!({ "disabled": true });
        world.api.call("PATCH", &path, Some(body)).await.0
    };
    let (one, two) = tokio::join!(disable(&first), disable(&second["id"]));
    // Where the first one is faster, its key does not even get the other request in.
    let done = [one, two].iter().filter(|status| **status == 200).count();
    assert_eq!(done, 1, "{one} {two}");
    world.server.sql("UPDATE users SET disabled = FALSE");
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_come_with_their_policy_and_the_api_keeps_its_own_words() {
    let world = World::with(Options {
        linked: false,
        ..Options::default()
    })
    .await;
    let get = async |path: &str, host: Option<&str>| {
        let mut request = http().get(format!("{}{path}", world.server.url()));
        if let Some(host) = host {
            request = request.header("host", host);
        }
        request.send().await.unwrap()
    };
    for path in ["/", "/sign-in", "/waba/phones/5?a=b"] {
        let page = get(path, None).await;
        assert_eq!(page.status(), 200, "{path}");
        let header = |name: &str| page.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), "text/html; charset=utf-8");
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "no-referrer");
        let policy = header("content-security-policy");
        assert!(policy.contains("script-src 'self';"), "{policy}");
        assert!(policy.ends_with("frame-ancestors 'none'"), "{policy}");
        assert!(!page.headers().contains_key("strict-transport-security"));
        assert!(!page.headers().contains_key("set-cookie"));
    }
    let far = get("/", Some("separator.example.com")).await;
    assert!(far.headers().contains_key("strict-transport-security"));
    for path in ["/api/nothing", "/api/v1/nothing", "/api"] {
        let answer = get(path, None).await;
        assert_eq!(answer.status(), 404, "{path}");
        assert_eq!(
            answer.headers()["content-type"],
            "application/problem+json",
            "{path}"
        );
    }
    assert_eq!(get("/assets/gone-1234.js", None).await.status(), 404);
    world.ends_clean().await;
}
