//! Robots and actions of workflows: what an application offers, and steps that wait for their answer (Bitrix24: bizproc).

#![expect(clippy::unnecessary_wraps, reason = "every method has the same shape")]

use serde::Serialize;
use url::Url;

use super::{
    Portal, Refusal, Robot, WorkflowStep,
    events::{FORM, post},
    php::{Value, map},
    rest::{Context, Failure, Outcome},
    state::State,
    system::handler_url,
};

/// Whether a step is offered to robots or to workflows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StepKind {
    /// Among the robots.
    Robot,
    /// In the designer of workflows.
    Activity,
}

fn invalid(text: &str) -> Failure {
    Failure::new(400, "ERROR_ACTIVITY_VALIDATION_FAILURE", text)
}

fn missing() -> Failure {
    Failure::new(400, "ERROR_ACTIVITY_NOT_FOUND", "Activity not found!")
}

/// `bizproc.robot.add`.
pub(crate) fn robot_add(context: &Context<'_>, state: &mut State) -> Outcome {
    add(StepKind::Robot, context, state)
}

/// `bizproc.activity.add`.
pub(crate) fn activity_add(context: &Context<'_>, state: &mut State) -> Outcome {
    add(StepKind::Activity, context, state)
}

fn add(kind: StepKind, context: &Context<'_>, state: &mut State) -> Outcome {
    let code = context.params.text_of("CODE");
    if code.is_empty() {
        return Err(invalid("Empty activity code!"));
    }
    if !code
        .chars()
        .all(|sign| sign.is_ascii_alphanumeric() || "._-".contains(sign))
    {
        return Err(invalid("Wrong activity code!"));
    }
    if state.robots.contains_key(&(kind, code.clone())) {
        return Err(Failure::new(
            400,
            "ERROR_ACTIVITY_ALREADY_INSTALLED",
            "Activity or Robot already installed!",
        ));
    }
    let mut robot = Robot {
        kind,
        code: code.clone(),
        client_id: context.client_id.to_owned(),
        handler: String::new(),
        settings_page: String::new(),
        properties: Vec::new(),
        waits: false,
    };
    fill(&mut robot, context.params)?;
    state.robots.insert((kind, code), robot);
    Ok(true.into())
}

/// `bizproc.robot.update`.
pub(crate) fn robot_update(context: &Context<'_>, state: &mut State) -> Outcome {
    update(StepKind::Robot, context, state)
}

/// `bizproc.activity.update`.
pub(crate) fn activity_update(context: &Context<'_>, state: &mut State) -> Outcome {
    update(StepKind::Activity, context, state)
}

fn update(kind: StepKind, context: &Context<'_>, state: &mut State) -> Outcome {
    let code = context.params.text_of("CODE");
    let robot = state
        .robots
        .get_mut(&(kind, code))
        .filter(|robot| robot.client_id == context.client_id)
        .ok_or_else(missing)?;
    let fields = context.params.get("FIELDS").cloned().unwrap_or(Value::Null);
    fill(robot, &fields)?;
    Ok(true.into())
}

fn fill(robot: &mut Robot, fields: &Value) -> Result<(), Failure> {
    let handler = fields.text_of("HANDLER");
    handler_url(&handler)?;
    robot.handler = handler;
    let named = fields.get("NAME").is_some_and(|name| {
        !name.entries().is_empty() || name.text().is_some_and(|name| !name.is_empty())
    });
    if !named {
        return Err(invalid("Empty activity NAME!"));
    }
    robot.settings_page = match fields.text_of("USE_PLACEMENT").as_str() {
        "Y" => {
            let page = fields.text_of("PLACEMENT_HANDLER");
            handler_url(&page)?;
            page
        }
        _ => String::new(),
    };
    robot.waits = fields.text_of("USE_SUBSCRIPTION") == "Y";
    robot.properties.clear();
    for (key, property) in fields
        .get("PROPERTIES")
        .map(Value::entries)
        .unwrap_or_default()
    {
        if !key.starts_with(|sign: char| sign.is_ascii_alphabetic())
            || !key
                .chars()
                .all(|sign| sign.is_ascii_alphanumeric() || sign == '_')
        {
            return Err(invalid(&format!("Wrong property key {key}!")));
        }
        // `text` is taken and never drawn, so whoever sends it means something else.
        let kinds = [
            "bool", "date", "datetime", "double", "int", "select", "string", "user",
        ];
        if !kinds.contains(&property.text_of("Type").as_str()) {
            return Err(invalid(&format!("Wrong type of property {key}!")));
        }
        robot.properties.push(key);
    }
    Ok(())
}

