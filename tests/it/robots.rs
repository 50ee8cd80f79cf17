//! "Send a WhatsApp template" as a robot and in workflows: sent, answered always, also after a crash.

use sandbox::{
    graph::{Fault, Times},
    portal::{StepKind, WorkflowStep},
};
use serde_json::Value;

use crate::world::{PATIENCE, World, lena};

const CODE: &str = "separator_template";

async fn offered() -> World {
    let world = World::start().await;
    world.without_limits().await;
    world.knows_templates().await;
    world
}

impl World {
    /// Waits until a step was answered; gives its results.
    pub async fn answered(&self, token: &str) -> Value {
        let over = |step: Option<WorkflowStep>| step.is_some_and(|step| step.results.is_some());
        let answered = self
            .portals
            .wait_until(|_| over(self.portal.step(token)), PATIENCE)
            .await;
        assert!(
            answered,
            "the workflow still waits\n{}",
            self.server.log_tail()
        );
        self.portal.step(token).unwrap().results.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_sends_its_template_and_is_answered_with_what_became_of_it() {
    let world = offered().await;
    let offered = world.portal.robots();
    assert_eq!(offered.len(), 2, "among robots and in workflows");
    assert!(
        offered
            .iter()
            .all(|robot| robot.waits && robot.code == CODE)
    );
    let sent = world
        .portal
        .run_step(
            StepKind::Robot,
            CODE,
            &[
                ("phone", "+49 1575 5509876"),
                ("template", "delivery_note+en"),
                ("values[]", "Lena|A-1"),
            ],
        )
        .unwrap();
    let results = world.answered(&sent).await;
    assert_eq!(
        (&results["status"], &results["error"]),
        (&"sent".into(), &"".into())
    );
    let message = world
        .api
        .get(&format!(
            "messages/{}",
            results["message_id"].as_str().unwrap()
        ))
        .await;
    assert_eq!(
        message["text"],
        "Hello Lena, your parcel A-1 is on its way."
    );
    let received = world.customer_receives(&lena(), 1).await;
    assert_eq!(received[0].body["template"]["name"], "delivery_note");
    world.note("your parcel A-1").await;
    // Waiting for delivery, in a workflow, with a whole code and the number chosen.
    let waited = world
        .portal
        .run_step(
            StepKind::Activity,
            CODE,
            &[
                ("number", &world.phone),
                ("phone", "4915755509876"),
                ("template", "template-hello_world+en_US"),
                ("wait", "Y"),
            ],
        )
        .unwrap();
    assert_eq!(world.answered(&waited).await["status"], "delivered");
    world.customer_receives(&lena(), 2).await;
    world.comes_to_rest().await;
    for (properties, said) in [
        (
            vec![("phone", "4915755509876"), ("template", "helo")],
            "hello_world",
        ),
        (
            vec![("phone", "4915755509876"), ("template", "delivery_note")],
            "takes 2 value(s)",
        ),
        (
            vec![("phone", "none"), ("template", "hello_world")],
            "country code",
        ),
        (vec![("template", "hello_world")], "country code"),
        (
            vec![("phone", "4915755509876")],
            "cannot be a template's name",
        ),
        (
            vec![
                ("phone", "4915755509876"),
                ("template", "hello_world"),
                ("number", "0199f1c2-7d3e-7a41-9c55-2f0e8b1d6a90"),
            ],
            "choose another one",
        ),
    ] {
        let token = world
            .portal
            .run_step(StepKind::Robot, CODE, &properties)
            .unwrap();
        let results = world.answered(&token).await;
        assert_eq!(results["status"], "failed", "{properties:?}");
        let error = results["error"].as_str().unwrap();
        assert!(error.contains(said), "{error}");
    }
    world.comes_to_rest().await;
    assert_eq!(world.received(&lena()).len(), 2);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_never_waits_for_ever_not_even_for_a_program_that_was_killed() {
    let mut world = offered().await;
    // Meta refuses, and says later that it could not deliver.
    for (fault, code) in [
        (Fault::Refused(131_009), "131009"),
        (Fault::FailedStatus(131_026), "131026"),
    ] {
        world.graph.faults().set(fault, Times::Next(1));
        let token = world
            .portal
            .run_step(
                StepKind::Robot,
                CODE,
                &[
                    ("phone", "4915755509876"),
                    ("template", "hello_world"),
                    ("wait", "Y"),
                ],
            )
            .unwrap();
        let results = world.answered(&token).await;
        assert_eq!(results["status"], "failed");
        assert!(
            results["error"].as_str().unwrap().contains(code),
            "{results:#}"
        );
    }
    // No status ever comes: the step is answered when its time is over. The program is killed in between.
    world.graph.faults().set(Fault::WebhookHeld, Times::Always);
    let token = world
        .portal
        .run_step(
            StepKind::Robot,
            CODE,
            &[
                ("phone", "4915755509876"),
                ("template", "hello_world"),
                ("wait", "Y"),
            ],
        )
        .unwrap();
    world
        .api
        .until("messages?state=queued", |list| {
            !list["items"].as_array().unwrap().is_empty()
        })
        .await;
    world.server.kill();
    world.server.start().await;
    world
        .server
        .sql("UPDATE orders SET deadline = 1 WHERE deadline IS NOT NULL");
    let results = world.answered(&token).await;
    assert_eq!(results["error"], "");
    let known = ["queued", "unknown", "sent"];
    assert!(
        known.contains(&results["status"].as_str().unwrap()),
        "{results:#}"
    );
    world.server.stop().await;
    world.server.check_log(&[]);
}
