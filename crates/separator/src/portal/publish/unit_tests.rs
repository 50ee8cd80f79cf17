//! The routine against a portal in memory that behaves as the references describe.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
};

use bitrix24::{Error, LineId, lines};
use serde_json::json;

use super::{connection::STATUS_PAUSES, line::FoundLine, *};
use crate::portal::TokenError;

const URL: &str = "https://separator.example/api/bitrix/?app-id=local.1";

/// A portal: lines, connectors, states, handlers; activating wipes data, as it really does.
#[derive(Default)]
struct Fake {
    state: Mutex<World>,
}

struct World {
    installed: bool,
    admin: bool,
    taken: Vec<String>,
    connectors: Vec<String>,
    lines: BTreeMap<i64, Value>,
    /// Whether data were written, by connector and line.
    active: HashMap<(String, i64), bool>,
    handlers: Vec<(String, String)>,
    placements: Vec<(String, String)>,
    /// Connectors of others that are active on every line.
    others: Vec<&'static str>,
    /// Answers in place of the real ones, by method.
    instead: HashMap<&'static str, Result<Value, Error>>,
    ignores_queue: bool,
    most_lines: usize,
    /// How often a state is old before it is right.
    lag: usize,
    calls: Vec<Call>,
    pauses: Vec<Duration>,
    noted: Vec<(Step, StepState)>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            installed: true,
            admin: true,
            taken: Vec::new(),
            connectors: Vec::new(),
            lines: BTreeMap::new(),
            active: HashMap::new(),
            handlers: Vec::new(),
            placements: Vec::new(),
            others: Vec::new(),
            instead: HashMap::new(),
            ignores_queue: false,
            most_lines: 1000,
            lag: 0,
            calls: Vec::new(),
            pauses: Vec::new(),
            noted: Vec::new(),
        }
    }
}

impl World {
    fn answer(&mut self, call: &Call) -> Result<Value, Error> {
        if let Some(instead) = self.instead.get(&*call.method) {
            return instead.clone();
        }
        let text = |key: &str| call.params[key].as_str().unwrap_or_default().to_owned();
        let place = || {
            (
                text("CONNECTOR"),
                call.params["LINE"].as_i64().unwrap_or_default(),
            )
        };
        let config = call.params["CONFIG_ID"].as_i64().unwrap_or_default();
        Ok(match &*call.method {
            "app.info" => json!({ "INSTALLED": self.installed }),
            "profile" => json!({ "ID": "7", "ADMIN": self.admin }),
            "imconnector.register" => {
                let id = text("ID");
                if self.taken.contains(&id) {
                    return Ok(
                        json!({ "result": false, "error": "APPLICATION_REGISTRATION_ERROR" }),
                    );
                }
                self.connectors.retain(|known| *known != id);
                self.connectors.push(id);
                json!({ "result": true })
            }
            "imconnector.list" => {
                let others = self.others.iter().map(|id| (*id).to_owned());
                let known = self.connectors.iter().cloned().chain(others);
                known.map(|id| (id, json!("WhatsApp"))).collect()
            }
            "batch" => self.batch(call),
            "imconnector.activate" if call.params["ACTIVE"] == 0 => {
                self.active.remove(&place());
                json!(true)
            }
            "imconnector.activate" => {
                let known =
                    self.connectors.contains(&place().0) && self.lines.contains_key(&place().1);
                if known {
                    self.active.insert(place(), false);
                }
                json!(known)
            }
            "imconnector.connector.data.set" => {
                json!(
                    self.active
                        .get_mut(&place())
                        .map(|data| *data = true)
                        .is_some()
                )
            }
            "imconnector.status" => {
                let old = self.lag > 0;
                self.lag = self.lag.saturating_sub(1);
                let foreign = self.others.contains(&place().0.as_str());
                let live = foreign || (!old && self.active.get(&place()) == Some(&true));
                json!({ "STATUS": live, "CONFIGURED": live, "ERROR": false })
            }
            "imopenlines.config.get" => self.lines.get(&config).cloned().unwrap_or(json!(false)),
            "imopenlines.config.list.get" => {
                let offset = call.params["PARAMS"]["offset"].as_u64().unwrap() as usize;
                self.lines
                    .values()
                    .skip(offset)
                    .take(lines::PAGE)
                    .cloned()
                    .collect()
            }
            "imopenlines.config.add" if self.lines.len() >= self.most_lines => json!(false),
            "imopenlines.config.add" => {
                let id = self.lines.keys().last().unwrap_or(&0) + 3;
                let mut line = call.params["PARAMS"].clone();
                line["ID"] = json!(id.to_string());
                if self.ignores_queue {
                    line["QUEUE"] = json!([]);
                }
                self.lines.insert(id, line);
                json!(id)
            }
            "imopenlines.config.update" => {
                for (key, value) in call.params["PARAMS"].as_object().unwrap() {
                    if !(self.ignores_queue && key == "QUEUE") {
                        self.lines.get_mut(&config).unwrap()[key] = value.clone();
                    }
                }
                json!(true)
            }
            "event.get" => self
                .handlers
                .iter()
                .map(|(event, url)| json!({ "event": event, "handler": url }))
                .collect(),
            "event.bind" => {
                self.handlers.push((text("event"), text("handler")));
                json!(true)
            }
            "event.unbind" => {
                let gone = (text("event"), text("handler"));
                self.handlers.retain(|handler| *handler != gone);
                json!({ "count": 1 })
            }
            "event.test" => json!(true),
            "placement.get" => self
                .placements
                .iter()
                .map(|(name, url)| json!({ "placement": name, "handler": url }))
                .collect(),
            "placement.list" => json!([
                "CRM_DEAL_DETAIL_TAB",
                "CRM_DEAL_LIST_MENU",
                "CRM_DYNAMIC_1038_DETAIL_TAB",
                "CRM_DYNAMIC_1038_LIST_MENU",
                "IM_TEXTAREA",
                "SETTING_CONNECTOR",
            ]),
            "placement.bind" => {
                self.placements.push((text("PLACEMENT"), text("HANDLER")));
                json!(true)
            }
            "placement.unbind" => {
                let gone = (text("PLACEMENT"), text("HANDLER"));
                self.placements.retain(|placement| *placement != gone);
                json!({ "count": 1 })
            }
            other => panic!("{other} is not a method of the routine"),
        })
    }