/// `bizproc.robot.list`.
pub(crate) fn robot_list(context: &Context<'_>, state: &mut State) -> Outcome {
    list(StepKind::Robot, context, state)
}

/// `bizproc.activity.list`.
pub(crate) fn activity_list(context: &Context<'_>, state: &mut State) -> Outcome {
    list(StepKind::Activity, context, state)
}

fn list(kind: StepKind, context: &Context<'_>, state: &State) -> Outcome {
    let own = state
        .robots
        .values()
        .filter(|robot| robot.kind == kind && robot.client_id == context.client_id);
    Ok(own
        .map(|robot| robot.code.clone())
        .collect::<Vec<String>>()
        .into())
}

/// `bizproc.robot.delete`.
pub(crate) fn robot_delete(context: &Context<'_>, state: &mut State) -> Outcome {
    delete(StepKind::Robot, context, state)
}

/// `bizproc.activity.delete`.
pub(crate) fn activity_delete(context: &Context<'_>, state: &mut State) -> Outcome {
    delete(StepKind::Activity, context, state)
}

fn delete(kind: StepKind, context: &Context<'_>, state: &mut State) -> Outcome {
    let code = context.params.text_of("CODE");
    state
        .robots
        .remove(&(kind, code))
        .map(|_| true.into())
        .ok_or_else(missing)
}

/// `bizproc.event.send`: a step that waits goes on; one that is over is none any more.
pub(crate) fn event_send(context: &Context<'_>, state: &mut State) -> Outcome {
    let token = context.required_text("EVENT_TOKEN")?;
    let step = state
        .steps
        .get_mut(&token)
        .filter(|step| step.results.is_none())
        .ok_or_else(|| Failure::new(403, "ACCESS_DENIED", "Access denied!"))?;
    let results = context
        .params
        .get("RETURN_VALUES")
        .map(Value::to_json)
        .unwrap_or_default();
    step.log = context.params.text_of("LOG_MESSAGE");
    step.results = Some(results);
    Ok(true.into())
}

impl Portal {
    /// What applications offer to robots and workflows.
    pub fn robots(&self) -> Vec<Robot> {
        self.lock().robots.values().cloned().collect()
    }

    /// A step, by its token.
    pub fn step(&self, token: &str) -> Option<WorkflowStep> {
        self.lock().steps.get(token).cloned()
    }

    /// A workflow comes to a step: it is posted once, and the step waits for its answer; its token.
    pub fn run_step(
        &self,
        kind: StepKind,
        code: &str,
        properties: &[(&str, &str)],
    ) -> Result<String, Refusal> {
        let token = format!("65e0c0ffee|A{}|abc", uuid::Uuid::new_v4().simple());
        let (url, body) = {
            let mut state = self.lock();
            let robot = state
                .robots
                .get(&(kind, code.to_owned()))
                .ok_or(Refusal::NoSuchRobot)?;
            let (url, client_id) = (robot.handler.clone(), robot.client_id.clone());
            let mut auth = self.event_auth(&mut state, &client_id, Some(1));
            // Robots are the exception: their token can be refreshed.
            auth.set("refresh_token", self.secret().into());
            let step = WorkflowStep {
                code: code.to_owned(),
                results: None,
                log: String::new(),
            };
            state.steps.insert(token.clone(), step);
            (url, self.step_body(code, &token, properties, auth))
        };
        let (portal, url) = (
            self.clone(),
            Url::parse(&url).map_err(|_| Refusal::NoSuchRobot)?,
        );
        self.world.runtime.spawn(async move {
            post(&portal.world, &url, FORM, body.as_bytes()).await;
            portal.changed(None);
        });
        Ok(token)
    }

    fn step_body(
        &self,
        code: &str,
        token: &str,
        properties: &[(&str, &str)],
        auth: Value,
    ) -> String {
        let mut given = map([]);
        for (key, value) in properties {
            match key.strip_suffix("[]") {
                // Several values are written with a bar between them here.
                Some(key) => given.set(key, value.split('|').collect::<Vec<&str>>().into()),
                None => given.set(key, (*value).into()),
            }
        }
        let mut body = map([
            ("workflow_id", "65e0c0ffee.12345678".into()),
            ("code", code.into()),
            (
                "document_id",
                vec!["crm", "CCrmDocumentDeal", "DEAL_123"].into(),
            ),
            (
                "document_type",
                vec!["crm", "CCrmDocumentDeal", "DEAL"].into(),
            ),
            ("event_token", token.into()),
            ("use_subscription", "Y".into()),
            ("timeout_duration", 3600.into()),
            ("ts", self.world.clock.seconds().into()),
        ]);
        body.set("properties", given);
        body.set("auth", auth);
        body.to_form()
    }
}
