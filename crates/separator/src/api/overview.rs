//! `overview`: each number as a colour and a sentence, what waits, what needs attention.

use serde_json::{Value, json};

use super::{
    alarms, doctor as doctor_api,
    operation::{Call, Described, Field, Operation, Outcome, Purpose, Shape},
    rule::Rule,
};
use crate::{
    doctor::report::Report,
    overview::{self, Number},
    store::browse::{self, Window},
};

const PATH: &str = "/api/v1/overview";

/// Alarms that are shown.
const SHOWN: usize = 20;

const COLOURS: &[&str] = &["green", "amber", "red", "grey"];

const FIELDS: &[Field] = &[
    Field::read("numbers", Shape::List("NumberState"), "The numbers.", ""),
    Field::read(
        "queue",
        Shape::Object("Backlog"),
        "Messages that wait to be delivered, and since when.",
        "",
    ),
    Field::read(
        "alarms",
        Shape::List("Alarm"),
        "The 20 newest open alarms.",
        "",
    ),
    Field::read(
        "dead_letters",
        Shape::Whole,
        "Deliveries that were given up.",
        "0",
    ),
    Field::read(
        "faults",
        Shape::Whole,
        "Checks of the doctor that are red.",
        "0",
    ),
    Field::nullable(
        "checked_at",
        Shape::Time,
        "When the doctor looked last.",
        "2026-11-23T04:47:32.010Z",
    ),
    Field::read("version", Shape::Text, "Version of the program.", "0.1.0"),
    Field::read(
        "sandbox",
        Shape::Boolean,
        "Whether this is a sandbox with stand-ins for Meta and Bitrix24.",
        "false",
    ),
];

const NUMBER_FIELDS: &[Field] = &[
    Field::id(),
    Field::read("phone", Shape::Text, "Digits.", "4915755501234"),
    Field::nullable("name", Shape::Text, "Name of its account.", "Sample Shop"),
    Field::read(
        "colour",
        Shape::OneOf(COLOURS),
        "green: messages pass, and lately did; amber: something should be looked at; red: messages do not pass; grey: \
         it is linked to no portal.",
        "green",
    ),
    Field::read(
        "sentence",
        Shape::Text,
        "Why, in the language that Accept-Language prefers.",
        "Messages pass both ways.",
    ),
    Field::nullable(
        "last_inbound_at",
        Shape::Time,
        "When a customer's message was last in the operator's chat.",
        "2026-11-23T04:47:32.010Z",
    ),
    Field::nullable(
        "last_outbound_at",
        Shape::Time,
        "When Meta last told that a message is on its way to a customer.",
        "2026-11-23T04:47:32.010Z",
    ),
    Field::read("waiting", Shape::Whole, "Messages that wait.", "0"),
];

pub(super) const OBJECTS: &[Described] = &[
    Described {
        name: "Overview",
        purpose: Purpose::Shown,
        description: "How everything of the caller's is.",
        fields: FIELDS,
    },
    Described {
        name: "NumberState",
        purpose: Purpose::Shown,
        description: "How a number is.",
        fields: NUMBER_FIELDS,
    },
];

pub(super) const OPERATIONS: &[Operation] = &[Operation {
    summary: "Show how everything is",
    ..Operation::get(PATH, "Overview", "Overview", Rule::Known, |call| {
        Box::pin(get(call))
    })
}];

async fn get(call: Call) -> Outcome {
    call.query().finish()?;
    let (store, reach, view) = (&call.app.store, call.reach(), call.registry());
    let report = Report::last(&call.app).await?;
    let findings = report.as_ref().map_or(&[][..], |report| &report.findings);
    let numbers = overview::numbers(&call.app, &view, findings).await?;
    let window = Window {
        below: None,
        limit: SHOWN,
    };
    let open = browse::alarms(store, &reach, window).await?;
    let depth = overview::depth(&numbers);
    let faults = doctor_api::seen(&call, &view, findings)
        .filter(|finding| finding.state == crate::doctor::State::Fault)
        .count();
    Ok(json!({
        "numbers": numbers.iter().map(|number| show(number, &call)).collect::<Vec<_>>(),
        "queue": { "depth": depth.depth, "oldest": depth.oldest },
        "alarms": open.iter().map(|alarm| alarms::show(alarm, call.client.language)).collect::<Vec<_>>(),
        "dead_letters": browse::dead_letter_count(store, &reach).await?,
        "faults": faults,
        "checked_at": report.as_ref().map(Report::checked_at),
        "version": env!("CARGO_PKG_VERSION"),
        "sandbox": call.app.settings.sandbox.is_some(),
    }))
}

fn show(number: &Number, call: &Call) -> Value {
    let moment = |at: crate::time::Millis| (at.0 > 0).then_some(at);
    json!({
        "id": number.id,
        "phone": number.phone,
        "name": number.name,
        "colour": number.colour.as_str(),
        "sentence": number.sentence.in_language(call.client.language),
        "last_inbound_at": moment(number.proof.inbound),
        "last_outbound_at": moment(number.proof.outbound),
        "waiting": number.waiting.depth,
    })
}

#[cfg(test)]
mod tests {
    use crate::overview::Colour;

    #[test]
    fn the_colours_are_those_that_are_described() {
        for colour in [Colour::Green, Colour::Amber, Colour::Red, Colour::Grey] {
            assert!(super::COLOURS.contains(&colour.as_str()));
        }
    }
}