    /// The calls of a batch, whose parameters are texts.
    fn batch(&mut self, batch: &Call) -> Value {
        let mut results = serde_json::Map::new();
        for (name, command) in batch.params["cmd"].as_object().unwrap() {
            let (method, query) = command.as_str().unwrap().split_once('?').unwrap();
            let mut params = bitrix24::form::decode(query.as_bytes()).unwrap();
            for key in ["LINE", "CONFIG_ID"] {
                if let Some(number) = params[key]
                    .as_str()
                    .and_then(|text| text.parse::<i64>().ok())
                {
                    params[key] = json!(number);
                }
            }
            let call = Call::new(method.to_owned(), params);
            results.insert(name.clone(), self.answer(&call).unwrap());
        }
        json!({ "result": results, "result_error": [] })
    }
}

impl Rest for Fake {
    async fn run(&self, call: Call) -> Result<Value, CallError> {
        let mut world = self.state.lock().unwrap();
        let answer = world.answer(&call);
        world.calls.push(call);
        Ok(answer?)
    }

    async fn note(&self, step: Step, state: StepState) {
        self.state.lock().unwrap().noted.push((step, state));
    }

    async fn pause(&self, duration: Duration) {
        self.state.lock().unwrap().pauses.push(duration);
    }
}

impl Fake {
    fn with(change: impl FnOnce(&mut World)) -> Self {
        let fake = Self::default();
        change(&mut fake.state.lock().unwrap());
        fake
    }

    fn line(id: i64, name: &str) -> (i64, Value) {
        let line =
            json!({ "ID": id.to_string(), "LINE_NAME": name, "ACTIVE": "Y", "QUEUE": ["1"] });
        (id, line)
    }

    fn methods(&self) -> Vec<String> {
        self.state
            .lock()
            .unwrap()
            .calls
            .iter()
            .map(|call| call.method.to_string())
            .collect()
    }

    async fn publish(&self, line: Option<i64>) -> Result<(FoundLine, Connected), Trouble> {
        self.publish_on(line, None).await
    }

