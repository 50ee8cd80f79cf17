//! FreePBX: what to enter on the page of a pjsip trunk.

use std::fmt::Write as _;

use super::{File, KeyExchange, NETWORKS_COMMAND, NETWORKS_DATE, Plan};

/// Tab, field, value.
pub(super) fn fields(plan: &Plan<'_>) -> Vec<(&'static str, &'static str, String)> {
    let Plan {
        number,
        address,
        choices,
        ..
    } = plan;
    let word = |text: &str| text.to_owned();
    let encryption = match plan.key_exchange {
        KeyExchange::Sdes => "SRTP via in-SDP (recommended)",
        KeyExchange::Dtls => "DTLS-SRTP (not recommended)",
    };
    let codecs = if choices.g711 {
        "opus, alaw, ulaw"
    } else {
        "opus"
    };
    vec![
        ("General", "Trunk Name", format!("whatsapp-{number}")),
        ("General", "Outbound CallerID", format!("+{number}")),
        ("pjsip Settings, General", "Username", word(number)),
        ("pjsip Settings, General", "Secret", word(plan.password)),
        ("pjsip Settings, General", "Authentication", word("Both")),
        ("pjsip Settings, General", "Registration", word("None")),
        ("pjsip Settings, General", "SIP Server", word("wa.meta.vc")),
        ("pjsip Settings, General", "SIP Server Port", word("5061")),
        ("pjsip Settings, General", "Context", word("from-pstn")),
        (
            "pjsip Settings, General",
            "Transport",
            format!("0.0.0.0-tls (port {})", address.port),
        ),
        (
            "pjsip Settings, Advanced",
            "From Domain",
            address.host.clone(),
        ),
        (
            "pjsip Settings, Advanced",
            "From User",
            format!("+{number}"),
        ),
        ("pjsip Settings, Advanced", "Qualify Frequency", word("0")),
        (
            "pjsip Settings, Advanced",
            "Media Encryption",
            word(encryption),
        ),
        ("pjsip Settings, Advanced", "Rewrite Contact", word("No")),
        ("pjsip Settings, Advanced", "Direct Media", word("No")),
        ("pjsip Settings, Advanced", "RTP Symmetric", word("Yes")),
        ("pjsip Settings, Advanced", "Force rport", word("Yes")),
        ("pjsip Settings, Advanced", "DTMF Mode", word("RFC 4733")),
        ("pjsip Settings, Advanced", "Session Timers", word("No")),
        (
            "pjsip Settings, Advanced",
            "Match (Permit)",
            plan.networks.join(","),
        ),
        ("pjsip Settings, Codecs", "Codecs", word(codecs)),
        ("Inbound Routes", "DID Number", format!("+{number}")),
        (
            "Inbound Routes",
            "Set Destination",
            word(choices.destination.name()),
        ),
    ]
}

pub(super) fn file(plan: &Plan<'_>) -> File {
    let mut text = format!(
        "FreePBX: Connectivity > Trunks > Add SIP (chan_pjsip) Trunk, for WhatsApp calls of +{}\n\
         Networks of Meta as of {NETWORKS_DATE}; the present ones: {NETWORKS_COMMAND}\n\n",
        plan.number
    );
    for (tab, field, value) in fields(plan) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{tab} > {field}: {value}");
    }
    File {
        program: "freepbx",
        name: "freepbx/trunk.txt".to_owned(),
        text,
    }
}
