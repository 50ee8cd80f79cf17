//! Files for the telephone server of a number, with the password hidden or revealed.

use std::net::IpAddr;

use axum::http::StatusCode;
use ipnet::IpNet;
use serde_json::{Value, json};

use super::{entered, of, phone};
use crate::{
    api::{
        fields::Query,
        operation::{Call, Outcome, Parameter, Shape},
        problem::Problem,
        rules,
    },
    calling::pbx::{self, Choices, Destination, KeyExchange, Password, Plan},
    secret::Secret,
    store,
};

pub(super) const PBX_QUERY: &[Parameter] = &[
    Parameter {
        name: "extension",
        shape: Shape::Text,
        description: "Telephone that rings; 100 where nothing is chosen.",
    },
    Parameter {
        name: "queue",
        shape: Shape::Text,
        description: "Queue that rings, in place of a telephone.",
    },
    Parameter {
        name: "public_ip",
        shape: Shape::Text,
        description: "Public address of a server behind a router.",
    },
    Parameter {
        name: "local_network",
        shape: Shape::Text,
        description: "Network behind the router, such as 10.0.0.0/8.",
    },
    Parameter {
        name: "inner",
        shape: Shape::Text,
        description: "Address of the server behind a Kamailio edge.",
    },
    Parameter {
        name: "inner_port",
        shape: Shape::Whole,
        description: "Its UDP port; 5062 where none is given.",
    },
    Parameter {
        name: "edge",
        shape: Shape::Text,
        description: "Address of the Kamailio edge towards that server.",
    },
    Parameter {
        name: "certificate",
        shape: Shape::Text,
        description: "File of the certificate with its chain.",
    },
    Parameter {
        name: "key",
        shape: Shape::Text,
        description: "File of its key.",
    },
    Parameter {
        name: "g711",
        shape: Shape::Boolean,
        description: "Whether G.711 was switched on at Meta.",
    },
];

pub(super) async fn files(call: Call, reveal: bool) -> Outcome {
    use base64::Engine as _;

    let phone = phone(&call)?;
    let wish = of(&call.registry(), &phone).wish.clone();
    let Some(host) = wish.hostname.clone() else {
        return Err(Problem::in_use(
            "enter the telephone server (sip_hostname) first",
        ));
    };
    let address = entered(&host, Some(&wish.port.to_string()), call.client.language)
        .map_err(|(_, text)| Problem::in_use(format!("sip_hostname {text}")))?;
    let mut query = call.query();
    let choices = choices(&mut query, &host);
    query.finish()?;
    let known = store::calling::password(&call.app.store, &call.app.sealer, phone.id).await?;
    let password = match &known {
        Some(password) if reveal => Password::Shown(password),
        Some(_) => Password::Hidden,
        None => Password::Unknown,
    };
    let keys = if wish.sdes {
        KeyExchange::Sdes
    } else {
        KeyExchange::Dtls
    };
    let plan = Plan::new(
        &phone.phone,
        &address,
        keys,
        &pbx::META_NETWORKS,
        &choices,
        password,
    )
    .map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))?;
    let files = plan.files();
    let archive = pbx::tar(&files, call.app.clock.now());
    let shown: Vec<Value> = files
        .iter()
        .map(|file| json!({ "program": file.program, "name": file.name, "text": file.text }))
        .collect();
    let freepbx: Vec<Value> = plan
        .freepbx()
        .into_iter()
        .map(|(tab, field, value)| json!({ "tab": tab, "field": field, "value": value }))
        .collect();
    if reveal {
        tracing::info!(caller = call.caller.place(), phone = %phone.id, "the password of a telephone server was revealed");
    }
    Ok(json!({
        "files": shown,
        "freepbx": freepbx,
        "archive": base64::engine::general_purpose::STANDARD.encode(archive),
        "password": known.as_ref().filter(|_| reveal).map(Secret::expose),
        "has_password": known.is_some(),
    }))
}

fn choices(query: &mut Query, host: &str) -> Choices {
    let mut choices = Choices::usual(host);
    let name = rules::text(40);
    if let Some(extension) = query.optional("extension", &name) {
        choices.destination = Destination::Extension(extension);
    }
    if let Some(queue) = query.optional("queue", &name) {
        choices.destination = Destination::Queue(queue);
    }
    choices.public_ip = query.optional("public_ip", ip);
    choices.local_network = query.optional("local_network", network);
    choices.inner = query.optional("inner", ip).unwrap_or(choices.inner);
    choices.edge = query.optional("edge", ip).unwrap_or(choices.edge);
    choices.inner_port = query
        .optional("inner_port", port_text)
        .unwrap_or(choices.inner_port);
    choices.certificate = query
        .optional("certificate", rules::text(200))
        .unwrap_or(choices.certificate);
    choices.key = query
        .optional("key", rules::text(200))
        .unwrap_or(choices.key);
    choices.g711 = query
        .optional("g711", |value| match value.as_str() {
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            _ => Err("must be true or false".to_owned()),
        })
        .unwrap_or(false);
    choices
}

fn ip(value: &Value) -> Result<IpAddr, String> {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| "must be an IP address such as 203.0.113.7".to_owned())
}

fn network(value: &Value) -> Result<IpNet, String> {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| "must be a network such as 10.0.0.0/8".to_owned())
}

fn port_text(value: &Value) -> Result<u16, String> {
    let number = value.as_str().and_then(|text| text.parse::<u16>().ok());
    number
        .filter(|port| *port != 0)
        .ok_or_else(|| "must be a whole number from 1 to 65535".to_owned())
}