    async fn publish_on(
        &self,
        line: Option<i64>,
        chosen: Option<i64>,
    ) -> Result<(FoundLine, Connected), Trouble> {
        let prepared = prepare(self, &portal_wish()).await?;
        require_installed(self, &prepared).await?;
        let wish = NumberWish {
            digits: "4915112345678".to_owned(),
            line: line.map(LineId),
            chosen: chosen.map(LineId),
        };
        let line = find_line(self, &prepared, &wish).await?;
        let connected = connect(self, &prepared, &line, &wish.digits).await?;
        Ok((line, connected))
    }
}

fn portal_wish() -> PortalWish {
    PortalWish {
        connectors: vec!["separator_a".to_owned(), "separator_b".to_owned()],
        events_url: URL.to_owned(),
        settings_url: "https://separator.example/placement/".to_owned(),
        language: "ru",
        asks_for_event: false,
    }
}

fn rest_error(code: &str, http: u16) -> Error {
    let code = code.to_owned();
    Error::Rest {
        code,
        description: "no".to_owned(),
        argument: None,
        http,
        until: None,
    }
}

#[tokio::test]
async fn a_new_number_is_published_in_the_right_order() {
    let fake = Fake::default();
    let (line, connected) = fake.publish(None).await.unwrap();
    assert_eq!(
        (line.name.as_str(), connected.warning),
        ("separator_4915112345678", None)
    );
    let methods: Vec<String> = fake
        .methods()
        .into_iter()
        .filter(|method| method != "event.bind" && method != "placement.bind")
        .collect();
    assert_eq!(
        methods,
        [
            "app.info",
            "profile",
            "imconnector.register",
            "event.get",
            "placement.get",
            "placement.list",
            "imopenlines.config.list.get",
            "imopenlines.config.add",
            "imopenlines.config.get",
            "imconnector.activate",
            "imconnector.connector.data.set",
            "imconnector.status",
        ]
    );
    let world = fake.state.lock().unwrap();
    assert_eq!(world.handlers.len(), event_handlers::CONNECTOR_EVENTS.len());
    assert!(world.handlers.iter().all(|(_, url)| url == URL));
    assert_eq!(world.lines[&line.id.0]["LANGUAGE_ID"], "ru");
    assert_eq!(
        world.lines[&line.id.0]["QUEUE"][0]["ENTITY_ID"], 7,
        "the installing employee answers"
    );
    let data = world
        .calls
        .iter()
        .find(|call| call.method == "imconnector.connector.data.set")
        .unwrap();
    assert_eq!(data.params["DATA"]["URL"], "https://wa.me/4915112345678");
    assert_eq!(data.params["DATA"]["NAME"], "+4915112345678");
    let done: Vec<Step> = world
        .noted
        .iter()
        .filter(|(_, state)| *state == StepState::Done)
        .map(|(step, _)| *step)
        .collect();
    assert_eq!(done, crate::portal::steps::PUBLISHING);
}

#[tokio::test]
async fn a_chosen_line_is_used_as_it_is() {
    let fake = Fake::with(|world| {
        world.lines.extend([Fake::line(5, "Sales")]);
        world.lines.get_mut(&5).unwrap()["CRM_TRANSFER_CHANGE"] = json!("Y");
        world.others = vec!["wazzup"];
    });
    let (line, connected) = fake.publish_on(None, Some(5)).await.unwrap();
    assert_eq!((line.id, line.name.as_str()), (LineId(5), "Sales"));
    let warning = connected.warning.unwrap();
    assert_eq!(warning.code, "OTHER_CONNECTORS");
    assert_eq!(
        line.warnings
            .iter()
            .map(crate::portal::lines::Warning::code)
            .collect::<Vec<_>>(),
        ["OTHER_CONNECTORS", "TRANSFER_CHANGE"]
    );
    assert!(
        !fake
            .methods()
            .iter()
            .any(|method| method == "imopenlines.config.update"),
        "nothing is changed on somebody else's line"
    );

    fake.state.lock().unwrap().lines.get_mut(&5).unwrap()["ACTIVE"] = json!("N");
    let trouble = fake.publish_on(Some(5), Some(5)).await.unwrap_err();
    assert_eq!(
        (trouble.error.code.as_str(), trouble.temporary),
        ("LINE_INACTIVE", false)
    );
    let trouble = fake.publish_on(None, Some(6)).await.unwrap_err();
    assert_eq!(trouble.error.code, "LINE_NOT_FOUND");
    let world = fake.state.lock().unwrap();
    assert_eq!(world.lines.len(), 1, "no line is made in its place");
    assert!(
        matches!(world.noted.last(), Some((Step::Line, StepState::Failed(text))) if text.contains("does not exist")),
        "{:?}",
        world.noted.last()
    );
}

