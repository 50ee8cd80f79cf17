//! Asterisk 16 and newer: `pjsip.conf` and `extensions.conf`.

use std::fmt::Write as _;

use super::{
    Destination, File, KeyExchange, NETWORKS_COMMAND, NETWORKS_DATE, Plan,
    escape::asterisk as escaped,
};

pub(super) fn files(plan: &Plan<'_>) -> Vec<File> {
    let file = |name: &str, text| File {
        program: "asterisk",
        name: format!("asterisk/{name}"),
        text,
    };
    vec![
        file("pjsip.conf", pjsip(plan)),
        file("extensions.conf", extensions(plan)),
    ]
}

fn pjsip(plan: &Plan<'_>) -> String {
    let Plan {
        number,
        address,
        choices,
        ..
    } = plan;
    let password = escaped(plan.password);
    let host = &address.host;
    let port = address.port;
    let mut text = format!(
        "; WhatsApp calls of +{number} (Asterisk 16 and newer). Append to pjsip.conf, then: pjsip reload\n\
         ; A new transport needs a restart of Asterisk.\n\
         \n\
         [wa-{number}-tls]\n\
         type = transport\n\
         protocol = tls\n\
         bind = 0.0.0.0:{port}\n\
         ; The whole chain, and a key that the user asterisk can read: with an unreadable key there is no transport,\n\
         ; and no error either. Copy both out of /etc/letsencrypt/live in the hook that renews them.\n\
         cert_file = {}\n\
         priv_key_file = {}\n\
         method = tlsv1_2\n\
         ; Meta has no certificate that this server could check.\n\
         verify_client = no\n\
         require_client_cert = no\n\
         ; Meta's own certificate is checked where this server connects to Meta.\n\
         ca_list_file = /etc/ssl/certs/ca-certificates.crt\n\
         verify_server = yes\n",
        choices.certificate, choices.key,
    );
    // Writing to a String cannot fail, here and below.
    if let Some(ip) = choices.public_ip {
        let _ = writeln!(
            text,
            "external_signaling_address = {ip}\nexternal_media_address = {ip}"
        );
    }
    if let Some(network) = choices.local_network {
        let _ = writeln!(text, "local_net = {network}");
    }
    let codecs = if choices.g711 {
        "opus,alaw,ulaw"
    } else {
        "opus"
    };
    let _ = write!(
        text,
        "\n[wa-{number}]\n\
         type = endpoint\n\
         transport = wa-{number}-tls\n\
         context = from-whatsapp-{number}\n\
         disallow = all\n\
         allow = {codecs}\n\
         direct_media = no\n\
         rtp_symmetric = yes\n\
         force_rport = yes\n\
         dtmf_mode = rfc4733\n\
         ; Meta answers a re-INVITE with 500.\n\
         timers = no\n\
         ; Leave this at no: yes puts our address into Meta's Record-Route, Meta's ACK never arrives, and every call\n\
         ; breaks after 32 seconds.\n\
         rewrite_contact = no\n"
    );
    text.push_str(match plan.key_exchange {
        KeyExchange::Sdes => "media_encryption = sdes\n",
        KeyExchange::Dtls => {
            "media_encryption = dtls\n\
             dtls_setup = active\n\
             dtls_verify = fingerprint\n\
             dtls_auto_generate_cert = yes\n\
             ice_support = yes\n\
             use_avpf = yes\n\
             rtcp_mux = yes\n"
        }
    });
    let _ = write!(
        text,
        "auth = wa-{number}\n\
         outbound_auth = wa-{number}\n\
         aors = wa-{number}\n\
         from_user = +{number}\n\
         from_domain = {host}\n\
         \n\
         [wa-{number}]\n\
         type = auth\n\
         ; userpass works with every version; digest does not.\n\
         auth_type = userpass\n\
         username = {number}\n\
         password = {password}\n\
         \n\
         [wa-{number}]\n\
         type = aor\n\
         contact = sip:wa.meta.vc:5061\\;transport=tls\n\
         \n\
         ; Meta's networks as of {NETWORKS_DATE}. The present ones: {NETWORKS_COMMAND}\n\
         [wa-{number}]\n\
         type = identify\n\
         endpoint = wa-{number}\n"
    );
    for network in plan.networks {
        let _ = writeln!(text, "match = {network}");
    }
    text
}

fn extensions(plan: &Plan<'_>) -> String {
    let Plan {
        number, choices, ..
    } = plan;
    let ring = match &choices.destination {
        Destination::Extension(name) => format!("Dial(PJSIP/{name},45)"),
        Destination::Queue(name) => format!("Queue({name})"),
    };
    format!(
        "; WhatsApp calls of +{number}. Append to extensions.conf, then: dialplan reload\n\
         [from-whatsapp-{number}]\n\
         ; Meta sends the number with its plus.\n\
         exten => +{number},1,NoOp(WhatsApp call from ${{CALLERID(num)}})\n \
         ; The caller may be a user id in place of a number: do not count on digits.\n \
         same => n,Set(WACID=${{PJSIP_HEADER(read,x-wa-meta-wacid)}})\n \
         same => n,Answer()\n \
         ; The first second of sound is lost on WhatsApp's side.\n \
         same => n,Wait(1)\n \
         same => n,{ring}\n \
         same => n,Hangup()\n"
    )
}
