//! FreeSWITCH 1.10 and newer: a gateway, an access list, a piece of dialplan, and what its profile needs.

use std::fmt::Write as _;

use super::{Destination, File, KeyExchange, NETWORKS_DATE, Plan, escape::xml};

pub(super) fn files(plan: &Plan<'_>) -> Vec<File> {
    let number = plan.number;
    let file = |name: String, text| File {
        program: "freeswitch",
        name: format!("freeswitch/{name}"),
        text,
    };
    vec![
        file(
            format!("sip_profiles/external/whatsapp-{number}.xml"),
            gateway(plan),
        ),
        file(
            "sip_profiles/external-parameters.xml".to_owned(),
            profile(plan),
        ),
        file("autoload_configs/acl-whatsapp.xml".to_owned(), acl(plan)),
        file(
            format!("dialplan/public/whatsapp-{number}.xml"),
            dialplan(plan),
        ),
    ]
}

fn gateway(plan: &Plan<'_>) -> String {
    let Plan {
        number, address, ..
    } = plan;
    let (host, password) = (xml(&address.host), xml(plan.password));
    format!(
        "<!-- WhatsApp calls of +{number}: conf/sip_profiles/external/. Then restart the profile; a rescan is not enough. -->\n\
         <include>\n\
         \x20 <gateway name=\"whatsapp-{number}\">\n\
         \x20   <param name=\"username\" value=\"{number}\"/>\n\
         \x20   <param name=\"password\" value=\"{password}\"/>\n\
         \x20   <param name=\"realm\" value=\"wa.meta.vc\"/>\n\
         \x20   <param name=\"proxy\" value=\"wa.meta.vc:5061\"/>\n\
         \x20   <param name=\"register\" value=\"false\"/>\n\
         \x20   <param name=\"register-transport\" value=\"tls\"/>\n\
         \x20   <param name=\"from-user\" value=\"+{number}\"/>\n\
         \x20   <param name=\"from-domain\" value=\"{host}\"/>\n\
         \x20   <param name=\"caller-id-in-from\" value=\"false\"/>\n\
         \x20 </gateway>\n\
         </include>\n"
    )
}

fn profile(plan: &Plan<'_>) -> String {
    let port = plan.address.port;
    let mut text = format!(
        "<!-- Into the settings of conf/sip_profiles/external.xml. The port must be the one that is saved at Meta. -->\n\
         <settings>\n\
         \x20 <param name=\"tls\" value=\"true\"/>\n\
         \x20 <param name=\"tls-sip-port\" value=\"{port}\"/>\n\
         \x20 <!-- agent.pem in this folder: certificate, key and chain in one file. -->\n\
         \x20 <param name=\"tls-cert-dir\" value=\"/etc/freeswitch/tls\"/>\n\
         \x20 <param name=\"tls-version\" value=\"tlsv1.2\"/>\n\
         \x20 <!-- Checks Meta's certificate where we connect; asks for none where Meta connects. -->\n\
         \x20 <param name=\"tls-verify-policy\" value=\"out\"/>\n\
         \x20 <param name=\"enable-timer\" value=\"false\"/>\n"
    );
    if let Some(ip) = plan.choices.public_ip {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            text,
            "  <param name=\"ext-sip-ip\" value=\"{ip}\"/>\n  <param name=\"ext-rtp-ip\" value=\"{ip}\"/>"
        );
    }
    text.push_str("</settings>\n");
    text
}

fn acl(plan: &Plan<'_>) -> String {
    let mut text = format!(
        "<!-- Into the network-lists of conf/autoload_configs/acl.conf.xml. Meta's networks as of {NETWORKS_DATE}; the\n\
         \x20    present ones: whois, AS32934 (see firewall.txt). -->\n\
         <list name=\"whatsapp\" default=\"deny\">\n"
    );
    for network in plan.networks {
        let _ = writeln!(text, "  <node type=\"allow\" cidr=\"{network}\"/>");
    }
    text.push_str("</list>\n");
    text
}

fn dialplan(plan: &Plan<'_>) -> String {
    let Plan {
        number, choices, ..
    } = plan;
    let g711 = if choices.g711 { ",PCMA,PCMU" } else { "" };
    let ring = match &choices.destination {
        Destination::Extension(name) => {
            format!("<action application=\"bridge\" data=\"user/{name}\"/>")
        }
        Destination::Queue(name) => {
            format!("<action application=\"callcenter\" data=\"{name}@default\"/>")
        }
    };
    let secure = match plan.key_exchange {
        KeyExchange::Sdes => {
            "<action application=\"set\" data=\"rtp_secure_media=mandatory:AES_CM_128_HMAC_SHA1_80\"/>"
        }
        KeyExchange::Dtls => {
            "<!-- DTLS with Meta's ICE-lite is known to fail on FreeSWITCH (STUN 487, no sound): prefer SDES at Meta. -->\n      \
             <action application=\"set\" data=\"media_webrtc=true\"/>"
        }
    };
    format!(
        "<include>\n\
         \x20 <extension name=\"whatsapp-{number}\">\n\
         \x20   <condition field=\"${{sip_from_host}}\" expression=\"^wa\\.meta\\.vc$\"/>\n\
         \x20   <condition field=\"${{acl(${{network_addr}} whatsapp)}}\" expression=\"^true$\"/>\n\
         \x20   <condition field=\"destination_number\" expression=\"^\\+{number}$\">\n\
         \x20     <action application=\"set\" data=\"wacid=${{sip_h_x-wa-meta-wacid}}\"/>\n\
         \x20     <action application=\"set\" data=\"absolute_codec_string=OPUS@48000h@20i{g711}\"/>\n\
         \x20     {secure}\n\
         \x20     <action application=\"set\" data=\"sip_allow_reinvite=false\"/>\n\
         \x20     <action application=\"answer\"/>\n\
         \x20     <!-- The first second of sound is lost on WhatsApp's side. -->\n\
         \x20     <action application=\"sleep\" data=\"1000\"/>\n\
         \x20     {ring}\n\
         \x20   </condition>\n\
         \x20 </extension>\n\
         </include>\n"
    )
}