#[tokio::test]
async fn the_places_that_a_portal_has_show_our_page_and_a_missing_one_is_no_trouble() {
    let fake = Fake::with(|world| {
        world.placements = vec![("IM_SIDEBAR".to_owned(), "https://old.example/".to_owned())];
    });
    prepare(&fake, &portal_wish()).await.unwrap();
    let placements = fake.state.lock().unwrap().placements.clone();
    let names: Vec<&str> = placements.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "CRM_DEAL_DETAIL_TAB",
            "IM_TEXTAREA",
            "CRM_DYNAMIC_1038_DETAIL_TAB"
        ]
    );
    assert!(
        placements
            .iter()
            .all(|(_, url)| *url == portal_wish().settings_url)
    );
    let calls = fake.methods().len();
    prepare(&fake, &portal_wish()).await.unwrap();
    let again = &fake.methods()[calls..];
    assert!(
        again.iter().all(|method| method != "placement.bind"),
        "{again:?}"
    );
    // One that is refused costs nothing but itself.
    let fake = Fake::with(|world| {
        let refused = Err(rest_error("ERROR_PLACEMENT_NOT_FOUND", 400));
        world.instead.insert("placement.bind", refused);
    });
    prepare(&fake, &portal_wish()).await.unwrap();
    let fake = Fake::with(|world| {
        world
            .instead
            .insert("placement.get", Err(rest_error("INSUFFICIENT_SCOPE", 403)));
    });
    prepare(&fake, &portal_wish()).await.unwrap();
}

#[tokio::test]
async fn a_portal_whose_token_is_not_known_is_asked_for_an_event() {
    let fake = Fake::default();
    let wish = PortalWish {
        asks_for_event: true,
        ..portal_wish()
    };
    prepare(&fake, &wish).await.unwrap();
    assert_eq!(
        fake.methods()
            .iter()
            .filter(|method| *method == "event.test")
            .count(),
        1
    );
    let test = (event_handlers::TEST_EVENT.to_owned(), URL.to_owned());
    assert!(fake.state.lock().unwrap().handlers.contains(&test));
}

#[tokio::test]
async fn publishing_again_makes_nothing_twice() {
    let fake = Fake::default();
    let (first, _) = fake.publish(None).await.unwrap();
    for known in [Some(first.id.0), None] {
        let (again, _) = fake.publish(known).await.unwrap();
        assert_eq!(again.id, first.id, "{known:?}");
    }
    let world = fake.state.lock().unwrap();
    assert_eq!((world.lines.len(), world.connectors.len()), (1, 1));
    assert_eq!(world.handlers.len(), event_handlers::CONNECTOR_EVENTS.len());
    assert_eq!(
        world.active.values().collect::<Vec<_>>(),
        [&true],
        "data were written after activation"
    );
}

#[tokio::test]
async fn a_line_is_found_on_a_later_page_and_a_deleted_one_is_made_anew() {
    let fake = Fake::with(|world| {
        world.lines = (1..=250)
            .map(|id| Fake::line(id, &format!("Sales {id}")))
            .collect();
        world
            .lines
            .extend([Fake::line(300, "separator_4915112345678")]);
    });
    assert_eq!(fake.publish(Some(999)).await.unwrap().0.id, LineId(300));
    fake.state.lock().unwrap().lines.remove(&300);
    assert_eq!(fake.publish(Some(300)).await.unwrap().0.id, LineId(253));
}

#[tokio::test]
async fn a_line_keeps_its_administrators_settings() {
    let fake = Fake::with(|world| {
        world.lines.extend([Fake::line(5, "Support")]);
        world.lines.get_mut(&5).unwrap()["CRM_CREATE_SECOND"] = json!("Y");
        world.lines.get_mut(&5).unwrap()["ACTIVE"] = json!("N");
    });
    let (line, _) = fake.publish(Some(5)).await.unwrap();
    assert_eq!(line.name, "Support");
    let world = fake.state.lock().unwrap();
    assert_eq!(world.lines[&5]["CRM_CREATE_SECOND"], "Y");
    assert_eq!(
        world.lines[&5]["ACTIVE"], "Y",
        "a number cannot live on a line that is off"
    );
}

#[tokio::test]
async fn strangers_among_the_handlers_go() {
    let old = (
        "ONIMCONNECTORMESSAGEADD".to_owned(),
        "https://old.example/".to_owned(),
    );
    let fake = Fake::with(|world| world.handlers = vec![old.clone(), old.clone()]);
    assert!(converge_events(&fake, URL).await.unwrap());
    assert!(!fake.state.lock().unwrap().handlers.contains(&old));
    assert!(
        !converge_events(&fake, URL).await.unwrap(),
        "nothing is left to do"
    );
}

#[tokio::test]
async fn a_handler_that_is_bound_already_is_success() {
    let bound = Error::Rest {
        code: "ERROR_CORE".to_owned(),
        description: "Unable to set event handler: Handler already binded".to_owned(),
        argument: None,
        http: 400,
        until: None,
    };
    let fake = Fake::with(|world| {
        world.instead.insert("event.bind", Err(bound));
    });
    fake.publish(None).await.unwrap();
}

#[tokio::test]
async fn without_administrator_nothing_is_made_and_without_finished_installation_no_line() {
    for (fake, code, bound) in [
        (
            Fake::with(|world| world.admin = false),
            "NOT_ADMINISTRATOR",
            false,
        ),
        (
            Fake::with(|world| world.installed = false),
            "NOT_INSTALLED",
            true,
        ),
    ] {
        let trouble = fake.publish(None).await.unwrap_err();
        assert_eq!(
            (trouble.error.code.as_str(), trouble.temporary),
            (code, false)
        );
        assert!(trouble.error.hint.is_some());
        let world = fake.state.lock().unwrap();
        assert!(world.lines.is_empty() && world.active.is_empty(), "{code}");
        // All is bound before an installation is finished.
        assert_eq!(world.connectors.is_empty(), !bound, "{code}");
        assert_eq!(world.handlers.is_empty(), !bound, "{code}");
    }
}

#[tokio::test]
async fn a_connector_id_of_another_application_is_avoided() {
    let fake = Fake::with(|world| world.taken = vec!["separator_a".to_owned()]);
    fake.publish(None).await.unwrap();
    assert_eq!(fake.state.lock().unwrap().connectors, ["separator_b"]);

    let fake =
        Fake::with(|world| world.taken = vec!["separator_a".to_owned(), "separator_b".to_owned()]);
    let trouble = fake.publish(None).await.unwrap_err();
    assert_eq!(
        (trouble.error.code.as_str(), trouble.temporary),
        ("APPLICATION_REGISTRATION_ERROR", false)
    );
}

#[tokio::test]
async fn a_state_that_is_old_at_first_is_read_again() {
    let fake = Fake::with(|world| world.lag = 3);
    fake.publish(None).await.unwrap();
    assert_eq!(fake.state.lock().unwrap().pauses, STATUS_PAUSES[..3]);

    let fake = Fake::with(|world| world.lag = 100);
    let trouble = fake.publish(None).await.unwrap_err();
    assert_eq!(
        (trouble.error.code.as_str(), trouble.temporary),
        ("NOT_LIVE", true)
    );
    assert_eq!(fake.state.lock().unwrap().pauses, STATUS_PAUSES);
}

#[tokio::test]
async fn failures_with_http_200_are_failures() {
    for (method, code) in [
        ("imconnector.activate", "NOT_DONE"),
        ("imconnector.connector.data.set", "NOT_DONE"),
        ("imopenlines.config.add", "LINE_NOT_CREATED"),
    ] {
        let fake = Fake::with(|world| {
            world.instead.insert(method, Ok(json!(false)));
        });
        assert_eq!(
            fake.publish(None).await.unwrap_err().error.code,
            code,
            "{method}"
        );
    }
    let fake = Fake::with(|world| world.most_lines = 0);
    assert!(
        fake.publish(None)
            .await
            .unwrap_err()
            .error
            .hint
            .unwrap()
            .contains("plan")
    );
}

#[tokio::test]
async fn an_empty_queue_is_a_warning() {
    let fake = Fake::with(|world| world.ignores_queue = true);
    let (_, connected) = fake.publish(None).await.unwrap();
    assert_eq!(connected.warning.unwrap().code, "QUEUE_EMPTY");
    let updates = fake
        .methods()
        .iter()
        .filter(|method| *method == "imopenlines.config.update")
        .count();
    assert_eq!(
        updates, 1,
        "the queue is written once more before somebody is told"
    );
}

#[tokio::test]
async fn a_check_tells_fine_from_fallen_and_from_not_known() {
    let fake = Fake::default();
    let (line, _) = fake.publish(None).await.unwrap();
    let list = listed(&fake).await.unwrap();
    assert_eq!(
        check(&fake, &list, "separator_a", line.id).await.unwrap(),
        Finding::Fine
    );
    assert_eq!(
        check(&fake, &[], "separator_a", line.id).await.unwrap(),
        Finding::Fallen
    );
    withdraw(&fake, "separator_a", line.id.0).await.unwrap();
    assert_eq!(
        check(&fake, &list, "separator_a", line.id).await.unwrap(),
        Finding::Fallen
    );
    fake.state
        .lock()
        .unwrap()
        .instead
        .insert("imconnector.status", Ok(json!([])));
    assert_eq!(
        check(&fake, &list, "separator_a", line.id).await.unwrap(),
        Finding::Fine
    );
}

#[test]
fn trouble_passes_by_itself_or_says_what_to_do() {
    let detail = "cut".to_owned();
    for (error, temporary) in [
        (rest_error("QUERY_LIMIT_EXCEEDED", 503), true),
        (rest_error("OVERLOAD_LIMIT", 503), true),
        (rest_error("INTERNAL_SERVER_ERROR", 500), true),
        (
            Error::Unreachable {
                detail: detail.clone(),
            },
            true,
        ),
        (Error::Unknown { http: None, detail }, true),
        (rest_error("ACCESS_DENIED", 403), false),
        (rest_error("INSUFFICIENT_SCOPE", 403), false),
        (rest_error("CONFIG_WRONG_USER_PERMISSION", 403), false),
    ] {
        let shown = error.to_string();
        let trouble = Trouble::from(CallError::Rest(error));
        assert_eq!(trouble.temporary, temporary, "{shown}");
        assert!(
            !trouble.error.title.is_empty() && trouble.error.hint.is_some(),
            "{shown}"
        );
        assert_eq!(trouble.error.details.as_deref(), Some(shown.as_str()));
    }
    let trouble = Trouble::from(CallError::Token(TokenError::NeedsAuthorization(
        "Install it again.".to_owned(),
    )));
    assert_eq!(
        trouble.to_string(),
        "The portal cannot be used before somebody acts. Install it again."
    );
}

#[test]
fn connector_ids_are_the_stored_one_then_chance() {
    let instance = Uuid::parse_str("019338aa-0001-7abc-8def-0123456789ab").unwrap();
    let ids = connector_ids(
        instance,
        ["other", "separator_old", "separator_old"].into_iter(),
    );
    assert_eq!(
        ids,
        [
            "separator_old",
            "separator_456789ab",
            "separator_01234567",
            "separator_8def0123"
        ]
    );
    assert!(
        ids.iter()
            .flat_map(|id| id.bytes())
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    );
}

#[test]
fn the_icon_is_a_data_address_of_plain_characters() {
    let icon = icon().data_image;
    assert!(
        icon.starts_with("data:image/svg+xml,%3Csvg%20xmlns%3D"),
        "{icon}"
    );
    assert!(icon.bytes().all(|byte| byte.is_ascii_graphic()));
    assert_eq!(percent_encoded("a<é"), "a%3C%C3%A9");
}
